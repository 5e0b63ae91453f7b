"""A BYD Battery-Box Premium: a TCP server for one client that speaks Modbus RTU frames.

Registers, read sequence and refusals as the Battery-Box protocol page lists them under "what an
emulator of the device must answer": identity at 0x0000, type 0x0010, status 0x0500, and the cells
of one BMS in four blocks at 0x0558 once 0x0550 was written and 0x0551 reads 0x8801.
"""

import asyncio
import logging
import struct
import time
from collections.abc import Sequence

from vbms.errors import LinkError
from vbms.simulate.bms import Reading
from vbms.simulate.faults import Fault
from vbms.simulate.pack import Pack
from vbms.simulate.sums import crc_fits, with_crc
from vbms.simulate.world import World

log = logging.getLogger(__name__)

UNIT = 1
# model: (serial's beginning, type code, cells a module, sensors a module, in series)
MODELS = {
    "hvs": ("P030", 2, 32, 12, True),
    "hvm": ("P030", 1, 16, 8, True),
    "lvs": ("P020", 2, 16, 8, False),
    "lvl": ("P020", 0, 16, 8, False),
}
MODULE_AH = {"hvs": 25.0, "hvm": 53.9, "lvs": 78.1, "lvl": 300.0}
FAULTS = (
    "silence",
    "refuse",
    "cut",
    "flip",
    "drop",
    "pieces",
    "never_ready",
    "lying_cell",
    "frozen",
)
_MEASURES_S = 1.5
_FORGET_S = 0.2
_NOT_READY, _READY = 0x8100, 0x8801
_ERROR_BITS = {
    "charge_hot": 0,
    "charge_cold": 1,
    "discharge_current": 2,
    "charge_current": 3,
    "short": 5,
    "cell_high": 10,
    "cell_low": 11,
    "discharge_hot": 14,
    "discharge_cold": 15,
}


