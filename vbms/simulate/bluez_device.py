"""A Bluetooth device on the simulated air: what it advertises, its GATT, and how it talks.

The battery behind it is a `Device` as on a wire: what is written to it goes to `receive`, what it
answers, and says unasked, comes as notifications, cut into pieces with a pause between them.

`radio` names what is wrong with its radio at the moment:
    away         not heard, and nobody gets a connection
    hang         heard, but Connect is not answered
    refuse       heard, but Connect fails at once
    unresolved   connects, and its services never come
    no_service   connects, and offers other services than it should
    zombie       connected, writes are taken, and nothing ever comes
"""

import asyncio
import random
from collections.abc import Callable, Sequence

from vbms.simulate.device import Device

RADIO_FAULTS = frozenset("away hang refuse unresolved no_service zombie".split())
WHOLE = (244,)
THREE = (128, 128, 44)
SMALL = (20,)
RANDOM = ()  # 1 to 244 bytes each

Characteristic = tuple[str, tuple[str, ...]]  # UUID, flags


class Peripheral:
    """One device. `pieces`: sizes of its notifications, in turns; RANDOM: any size."""

    def __init__(
        self,
        address: str,
        name: str | None,
        device: Device | None = None,
        *,
        advertised: Sequence[str] = (),
        makers: dict[int, bytes] | None = None,
        service: str = "ffe0",
        gatt: Sequence[Characteristic] = (),
        pieces: tuple[int, ...] = THREE,
        piece_s: float = 0.01,
        connect_s: float = 0.1,
        resolve_s: float = 0.2,
    ) -> None:
        self.address = address
        self.name = name
        self.device = device
        self.advertised = [f"0000{short}-0000-1000-8000-00805f9b34fb" for short in advertised]
        self.makers = makers or {}
        self.service = service
        self.pieces = pieces
        self.piece_s = piece_s
        self.connect_s = connect_s
        self.resolve_s = resolve_s
        self.radio: set[str] = set()
        self.noise = False  # AT\r\n before, between and after
        self.flooded = False  # the same, as a fault of everybody on the air
        self.path = ""
        self.connected = False
        self.heard_s = 0.0
        self.notifying: set[str] = set()
        self.attempt: asyncio.Future[None] | None = None
        self.dropped_pieces = 0
        self._gatt = tuple(gatt)
        self._notify: Callable[[Peripheral, bytes], None] | None = None
        self._drop: Callable[[Peripheral], None] | None = None
        self._rng = random.Random(f"air/{address}")
        self._free_s = 0.0
        self._handles: list[asyncio.TimerHandle] = []
        self._waker: asyncio.TimerHandle | None = None

    def attach(
        self, notify: "Callable[[Peripheral, bytes], None]", drop: "Callable[[Peripheral], None]"
    ) -> None:
        self._notify = notify
        self._drop = drop

    # ---- what BlueZ asks

    def is_heard(self) -> bool:
        booting = self.device is not None and "restart" in self.device.faults
        return "away" not in self.radio and not booting

    def rssi(self) -> int:
        return -60 - self._rng.randrange(12)

    def characteristics(self) -> tuple[Characteristic, ...]:
        return () if "no_service" in self.radio else self._gatt

    def notifier(self) -> int:
        """The number of the characteristic that speaks."""
        for number, (_, flags) in enumerate(self._gatt):
            if "notify" in flags:
                return number
        return 0

    def hang_up(self) -> None:
        """The link has ended: nothing that was on its way comes."""
        self.notifying.clear()
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()
        if self.device is not None:
            self.device.hang_up()
        if self._waker is not None:
            self._waker.cancel()
            self._waker = None

    def written(self, data: bytes) -> None:
        """A host wrote to it."""
        if self.device is None or "zombie" in self.radio:
            return
        now_s = asyncio.get_running_loop().time()
        for delay_s, answer in self.device.receive(data, now_s):
            self._later(now_s + delay_s, self.say, answer)
        self._wake_later()

    # ---- what it says

    def tick(self) -> None:
        """Now and then: a device that starts anew loses its link."""
        if self.connected and self.device is not None and "restart" in self.device.faults:
            if self._drop is not None:
                self._drop(self)

    def say(self, data: bytes) -> None:
        """As notifications, one after another."""
        loop = asyncio.get_running_loop()
        at = 0
        count = 0
        noise = self.noise or self.flooded
        if noise:
            self._piece(loop.time(), b"AT\r\n")
        while at < len(data):
            size = self.pieces[count % len(self.pieces)] if self.pieces else self._any_size()
            self._piece(loop.time(), data[at : at + size])
            if noise and self._rng.random() < 0.5:
                self._piece(loop.time(), b"AT\r\n" * self._rng.randint(1, 3))
            at += size
            count += 1

    def _any_size(self) -> int:
        return self._rng.randint(1, 244)

    def _piece(self, now_s: float, data: bytes) -> None:
        self._free_s = max(self._free_s, now_s)
        self._later(self._free_s, self._send, data)
        self._free_s += self.piece_s

    def _send(self, data: bytes) -> None:
        if self.connected and self.notifying and "zombie" not in self.radio:
            if self._notify is not None:
                self._notify(self, data)
        else:
            self.dropped_pieces += 1

    def _later(self, when_s: float, what: Callable[[bytes], None], data: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        self._handles = [each for each in self._handles if each.when() > now_s - 1]
        self._handles.append(asyncio.get_running_loop().call_at(when_s, what, data))

    def _wake_later(self) -> None:
        if self._waker is not None:
            self._waker.cancel()
        self._waker = None
        if self.device is not None and self.device.wake_s is not None:
            loop = asyncio.get_running_loop()
            self._waker = loop.call_at(self.device.wake_s, self._wake)

    def _wake(self) -> None:
        if self.device is None or not self.connected:
            return
        now_s = asyncio.get_running_loop().time()
        if "zombie" not in self.radio:
            for delay_s, data in self.device.wake(now_s):
                self._later(now_s + delay_s, self.say, data)
        self._wake_later()
