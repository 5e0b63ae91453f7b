"""A JK over Bluetooth: 20-byte commands in, 300-byte payloads out, then a stream that does not end.

0x97: device info, from firmware 15 on with a ready frame glued to it. 0x96: settings, then live
data every half to one second until the link ends. 0x1D to 0x1F: a switch of charging, discharging,
balancing; the settings come again. The counter steps by one or ten, or stands still.
Source: the JK Bluetooth page, "What an emulator of the device must answer".
"""

import random

from vbms.simulate import jk_ble_layouts, jk_payload
from vbms.simulate.device import Answers, Device
from vbms.simulate.jk_payload import INFO, LIVE, SETTINGS, Identity
from vbms.simulate.pack import Pack
from vbms.simulate.sums import sum8

HEADER = b"\xaa\x55\x90\xeb"
SIZE = 20
READY = b"\xaa\x55\x90\xeb\xc8\x01\x01" + bytes(12) + b"\x44"
ASK_INFO, ASK_SETTINGS = 0x97, 0x96
_SWITCHES = {0x1D: "charge_switch", 0x1E: "discharge_switch", 0x1F: "balance_switch"}
_READY_FROM = 15

# Layout -> model, hardware, software.
LAYOUTS = {
    32: ("JK_PB2A16S20P", "15A", "15.41"),
    24: ("JK-B2A24S15P", "10.XW", "10.07"),
    4: ("JK-B2A16S", "3.0", "3.3.0"),
}
SERVICE = "ffe0"
# The new module has two characteristics of one name, the old one does all with one.
NEW_GATT = (("ffe1", ("write", "write-without-response")), ("ffe1", ("notify",)))
OLD_GATT = (
    ("ffe1", ("write-without-response", "notify")),
    ("ffe2", ("write-without-response",)),
)
MAKER = 0x0B65
MAC_PREFIX = "C8:47:80"


class JkBle(Device):
    """`layout`: 32, 24, or 4 for a JK04; `step`: of the counter; `stream_s`: between live data."""

    delay_s = 0.02

    def __init__(
        self,
        pack: Pack,
        address: int = 0,
        layout: int = 32,
        step: int = 1,
        stream_s: float = 0.7,
        serial: str | None = None,
        software: str | None = None,
    ) -> None:
        super().__init__(pack, address)
        if serial is None:
            serial = f"4021{random.Random(pack.name).randrange(10**8):08d}"
        model, hardware, usual = LAYOUTS[layout]
        self.layout = layout
        self.identity = Identity(address, model, serial, hardware, software or usual)
        self.step = step
        self.stream_s = stream_s
        self.commands: list[bytes] = []  # that were no questions
        self._counter = 0

    def hang_up(self) -> None:
        super().hang_up()
        self.wake_s = None

    def payload(self, kind: int) -> bytes:
        self._counter = (self._counter + self.step) % 256
        count = self._counter
        if kind == LIVE and self.layout != 32:
            make = jk_ble_layouts.live_24s if self.layout == 24 else jk_ble_layouts.live_04
            return make(self.reading(), count)
        if kind == SETTINGS and self.layout == 4:
            return jk_ble_layouts.settings_04(len(self.pack.reading.cells_v), count)
        if kind == LIVE:
            values = jk_payload.live_values(self.reading())
        elif kind == SETTINGS:
            values = jk_payload.settings_values(self.pack, self.address)
        else:
            values = jk_payload.info_values(self.identity, self.pack.reading.uptime_s)
        return jk_payload.payload(kind, values, count)

    def wake(self, now_s: float) -> Answers:
        self.wake_s = now_s + self.stream_s
        if "silence" in self.faults or self._is_booting(now_s):
            return []
        return self._said(LIVE)

    def _find(self) -> bytes | None:
        heard = self._heard
        at = heard.find(HEADER)
        if at < 0 or len(heard) - at < SIZE:
            return None
        command = heard[at : at + SIZE]
        self._heard = heard[at + SIZE :]
        return command if sum8(command[:-1]) == command[-1] else None

    def _answer(self, request: bytes) -> Answers:
        code = request[4]
        if code == ASK_INFO:
            ready = int(self.identity.software.split(".")[0]) >= _READY_FROM
            return self._said(INFO, READY if ready else b"")
        if code == ASK_SETTINGS:
            self.wake_s = self._heard_s + self.delay_s + 0.15
            return self._said(SETTINGS)
        self.commands.append(request)
        if code in _SWITCHES and request[5] == 4:
            setattr(self.pack, _SWITCHES[code], bool(request[6]))
            return self._said(SETTINGS)
        return []

    def _said(self, kind: int, behind: bytes = b"") -> Answers:
        honest = self.payload(kind) + behind
        return self._spoil(honest, honest, b"")