class BatteryBox:
    """One system. `faults` names what is wrong at the moment; `pack` is one string of its cells."""

    def __init__(self, pack: Pack, model: str = "lvl", modules: int = 1, serial: int = 1) -> None:
        self.pack = pack
        self.model = model
        self.modules = modules
        self.faults: set[str] = set()
        self.asked = 0
        self.written: list[tuple[int, tuple[int, ...]]] = []
        prefix, self._code, self._cells, self._sensors, self._series = MODELS[model]
        self._serial = prefix + "T020Z%010d" % serial
        self._wish: int | None = None
        self._wished_s = 0.0
        self._block = 0
        self._frozen: Reading | None = None

    @property
    def systems(self) -> int:
        """How many BMS can be asked for their cells: one a tower, or one a module."""
        return 1 if self._series else self.modules

    def answer(self, request: bytes, now_s: float) -> bytes | None:
        """The frame for a whole request; None: silence."""
        if request[0] != UNIT or not crc_fits(request):
            return None
        self.asked += 1
        function = request[1]
        if function == 0x03:
            start, count = struct.unpack(">HH", request[2:6])
            body = self._read(start, count, now_s)
            if body is None:
                return self._refuse(function, 2)
            return with_crc(bytes((UNIT, function, len(body))) + body)
        if function == 0x10:
            start, count = struct.unpack(">HH", request[2:6])
            values = struct.unpack(f">{count}H", request[7:-2])
            self.written.append((start, values))
            if "refuse" in self.faults:
                return self._refuse(function, 4)
            if start != 0x0550 or count != 2 or values[1] != 0x8100:
                return self._refuse(function, 2)
            self._wish, self._wished_s, self._block = values[0], now_s, 0
            return with_crc(request[:6])
        return self._refuse(function, 1)

    def _refuse(self, function: int, code: int) -> bytes:
        return with_crc(bytes((UNIT, function | 0x80, code)))

    def _read(self, start: int, count: int, now_s: float) -> bytes | None:
        if (start, count) == (0x0000, 0x66):
            return self._identity()
        if (start, count) == (0x0010, 3):
            return self._identity()[32:38]
        if (start, count) == (0x0500, 25):
            return self._status(self.reading())
        if (start, count) == (0x0551, 1):
            return struct.pack(">H", _READY if self._is_ready(now_s) else _NOT_READY)
        if (start, count) == (0x0558, 65):
            block = self._detail()[130 * self._block : 130 * self._block + 130]
            self._block = min(self._block + 1, 3)
            return block
        return None

    def _is_ready(self, now_s: float) -> bool:
        known = self._wish is not None and 1 <= self._wish <= self.systems
        waited = now_s - self._wished_s >= _MEASURES_S
        return known and waited and "never_ready" not in self.faults

    def reading(self) -> Reading:
        """What it measured; here it may be stuck."""
        if "frozen" not in self.faults:
            self._frozen = None
            return self.pack.reading
        self._frozen = self._frozen or self.pack.reading
        return self._frozen

    def cells_mv(self, system: int = 1) -> list[int]:
        """Of one BMS; those of a further module read some millivolts less."""
        cells = [round(volts * 1000) for volts in self.reading().cells_v]
        if "lying_cell" in self.faults:
            cells[len(cells) // 2] += 150
        return [cell - (system - 1) * 2 for cell in cells]

    def _identity(self) -> bytes:
        words = bytearray(204)
        words[0:20] = self._serial.encode().ljust(20, b"x")
        words[24:30] = bytes((3, 19, 3, 19, 1, 23))
        towers = 1 if self._series else 0
        words[32:34] = bytes((6, towers << 4 | self.modules))
        words[34:37] = bytes((self._code, 1, 1))
        words[198:204] = bytes((26, 11, 25, 12, 0, 0))
        return bytes(words)

    def _status(self, reading: Reading) -> bytes:
        highest = max(max(self.cells_mv(at)) for at in range(1, self.systems + 1))
        lowest = min(min(self.cells_mv(at)) for at in range(1, self.systems + 1))
        share = 1 if self._series else self.modules
        errors = 0
        for name in reading.protections:
            if name in _ERROR_BITS:
                errors |= 1 << _ERROR_BITS[name]
        energy = round(reading.throughput_ah * reading.voltage_v)
        if self._series:
            energy //= 100
        return struct.pack(
            ">HHHHhHhhhHHHHHHHHHHHHHHHH",
            round(reading.soc * 100),
            highest // 10,
            lowest // 10,
            round(reading.soh * 100),
            -round(reading.current_a * share * 10),
            round(reading.voltage_v * 100),
            round(max(reading.temps_c)),
            round(min(reading.temps_c)),
            round(reading.ambient_c),
            0,
            0x0313,
            0,
            0,
            errors,
            11,
            0,
            round(reading.voltage_v * 100),
            *(energy & 0xFFFF, energy >> 16, energy & 0xFFFF, energy >> 16),
            *(0, 0, 0, 0),
        )

    def _detail(self) -> bytes:
        """The four blocks of the BMS that was asked for, each behind its length."""
        reading = self.reading()
        cells = self.cells_mv(self._wish or 1)
        temps = [round(celsius) for celsius in reading.temps_c]
        words = [0] * 260
        words[0] = words[65] = words[130] = words[195] = 0x0080
        words[1], words[2] = max(cells), min(cells)
        words[3] = (cells.index(max(cells)) + 1) << 8 | cells.index(min(cells)) + 1
        words[4], words[5] = max(temps) & 0xFFFF, min(temps) & 0xFFFF
        for at in range(0, len(cells), 16):
            words[7 + at // 16] = reading.balance_bits >> at & 0xFFFF
        words[21] = words[24] = round(reading.voltage_v * 10)
        words[25] = round(reading.soc * 1000)
        words[26] = round(reading.soh * 100)
        words[27] = -round(reading.current_a * 10) & 0xFFFF
        serial = ("P022T010Z%010d" % (self._wish or 1)).encode().ljust(24, b"x")
        words[34:46] = struct.unpack(">12H", serial)
        room = [*range(49, 65), *range(66, 130), *range(131, 179)]
        for place, cell in zip(room, cells, strict=False):
            words[place] = cell
        count = len(cells) // self._cells * self._sensors
        pairs = [*range(180, 195), *range(196, 213)]
        for at in range(0, count, 2):
            high, low = temps[at % len(temps)], temps[(at + 1) % len(temps)]
            words[pairs[at // 2]] = (high & 0xFF) << 8 | low & 0xFF
        return struct.pack(">260H", *words)


def whole_request(heard: bytes) -> int:
    """The size of the request that `heard` begins with; 0: more is to come."""
    if len(heard) < 8:
        return 0
    size = 9 + heard[6] if heard[1] == 0x10 else 8
    return size if len(heard) >= size else 0


class BatteryBoxServer:
    """Serves a box on a TCP port, one client at a time as the real one does."""

    def __init__(self, box: BatteryBox, host: str = "127.0.0.1", port: int = 0) -> None:
        self.box = box
        self.host = host
        self.port = port
        self.clients = 0
        self.world: World | None = None  # moved on with each request
        self._busy = False
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        try:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)
        except OSError as error:
            raise LinkError(f"{self.host}:{self.port}: {error.strerror}") from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._busy:
            writer.close()
            return
        self._busy = True
        self.clients += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._busy = False
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = b""
        while self._server is not None:
            try:
                async with asyncio.timeout(_FORGET_S):
                    chunk = await reader.read(300)
            except TimeoutError:
                heard = b""
                continue
            if not chunk:
                return
            heard += chunk
            size = whole_request(heard)
            if not size:
                continue
            request, heard = heard[:size], heard[size:]
            now_s = time.monotonic()
            if self.world is not None:
                self.world.advance(now_s)
            answer = self.box.answer(request, now_s)
            faults = self.box.faults
            if answer is None or "silence" in faults:
                continue
            if "drop" in faults:
                return
            if "flip" in faults:
                answer = answer[:-3] + bytes((answer[-3] ^ 4,)) + answer[-2:]
            if "cut" in faults:
                answer = answer[: len(answer) // 2]
            step = 7 if "pieces" in faults else len(answer)
            for at in range(0, len(answer), step):
                writer.write(answer[at : at + step])
                await writer.drain()
                if step < len(answer):
                    await asyncio.sleep(0.001)


def make_box(
    world: World,
    name: str,
    model: str = "lvl",
    modules: int = 1,
    soc: float | None = None,
    capacity_ah: float | None = None,
) -> BatteryBox:
    """A box with its pack in the world: one string of all modules in series, or one of several."""
    _, _, cells, _, series = MODELS[model]
    pack = world.add(
        name,
        "byd_battery_box",
        cells * modules if series else cells,
        capacity_ah or MODULE_AH[model],
        0.6 if soc is None else soc,
        soh=0.98,
        cycles=120,
        temperature_c=23.0,
    )
    return BatteryBox(pack, model, modules)


async def strike(box: BatteryBox, faults: Sequence[Fault]) -> None:
    """Switches faults on and off at their times, then waits for ever."""
    loop = asyncio.get_running_loop()
    for fault in faults:
        loop.call_later(fault.at_s, box.faults.add, fault.fault)
        if fault.for_s > 0:
            loop.call_later(fault.at_s + fault.for_s, box.faults.discard, fault.fault)
    await loop.create_future()
