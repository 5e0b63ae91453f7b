"""A JBD, on a serial port or behind a Bluetooth module: DD A5 command 00 checksum 77.

Basic data (03), cell voltages (04), the hardware's name (05). An unknown command is refused with
status 80. There is no address. Source: the JBD/Xiaoxiang protocol, V4.
"""

import struct

from vbms.simulate.bms import Settings
from vbms.simulate.device import Answers, Device
from vbms.simulate.pack import Pack

SERVICE = "ff00"
GATT = (("ff01", ("notify",)), ("ff02", ("write-without-response", "write")))
MAC_PREFIX = "A4:C1:37"

_HEADER = b"\xdd\xa5"
_SIZE = 7
# Protection bit of each rule.
_BITS = {
    "cell_high": 0,
    "cell_low": 1,
    "charge_hot": 4,
    "charge_cold": 5,
    "discharge_hot": 6,
    "discharge_cold": 7,
    "charge_current": 8,
    "discharge_current": 9,
    "short": 10,
    "internal": 11,
}


def settings() -> Settings:
    """One as makers of 100 Ah packs set it."""
    return Settings(
        cell_high_v=3.65,
        cell_low_v=2.5,
        charge_a=100.0,
        discharge_a=100.0,
        charge_hot_c=60.0,
        charge_cold_c=0.0,
        discharge_hot_c=65.0,
    )


def frame(command: int, data: bytes, status: int = 0) -> bytes:
    body = bytes((status, len(data))) + data
    return b"\xdd" + bytes((command,)) + body + struct.pack(">H", -sum(body) & 0xFFFF) + b"\x77"


class Jbd(Device):
    """`address` is nobody's business: there is none."""

    FAULTS = Device.FAULTS - {"wrong_address", "overlap"}
    delay_s = 0.05

    def __init__(self, pack: Pack, address: int = 0, name: str = "JBD-SP16S020") -> None:
        super().__init__(pack, address)
        self.name = name

    def _find(self) -> bytes | None:
        heard = self._heard
        at = heard.find(_HEADER)
        if at < 0:
            self._heard = heard[-1:]
            return None
        if len(heard) - at < _SIZE:
            return None
        request = heard[at : at + _SIZE]
        self._heard = heard[at + _SIZE :]
        sound = request[-1] == 0x77 and request[3] == 0
        total = -sum(request[2:4]) & 0xFFFF
        return request if sound and total == request[4] << 8 | request[5] else None

    def _answer(self, request: bytes) -> Answers:
        command = request[2]
        if command == 3:
            honest = frame(3, self._basic())
        elif command == 4:
            cells = [round(volts * 1000) for volts in self.reading().cells_v]
            honest = frame(4, struct.pack(f">{len(cells)}H", *cells))
        elif command == 5:
            honest = frame(5, self.name.encode())
        else:
            honest = frame(command, b"", 0x80)
        return self._spoil(honest, honest, frame(command, b"", 0x80))

    def _basic(self) -> bytes:
        reading = self.reading()
        acting = reading.protections | reading.fails
        protection = sum(1 << _BITS[name] for name in acting if name in _BITS)
        temps = [round(celsius * 10) + 2731 for celsius in reading.temps_c[:4]]
        head = struct.pack(
            ">HhHHHHHHHBBBBB",
            round(reading.voltage_v * 100),
            round(reading.current_a * 100),
            round(reading.remaining_ah * 100),
            round(reading.design_ah * 100),
            reading.cycles,
            24 << 9 | 9 << 5 | 14,
            reading.balance_bits & 0xFFFF,
            reading.balance_bits >> 16 & 0xFFFF,
            protection,
            0x21,
            round(reading.soc * 100),
            int(reading.charge_on) | int(reading.discharge_on) << 1,
            len(reading.cells_v),
            len(temps),
        )
        return head + struct.pack(f">{len(temps)}H", *temps)
