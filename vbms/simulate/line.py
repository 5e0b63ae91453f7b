"""One simulated RS485 pair: every byte takes 10/baud seconds, and everybody hears everybody.

Byte n of a run that starts at t is there at t + (n + 1) * 10/baud, never before, and counted from
the start of the run, so nothing drifts however late the loop wakes. Bytes are handed over in
handfuls: all that are due at a wake, wakes some milliseconds apart and one at the very end, as a
UART's FIFO does. An answer's delay counts from the last byte of the request on the wire.

The pair is half duplex: whoever talks while somebody else does spoils both (wired AND where two
bytes meet; a receiver busy with the first byte misses the start of the second).
"""

import asyncio
import logging
import math
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vbms.errors import LinkError
from vbms.simulate.alarm import Alarm
from vbms.simulate.device import Answers, Device
from vbms.simulate.faults import Schedule
from vbms.simulate.tty_port import is_pty, make_pty, open_tty

log = logging.getLogger(__name__)

HANDFUL_S = 0.008
_BACKGROUND_S = 0.25
_NOISE_GAP_S = (0.3, 2.0)


class _Run:
    """Bytes that follow each other without a pause, from one talker."""

    __slots__ = ("byte_s", "data", "end_s", "given", "missed", "source", "start_s")

    def __init__(self, source: object, data: bytes, start_s: float, byte_s: float) -> None:
        self.source = source
        self.data = bytearray(data)
        self.start_s = start_s
        self.byte_s = byte_s
        self.end_s = start_s + len(data) * byte_s
        self.given = 0  # bytes the ports have got, or have missed
        self.missed = 0  # leading bytes lost in a collision

    def due(self, now_s: float) -> int:
        """How many bytes are complete at now_s."""
        if now_s >= self.end_s:
            return len(self.data)
        if now_s <= self.start_s or not self.byte_s:
            return 0
        count = int((now_s - self.start_s) / self.byte_s)
        while self.start_s + count * self.byte_s > now_s:
            count -= 1
        return count

    def next_s(self, handful: int, to_ports: bool) -> float:
        """When the next handful is complete; for devices alone the end is enough."""
        count = self.given + handful
        if not to_ports or count >= len(self.data):
            return self.end_s
        return self.start_s + count * self.byte_s


