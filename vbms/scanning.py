"""Looking for batteries on a line of bytes: listen first, then ask each protocol at each address.

Nobody is talked over. A line on which anything is heard unasked has a master of its own (an
inverter, another BMS, a program): nothing is sent there, what is heard is named. Only requests that
a driver sends in daily use are sent, to read.
"""

import asyncio
import glob
import os
from collections.abc import Callable, Iterable, Sequence

import yaml

from vbms.aggregate.snapshot import Snapshot
from vbms.commands.sniffing import Explainer, known
from vbms.errors import FrameError, LinkError, RefusedError
from vbms.lines import kinds
from vbms.options import INT
from vbms.ports import Link, UpstreamCodec
from vbms.settings.keys import BATTERY
from vbms.settings.profiles import names_in, shipped_folder
from vbms.upstream import registry as upstream
from vbms.wire.receiver import Receiver

USUAL_BAUDS = (9600, 115200, 19200, 57600, 38400)
MOST_ADDRESSES = 16  # asked at without being told more
_SILENCE_MS = 60  # ends an answer
_SLOW_MS = 1000
_GAP_MS = 100  # between an answer and the next request: the longest that a protocol wants
_NOISY = 3  # questions in a row after which something unreadable came: somebody else speaks
_GLITCH = 2  # so many bytes are the line's turning round, and nobody's words
_PLACES = ("/dev/serial/by-id/*", "/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyAMA*", "/dev/serial0")


class Profile:
    """What a shipped profile says of its line."""

    def __init__(self, name: str, values: dict[str, object]) -> None:
        self.name = name
        self.protocol = str(values.get("protocol", ""))
        timeout = values.get("reply_timeout_ms")
        self.reply_timeout_ms = timeout if isinstance(timeout, int) else 150


class Probe:
    """One question to one address."""

    def __init__(self, protocol: str, address: int | None, timeout_ms: int) -> None:
        self.protocol = protocol
        self.address = address
        self.timeout_ms = timeout_ms
        options = {} if address is None else {"address": address}
        self.codec: UpstreamCodec = upstream.load(protocol).Codec(**options)
        self.requests = [request for _, request in self.codec.requests()]


class Battery:
    """A unit that answered."""

    def __init__(self, probe: Probe, baud: int, snap: Snapshot | None, refused: str) -> None:
        self.protocol = probe.protocol
        self.address = probe.address
        self.baud = baud
        self.snapshot = snap
        self.refused = refused

    def about(self) -> str:
        """What it says of itself, for a comment."""
        snap = self.snapshot
        if snap is None:
            return self.refused
        words = [snap.model or "", f"serial {snap.serial}" if snap.serial else ""]
        words.append(f"{len(snap.cells_mv)} cells" if snap.cells_mv else "")
        words.append(f"{snap.voltage_mv / 1000:.2f} V" if snap.voltage_mv is not None else "")
        words.append(f"{snap.soc_permille // 10} %" if snap.soc_permille is not None else "")
        return ", ".join(word for word in words if word)


class Found:
    """What there is on a port."""

    def __init__(self, port: str) -> None:
        self.port = port
        self.baud: int | None = None
        self.batteries: list[Battery] = []
        self.heard: list[str] = []  # of somebody who speaks unasked
        self.bytes_heard = 0
        self.unreadable: set[tuple[int, str]] = set()  # (baud, protocol) that woke something
        self.error = ""

    @property
    def has_master(self) -> bool:
        return self.bytes_heard > _GLITCH


class _TalkedOver(Exception):
    """Somebody else speaks here."""


def profiles() -> "dict[str, list[Profile]]":
    """The shipped profiles by protocol."""
    found: dict[str, list[Profile]] = {}
    folder = shipped_folder()
    for name in names_in(folder, BATTERY):
        text = (folder / BATTERY / f"{name}.yaml").read_text("utf-8")
        profile = Profile(name, yaml.safe_load(text))
        if profile.protocol:
            found.setdefault(profile.protocol, []).append(profile)
    return found


def scannable() -> list[str]:
    """Protocols that are asked on a serial line; a driver says SCAN = False where that harms."""
    found = []
    for protocol in upstream.DRIVERS:
        driver = upstream.load(protocol)
        on_serial = "serial" in getattr(driver, "LINKS", ("serial",))
        polled = (kinds.named(driver, "serial") or kinds.POLLED) == kinds.POLLED
        if on_serial and polled and getattr(driver, "SCAN", True):
            found.append(protocol)
    return found


def probes(protocols: Iterable[str], addresses: "Sequence[int] | None" = None) -> list[Probe]:
    """Every question to be asked; addresses: None, the first ones a protocol allows."""
    found = []
    by_protocol = profiles()
    for protocol in protocols:
        rows = by_protocol.get(protocol, [])
        timeout_ms = max((row.reply_timeout_ms for row in rows), default=500)
        option = next(
            (row for row in upstream.load(protocol).OPTIONS if row.name == "address"), None
        )
        places: Sequence[int | None] = [None]
        if option is not None and option.kind == INT:
            low, high = option.low or 0, option.high or 0
            places = range(low, min(high, low + MOST_ADDRESSES - 1) + 1)
            if addresses is not None:
                places = [at for at in addresses if low <= at <= high]
        for place in places:
            probe = Probe(protocol, place, timeout_ms)
            if probe.requests and probe.requests[0]:
                found.append(probe)
    return found


