"""Which battery at which address: the table of docs/merging.md, D9."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.downstream.batteries import healthy
from vbms.aggregate.present import (
    BANK,
    SHARDS,
    UNITS,
    WHOLE,
    Presenter,
    Shard,
    part_of,
    present_bank,
    present_shards,
    present_units,
    shards_needed,
)
from vbms.aggregate.virtual import VirtualBattery
from vbms.errors import ConfigError


def big(mah: int = 1120000, **values: object) -> VirtualBattery:
    return healthy(**({"capacity_mah": mah, "design_mah": mah, "remaining_mah": mah // 2} | values))


def known(pairs: object) -> list[VirtualBattery]:
    found = []
    for address, (number, battery) in enumerate(pairs):  # type: ignore[arg-type, var-annotated]
        assert number == address
        assert isinstance(battery, VirtualBattery)
        found.append(battery)
    return found


def test_a_bank_at_address_0() -> None:
    bank = healthy(serial="whatever", model="JK")
    (told,) = known(present_bank(bank))
    assert (told.model, told.serial) == ("VBMS", "VB000000000000000001")
    for name in VirtualBattery.__slots__:
        if name not in ("model", "serial"):
            assert getattr(told, name) == getattr(bank, name), name


@given(
    st.integers(1, 15),
    st.integers(0, 5000000),
    st.integers(-5000000, 5000000),
    st.integers(0, 3000000),
)
def test_shards_are_equal_and_never_more_than_the_bank(
    k: int, mah: int, current: int, limit: int
) -> None:
    bank = big(mah, current_ma=current, charge_limit_ma=limit, discharge_limit_ma=limit)
    shards = known(present_shards(bank, k))
    assert len(shards) == k
    assert len({shard.serial for shard in shards}) == k
    for name in ("capacity_mah", "design_mah", "remaining_mah", "discharge_limit_ma"):
        total = sum(getattr(shard, name) for shard in shards)
        assert getattr(bank, name) - k < total <= getattr(bank, name)
    total = sum(shard.charge_limit_ma for shard in shards)
    assert min(limit, 655340) - k < total <= min(limit, 655340)
    total = sum(shard.current_ma or 0 for shard in shards)
    assert abs(current) - k < abs(total) <= abs(current) and total * current >= 0
    for shard in shards:
        assert isinstance(shard, Shard)
        for name in ("voltage_mv", "soc_permille", "soh_permille", "cell_max_mv", "cvl_mv"):
            assert getattr(shard, name) == getattr(bank, name)
        assert shard.whole.current_ma == current


def test_shards_of_unknown_values_stay_unknown() -> None:
    for shard in known(present_shards(VirtualBattery(), 4)):
        assert shard.capacity_mah is None and shard.current_ma is None
        assert shard.charge_limit_ma == 0


@pytest.mark.parametrize(
    ("mah", "cap", "k"),
    [
        (0, None, 1),
        (655340, None, 1),
        (655350, None, 2),
        (1310680, None, 2),
        (1310690, None, 3),
        (100000, 327670, 1),
        (100000, 327671, 2),
        (4200000, 1000000, 7),
        (99000000, None, 15),
    ],
)
def test_how_many_shards(mah: int, cap: int | None, k: int) -> None:
    assert shards_needed(big(mah), cap) == k
    assert shards_needed(big(0, capacity_mah=None, design_mah=mah), cap) == k


def test_a_bank_becomes_shards_by_itself_and_says_so_once() -> None:
    presenter = Presenter(BANK)
    assert len(known(presenter.present(healthy()))) == 1
    assert presenter.notice is None
    assert len(known(presenter.present(big()))) == 2
    assert presenter.notice == "bank: told as 2 equal batteries at addresses 0 to 1"
    presenter.notice = None
    assert len(known(presenter.present(big()))) == 2
    assert presenter.notice is None
    assert len(known(presenter.present(healthy()))) == 2  # never fewer
    assert len(known(presenter.present(big(4200000)))) == 7  # more may come
    assert presenter.notice is not None


def test_while_the_bank_is_silent_all_its_shards_are() -> None:
    presenter = Presenter(BANK)
    assert presenter.present(None) == ((0, None),)
    presenter.present(big())
    assert presenter.present(None) == ((0, None), (1, None))


def test_a_bank_kept_to_one_address_saturates() -> None:
    presenter = Presenter(BANK, shards=1)
    (told,) = known(presenter.present(big()))
    assert told.capacity_mah == 1120000
    assert presenter.notice is None


def test_currents_alone_do_not_split_a_bank() -> None:
    presenter = Presenter(BANK, cap_ma=500000)
    assert len(known(presenter.present(healthy()))) == 1
    assert len(known(presenter.present(big(655350)))) == 2


def test_shards_by_number_or_by_need() -> None:
    assert len(known(Presenter(SHARDS, shards=3).present(healthy()))) == 3
    assert Presenter(SHARDS, shards=3).present(None) == ((0, None), (1, None), (2, None))
    assert len(known(Presenter(SHARDS).present(healthy()))) == 1
    assert len(known(Presenter(SHARDS, cap_ma=400000).present(healthy()))) == 2


def test_units_keep_their_addresses() -> None:
    one, two = healthy(), healthy()
    units = ((0, one), (7, two), (9, None))
    presenter = Presenter(UNITS)
    assert presenter.present(None, units) == units
    assert presenter.saturated == {}


@given(st.lists(st.none() | st.integers(0, 300000), max_size=15))
def test_the_sum_of_charge_limits_stays_within_16_bits(limits: list[int | None]) -> None:
    units = [
        (at, None if limit is None else healthy(charge_limit_ma=limit))
        for at, limit in enumerate(limits)
    ]
    told = present_units(units)
    assert [battery is None for _, battery in told] == [limit is None for limit in limits]
    total = sum(limit or 0 for limit in limits)
    sent = sum(battery.charge_limit_ma for _, battery in told if battery is not None)
    assert sent <= 655340
    assert sent > min(total, 655340) - 16
    for (_, battery), limit in zip(told, limits):
        if battery is not None and limit is not None:
            assert battery.charge_limit_ma == min(limit, limit * 655340 // max(total, 1))


def test_eight_packs_of_200_a() -> None:
    presenter = Presenter(UNITS)
    told = presenter.present(None, [(at, healthy(charge_limit_ma=200000)) for at in range(8)])
    assert [b.charge_limit_ma for _, b in told if b] == [81917] * 8
    assert presenter.saturated == {"charge_limit_ma": 1}
    presenter = Presenter(BANK)
    (told_bank,) = known(presenter.present(healthy(charge_limit_ma=1600000)))
    assert told_bank.charge_limit_ma == 655340
    assert presenter.saturated == {"charge_limit_ma": 1}


@pytest.mark.parametrize("arguments", [("both", None), (BANK, 0), (SHARDS, 16)])
def test_the_impossible_is_refused(arguments: tuple[str, int | None]) -> None:
    with pytest.raises(ConfigError):
        Presenter(*arguments)


SHARES = st.lists(st.integers(1, WHOLE), min_size=1, max_size=6).map(
    lambda parts: [part * WHOLE // max(sum(parts), WHOLE) for part in parts]
)
ANY_MA = st.integers(0, 20_000_000)


@given(SHARES, ANY_MA, ANY_MA, st.integers(0, 60_000_000), st.sampled_from([BANK, SHARDS]))
def test_all_inverters_together_are_told_no_more_than_the_bank(
    shares: list[int], charge: int, discharge: int, mah: int, mode: str
) -> None:
    """Each by its own presenter, in shards or not."""
    assert sum(shares) <= WHOLE
    bank = big(mah, charge_limit_ma=charge, discharge_limit_ma=discharge, own_charge_ma=charge)
    told = []
    for share in shares:
        presenter = Presenter(mode, 3 if mode == SHARDS else None, max(charge, discharge))
        told += known(presenter.present(part_of(bank, share)))
    for name in ("charge_limit_ma", "discharge_limit_ma", "own_charge_ma", "capacity_mah"):
        assert sum(getattr(each, name) for each in told) <= getattr(bank, name), name
    assert all(each.soc_permille == bank.soc_permille for each in told)
    assert all(each.cvl_mv == bank.cvl_mv for each in told)


@given(SHARES, st.lists(st.tuples(ANY_MA, ANY_MA), min_size=1, max_size=5), ANY_MA, ANY_MA)
def test_modules_never_add_up_to_more_than_the_bank(
    shares: list[int], limits: list[tuple[int, int]], charge: int, discharge: int
) -> None:
    from tests.downstream.modules import group, module

    told = []
    for share in shares:
        units = [
            part_of(module(charge_limit_ma=one, discharge_limit_ma=other), share)
            for one, other in limits
        ]
        for unit, each in zip([module() for _ in limits], units):
            unit.charge_limit_ma, unit.discharge_limit_ma = (
                each.charge_limit_ma,
                each.discharge_limit_ma,
            )
            told.append(unit)
        bank = part_of(healthy(charge_limit_ma=charge, discharge_limit_ma=discharge), share)
        group(
            *told[-len(limits) :],
            charge_limit_ma=bank.charge_limit_ma,
            discharge_limit_ma=bank.discharge_limit_ma,
        )
    assert sum(unit.charge_limit_ma for unit in told) <= charge
    assert sum(unit.discharge_limit_ma for unit in told) <= discharge


@given(st.integers(-5_000_000, 5_000_000), st.integers(1, WHOLE - 1))
def test_a_part_of_a_current_keeps_its_direction(current: int, share: int) -> None:
    part = part_of(healthy(current_ma=current, power_mw=None), share)
    assert part.current_ma is not None
    assert abs(part.current_ma) <= abs(current) and part.current_ma * current >= 0
    assert part.power_mw is None
    assert part_of(part, WHOLE) is part
