"""JK PB units on RS485, 115200 8N1: a slave that answers, a master (DIP 0) that talks by itself.

The host writes one dummy register (0x1620 live, 0x161E settings, 0x161C info); the slave sends a
300-byte payload, sometimes a 00, the acknowledge of the write and sometimes another 00. Only the
acknowledge names the sender. Function 03 reads registers whose addresses count bytes.
Source: the JK PB Modbus page, sections A, B, "Several units and a JK master on one bus" and
"What an emulator of the device must answer".
"""

import random
import re
import struct

from vbms.simulate import jk_payload
from vbms.simulate.device import Answers, Device
from vbms.simulate.jk_payload import INFO, LIVE, SETTINGS, Identity
from vbms.simulate.pack import Pack
from vbms.simulate.sums import crc16, crc_fits, with_crc

TRIGGERS = {0x1620: LIVE, 0x161E: SETTINGS, 0x161C: INFO}
_REGISTERS = {0x1000: SETTINGS, 0x1200: LIVE, 0x1400: INFO}
_REGISTER_OF = {kind: register for register, kind in TRIGGERS.items()}
_BLOCK_END = jk_payload.BLOCK + 1
_MOST_REGISTERS = 40

_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
REFUSAL = _ILLEGAL_ADDRESS

_FILLER_PAUSE_S = 0.005


def trigger(address: int, kind: int) -> bytes:
    """The eleven bytes that make a slave talk."""
    return with_crc(struct.pack(">BBHHBH", address, 0x10, _REGISTER_OF[kind], 1, 2, 0))


class _Unit(Device):
    """What slave and master share: an identity and payloads."""

    FAULTS = Device.FAULTS | {"filler"}
    byte_s = 10 / 115200
    delay_s = 0.007  # with 27 ms of payload and acknowledge: about 35 ms in all

    def __init__(
        self,
        pack: Pack,
        address: int,
        filler: bool = True,
        byte5: int = 0,
        serial: str | None = None,
        model: str = "JK_PB2A16S20P",
        software: str = "15.41",
    ) -> None:
        super().__init__(pack, address)
        self.filler = filler
        self.byte5 = byte5
        if serial is None:
            serial = f"4011{random.Random(pack.name).randrange(10**8):08d}"
        self.identity = Identity(address, model, serial, software=software)

    def payload(self, kind: int) -> bytes:
        byte5 = 5 if "filler" in self.faults else self.byte5
        return jk_payload.payload(kind, self._values(kind), byte5)

    def _values(self, kind: int) -> dict[str, jk_payload.Value]:
        if kind == LIVE:
            return jk_payload.live_values(self.reading())
        if kind == SETTINGS:
            return jk_payload.settings_values(self.pack, self.address)
        return jk_payload.info_values(self.identity, self.pack.reading.uptime_s)

    def _message(self, kind: int, address: int) -> bytes:
        """Payload, acknowledge and what surrounds it."""
        pad = b"\x00" if self.filler else b""
        return self.payload(kind) + pad + acknowledge(address, kind) + pad


