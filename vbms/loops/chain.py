"""Asking a chain of cell modules: numbering them, then each in turn, whatever falls silent.

A module that does not answer costs its time-out and is missing from the Snapshot; the others go on.
Where nothing comes back at all the chain is cut: that is one line in the log, and the modules are
numbered anew after 3, 6, 12, 24, then each 30 s. So are they when a request comes back that no
module took: one has started anew and forgotten its number.
"""

from vbms.errors import FrameError
from vbms.loops.counting import unit_counters
from vbms.wire.receiver import Receiver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from vbms.aggregate.snapshot import Snapshot
    from vbms.ports import Clock, Link
    from vbms.upstream.pack_chain import Codec

TRIES = 3  # of numbering, and modules in a row without an answer that mean a cut
FIRST_WAIT_MS = 3000
LONGEST_WAIT_MS = 30000
_IDLE_MS = 1000
_BROKEN = "chain broken, or no module there: nothing comes back"
_KEPT_ROUNDS = 2  # a value is used for so many rounds, then its cell is unknown


class Chain:
    """One battery: the modules of a chain and what they have said."""

    def __init__(
        self,
        key: str,
        codec: "Codec",
        gap_us: int,
        reply_timeout_ms: int,
        poll_ms: int,
    ):
        self.key = key
        self.codec = codec
        self.gap_us = gap_us
        self.reply_timeout_ms = reply_timeout_ms
        self.poll_ms = poll_ms
        self.requests = codec.requests()
        self.frames: list[bytes | None] = [None] * len(self.requests)
        self.taken_ms = [0] * len(self.requests)
        self.missed = [0] * len(self.requests)  # rounds in a row
        self.count = 0  # modules that have a number; 0: to be numbered
        self.round_ms = 0
        self.counters = unit_counters()


