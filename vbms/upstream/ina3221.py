"""INA3221 on I2C as the voltmeter of a small stack: three taps, three shunts, up to three cells.

    registers, u16 BE     01 03 05 shunt voltage, 02 04 06 bus voltage of channels 1 to 3
                          FE manufacturer 5449, FF die 3220

Values are 13 bits with a sign, three bits up: a register is worth 5 uV (shunt) or 1 mV (bus). Each
tap measures from ground, so a cell is what one tap has more than the one below; `order` says which
channel is the lowest: ascending is channel 1. The current is the mean of the three shunts'.

A frame here is what was read, register by register: number and value, three bytes each. I2C has no
checksum: but for the three empty bits a damaged value looks like a good one, and admission alone
can see it. It measures no temperature and has no switch, so by itself it allows no current.

Sources: TI SBOS576B (registers, identities); the schematics of a three-cell logger for the order.
"""

from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError
from vbms.options import BOOL, CHOICE, EACH_POLL, INT, MILLI, ONCE, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LINE = "vbms.lines.i2c"
LINKS = ("i2c",)
ASCENDING, DESCENDING = "ascending", "descending"
_SHUNT = 100000  # micro-ohms; most boards carry R100
OPTIONS = (
    Option(
        "address",
        INT,
        low=0x40,
        high=0x43,
        required=True,
        help="by the strap A0: 0x40 GND, 0x41 VS, 0x42 SDA, 0x43 SCL",
    ),
    Option(
        "order",
        CHOICE,
        ASCENDING,
        choices=(ASCENDING, DESCENDING),
        help="ascending: channel 1 is the lowest tap; descending: channel 3",
    ),
    Option("rate_hz", INT, 1, low=1, high=10, unit="Hz", help="samples in a second"),
    Option("shunt_1_mohm", MILLI, _SHUNT, low=10, high=100_000_000, unit="mOhm", help="channel 1"),
    Option("shunt_2_mohm", MILLI, _SHUNT, low=10, high=100_000_000, unit="mOhm", help="channel 2"),
    Option("shunt_3_mohm", MILLI, _SHUNT, low=10, high=100_000_000, unit="mOhm", help="channel 3"),
    Option("invert_current", BOOL, False, help="true: the shunts stand the other way round"),
)
DECLARES: tuple[str, ...] = ()
NEEDS_SETTINGS = False

MANUFACTURER, DIE = 0x5449, 0x3220
LIVE = b"\x01\x02\x03\x04\x05\x06"  # what is read for each sample
IDENTITY = b"\xfe\xff"
_KINDS = (LIVE, IDENTITY)
_EMPTY = 7  # bits that no channel register has


def signed(raw: int) -> int:
    """A 16-bit register as the number that it is."""
    return raw - 0x10000 if raw & 0x8000 else raw


def current_ma(raw: int, shunt_uohm: int) -> int:
    """Of one shunt register, to the nearest mA."""
    nano = signed(raw) * 5000  # nV; nV over micro-ohms are mA
    amount = (2 * abs(nano) + shunt_uohm) // (2 * shunt_uohm)
    return amount if nano >= 0 else -amount


class Codec:
    """What to read of one INA3221, and what the registers mean."""

    def __init__(
        self,
        address: int = 0x40,
        order: str = ASCENDING,
        rate_hz: int = 1,
        shunt_1_mohm: int = _SHUNT,
        shunt_2_mohm: int = _SHUNT,
        shunt_3_mohm: int = _SHUNT,
        invert_current: bool = False,
    ):
        self.address = address
        self.rate_hz = rate_hz
        self._rising = order == ASCENDING
        self._shunts = (shunt_1_mohm, shunt_2_mohm, shunt_3_mohm)
        self._sign = -1 if invert_current else 1

    def requests(self) -> "Sequence[tuple[int, bytes]]":
        """The registers to read, one after another."""
        return ((EACH_POLL, LIVE), (ONCE, IDENTITY))

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        size = len(buffer)
        for at in range(size):
            for kind in _KINDS:
                fits = _fits(buffer[at : at + 3 * len(kind)], kind)
                if fits and size - at < 3 * len(kind):
                    return at, None
                if fits:
                    return at + 3 * len(kind), buffer[at : at + 3 * len(kind)]
        return size, None

    def slot(self, frame: bytes) -> int | None:
        for slot, kind in enumerate(_KINDS):
            if len(frame) == 3 * len(kind) and _fits(frame, kind):
                return slot
        return None

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        live = frames[0] if frames else None
        if live is None or self.slot(live) != 0:
            raise FrameError("expected the registers 01 to 06, each with its number")
        if len(frames) > 1 and frames[1] is not None:
            check_identity(frames[1])
        raws = [live[at + 1] << 8 | live[at + 2] for at in range(0, len(live), 3)]
        taps = [signed(raws[n]) for n in (1, 3, 5)]
        amps = [current_ma(raws[2 * n], self._shunts[n]) for n in range(3)]
        if not self._rising:
            taps = [taps[2], taps[1], taps[0]]
        total = sum(amps) * self._sign
        mean = (abs(total) * 2 + 3) // 6
        snap = Snapshot(taken_ms=now_ms)
        snap.cells_mv = (taps[0], taps[1] - taps[0], taps[2] - taps[1])
        snap.voltage_mv = taps[2]
        snap.current_ma = mean if total >= 0 else -mean
        snap.model = "INA3221 at 0x%02x" % self.address
        return snap


def check_identity(frame: bytes) -> None:
    """Raises FrameError for a chip that is another one."""
    if len(frame) != 3 * len(IDENTITY) or not _fits(frame, IDENTITY):
        raise FrameError("expected the registers FE and FF, each with its number")
    found = (frame[1] << 8 | frame[2], frame[4] << 8 | frame[5])
    if found != (MANUFACTURER, DIE):
        raise FrameError("marker: identity %04x %04x, an INA3221 says 5449 3220" % found)


def _fits(part: bytes, kind: bytes) -> bool:
    """Whether this is how such a frame begins."""
    for at in range(len(part)):
        if at % 3 == 0:
            if part[at] != kind[at // 3]:
                return False
        elif at % 3 == 2 and kind == LIVE and part[at] & _EMPTY:
            return False
    return True
