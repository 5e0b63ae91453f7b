"""Hours of a bank in which everything happens: frames, faults, silence, and what the inverter hears.

From Snapshot to bytes: admission, life-cycle, merge, latches, governor, charge phases, alarms, ladder,
shards and the DEYE's registers.
"""

from kit import Chance, Digest, fields, text

from vbms.aggregate.controller import Controller
from vbms.aggregate.ladder import Ladder
from vbms.aggregate.present import BANK, SHARDS, UNITS, Presenter
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot
from vbms.aggregate.virtual import FIELDS, VirtualBattery
from vbms.downstream.deye_rs485 import Codec

UNITS_COUNT = 5
STEERED = (
    "cvl_mv",
    "state",
    "age_ms",
    "alarms",
    "protections",
    "phase",
    "silenced",
    "force_charge",
)
STEPS = 300

chance = Chance(23)
ticks = Digest("bank")
wire = Digest("wire")
encoded = Digest("encoded")

profile = BankProfile("bank", max_charge_ma=180000, measured_shares=True, absorb_ms=60000)
bank = Controller(
    profile,
    [
        UnitProfile(
            "u%d" % number,
            cells=16 if number else None,
            capacity_mah=50000 if number < 3 else None,
            max_charge_ma=50000,
            max_discharge_ma=50000 if number else None,
            mosfet_present=number > 2,
            needs_settings=number > 2,
            declares_ccl=number > 2,
            retire_auto=number == 4,
        )
        for number in range(UNITS_COUNT)
    ],
)
ladders = [Ladder(profile) for _ in range(UNITS_COUNT + 1)]
presenters = (Presenter(BANK), Presenter(SHARDS, 3, 200000), Presenter(UNITS))
codecs = [Codec(address=number, invert_current=number == 2) for number in range(15)]
now_ms = (1 << 30) - 500000  # the clock passes 2**30 on the way
silent_until = [0] * UNITS_COUNT
level = [3300] * UNITS_COUNT
spoken = 0


def snapshot(number):
    level[number] = min(3600, max(2750, level[number] + chance.between(-14, 14)))
    odd = chance.below(25)  # now and then something that admission has to see
    here = level[number] + (400 if odd == 0 else 0)
    cells = [here + chance.below(3) * 4 for _ in range(15 if odd == 1 else 16)]
    snap = Snapshot(
        taken_ms=now_ms - chance.below(300),
        voltage_mv=sum(cells) + (1500 if odd == 2 else chance.between(-90, 90)),
        current_ma=chance.between(-45000, 45000),
        soc_permille=1001 if odd == 3 else 200 + (level[number] - 2750) * 1000 // 1100,
        soh_permille=chance.maybe(980, 9),
        cells_mv=tuple(cells),
        temps_mc=tuple([22000 + number * 900 + chance.below(3) * 500 for _ in range(4)]),
        charge_ok=odd != 4,
        discharge_ok=odd != 5,
        charge_open=True if odd == 4 else None if number < 3 else False,
        discharge_open=None if number < 3 else False,
        protections=1 if odd == 4 else 0,
        warnings=1 << chance.below(17) if odd == 6 else 0,
        cycles_count=100 + number,
    )
    if number > 2:
        snap.capacity_mah = 280000
        snap.design_mah = 300000
        snap.remaining_mah = 140000
        snap.mosfet_mc = 31000
        snap.ccl_ma = snap.dcl_ma = 100000
        snap.ccl_is_trip = snap.dcl_is_trip = True
        snap.ovp_mv, snap.uvp_mv = 3650, 2600
        snap.cell_count = chance.maybe(16, 30)
        snap.serial = "S%d" % number if odd != 7 else "another"
    return snap


def one_step():
    global now_ms, spoken
    jump = chance.below(60)
    now_ms += 700000 if jump == 0 else 45000 if jump < 3 else chance.between(400, 2500)
    for number in range(UNITS_COUNT):
        if now_ms < silent_until[number]:
            continue
        if chance.below(40) == 0:
            silent_until[number] = now_ms + chance.one_of((8000, 25000, 90000, 2000000))
        fault = bank.bank.accept("u%d" % number, snapshot(number), now_ms)
        if fault:
            ticks.line(text((number, fault)))
    if chance.below(20) == 0:
        for number in range(UNITS_COUNT):
            ticks.line(text((number, bank.acknowledge("u%d" % number))))
    ticks.line(text(bank.bank.acknowledged()))
    out = bank.tick(now_ms)
    ticks.line(fields(out, FIELDS + STEERED))
    ticks.line(text(bank.events))
    bank.events = []
    kept = bank.dump()
    ticks.line(text([(name, kept[name]) for name in sorted(kept) if name != "latches"]))
    ticks.line(text((bank.bank.next_change_ms(), ladders[0].next_ms())))
    told = ladders[0].step(out, now_ms, bank.bank.up_ms)
    units = []
    for number in range(UNITS_COUNT):
        solo = bank.solo("u%d" % number)
        units.append((number, ladders[number + 1].step(solo, now_ms, bank.bank.up_ms)))
    for presenter in presenters:
        for address, battery in presenter.present(told, units):
            if battery is None:
                wire.line(text((address, ladders[0].state)))
                continue
            spoken += 1
            for request in codecs[address].usual():
                wire.line(text(codecs[address].answer(request, battery)))


def one_battery():
    """A battery that no bank would make: every field anything, within what 32 bits can be."""
    for _ in range(4):
        battery = VirtualBattery()
        for name in FIELDS:
            if name.endswith("owner"):
                continue
            value = chance.next() - (1 << 28)
            if chance.below(3):
                value >>= chance.below(20)
            if value < 0 and name[-1:] not in "ac":
                value = -value
            setattr(battery, name, value if name[:2] == "n_" else chance.maybe(value, 40))
        battery.charge_limit_ma = abs(battery.charge_limit_ma or 0)
        battery.discharge_limit_ma = abs(battery.discharge_limit_ma or 0)
        battery.cvl_mv = chance.maybe(chance.below(1 << 20), 40)
        battery.warnings = chance.below(1 << 27)
        battery.protections = chance.below(1 << 27)
        battery.criticals = chance.below(1 << 27)
        battery.own_charge_ma = chance.below(1 << 20)
        battery.model = chance.one_of(("VBMS", "B*Ä", "a model with a long name", ""))
        battery.serial = chance.one_of(("", "S1", "x" * 25))
        codec = codecs[chance.below(15)]
        for request in codec.usual():
            answer = codec.answer(request, battery)
            encoded.line(text(answer))
            if answer is not None:
                encoded.line(text(codec.read(answer)))


def the_end():
    if spoken < STEPS:
        raise ValueError("the inverter was told only %d batteries" % spoken)
    for codec in codecs:
        encoded.line(text(codec.saturated))
    for digest in (ticks, wire, encoded):
        digest.close()


TESTS = [one_step] * STEPS + [one_battery] * 100 + [the_end]
