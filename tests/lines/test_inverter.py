"""What an inverter is told of the bank, whatever the medium: its share, its shards, its modules."""

from __future__ import annotations

import struct
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.downstream.batteries import healthy
from vbms.aggregate.bank import Bank
from vbms.aggregate.controller import Controller
from vbms.aggregate.modules import Group
from vbms.aggregate.present import WHOLE
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.virtual import VirtualBattery
from vbms.clock import MonotonicClock
from vbms.config import InverterSettings
from vbms.lines import modbus_server
from vbms.lines.inverter import InverterLine, Pairs

KEYS = ("one", "two")
MA = st.integers(0, 20_000_000)


class Told(InverterLine):
    """A line without a wire."""

    pairs: Pairs = ()
    asked_ms = None

    def publish(self, pairs: Pairs) -> None:
        self.pairs = pairs


class Units:
    """A controller of two batteries that are as a test says."""

    def __init__(self, solos: dict[str, VirtualBattery]) -> None:
        profile = BankProfile("bank", steady_ms=0, start_ms=0)
        self.bank = Bank(profile, [UnitProfile(key, cells=16) for key in KEYS])
        self.solos = solos

    def solo(self, key: str) -> VirtualBattery:
        return self.solos[key]


def settings_of(
    protocol: str, share: int = WHOLE, present: str = "bank", **options: Any
) -> InverterSettings:
    return InverterSettings(
        name=protocol,
        profile_name=protocol,
        protocol=protocol,
        link="inv",
        present=present,
        shards=3 if present == "shards" else None,
        share_ppht=share,
        turnaround_us=0,
        silent_after_ms=30000,
        options=options,
    )


def line(protocol: str, share: int = WHOLE, present: str = "bank", **options: Any) -> Told:
    bank = Bank(BankProfile("bank"), [])
    settings = settings_of(protocol, share, present, **options)
    return Told(settings, cast(Any, None), MonotonicClock(), bank, None)


def battery(**values: Any) -> VirtualBattery:
    return healthy(dvl_mv=46400, n_fresh=1, n_total=1, **values)


def tell(
    told: InverterLine, whole: VirtualBattery, solos: dict[str, VirtualBattery] | None = None
) -> None:
    units = Units(solos or {key: battery() for key in KEYS})
    slots = list(enumerate(KEYS))
    for now_ms in (1000, 2000):
        told.tell(cast(Controller, units), whole, slots, now_ms)


KINDS = (
    ("deye_rs485", "bank"),
    ("deye_rs485", "shards"),
    ("pylontech_rs485", "bank"),
    ("pylontech_can", "bank"),
)


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, WHOLE)), min_size=1, max_size=5),
    MA,
    MA,
    st.integers(0, 60_000_000),
    st.tuples(MA, MA),
)
def test_all_inverters_together_are_told_no_more_than_the_bank(
    rows: list[tuple[tuple[str, str], int]],
    charge: int,
    discharge: int,
    mah: int,
    own: tuple[int, int],
) -> None:
    total = max(sum(share for _, share in rows), WHOLE)
    whole = battery(charge_limit_ma=charge, discharge_limit_ma=discharge, capacity_mah=mah)
    solos = {key: battery(charge_limit_ma=own[0], discharge_limit_ma=own[1]) for key in KEYS}
    told = []
    modules = []
    for (protocol, present), share in rows:
        inverter = line(protocol, share * WHOLE // total, present)
        tell(inverter, whole, solos)
        for at, (_, said) in enumerate(inverter.pairs):
            if said is None:
                continue
            if isinstance(said, Group):
                modules += list(said.modules.values())
            if at == 0 or protocol == "deye_rs485":
                told.append(said)
    for every in (told, modules):
        assert sum(each.charge_limit_ma for each in every) <= charge
        assert sum(each.discharge_limit_ma for each in every) <= discharge
    assert sum(each.capacity_mah or 0 for each in told) <= mah
    assert sum(each.capacity_mah or 0 for each in modules) <= sum(
        each.capacity_mah or 0 for each in solos.values()
    )
    assert len(told) >= len(rows)


def test_a_map_with_a_share_has_that_part_of_the_bank_and_of_every_battery() -> None:
    server = modbus_server.ModbusServerLine(
        settings_of("modbus_tcp", WHOLE // 4),
        cast(Any, None),
        MonotonicClock(),
        Bank(BankProfile("bank"), []),
        None,
    )
    tell(server, battery(charge_limit_ma=80_000))
    said = {
        unit: server.codec.values(struct.pack(f">{len(words)}H", *words))
        for unit, words in server.blocks.items()
    }
    assert {unit: (each["AChaMax"], each["AHFull"]) for unit, each in said.items()} == {
        0: (20_000, 70_000),
        1: (20_000, 70_000),
        255: (20_000, 70_000),
        2: (25_000, 70_000),
        3: (25_000, 70_000),
    }


@pytest.mark.parametrize("protocol", ["pylontech_rs485", "pylontech_can", "modbus_tcp"])
def test_only_protocols_with_addresses_are_told_shards(protocol: str) -> None:
    """4200 Ah and 900 A: DEYE's registers end before, other fields do not."""
    whole = battery(capacity_mah=4_200_000, design_mah=4_200_000, charge_limit_ma=900_000)
    inverter = line(protocol)
    tell(inverter, whole)
    (first, *_) = [said for _, said in inverter.pairs if said is not None]
    assert (first.capacity_mah, first.charge_limit_ma) == (4_200_000, 900_000)
    deye = line("deye_rs485")
    tell(deye, whole)
    assert len(deye.pairs) > 1


def test_modules_follow_their_own_ladders() -> None:
    inverter = line("pylontech_rs485")
    solos = {key: battery() for key in KEYS}
    tell(inverter, battery(), solos)
    assert len(inverter.pairs) == 14
    bank = inverter.pairs[0][1]
    assert isinstance(bank, Group)
    assert sorted(bank.modules) == [0, 1]
    assert inverter.pairs[1][1] is bank.modules[1]
    assert [said for _, said in inverter.pairs[2:]] == [None] * 12
    # One falls silent: its limits go to 0, then it is no module any more, and the bank goes on.
    solos["two"] = battery()
    solos["two"].n_fresh = 0
    units = Units(solos)
    for now_ms in (3000, 4000):
        inverter.tell(cast(Controller, units), battery(), list(enumerate(KEYS)), now_ms)
    bank = inverter.pairs[0][1]
    assert isinstance(bank, Group)
    assert bank.modules[1].charge_limit_ma == 0 and bank.charge_limit_ma == 100000
    for now_ms in (20000, 40000):
        inverter.tell(cast(Controller, units), battery(), list(enumerate(KEYS)), now_ms)
    bank = inverter.pairs[0][1]
    assert isinstance(bank, Group) and sorted(bank.modules) == [0]
    assert inverter.pairs[1][1] is None
    # The bank silent: all are.
    dead = battery()
    dead.n_fresh = 0
    for now_ms in (50000, 60000, 90000):
        inverter.tell(cast(Controller, units), dead, list(enumerate(KEYS)), now_ms)
    assert all(said is None for _, said in inverter.pairs) and inverter.silent


def test_one_module_that_is_the_bank() -> None:
    inverter = line("pylontech_rs485", modules="bank")
    tell(inverter, battery())
    assert [number for number, _ in inverter.pairs] == [0]
    assert isinstance(inverter.pairs[0][1], Group)
