"""A battery that is not there: values from the configuration, for trying one out.

Nothing is asked and nothing comes: each poll the same pack is said anew, its cells trembling by a
millivolt as measured ones do. It says in its model and its serial number what it is.
"""

from vbms.aggregate.snapshot import Snapshot
from vbms.options import EACH_POLL, INT, MILLI, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LINE = "vbms.lines.dummy"
LINKS = ("dummy",)
OPTIONS = (
    Option("cells", INT, 16, low=1, high=32, help="cells in series"),
    Option("cell_v", MILLI, 3300, low=1500, high=4500, unit="V", help="of each cell"),
    Option(
        "current_a", MILLI, 0, low=-1_000_000, high=1_000_000, unit="A", help="positive charges"
    ),
    Option("soc_percent", INT, 50, low=0, high=100, unit="%", help="state of charge"),
    Option("temperature_c", MILLI, 25000, low=-40000, high=120_000, unit="C", help="of the cells"),
)
DECLARES: tuple[str, ...] = ()
NEEDS_SETTINGS = False
MADE_UP = True  # no battery stands behind it

_SENSORS = 4


class Codec:
    """What such a battery says."""

    def __init__(
        self,
        cells: int = 16,
        cell_v: int = 3300,
        current_a: int = 0,
        soc_percent: int = 50,
        temperature_c: int = 25000,
    ):
        self._cells = cells
        self._cell_mv = cell_v
        self._current_ma = current_a
        self._soc_permille = soc_percent * 10
        self._temperature_mc = temperature_c

    def requests(self) -> "Sequence[tuple[int, bytes]]":
        return ((EACH_POLL, b""),)

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        return len(buffer), None

    def slot(self, frame: bytes) -> int | None:
        return None

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        second = now_ms // 1000
        cells = [self._cell_mv + (second + 5 * at) % 3 - 1 for at in range(self._cells)]
        snap = Snapshot(taken_ms=now_ms, cells_mv=tuple(cells), voltage_mv=sum(cells))
        snap.current_ma = self._current_ma
        snap.soc_permille = self._soc_permille
        snap.temps_mc = (self._temperature_mc,) * _SENSORS
        snap.charge_ok = snap.discharge_ok = True
        snap.note = "a dummy: there is no battery"
        snap.model = "DUMMY"
        snap.serial = "DUMMY"
        return snap
