"""A BYD B-Box PRO 2.5 module on RS485, 9600 8N1: answers the one read request of its address.

    address | size u16 BE | 01 | 03 or 83 | 55 AA | result | payload, 96 bytes LE | sum8

The sum leaves the address out. Source: the BYD PRO protocol page, sections Frame, Payload and
"What an emulator of the device must answer". The BMS of this module carries 16 cells.
"""

import struct

from vbms.simulate.bms import Reading, Settings
from vbms.simulate.device import Answers, Device
from vbms.simulate.pack import Pack
from vbms.simulate.sums import sum8

REFUSAL = 2  # only 0 is documented; any other code means "no values"

_READ = b"\x00\x04\x01\x03\x55\xaa"
_PAYLOAD = struct.Struct("<ii16hi8hIIIIIHHIII")

_ALARM_BITS = {
    "cell_high": 0x4,
    "cell_low": 0x20,
    "charge_current": 0x40,
    "discharge_current": 0x80,
    "charge_hot": 0x100,
    "discharge_hot": 0x200,
    "charge_cold": 0x400,
    "discharge_cold": 0x800,
    "soc_low": 0x1000,
    "short": 0x4000,
}
_FAIL_BITS = {
    "voltage_sensor": 0x1,
    "temperature_sensor": 0x2,
    "charge_mosfet": 0x4,
    "discharge_mosfet": 0x8,
    "cell_broken": 0x10,
    "heater": 0x20,
    "panel_off": 0x80,
    "charge_circuit": 0x100,
}
_CHARGING, _DISCHARGING, _FULL, _IDLE = 0x1, 0x2, 0x4, 0x8


def settings() -> Settings:
    """What the module's own BMS acts on; the wire tells none of it."""
    return Settings(charge_a=50.0, discharge_a=50.0)


class BydPro(Device):
    """One module. `words` sets payload fields to exact integers, whatever the reading says:
    others alarm protect fail balance state, battery (mV) and total (discharge SOC).
    """

    def __init__(self, pack: Pack, address: int) -> None:
        super().__init__(pack, address)
        self.words: dict[str, int] = {}
        self._request = bytes((address,)) + _READ + bytes((sum8(_READ),))

    def frame(self, address: int | None = None) -> bytes:
        """The answer as it stands now."""
        body = b"\x00" + self._payload(self.reading())
        return _framed(self.address if address is None else address, body)

    def _find(self) -> bytes | None:
        if self._request in self._heard:
            self._heard = b""
            return self._request
        self._heard = self._heard[-(len(self._request) - 1) :]
        return None

    def _answer(self, request: bytes) -> Answers:
        return self._spoil(
            self.frame(),
            self.frame((self.address + 1) % 256),
            _framed(self.address, bytes((REFUSAL,))),
        )

    def _payload(self, reading: Reading) -> bytes:
        cells = [round(volts * 1000) for volts in reading.cells_v]
        cells += [0] * (16 - len(cells))
        temps = [round(celsius) for celsius in (*reading.temps_c[:4], reading.ambient_c)]
        millivolts = round(reading.voltage_v * 1000)
        words = {
            "battery": millivolts - 10,
            "total": reading.cycles * 76,
            "others": 0,
            "alarm": _bits(_ALARM_BITS, reading.alarms),
            "protect": _bits(_ALARM_BITS, reading.protections),
            "fail": _bits(_FAIL_BITS, reading.fails),
            "balance": reading.balance_bits,
            "state": _state(reading),
        } | self.words
        return _PAYLOAD.pack(
            millivolts,
            words["battery"],
            *cells[:16],
            round(reading.current_a * 1000),
            *temps,
            *(0,) * (8 - len(temps)),
            words["others"],
            words["alarm"],
            words["protect"],
            words["fail"],
            words["balance"],
            words["state"],
            round(reading.soc * 100),
            round(reading.soh * 100),
            reading.cycles,
            words["total"],
        )


def _framed(address: int, body: bytes) -> bytes:
    inner = struct.pack(">H", 4 + len(body)) + b"\x01\x83\x55\xaa" + body
    return bytes((address,)) + inner + bytes((sum8(inner),))


def _bits(table: dict[str, int], names: frozenset[str]) -> int:
    return sum(table[name] for name in names if name in table)


def _state(reading: Reading) -> int:
    if reading.current_a > 0:
        return _CHARGING
    if reading.current_a < 0:
        return _DISCHARGING
    return _FULL if reading.soc >= 1.0 else _IDLE