class _Port:
    """A place where a program is plugged in: a pty of ours, or a port that exists."""

    def __init__(self, fd: int, path: str, keep_fd: int = -1) -> None:
        self.fd = fd
        self.path = path
        self.keep_fd = keep_fd
        self.free_s = 0.0  # when its last bytes have left

    @classmethod
    def pty(cls) -> "_Port":
        ours, theirs, path = make_pty()
        return cls(ours, path, theirs)

    def close(self) -> None:
        for fd in (self.fd, self.keep_fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self.keep_fd = -1


class PacedLine:
    """A pty for the program under test at `path`, and devices at the other end of the wire.

    `far_path` (with far=True) is a second place to plug in, at the other end. With steady=True
    `path` is a name that stays the same when the adapter is pulled out (`unplug`) and put back
    (`plug`). `faults` holds those of the line: echo, noise.
    """

    def __init__(
        self, baud: int, name: str = "line", *, far: bool = False, steady: bool = False
    ) -> None:
        self.baud = baud
        self.name = name
        self.byte_s = 10 / baud
        self.faults: set[str] = set()
        self.devices: list[Device] = []
        self.schedule: Schedule | None = None
        self.background: list[Callable[[float], None]] = []
        self.bytes_in = 0  # from the programs
        self.bytes_out = 0  # to them
        self.wakes = 0
        self.collisions = 0
        self.overruns = 0  # bytes nobody fetched
        self.far_path = ""
        self._pace_s = self.byte_s
        self._ports: list[_Port] = []
        self._runs: list[_Run] = []
        self._talkers: list[Device] = []
        self._alarm: Alarm | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._noise_s = 0.0
        self._rng = random.Random(f"line/{name}")
        self._folder: str | None = None
        self._closed = asyncio.Event()
        self._error: LinkError | None = None
        self._open(far, steady)
        self._handful = max(1, int(HANDFUL_S / self.byte_s))

    def _open(self, far: bool, steady: bool) -> None:
        port = _Port.pty()
        self._ports.append(port)
        self.path = port.path
        if steady:
            self._folder = tempfile.mkdtemp(prefix="vbms-")
            self.path = str(Path(self._folder) / self.name)
            os.symlink(port.path, self.path)
        if far:
            other = _Port.pty()
            self._ports.append(other)
            self.far_path = other.path

    def attach(self, device: Device) -> None:
        """Put a device on the wire; it hears everything that is said there by others."""
        device.byte_s = self.byte_s
        self.devices.append(device)
        if device.wake_s is not None:
            self._talkers.append(device)

    async def start(self) -> None:
        self._alarm = Alarm(self._play)
        for port in self._ports:
            self._listen(port)
        for device in self._talkers:
            device.wake_s = time.monotonic()
        if self.schedule is not None:
            self.schedule.start()
        self._tick()
        self._arm()

    def close(self) -> None:
        """Let go of ports and timers; may be called twice."""
        if self.schedule is not None:
            self.schedule.close()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        for port in self._ports:
            self._hush(port)
            port.close()
        self._ports.clear()
        self._runs.clear()
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None
        self._closed.set()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def wait(self) -> None:
        """Until it is closed here, or the port is gone: LinkError. A pty of ours never is."""
        await self._closed.wait()
        if self._error is not None:
            raise self._error

    # ---- faults of the line

    def unplug(self) -> None:
        """The program's port disappears: reads fail, the path is gone."""
        if self._alarm is None or not self._ports:
            return
        port = self._ports[0]
        self._hush(port)
        port.close()
        if self._folder is not None:
            Path(self.path).unlink(missing_ok=True)

    def plug(self) -> None:
        """It is back; under the same path if that was asked to be steady."""
        if self._alarm is None or not self._ports or self._ports[0].fd >= 0:
            return
        port = self._ports[0] = _Port.pty()
        if self._folder is None:
            self.path = port.path
        else:
            os.symlink(port.path, self.path)
        self._listen(port)

    # ---- the wire

    def send(self, source: object, data: bytes, start_s: float) -> None:
        """Put bytes on the wire at start_s (monotonic); `source` itself does not hear them."""
        if not data or self._alarm is None:
            return
        new = _Run(source, data, start_s, self._pace_s)
        for other in self._runs:
            if new.start_s < other.end_s and other.start_s < new.end_s:
                self.collisions += 1
                first, second = (other, new) if other.start_s <= new.start_s else (new, other)
                _collide(first, second)
        self._runs.append(new)

    def _play(self) -> None:
        """All that is due by now, then wait for the next."""
        self.wakes += 1
        try:
            self._play_until(time.monotonic())
        finally:
            self._arm()  # a device that raises is a loud line in the log, not a dead line

    def _play_until(self, now_s: float) -> None:
        for run in tuple(self._runs):
            count = run.due(now_s)
            if count > run.given:
                self._hand_over(run, count)
            if now_s >= run.end_s:
                self._runs.remove(run)
                self._hear(run)
        for device in self._talkers:
            if device.wake_s is not None and device.wake_s <= now_s:
                moment_s = device.wake_s
                self._answer(device, device.wake(moment_s), moment_s)

    def _arm(self) -> None:
        if self._alarm is None:
            return
        to_ports = bool(self._ports)
        moments = [run.next_s(self._handful, to_ports) for run in self._runs]
        moments += [device.wake_s for device in self._talkers if device.wake_s is not None]
        self._alarm.set(min(moments) if moments else None)

    def _hand_over(self, run: _Run, count: int) -> None:
        fresh = bytes(run.data[max(run.given, run.missed) : count])
        run.given = count
        if not fresh:
            return
        for port in self._ports:
            if port.fd < 0 or (port is run.source and "echo" not in self.faults):
                continue
            try:
                written = os.write(port.fd, fresh)
            except BlockingIOError:
                written = 0
            except OSError as error:
                self._fail(port, error)
                continue
            self.bytes_out += written
            self.overruns += len(fresh) - written

    def _hear(self, run: _Run) -> None:
        data = bytes(run.data[run.missed :])
        if not data:
            return
        for device in self.devices:
            if device is not run.source:
                answers = device.receive(data, run.end_s)
                if answers:
                    self._answer(device, answers, run.end_s)

    def _answer(self, device: Device, answers: Answers, moment_s: float) -> None:
        for delay_s, data in answers:
            self.send(device, data, moment_s + delay_s)

    # ---- the ports

    def _listen(self, port: _Port) -> None:
        asyncio.get_running_loop().add_reader(port.fd, self._fetch, port)

    def _hush(self, port: _Port) -> None:
        if port.fd >= 0 and self._alarm is not None:
            asyncio.get_running_loop().remove_reader(port.fd)

    def _fetch(self, port: _Port) -> None:
        try:
            data = os.read(port.fd, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(port, error)
            return
        if not data:
            self._fail(port, None)
            return
        self.bytes_in += len(data)
        start_s = max(time.monotonic(), port.free_s)
        port.free_s = start_s + len(data) * self._pace_s
        self.send(port, data, start_s)
        if self._pace_s:
            self._arm()
        else:
            self._play()

    def _fail(self, port: _Port, error: OSError | None) -> None:
        self._hush(port)
        reason = "closed by the other side" if error is None else error.strerror or str(error)
        self._error = LinkError(f"{port.path}: {reason}")
        self._closed.set()

    # ---- what goes on beside the wire

    def _tick(self) -> None:
        now_s = time.monotonic()
        for move in self.background:
            move(now_s)
        if "noise" in self.faults and now_s >= self._noise_s:
            if self._noise_s:
                self.send(None, self._rng.randbytes(self._rng.randint(1, 8)), now_s)
                self._arm()
            self._noise_s = now_s + self._rng.uniform(*_NOISE_GAP_S)
        self._ticker = asyncio.get_running_loop().call_later(_BACKGROUND_S, self._tick)


class _PortLine(PacedLine):
    """The same on a port that exists; a real UART keeps the time of its bytes itself."""

    def __init__(self, path: str, baud: int) -> None:
        self._given_path = path
        super().__init__(baud, Path(path).name)

    def _open(self, far: bool, steady: bool) -> None:
        fd = open_tty(self._given_path, self.baud)
        self._ports.append(_Port(fd, self._given_path))
        self.path = self._given_path
        if not is_pty(fd):
            self._pace_s = 0.0

    def plug(self) -> None:
        """Put back: the port is opened anew, and locked again."""
        if self._alarm is not None and self._ports and self._ports[0].fd < 0:
            fd = open_tty(self._given_path, self.baud)
            port = self._ports[0] = _Port(fd, self._given_path)
            self._listen(port)


def open_port(path: str, baud: int) -> PacedLine:
    """Play devices on a port that exists: an adapter, or somebody's pty. Raises LinkError."""
    return _PortLine(path, baud)


def _collide(first: _Run, second: _Run) -> None:
    """Two talkers at once: where bytes meet, the line holds the AND; the later start is missed."""
    step = first.byte_s
    overlap_end_s = min(first.end_s, second.end_s)
    begin = max(first.given, int((second.start_s - first.start_s) / step))
    end = min(len(first.data), math.ceil((overlap_end_s - first.start_s) / step))
    for index in range(begin, end):
        middle_s = first.start_s + (index + 0.5) * step
        other = int((middle_s - second.start_s) / step)
        first.data[index] &= second.data[min(max(other, 0), len(second.data) - 1)]
    lost = math.ceil((first.end_s - second.start_s) / step - 1e-6)
    second.missed = max(second.missed, min(len(second.data), lost))
