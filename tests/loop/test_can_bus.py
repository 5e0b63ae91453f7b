"""The CAN link: on a virtual bus, on a serial adapter by hand, and on buses that go wrong."""

from __future__ import annotations

import asyncio
import builtins
import errno
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import can
import pytest

from tests.loop.slcan_far_end import SlcanFarEnd
from vbms.errors import LinkError
from vbms.links import can_bus
from vbms.links.can_bus import CanBus

SET = ((0x351, bytes(range(8))), (0x355, bytes(8)))


@pytest.fixture
def adapter() -> Iterator[SlcanFarEnd]:
    far_end = SlcanFarEnd()
    yield far_end
    far_end.close()


def now_us() -> int:
    return time.monotonic_ns() // 1000


def slcan(path: str) -> CanBus:
    return CanBus("can", "slcan", path, 500_000, sleep_after_open=0)


async def until(fits: Callable[[], Any], timeout_s: float = 5) -> None:
    async with asyncio.timeout(timeout_s):
        while not fits():
            await asyncio.sleep(0.01)


async def shut(link: CanBus) -> None:
    link.close()
    await link.closed()


# ---- virtual


async def test_a_set_is_sent_when_it_is_due_and_answers_are_heard() -> None:
    link = CanBus("can", "virtual", "vbms-test-1", 500_000)
    late: list[int] = []
    link.lateness = late.append
    far = can.Bus(interface="virtual", channel="vbms-test-1")
    await link.open()
    due = now_us() + 150_000
    link.send(due, lambda: (*SET, (0x4211, bytes(8))))
    assert far.recv(timeout=0.05) is None
    found = []
    for _ in range(3):
        message = await asyncio.to_thread(far.recv, 2)
        assert message is not None
        found.append((message.arbitration_id, bytes(message.data), message.is_extended_id))
    assert now_us() >= due
    assert found == [(*SET[0], False), (*SET[1], False), (0x4211, bytes(8), True)]
    assert len(late) == 1
    assert late[0] >= 0
    far.send(can.Message(arbitration_id=0x305, data=bytes(8), is_extended_id=False))
    far.send(can.Message(arbitration_id=0x305, is_remote_frame=True, is_extended_id=False))
    far.send(can.Message(arbitration_id=0x4200, data=b"\x02", is_extended_id=True))
    heard: list[Any] = []
    while len(heard) < 2:
        heard += await link.heard(2000)
    assert heard == [(0x305, bytes(8), False), (0x4200, b"\x02", True)]
    assert await link.heard(20) == []
    assert (link.sent, link.received) == (3, 2)
    await shut(link)
    far.shutdown()


async def test_the_frames_are_those_of_the_moment_they_are_due() -> None:
    link = CanBus("can", "virtual", "vbms-test-2", 500_000)
    far = can.Bus(interface="virtual", channel="vbms-test-2")
    await link.open()
    frames: Sequence[tuple[int, bytes]] = SET
    link.send(now_us() + 100_000, lambda: frames)
    frames = ()
    assert await asyncio.to_thread(far.recv, 0.4) is None
    assert link.sent == 0
    await shut(link)
    far.shutdown()


async def test_a_flood_is_dropped_and_counted() -> None:
    link = CanBus("can", "virtual", "vbms-test-3", 500_000)
    far = can.Bus(interface="virtual", channel="vbms-test-3")
    await link.open()
    for _ in range(7000):
        far.send(can.Message(arbitration_id=0x600, data=bytes(8), is_extended_id=False))
    await until(lambda: link.received + link.errors["flood"] == 7000)
    assert link.errors["flood"] > 0
    assert len(await link.heard(10)) <= can_bus.MOST_A_SECOND
    await shut(link)
    far.shutdown()


# ---- a serial adapter


async def test_slcan_speaks_with_an_adapter_that_knows_no_python_can(adapter: SlcanFarEnd) -> None:
    link = slcan(adapter.path)
    await link.open()
    link.send(now_us(), lambda: (*SET, (0x356, bytes(8))))
    await until(lambda: len(adapter.frames) == 3)
    assert "S6" in adapter.commands
    assert [frame[1:] for frame in adapter.frames] == [
        ("351", SET[0][1]),
        ("355", SET[1][1]),
        ("356", bytes(8)),
    ]
    heard: list[Any] = []
    while not heard:
        heard += await link.heard(2000)
    assert heard == [(0x305, bytes(8), False)]
    # The bells with which a strict adapter refuses python-can's second O are no errors.
    assert not any(link.errors.values())
    await shut(link)
    await until(lambda: not adapter.is_open)


async def test_noise_on_the_serial_side_is_counted_and_lived_with(adapter: SlcanFarEnd) -> None:
    link = slcan(adapter.path)
    await link.open()
    for text in (b"\xff\xfe\r", b"tXYZ8\r", b"t3\r", b"t351G\r"):
        adapter.say(text)
        await asyncio.sleep(0.05)
    adapter.say(b"t30520102\r")
    heard: list[Any] = []
    while not heard:
        heard += await link.heard(2000)
    assert heard == [(0x305, b"\x01\x02", False)]
    assert link.errors["bad_frame"] >= 3
    await shut(link)


