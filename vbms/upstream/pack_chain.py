"""A chain of cell modules (packMonitor, cell-monitor), 9600 8N1: each cell measures itself.

    address << 1 | asks | register << 1 | writes | value u16 BE | crc8        dialect v1
    id | the same four | crc8                                                 dialect v2

A packet goes through all modules and comes back: one for another module, or an answer, is passed on
unchanged; the module that is asked clears the first bit and fills in the value. Address 0 is for
all: writing n to register 1 makes the first module n, the next n + 1, and what comes back is one
more than the last. A request that comes back as it went was for nobody.

Registers: v1 has the voltage (mV) in 3 and the temperature (C) in 4, v2 the voltage in 2 and no
temperature that is known. The CRC (polynomial 7, start 0) covers all bytes before it; that v2's
covers the id too, and that a module gives the id back, is taken from v1's manner, not from a text.

Modules know no current, no SOC, no switch: those stay unknown, and what is needed for a limit makes
it 0 (`switches: absent` says that nothing can forbid, so that cells and temperatures decide).

Sources: the packet definitions of both programs, as described and with computed examples.
"""

from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError
from vbms.options import CHOICE, EACH_POLL, INT, ONCE, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LINE = "vbms.lines.chain"
V1, V2 = "v1", "v2"
OPTIONS = (
    Option("cells", INT, 14, low=1, high=32, help="modules in the chain, one for each cell"),
    Option("dialect", CHOICE, V1, choices=(V1, V2), help="v2: an id before each packet"),
    Option(
        "switches",
        CHOICE,
        "present",
        choices=("present", "absent"),
        help="absent: nothing can forbid charging or discharging, cells and temperatures decide",
    ),
)
DECLARES: tuple[str, ...] = ()
NEEDS_SETTINGS = False
ALONE = True  # a chain is a line of its own
BAUD = 9600

ASKS = 1  # bit 0 of the address byte
_WRITES = 1  # bit 0 of the register byte
_ADDRESS = 1
_VOLTAGE = {V1: 3, V2: 2}
_TEMPERATURE = 4  # v1 alone
_FIRST = 1  # address of the first module


def crc8(data: bytes) -> int:
    """Polynomial 0x07, start 0, not reflected."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


class Codec:
    """What to ask a chain, and what its modules say.

    Slots: the voltage of each module, the temperature of each (v1), and the count.
    """

    def __init__(self, cells: int = 14, dialect: str = V1, switches: str = "present"):
        self.cells = cells
        self.warm = dialect == V1  # modules tell their temperature
        self._named = dialect == V2  # packets carry an id
        self._size = 6 if self._named else 5
        self._voltage = _VOLTAGE[dialect]
        self._switched = switches == "present"
        registers = (self._voltage, _TEMPERATURE) if self.warm else (self._voltage,)
        rows: list[tuple[int, bytes]] = []
        for register in registers:
            for at in range(cells):
                asked = ((_FIRST + at) << 1 | ASKS, register << 1, 0, 0)
                rows.append((EACH_POLL, self._packet(len(rows), asked)))
        self.count_slot = len(rows)
        numbers = (ASKS, _ADDRESS << 1 | _WRITES, 0, _FIRST)
        rows.append((ONCE, self._packet(self.count_slot, numbers)))
        self._requests = tuple(rows)

    def _packet(self, name: int, four: "Sequence[int]") -> bytes:
        body = bytes((name,)) + bytes(four) if self._named else bytes(four)
        return body + bytes((crc8(body),))

    def requests(self) -> "Sequence[tuple[int, bytes]]":
        return self._requests

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        size = self._size
        for at in range(len(buffer) - size + 1):
            frame = buffer[at : at + size]
            if self._may_be(frame) and crc8(frame[: size - 1]) == frame[size - 1]:
                return at + size, frame
        return max(0, len(buffer) - size + 1), None

    def _may_be(self, frame: bytes) -> bool:
        """Whether it is a packet that we send, or that comes of one."""
        address = frame[self._size - 5]
        register = frame[self._size - 4]
        if address < _FIRST << 1:
            return address == ASKS and register == _ADDRESS << 1 | _WRITES
        return register == self._voltage << 1 or (self.warm and register == _TEMPERATURE << 1)

    def slot(self, frame: bytes) -> int | None:
        """None for a request that nobody took."""
        if len(frame) != self._size:
            return None
        at = self._size - 5
        slot: int | None = None
        if frame[at] == ASKS:
            slot = self.count_slot
        elif not frame[at] & ASKS:
            number = (frame[at] >> 1) - _FIRST
            if 0 <= number < self.cells:
                slot = number
                if frame[at + 1] >> 1 != self._voltage:
                    slot += self.cells
        if self._named and slot is not None and frame[0] != slot & 0xFF:
            return None
        return slot

    def value(self, frame: bytes) -> int:
        """The two bytes before the CRC."""
        return frame[self._size - 3] << 8 | frame[self._size - 2]

    def count(self, frame: bytes) -> int:
        """How many modules there are, by the packet that numbered them."""
        return max(0, self.value(frame) - _FIRST)

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        if len(frames) != len(self._requests):
            raise FrameError("expected %d slots" % len(self._requests))
        for frame in frames:
            if frame is not None and len(frame) != self._size:
                raise FrameError("length: a packet of %d bytes" % len(frame))
        counted = frames[self.count_slot]
        if counted is None:
            raise FrameError("truncated: the modules have not been numbered")
        count = self.count(counted)
        if count > 127:
            raise FrameError("payload: %d modules, addresses end at 127" % count)
        cells: list[int | None] = []
        temps: list[int | None] = []
        for at in range(count):
            frame = frames[at] if at < self.cells else None
            cells.append(None if frame is None else self.value(frame))
            if self.warm:
                frame = frames[self.cells + at] if at < self.cells else None
                temps.append(None if frame is None else _signed(self.value(frame)) * 1000)
        known = [cell for cell in cells if cell is not None]
        if not known:
            raise FrameError("truncated: no module has said its voltage")
        snap = Snapshot(taken_ms=now_ms, cells_mv=tuple(cells))
        if len(known) == count:
            snap.voltage_mv = sum(known)
        if len(temps) > temps.count(None):
            snap.temps_mc = tuple(temps)  # type: ignore[arg-type]
        if not self._switched:
            snap.charge_ok = snap.discharge_ok = True
        snap.model = "chain of %d modules" % count
        return snap


def _signed(value: int) -> int:
    return value - 0x10000 if value & 0x8000 else value
