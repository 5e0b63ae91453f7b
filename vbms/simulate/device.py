"""What every simulated battery on a line has in common: hearing, answering, and answering badly.

    receive(data, now_s) -> [(delay_s, bytes), ...]

`data` is what the line has just carried, the host's words or a neighbour's; each answer starts
delay_s after its last byte. `faults` names what is wrong with the device at the moment, so a test
writes `device.faults.add("flip")`.
"""

import random
from dataclasses import replace

from vbms.simulate.bms import Reading
from vbms.simulate.pack import Pack

Answers = list[tuple[float, bytes]]

LATE_S = 1.5
HALF_PAUSE_S = 0.4
OVERLAP_S = 0.003
LIE_V = 0.150
_BOOT_S = 5.0
_FORGET_S = 0.1  # silence after which the beginning of a request is forgotten

COMMON_FAULTS = frozenset(
    ("silence", "cut", "flip", "late", "wrong_address", "refuse")
    + ("half_frame", "overlap", "lying_cell", "frozen", "restart")
)


class Device:
    """One address. A subclass finds its requests, builds honest answers and knows its refusal."""

    FAULTS = COMMON_FAULTS
    byte_s = 10 / 9600  # set anew by the line
    delay_s = 0.010
    wake_s: float | None = None  # when `wake` wants to be called, for a device that talks unasked

    def __init__(self, pack: Pack, address: int) -> None:
        self.pack = pack
        self.address = address
        self.faults: set[str] = set()
        self.asked = 0
        self.answered = 0
        self._rng = random.Random(f"device/{pack.name}/{address}")
        self._heard = b""
        self._heard_s = 0.0
        self._frozen: Reading | None = None
        self._boots_s: float | None = None

    def receive(self, data: bytes, now_s: float) -> Answers:
        """Bytes of the line, the last of them complete at now_s."""
        if now_s - self._heard_s > _FORGET_S:
            self._heard = b""
        self._heard_s = now_s
        self._heard += data
        request = self._find()
        if request is None:
            return []
        self.asked += 1
        if "silence" in self.faults or self._is_booting(now_s):
            return []
        answers = self._answer(request)
        if answers:
            self.answered += 1
        return answers

    def wake(self, now_s: float) -> Answers:
        return []

    def hang_up(self) -> None:
        """Over Bluetooth: the link has ended."""
        self._heard = b""

    def reading(self) -> Reading:
        """What the BMS says it measured; here it may lie or be stuck."""
        reading = self.pack.reading
        if "frozen" not in self.faults:
            self._frozen = None
        elif self._frozen is None:
            self._frozen = reading
        if self._frozen is not None:
            reading = replace(self._frozen, uptime_s=reading.uptime_s)
        if "lying_cell" in self.faults:
            cells = list(reading.cells_v)
            cells[len(cells) // 2] += LIE_V
            reading = replace(reading, cells_v=tuple(cells))
        return reading

    # ---- for the subclass

    def _find(self) -> bytes | None:
        """The newest whole request to this address in `_heard`; keeps what may still grow there."""
        raise NotImplementedError

    def _answer(self, request: bytes) -> Answers:
        raise NotImplementedError

    def _spoil(self, honest: bytes, elsewhere: bytes, refusal: bytes) -> Answers:
        """The honest answer with the present faults; `elsewhere`: the same from another address."""
        faults = self.faults
        frame = honest
        if "refuse" in faults:
            frame = refusal
        elif "wrong_address" in faults:
            frame = elsewhere
        if "flip" in faults:
            frame = _flip(frame, self._rng.randrange(len(frame) * 8))
        if "cut" in faults:
            frame = frame[: self._rng.randrange(1, len(frame))]
        delay_s = LATE_S if "late" in faults else self.delay_s
        if "half_frame" in faults:
            half = len(frame) // 2
            rest_s = delay_s + half * self.byte_s + HALF_PAUSE_S
            return [(delay_s, frame[:half]), (rest_s, frame[half:])]
        if "overlap" in faults:
            return [(delay_s, frame), (delay_s + OVERLAP_S, elsewhere)]
        return [(delay_s, frame)]

    def _is_booting(self, now_s: float) -> bool:
        """A restart: some seconds of nothing, then a BMS that counts its running time from 0."""
        if "restart" not in self.faults:
            self._boots_s = None
            return False
        if self._boots_s is None:
            self._boots_s = now_s + _BOOT_S
            self.pack.reboot()
        return now_s < self._boots_s


def _flip(frame: bytes, bit: int) -> bytes:
    spoilt = bytearray(frame)
    spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)
