"""Any battery that speaks plain Modbus registers: what stands where is said by its profile.

    registers:    {address, quantity, type, scale, offset, count, unknown, function, every_s}
    alarms:       {address, bit or values, alarm, level, function}
    permissions:  {address, bit or values, permits, when, function}

A value is raw x scale + offset, in the human unit that the quantity names. `unknown` lists raw
numbers that mean "no value". docs/modbus_map.md is the whole table.

Blocks are read as large as `block` and `fill` allow; rows with `every_s` in blocks of their own.
A protection or a fault that is told takes its direction's permission away, as does every permission
row that does not permit. Rounding is to the safe side: a limit down, the highest cell up.
"""

from vbms.aggregate import alarms
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError
from vbms.options import EACH_POLL
from vbms.upstream.modbus_rows import (
    ALARMS,
    OPTIONS,
    PERMISSIONS,
    QUANTITIES,
    REGISTERS,
    TEXTS,
    UNIT_ALARMS,
    check,
    declared,
    named,
    span,
    whole,
)
from vbms.wire.registers import TYPES, Queue, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.options import Rows

__all__ = ["Codec", "LINE", "LINKS", "NEEDS_SETTINGS", "OPTIONS", "check", "declared"]

LINE = "vbms.lines.registers"
LINKS = ("serial", "tcp")
NEEDS_SETTINGS = False
_HARMLESS = alarms.IMBALANCE | alarms.COMMS  # told as acted, but stopping nothing