class ChainPoller:
    """Owns the line of one chain."""

    def __init__(
        self,
        link: "Link",
        clock: "Clock",
        deliver: "Callable[[str, Snapshot], None]",
        log: "Logger",
    ):
        self.link = link
        self.clock = clock
        self.deliver = deliver
        self.log = log
        self.chain: Chain | None = None
        self.stats = {"frames_in": 0, "frames_out": 0, "timeout": 0, "bad_frame": 0, "busy_us": 0}
        self.trace: Callable[[bool, bytes], None] | None = None  # (sent, bytes), for a recording
        self._said = ""  # what is wrong, as the log knows it
        self._wait_ms = FIRST_WAIT_MS
        self._returned = False  # a request came back that no module took

    async def run(self) -> None:
        """For ever; LinkError comes out when the port goes."""
        if self.chain is not None:
            self.chain.count = 0
        while True:
            chain = self.chain
            if chain is None:
                await self.link.read(_IDLE_MS)
                continue
            began_ms = self.clock.now_ms()
            chain.counters["polls"] += 1
            if not chain.count:
                why = await self._number(chain)
                if why:
                    self._wrong(why)
                    await self._pause(self._wait_ms)
                    self._wait_ms = min(2 * self._wait_ms, LONGEST_WAIT_MS)
                    continue
            answered = await self._round(chain)
            if chain is not self.chain:
                continue
            if answered:
                self._right(chain)
                chain.round_ms = self.clock.now_ms() - began_ms
                self._tell(chain)
            else:
                self._wrong(_BROKEN)
                chain.count = 0
                continue
            if self._returned:
                chain.count = 0  # numbered anew at once
                continue
            await self._pause(began_ms + chain.poll_ms - self.clock.now_ms())

    async def _pause(self, ms: int) -> None:
        """Wait; what comes meanwhile was asked for too long ago."""
        until_ms = self.clock.now_ms() + ms
        while True:
            left = until_ms - self.clock.now_ms()
            if left <= 0:
                return
            chunk = await self.link.read(left)
            if chunk:
                self.stats["busy_us"] += len(chunk) * self.link.byte_us

    def _wrong(self, why: str) -> None:
        if why != self._said:
            chain = self.chain
            self.log.warning("%s: %s", chain.key if chain else self.link.name, why)
            self._said = why

    def _right(self, chain: Chain) -> None:
        self._wait_ms = FIRST_WAIT_MS
        silent = [
            str(at + 1) for at in range(min(chain.count, chain.codec.cells)) if chain.missed[at] > 1
        ]
        if silent:
            self._wrong("no answer from module %s" % ", ".join(silent))
        elif self._said:
            self.log.info("%s: all %d modules answer", chain.key, chain.count)
            self._said = ""

    async def _number(self, chain: Chain) -> str:
        """Give each module its number. "": done, else why not."""
        slot = chain.codec.count_slot
        for _ in range(TRIES):
            frame = await self._exchange(chain, slot)
            if frame is None:
                continue
            count = chain.codec.count(frame)
            if not count:
                return "no module: the request came back as it went"
            chain.frames = [None] * len(chain.requests)
            chain.missed = [0] * len(chain.requests)
            chain.frames[slot] = frame
            chain.count = count
            if count != chain.codec.cells:
                text = "%s: %d modules, where its profile says %d"
                self.log.warning(text, chain.key, count, chain.codec.cells)
            return ""
        return _BROKEN

    async def _round(self, chain: Chain) -> int:
        """Ask each module; how many answered. Given up once it is clear that the chain is cut."""
        self._returned = False
        codec = chain.codec
        answered = 0
        for at in range(min(chain.count, codec.cells)):
            if await self._ask(chain, at):
                answered += 1
                if codec.warm:
                    await self._ask(chain, codec.cells + at)
            else:
                if codec.warm:
                    self._miss(chain, codec.cells + at)
                if not answered and at + 1 >= TRIES:
                    return 0
            if chain is not self.chain:
                break
        return answered

    async def _ask(self, chain: Chain, slot: int) -> bool:
        """One value, twice if it was there the last time."""
        for _ in range(1 if chain.missed[slot] else 2):
            frame = await self._exchange(chain, slot)
            if frame is not None:
                chain.frames[slot] = frame
                chain.taken_ms[slot] = self.clock.now_ms()
                chain.missed[slot] = 0
                return True
            if self._returned:
                break
        self._miss(chain, slot)
        return False

    def _miss(self, chain: Chain, slot: int) -> None:
        chain.missed[slot] += 1
        if chain.missed[slot] >= _KEPT_ROUNDS:
            chain.frames[slot] = None

    def _tell(self, chain: Chain) -> None:
        """The Snapshot is as old as the oldest voltage in it."""
        now_ms = self.clock.now_ms()
        oldest_ms = now_ms
        for at in range(min(chain.count, chain.codec.cells)):
            if chain.frames[at] is not None:
                oldest_ms = min(oldest_ms, chain.taken_ms[at])
        try:
            snap = chain.codec.decode(chain.frames, oldest_ms)
        except FrameError as error:
            chain.counters["bad_frames"] += 1
            self._wrong("unreadable: %s" % error)
            return
        self.deliver(chain.key, snap)

    async def _exchange(self, chain: Chain, slot: int) -> bytes | None:
        """One packet through the chain; None: it did not come back, or as it went."""
        link = self.link
        clock = self.clock
        request = chain.requests[slot][1]
        receiver = Receiver(chain.codec.take, 64)
        await clock.sleep_us(chain.gap_us)
        await self._drop()
        await link.write(request)
        self._heard(True, request)
        self.stats["frames_out"] += 1
        # Each module passes a packet on when it has all of it.
        hops = (max(chain.count, chain.codec.cells) + 2) * len(request) * link.byte_us
        deadline = clock.now_us() + hops + chain.reply_timeout_ms * 1000
        noise = 0
        while True:
            left = deadline - clock.now_us()
            if left <= 0:
                break
            chunk = await link.read((left + 999) // 1000)
            if not chunk:
                continue
            self._heard(False, chunk)
            noise += len(chunk)
            for frame in receiver.feed(chunk):
                if chain.codec.slot(frame) == slot:
                    self.stats["frames_in"] += 1
                    return frame
                if frame == request:
                    self._returned = True
                    chain.counters["refused"] += 1
                    return None
                chain.counters["foreign"] += 1
                noise -= len(frame)
        kind = "bad_frames" if noise else "timeouts"
        chain.counters[kind] += 1
        self.stats["bad_frame" if noise else "timeout"] += 1
        return None

    async def _drop(self) -> None:
        """Bytes that come too late for what they answer."""
        for _ in range(16):
            chunk = await self.link.read(0)
            if not chunk:
                return
            self._heard(False, chunk)

    def _heard(self, sent: bool, data: bytes) -> None:
        self.stats["busy_us"] += len(data) * self.link.byte_us
        if self.trace is not None:
            self.trace(sent, data)