def bauds_of(protocols: Iterable[str], told: int | None = None) -> list[int]:
    """The speeds to try, the likeliest first."""
    own = [getattr(upstream.load(protocol), "BAUD", None) for protocol in protocols]
    found = [told, *own, *USUAL_BAUDS]
    return list(dict.fromkeys(baud for baud in found if baud))


def ports() -> list[str]:
    """Serial ports of this machine, each once, by the name that stays when it can be had."""
    found: dict[str, str] = {}
    for pattern in _PLACES:
        for path in sorted(glob.glob(pattern)):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


async def scan(
    port: str,
    make: Callable[[int], Link],
    bauds: Sequence[int],
    wanted: Sequence[Probe],
    listen_ms: int,
    say: Callable[[str], None],
) -> Found:
    """Everything on one port; `make(baud)` gives the link, closed. LinkError is kept as `error`.

    A line has one speed: once somebody has answered the other speeds are not tried.
    """
    found = Found(port)
    for baud in bauds:
        link = make(baud)
        try:
            await link.open()
        except LinkError as error:
            found.error = str(error)
            return found
        found.baud = baud
        try:
            say(f"{port}: listening at {baud} baud")
            await _listen(link, found, listen_ms)
            if not found.has_master:
                say(f"{port}: asking at {baud} baud")
                await _ask_all(link, found, baud, wanted)
        except _TalkedOver:
            await _listen(link, found, listen_ms)
        except LinkError as error:
            found.error = str(error)
            return found
        finally:
            link.close()
        if found.batteries or found.heard:
            break
    return found


async def _listen(link: Link, found: Found, listen_ms: int) -> None:
    """Hear who speaks unasked, and name him if he can be understood at this speed."""
    explainer = Explainer(known())
    loop = asyncio.get_running_loop()
    end = loop.time() + listen_ms / 1000
    while (left := end - loop.time()) > 0:
        data = await link.read(min(100, int(left * 1000) + 1))
        found.bytes_heard += len(data)
        for text in explainer.feed(data) if data else ():
            if text not in found.heard and len(found.heard) < 20:
                found.heard.append(text)
        if not data:
            explainer.silence()


async def _ask_all(link: Link, found: Found, baud: int, wanted: Sequence[Probe]) -> None:
    noisy = 0
    for probe in wanted:
        await _quiet(link, found)
        frame, noise = await _exchange(link, probe, 0, probe.timeout_ms)
        if frame is None:
            noisy = noisy + 1 if noise > _GLITCH else 0
            if noisy:
                found.unreadable.add((baud, probe.protocol))
            if noisy == _NOISY:  # so many at different addresses are no answers to us
                found.bytes_heard += noise
                raise _TalkedOver
            continue
        noisy = 0
        frames: list[bytes | None] = [None] * len(probe.requests)
        frames[0] = frame
        for slot in range(1, len(frames)):
            if probe.requests[slot]:
                await _quiet(link, found)
                frames[slot] = (await _exchange(link, probe, slot, _SLOW_MS))[0]
        found.batteries.append(_battery(probe, baud, frames))


def _battery(probe: Probe, baud: int, frames: "list[bytes | None]") -> Battery:
    for trial in (frames, [frames[0]] + [None] * (len(frames) - 1)):
        try:
            return Battery(probe, baud, probe.codec.decode(trial, 0), "")
        except RefusedError as error:
            return Battery(probe, baud, None, f"refuses: {error}")
        except FrameError as error:
            reason = f"unreadable: {error}"
    return Battery(probe, baud, None, reason)


async def _quiet(link: Link, found: Found) -> None:
    """The gap before a request; bytes in it are nobody's answer."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _GAP_MS / 1000
    while (left := end - loop.time()) > 0:
        data = await link.read(int(left * 1000) + 1)
        strange = len(data.strip(b"\x00"))
        if strange > _GLITCH:
            found.bytes_heard += strange
            raise _TalkedOver


async def _exchange(
    link: Link, probe: Probe, slot: int, timeout_ms: int
) -> tuple[bytes | None, int]:
    """The checked answer, and how many bytes came that are none of it."""
    request = probe.requests[slot]
    receiver = Receiver(probe.codec.take, 4096)
    await link.write(request)
    wait_ms = timeout_ms + len(request) * link.byte_us // 1000
    heard = b""
    while data := await link.read(wait_ms):
        heard += data
        if heard == request[: len(heard)] and len(heard) <= len(request):
            continue  # an adapter that echoes
        if heard.startswith(request):
            data, heard = heard[len(request) :], b""
            if not data:
                continue
        wait_ms = _SILENCE_MS
        for frame in receiver.feed(data):
            if probe.codec.slot(frame) == slot:
                return frame, receiver.dropped
    if heard == request:
        return None, 0
    return None, receiver.dropped + receiver.pending
