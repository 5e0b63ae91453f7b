"""What fifteen governed units cost a board: their resident size, and the garbage of one second.

The bytecode itself is left out: a board without PSRAM has it frozen in its flash. What remains,
units, steering and the whole garbage of a second without a collection, has to find room in 64 KiB
of its 100. The garbage does not depend on how many cells there are.
"""

import gc

from vbms.aggregate.controller import Controller
from vbms.aggregate.ladder import Ladder
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot

UNITS = 15
ROOM = 65536
gc.collect()
CODE = gc.mem_alloc()
bank = None
ladder = None
now_ms = 0
cells = 16
garbage = {}  # of the last tick, by the number of cells


def snapshot(number):
    row = tuple([3300 + (cell * 7 + number) % 9 for cell in range(cells)])
    return Snapshot(
        taken_ms=now_ms,
        voltage_mv=sum(row),
        current_ma=2000 + number,
        soc_permille=500,
        soh_permille=1000,
        cells_mv=row,
        temps_mc=(20000, 21000, 20000, 20000),
        charge_ok=True,
        discharge_ok=True,
    )


def within(bound, used):
    if used > bound:
        raise ValueError("%d bytes of %d" % (used, bound))


def enrol():
    global bank, ladder
    before = gc.mem_alloc()
    profiles = [
        UnitProfile(
            "unit-%d" % number,
            cells=cells,
            capacity_mah=50000,
            max_charge_ma=50000,
            max_discharge_ma=50000,
            mosfet_present=False,
        )
        for number in range(UNITS)
    ]
    bank = Controller(BankProfile("bank"), profiles)
    ladder = Ladder(bank.bank.profile)
    used = gc.mem_alloc() - before
    print("fifteen units", used)
    within(24000, used)


def frames():
    global now_ms
    now_ms += 1000
    made = 0
    for number in range(UNITS):
        snap = snapshot(number)
        before = gc.mem_alloc()
        if bank.bank.accept("unit-%d" % number, snap, now_ms) is not None:
            raise ValueError("a good frame was not admitted")
        made += gc.mem_alloc() - before
    print("admitting fifteen frames", made)
    within(18000, made)


def tick():
    before = gc.mem_alloc()
    out = bank.tick(now_ms)
    garbage[cells] = gc.mem_alloc() - before
    ladder.step(out, now_ms, bank.bank.up_ms)
    made = gc.mem_alloc() - before
    print("a tick", made, "charge limit", out.charge_limit_ma)
    within(26000, made)
    within(ROOM, gc.mem_alloc() - CODE)


def fewer_cells():
    global cells, bank
    cells = 8
    bank = None


def the_same_garbage():
    """Half the cells, the same garbage, but for sums that now fit a small int."""
    print("a tick of 16 cells, of 8", garbage)
    if garbage[16] - garbage[8] > 480:
        raise ValueError("cells make garbage")


ROUND = [enrol] + [frames, tick] * 4
TESTS = ROUND + [fewer_cells] + ROUND + [the_same_garbage]
