"""What fifteen units cost a board: their resident size, and the garbage of one second.

Runs with a heap of 100 KiB, in which the whole of each second has to find room without a collection.
"""

import gc

from vbms.aggregate.bank import Bank
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot

UNITS = 15
bank = None
now_ms = 0


def snapshot(number):
    cells = tuple([3300 + (cell * 7 + number) % 9 for cell in range(16)])
    return Snapshot(
        taken_ms=now_ms,
        voltage_mv=sum(cells),
        current_ma=2000 + number,
        soc_permille=500,
        soh_permille=1000,
        cells_mv=cells,
        temps_mc=(20000, 21000, 20000, 20000),
        charge_ok=True,
        discharge_ok=True,
    )


def enrol():
    global bank
    before = gc.mem_alloc()
    profiles = [
        UnitProfile(
            "unit-%d" % number,
            cells=16,
            capacity_mah=50000,
            max_charge_ma=50000,
            max_discharge_ma=50000,
            mosfet_present=False,
        )
        for number in range(UNITS)
    ]
    bank = Bank(BankProfile("bank"), profiles)
    used = gc.mem_alloc() - before
    print("fifteen units", used)
    if used > 24000:
        raise ValueError("%d bytes" % used)


def frames():
    global now_ms
    now_ms += 1000
    made = 0
    for number in range(UNITS):
        snap = snapshot(number)
        before = gc.mem_alloc()
        if bank.accept("unit-%d" % number, snap, now_ms) is not None:
            raise ValueError("a good frame was not admitted")
        made += gc.mem_alloc() - before
    print("admitting fifteen frames", made)
    if made > 18000:
        raise ValueError("%d bytes" % made)


def tick():
    before = gc.mem_alloc()
    out = bank.tick(now_ms)
    made = gc.mem_alloc() - before
    print("a tick", made, "charge limit", out.charge_limit_ma)
    if made > 15000:
        raise ValueError("%d bytes" % made)


def settled():
    if bank.tick(now_ms).charge_limit_ma != UNITS * 50000:
        raise ValueError("fifteen fresh units have another limit")


TESTS = [enrol] + [frames, tick] * 4 + [settled]
