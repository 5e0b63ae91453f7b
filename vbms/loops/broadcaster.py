"""Telling an inverter on a CAN bus: the whole set each second, and what it asks for in between.

Frames are made when values change (`publish`) and replaced in one step; the link is told a little
before each second when to send, and takes what stands there at that very moment: a set never mixes
two moments, and what is silenced in between is not sent. Nothing here waits for the bus.

An inverter's silence is telemetry and no reason to stop: a bus without a listener is normal, a
DEYE's heartbeat is late every two hours, some never send one. Only with the heartbeat `required`
sending stops for a while when it stays away, and then tries again.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.virtual import VirtualBattery
    from vbms.ports import BroadcastCodec, CanLink, Clock, Log

    Message = tuple[int, bytes]

EARLY_MS = 30  # how long before its second a set is handed to the link
PAUSE_MS = 30000  # without a required heartbeat
GREETED_MS = 10000  # an inverter that talks for so long has greeted before we listened

HEARD = "heard"  # frames of an inverter to us
FOREIGN = "foreign"  # others
ANSWERED = "answered"  # requests and greetings
STALE = "stale"  # requests while nothing may be told


class Broadcaster:
    """One bus with an inverter on it."""

    def __init__(self, link: "CanLink", clock: "Clock", codec: "BroadcastCodec", log: "Log"):
        self.name = link.name  # what the log calls this inverter
        self.link = link
        self.clock = clock
        self.codec = codec
        self.log = log
        self.heard_ms: int | None = None  # when the inverter was last heard
        self.counters = {HEARD: 0, FOREIGN: 0, ANSWERED: 0, STALE: 0}
        self.paused = False  # nothing is sent: a required heartbeat stays away
        self._frames: Sequence[Message] = ()
        self._owed: tuple[int, ...] = ()  # asked for while nothing might be told
        self._greeted = codec.waits is None
        self._first_ms: int | None = None  # when the inverter was first heard
        self._turn = 0  # periods since everything was told: the greeting, a silence's end
        self._due_us = 0
        self._since_ms = 0  # from when on the heartbeat is waited for
        self._missed = False
        self._told_off = False  # a request to switch off was logged

    def publish(self, battery: "VirtualBattery | None") -> bool:
        """From now on this is told; None: silence. False: nothing can be told of it."""
        frames: Sequence[Message] = ()
        if battery is not None:
            frames = self.codec.messages(battery)
        if frames and not self._frames:
            self._turn = 0
        self._frames = frames
        if frames and self._owed:
            self._answer(self._owed)
            self._owed = ()
        return bool(frames)

    async def run(self) -> None:
        """Tells for ever; LinkError comes out when the bus goes."""
        period_us = self.codec.period_ms * 1000
        early_us = EARLY_MS * 1000
        now_us = self.clock.now_us()
        self._since_ms = now_us // 1000
        self._due_us = now_us // period_us * period_us + period_us
        if self._due_us - now_us < early_us:
            self._due_us += period_us
        while True:
            wait_us = self._due_us - early_us - self.clock.now_us()
            if wait_us > 0:
                for can_id, data, extended in await self.link.heard((wait_us + 999) // 1000):
                    self._hear(can_id, data, extended)
                continue
            self._watch()
            if self._greeted and not self.paused:
                self._tell(self._due_us)
            self._due_us += period_us
            late_us = self.clock.now_us() - self._due_us
            if late_us > 0:  # the machine slept: on with the next second, nothing is caught up
                self._due_us += (late_us // period_us + 1) * period_us

    def _tell(self, due_us: int) -> None:
        """What is due in this period, as it will be then."""
        passed_ms = self._turn * self.codec.period_ms
        self._turn += 1
        every_ms = self.codec.every_ms

        def due() -> "Sequence[Message]":
            return [
                frame
                for frame in self._frames
                if every_ms(frame[0]) and passed_ms % every_ms(frame[0]) == 0
            ]

        self.link.send(due_us, due)

    def _answer(self, wanted: "tuple[int, ...]") -> None:
        self.counters[ANSWERED] += 1
        self.link.send(
            self.clock.now_us(), lambda: [frame for frame in self._frames if frame[0] in wanted]
        )

    def _hear(self, can_id: int, data: bytes, extended: bool) -> None:
        wanted = self.codec.heard(can_id, data, extended)
        if wanted is None:
            self.counters[FOREIGN] += 1
            if self.codec.shuts_down(can_id, data, extended) and not self._told_off:
                self._told_off = True
                self.log.warning(
                    "%s: the inverter asks the battery to switch itself off; vbms does not",
                    self.name,
                )
            return
        self.counters[HEARD] += 1
        self._alive()
        if can_id == self.codec.waits and (wanted or not self._greeted):
            self._greeted = True
            self._turn = 0
        elif not self._greeted:
            self._listen_for_greeting()
        if not wanted:
            return
        if self._frames and not self.paused:
            self._answer(wanted)
        elif self.codec.waits is not None:
            self._owed = wanted
        else:
            self.counters[STALE] += 1

    def _has_periods(self) -> bool:
        """Whether anything is told unasked."""
        for can_id, _ in self._frames:
            if self.codec.every_ms(can_id):
                return True
        return False

    def _listen_for_greeting(self) -> None:
        now = self.clock.now_ms()
        if self._first_ms is None:
            self._first_ms = now
        if now - self._first_ms >= GREETED_MS:
            self.log.info("%s: the inverter talks, it has greeted before vbms listened", self.name)
            self._greeted = True
            self._turn = 0

    def _alive(self) -> None:
        now = self.clock.now_ms()
        if self.heard_ms is None:
            self.log.info("%s: the inverter is heard", self.name)
        elif self._missed:
            silent = (now - self.heard_ms) // 1000
            self.log.info("%s: the inverter is heard again after %d s", self.name, silent)
        self._missed = False
        self.paused = False
        self.heard_ms = now
        self._since_ms = now

    def _watch(self) -> None:
        """The heartbeat, once a period."""
        policy = self.codec.heartbeat
        if policy == "ignored":
            return
        waited = self.clock.now_ms() - self._since_ms
        if self.paused:
            if waited >= PAUSE_MS:
                self.paused = False
                self._since_ms = self.clock.now_ms()
            return
        if waited < self.codec.heartbeat_ms:
            return
        required = policy == "required"
        if not self._missed:
            self._missed = True
            words = "sending goes on"
            if required:
                words = "nothing is sent for a while"
            elif not self._greeted or (self._frames and not self._has_periods()):
                words = "nothing is sent before it is"
            self.log.warning(
                "%s: the inverter has not been heard for %d s, %s", self.name, waited // 1000, words
            )
        if required:
            self.paused = True
            self._since_ms = self.clock.now_ms()