async def test_refused_frames_are_counted(
    adapter: SlcanFarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(can_bus, "_QUIET_S", 0.0)
    link = slcan(adapter.path)
    await link.open()
    await asyncio.sleep(0.1)
    before = link.errors["refused"]
    adapter.refuses = True
    link.send(now_us(), lambda: SET)
    await until(lambda: link.errors["refused"] == before + 2)
    await shut(link)


async def test_an_adapter_that_does_not_read_blocks_nobody(adapter: SlcanFarEnd) -> None:
    link = slcan(adapter.path)
    await link.open()
    adapter.reads = False
    longest = 0.0
    began = time.monotonic()
    while not link.errors["queue_full"]:
        before = time.monotonic()
        link.send(now_us(), lambda: SET * 100)
        longest = max(longest, time.monotonic() - before)
        await asyncio.sleep(0.05)
        assert time.monotonic() - began < 10
    assert longest < 0.2
    adapter.reads = True
    count = len(adapter.frames)
    await until(lambda: len(adapter.frames) > count)
    await asyncio.sleep(0.3)
    count = len(adapter.frames)
    link.send(now_us(), lambda: SET)
    await until(lambda: len(adapter.frames) > count)
    await shut(link)


async def test_an_adapter_that_is_pulled_out_is_an_error_of_the_link(adapter: SlcanFarEnd) -> None:
    link = slcan(adapter.path)
    await link.open()
    adapter.unplug()
    with pytest.raises(LinkError, match="slcan"):
        for _ in range(20):
            await link.heard(200)
    with pytest.raises(LinkError):
        link.send(now_us(), lambda: SET)
    await shut(link)
    with pytest.raises(LinkError, match=r"plugged in"):
        await link.open()
    await shut(link)


# ---- buses that go wrong


class BadBus:
    """Sends and receives as the test says: an exception is raised, a message is returned."""

    def __init__(self) -> None:
        self.sending: list[Exception | None] = []
        self.coming: list[Any] = []
        self.tried = 0
        self.shut = False

    def send(self, message: can.Message, timeout: float | None = None) -> None:
        self.tried += 1
        error = self.sending.pop(0) if self.sending else None
        if error is not None:
            raise error

    def recv(self, timeout: float) -> can.Message | None:
        if self.coming:
            what = self.coming.pop(0)
            if isinstance(what, Exception):
                raise what
            message: can.Message = what
            return message
        time.sleep(0.02)
        return None

    def shutdown(self) -> None:
        self.shut = True


async def opened(bus: BadBus, monkeypatch: pytest.MonkeyPatch) -> CanBus:
    link = CanBus("can", "socketcan", "can0", 250_000)
    monkeypatch.setattr(link, "make", lambda: bus)
    await link.open()
    return link


def error_frame(classes: int) -> can.Message:
    return can.Message(arbitration_id=classes, is_error_frame=True, data=bytes(8))


@pytest.mark.parametrize(
    "full",
    [
        can.CanOperationError("Transmit buffer full"),
        can.CanOperationError("Failed to transmit: No buffer space available", errno.ENOBUFS),
        can.CanTimeoutError("too long"),
    ],
)
async def test_a_full_queue_costs_the_rest_of_a_set_and_no_more(
    full: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = BadBus()
    link = await opened(bus, monkeypatch)
    bus.sending = [None, full]
    link.send(now_us(), lambda: SET * 2)
    await until(lambda: link.errors["queue_full"] == 1)
    assert (bus.tried, link.sent) == (2, 1)
    link.send(now_us(), lambda: SET)
    await until(lambda: link.sent == 3)
    await shut(link)
    assert bus.shut


async def test_an_interface_that_went_down_is_an_error_of_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = BadBus()
    link = await opened(bus, monkeypatch)
    bus.sending = [can.CanOperationError("Failed to transmit: Network is down", errno.ENETDOWN)]
    link.send(now_us(), lambda: SET)
    with pytest.raises(LinkError, match="Network is down"):
        for _ in range(20):
            await link.heard(200)
    await shut(link)


async def test_error_frames_are_counted_by_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = BadBus()
    link = await opened(bus, monkeypatch)
    bus.coming = [error_frame(classes) for classes in (0x80, 0x08, 0x04, 0x10, 0x20)]
    await until(lambda: not bus.coming)
    await asyncio.sleep(0.05)
    assert (link.errors["bus"], link.errors["no_ack"]) == (4, 1)
    bus.coming = [error_frame(0x40)]
    with pytest.raises(LinkError, match="bus-off"):
        for _ in range(20):
            await link.heard(200)
    assert link.errors["bus_off"] == 1
    await shut(link)


async def test_a_set_that_is_much_too_late_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = BadBus()
    link = await opened(bus, monkeypatch)
    link.send(now_us() - 700_000, lambda: SET)
    await until(lambda: link.errors["late"] == 1)
    assert bus.tried == 0
    await shut(link)


async def test_without_the_package_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def refuse(name: str, *more: Any) -> Any:
        if name == "can":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    link = CanBus("can", "socketcan", "can0", 500_000)
    with pytest.raises(LinkError, match=r"pip install 'vbms\[can\]'"):
        await link.open()
    await shut(link)


@pytest.mark.parametrize(
    ("interface", "channel", "words"),
    [
        ("socketcan", "can-nobody", "ip link set can-nobody up type can bitrate 250000"),
        ("slcan", "/dev/vbms-nobody", "plugged in"),
        ("no_such_interface", "x", "no_such_interface"),
    ],
)
async def test_a_bus_that_does_not_open_says_why(interface: str, channel: str, words: str) -> None:
    link = CanBus("can", interface, channel, 250_000)
    with pytest.raises(LinkError, match=words):
        await link.open()
    await shut(link)


async def test_opening_may_be_given_up(adapter: SlcanFarEnd) -> None:
    link = CanBus("can", "slcan", adapter.path, 500_000, sleep_after_open=0.3)
    opening = asyncio.create_task(link.open())
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await shut(link)
    await until(lambda: not adapter.is_open)