class Codec:
    """What to read from one such battery, and what it means."""

    def __init__(
        self,
        address: int = 1,
        registers: "Rows" = (),
        alarms: "Rows" = (),
        permissions: "Rows" = (),
        function: int = 3,
        word_order: str = "high_first",
        block: int = 100,
        fill: int = 0,
        framing: str = "auto",
        limits_are: str = "request",
        assume_permission: bool = False,
    ):
        self.address = address
        self._low_first = word_order == "low_first"
        self._trip = limits_are == "trip"
        self._values = named(REGISTERS, registers)
        self._alarms = named(ALARMS, alarms or ())
        self._permissions = named(PERMISSIONS, permissions or ())
        wanted: list[tuple[int, int, int, int]] = []  # every_ms, function, first, end
        for row in self._values:
            start, end = span(row)
            every = whole(row["every_s"]) or EACH_POLL
            key = (every, whole(row["function"]) or function, start // 2, (end + 1) // 2)
            wanted.append(key)
            row["where"] = key
        for row in self._alarms + self._permissions:
            first = whole(row["address"])
            row["where"] = (EACH_POLL, whole(row["function"]) or function, first, first + 1)
            wanted.append((EACH_POLL, whole(row["function"]) or function, first, first + 1))
        self._reads = _blocks(wanted, block, fill)
        for row in self._values + self._alarms + self._permissions:
            row["slot"] = self._slot_of(row["where"])

    def _slot_of(self, where: object) -> int:
        """The slot that holds it: (every_ms, function, first, end)."""
        for slot, (every, function, start, count) in enumerate(self._reads):
            if isinstance(where, tuple) and where[:2] == (every, function):
                if start <= where[2] and where[3] <= start + count:
                    return slot
        return 0

    def reads(self) -> "Sequence[tuple[int, int, int, int]]":
        return self._reads

    def queue(self, slot: int) -> Queue | None:
        return None

    def wanted(self, slot: int, frames: "Sequence[bytes | None]") -> bool:
        return True

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        if not self._reads:
            raise FrameError("payload: no registers are described")
        for slot, (every_ms, _, _, count) in enumerate(self._reads):
            frame = frames[slot] if slot < len(frames) else None
            if frame is None and every_ms == EACH_POLL:
                raise FrameError("payload: block %d is missing" % slot)
            if frame is not None and len(frame) != 2 * count:
                raise FrameError("length: block %d has %d registers" % (slot, count))
        snap = Snapshot()
        snap.taken_ms = now_ms
        extremes: dict[str, int | None] = {}
        for row in self._values:
            frame = self._frame(row, frames)
            if frame is not None:
                self._fill(snap, row, frame, extremes)
        if snap.temps_mc is None and "temp_max_c" in extremes:
            hot, cold = extremes["temp_max_c"], extremes.get("temp_min_c")
            snap.temps_mc = None if hot is None or cold is None else (hot, cold)
        if snap.ccl_ma is not None:
            snap.ccl_is_trip = self._trip
        if snap.dcl_ma is not None:
            snap.dcl_is_trip = self._trip
        self._tell(snap, frames)
        return snap

    def _frame(self, row: "dict[str, object]", frames: "Sequence[bytes | None]") -> bytes | None:
        slot = whole(row["slot"])
        return frames[slot] if slot < len(frames) else None

    def _at(self, row: "dict[str, object]") -> int:
        """The row's first register in its block."""
        return whole(row["address"]) - self._reads[whole(row["slot"])][2]

    def _fill(
        self,
        snap: Snapshot,
        row: "dict[str, object]",
        frame: bytes,
        extremes: "dict[str, int | None]",
    ) -> None:
        quantity = str(row["quantity"])
        field, per_human, rounded = QUANTITIES[quantity]
        at = self._at(row)
        count = whole(row["count"])
        if quantity in TEXTS:
            raw = frame[2 * at : 2 * (at + count)]
            text = "".join([chr(byte) for byte in raw if 32 < byte < 127])
            setattr(snap, field, text or None)
            return
        kind = str(row["type"])
        step = (TYPES[kind][0] + 1) // 2
        unknown = row["unknown"]
        values: list[int | None] = []
        for number_at in range(count):
            raw_value = number(frame, at + number_at * step, kind, self._low_first)
            if isinstance(unknown, (tuple, list)) and raw_value in unknown:
                values.append(None)
                continue
            value = raw_value * whole(row["scale"]) + whole(row["offset"]) * 1000
            values.append(rounded(value * per_human, 1000000))
        if quantity == "cell_v":
            snap.cells_mv = list(snap.cells_mv or ()) + values  # type: ignore[operator]
        elif quantity == "temp_c":
            # A sensor that says nothing is left out; that there are fewer is noticed elsewhere.
            known = [value for value in values if value is not None]
            snap.temps_mc = list(snap.temps_mc or ()) + known
        elif field == "temps_mc":
            extremes[quantity] = values[0]
        elif quantity == "balancing":
            snap.balancing = None if values[0] is None else values[0] != 0
        else:
            setattr(snap, field, values[0])

    def _tell(self, snap: Snapshot, frames: "Sequence[bytes | None]") -> None:
        """Alarms, and what may be done."""
        words = {"warning": 0, "protection": 0, "critical": 0}
        for row in self._alarms:
            if self._matches(row, frames):
                words[str(row["level"])] |= 1 << UNIT_ALARMS.index(str(row["alarm"]))
        snap.warnings, snap.protections = words["warning"], words["protection"]
        snap.criticals = words["critical"]
        acted = (snap.protections | snap.criticals) & ~_HARMLESS
        may = {"charge": not acted & ~alarms.DISCHARGE_ONLY}
        may["discharge"] = not acted & ~alarms.CHARGE_ONLY
        for row in self._permissions:
            for word in ("charge", "discharge"):
                if row["permits"] in (word, "both"):
                    may[word] = may[word] and self._matches(row, frames)
        snap.charge_ok = may["charge"]
        snap.discharge_ok = may["discharge"]

    def _matches(self, row: "dict[str, object]", frames: "Sequence[bytes | None]") -> bool:
        frame = self._frame(row, frames) or b""
        value = number(frame, self._at(row), "u16")
        if row["bit"] is None:
            values = row["values"]
            return isinstance(values, (tuple, list)) and value in values
        return bool(value >> whole(row["bit"]) & 1) != (row.get("when") == "clear")


def _blocks(
    wanted: "list[tuple[int, int, int, int]]", most: int, fill: int
) -> "tuple[tuple[int, int, int, int], ...]":
    """As few reads as possible, those of each poll first: (every_ms, function, start, count)."""
    found: list[list[int]] = []
    for every, function, first, end in sorted(wanted):
        last = found[-1] if found else None
        if last is not None and last[:2] == [every, function] and first <= last[3] + fill:
            if max(end, last[3]) - last[2] <= max(most, last[3] - last[2]):
                last[3] = max(end, last[3])
                continue
        found.append([every, function, first, end])
    return tuple([(every, function, first, end - first) for every, function, first, end in found])