class JkPb(_Unit):
    """A slave, DIP 1..15. `filler`: a 00 before and after the acknowledge; `byte5`: 0 or 5."""

    def __init__(
        self,
        pack: Pack,
        address: int,
        filler: bool = True,
        byte5: int = 0,
        serial: str | None = None,
        model: str = "JK_PB2A16S20P",
        software: str = "15.41",
    ) -> None:
        super().__init__(pack, address, filler, byte5, serial, model, software)
        self._heads = bytes((address, 0x10, 0x16)), bytes((address, 0x03))
        own = re.escape(bytes((address,)))
        write = rb"\x10\x16[\x1c\x1e\x20]\x00\x01\x02\x00\x00.."
        pattern = rb"(?=(" + own + write + rb"|" + own + rb"\x03.{6}))"
        self._requests = re.compile(pattern, re.DOTALL)

    def _find(self) -> bytes | None:
        found = None
        if self._heads[0] in self._heard or self._heads[1] in self._heard:
            for match in self._requests.finditer(self._heard):
                if crc_fits(match[1]):
                    found = bytes(match[1])
        self._heard = b"" if found else self._heard[-10:]
        return found

    def _answer(self, request: bytes) -> Answers:
        if request[1] == 3:
            return self._read_answer(request)
        kind = TRIGGERS[int.from_bytes(request[2:4], "big")]
        neighbour = self.address % 15 + 1
        honest = self._message(kind, self.address)
        answers = self._spoil(
            honest,
            self._message(kind, neighbour),
            with_crc(bytes((self.address, 0x90, REFUSAL))),
        )
        if "filler" in self.faults and len(answers) == 1 and answers[0][1] == honest:
            return self._padded(kind, answers[0][0])
        return answers

    def _padded(self, kind: int, delay_s: float) -> Answers:
        """Any of the fillers seen in captures, and the pause before the acknowledge."""
        before, after = self._rng.choice((b"", b"\x00")), self._rng.choice((b"", b"\x00"))
        payload = self.payload(kind)
        rest_s = delay_s + len(payload) * self.byte_s + _FILLER_PAUSE_S
        return [(delay_s, payload), (rest_s, before + acknowledge(self.address, kind) + after)]

    def _read_answer(self, request: bytes) -> Answers:
        start, count = struct.unpack_from(">HH", request, 2)
        kind = _REGISTERS.get(start & 0xFE00)
        offset = start & 0x01FF
        if count == 0:
            frame = self._exception(_ILLEGAL_VALUE)
        elif (
            kind is None or start % 2 or count > _MOST_REGISTERS or offset + 2 * count > _BLOCK_END
        ):
            frame = self._exception(_ILLEGAL_ADDRESS)
        else:
            registers = jk_payload.block(kind, self._values(kind), ">")
            data = registers[offset : offset + 2 * count]
            frame = with_crc(bytes((self.address, 3, len(data))) + data)
        other = with_crc(bytes((self.address % 15 + 1,)) + frame[1:-2])
        return self._spoil(frame, other, self._exception(REFUSAL))

    def _exception(self, code: int) -> bytes:
        return with_crc(bytes((self.address, 0x83, code)))


class JkMaster(_Unit):
    """A unit at DIP 0: asks the slaves, then broadcasts its own data with acknowledge address 00.

    One cycle lasts about 4.4 s: for every slave that answered last time live and settings, for
    every other address up to 15 live alone, 220 ms each; then its own live data and settings. It
    answers nobody.
    """

    CYCLE_S = 4.4
    STEP_S = 0.220
    SCAN = range(1, 16)

    def __init__(
        self,
        pack: Pack,
        address: int = 0,
        filler: bool = False,
        byte5: int = 0,
        serial: str | None = None,
        model: str = "JK_PB2A16S20P",
        software: str = "15.41",
    ) -> None:
        super().__init__(pack, 0, filler, byte5, serial, model, software)
        self.active: set[int] = set()
        self.wake_s = 0.0
        self._plan: list[tuple[int, int]] = []  # (address, kind) still to do; address 0: broadcast
        self._cycle_s = 0.0

    def _find(self) -> bytes | None:
        """Learn from acknowledges who is there; a master answers no request."""
        heard = self._heard
        at = heard.find(b"\x10\x16")
        while at > 0:
            acknowledged = heard[at - 1 : at + 7]
            if len(acknowledged) == 8 and heard[at + 3 : at + 5] == b"\x00\x01":
                if crc_fits(acknowledged):
                    self.active.add(acknowledged[0])
            at = heard.find(b"\x10\x16", at + 1)
        self._heard = heard[-10:]
        return None

    def wake(self, now_s: float) -> Answers:
        if not self._plan:
            self._plan = self._cycle()
            self._cycle_s = now_s
        address, kind = self._plan.pop(0)
        self.wake_s = now_s + self.STEP_S
        if not self._plan:
            self.wake_s = max(self.wake_s, self._cycle_s + self.CYCLE_S)
        if "silence" in self.faults or self._is_booting(now_s):
            return []
        if address:
            return [(0.0, trigger(address, kind))]
        honest = self._message(kind, 0)
        return [
            (delay_s - self.delay_s, data)
            for delay_s, data in self._spoil(honest, self._message(kind, 1), honest)
        ]

    def _cycle(self) -> list[tuple[int, int]]:
        plan = []
        for address in self.SCAN:
            plan.append((address, LIVE))
            if address in self.active:
                plan.append((address, SETTINGS))
        self.active.clear()
        return [*plan, (0, LIVE), (0, SETTINGS)]


def acknowledge(address: int, kind: int) -> bytes:
    body = struct.pack(">BBHH", address, 0x10, _REGISTER_OF[kind], 1)
    return body + crc16(body)
