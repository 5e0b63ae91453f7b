"""The paced line: never a byte early, no drift, one talker at a time, and what happens with two."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import pytest

from tests.simulate.host import Host
from vbms.errors import LinkError
from vbms.simulate.device import Answers, Device
from vbms.simulate.line import PacedLine, open_port
from vbms.simulate.pack import Pack
from vbms.simulate.tty_port import make_pty


class Parrot(Device):
    """Answers what holds a "?" with bytes of its choice after its delay; notes when it heard what."""

    def __init__(self, reply: bytes = b"", delay_s: float = 0.005) -> None:
        super().__init__(Pack("parrot", "none"), 1)
        self.reply = reply
        self.delay_s = delay_s
        self.heard: list[tuple[float, float, bytes]] = []

    def receive(self, data: bytes, now_s: float) -> Answers:
        self.heard.append((now_s, time.monotonic(), data))
        return [(self.delay_s, self.reply)] if self.reply and b"?" in data else []


@pytest.fixture
async def plugged() -> AsyncIterator[object]:
    """make(baud, *devices, **options) -> (line, host), closed at the end."""
    open_now: list[PacedLine | Host] = []

    async def make(baud: int, *devices: Device, **options: bool) -> tuple[PacedLine, Host]:
        line = PacedLine(baud, "t", **options)
        for device in devices:
            line.attach(device)
        open_now.append(line)
        await line.start()
        host = Host(line.path)
        open_now.append(host)
        return line, host

    yield make
    for thing in reversed(open_now):
        thing.close()


@pytest.mark.parametrize(("baud", "size"), [(9600, 105), (115200, 310)])
async def test_bytes_are_never_early_and_do_not_drift(plugged, baud: int, size: int) -> None:
    parrot = Parrot(bytes(range(256)) + bytes(size - 256) if size > 256 else bytes(range(size)))
    _, host = await plugged(baud, parrot)
    late_at_end, handfuls = [], []
    for _ in range(6):
        written_s = host.say(b"request?")
        assert await host.hear(size, 1.0) == parrot.reply
        heard_s, woken_s, data = parrot.heard[-1]
        assert data == b"request?"
        assert heard_s >= written_s + 8 * 10 / baud and woken_s >= heard_s
        count = 0
        for arrived_s, length in host.chunks:
            count += length
            due_s = heard_s + parrot.delay_s + count * 10 / baud
            assert arrived_s >= due_s
        late_at_end.append(host.chunks[-1][0] - due_s)
        handfuls.append(len(host.chunks))
    assert max(handfuls) >= 3  # it trickles, as from a UART
    assert min(late_at_end) < 0.002  # the last byte is as late as the first: nothing adds up


async def test_what_is_written_meanwhile_queues_behind(plugged) -> None:
    parrot = Parrot()
    _, host = await plugged(9600, parrot)
    start_s = host.say(b"0123456789")
    await asyncio.sleep(0.003)
    os.write(host.fd, b"abcde")
    await asyncio.sleep(0.05)
    assert b"".join(data for _, _, data in parrot.heard) == b"0123456789abcde"
    assert parrot.heard[-1][0] >= start_s + 15 * 10 / 9600


async def test_devices_hear_each_other_but_not_themselves(plugged) -> None:
    loud, quiet = Parrot(b"answer"), Parrot()
    _, host = await plugged(115200, loud, quiet)
    await host.ask(b"ask?", 6)
    assert [data for _, _, data in loud.heard] == [b"ask?"]
    assert [data for _, _, data in quiet.heard] == [b"ask?", b"answer"]


async def test_two_answers_at_once_spoil_each_other(plugged) -> None:
    one, two = Parrot(b"\xf0" * 10, 0.005), Parrot(b"\x3c" * 10, 0.005 + 4.2 * 10 / 9600)
    line, host = await plugged(9600, one, two)
    data = await host.ask(b"?", 15, 0.1)
    assert data == b"\xf0" * 4 + b"\x30" * 6 + b"\x3c" * 4
    assert line.collisions == 1


async def test_a_host_that_talks_into_an_answer_is_not_understood(plugged) -> None:
    parrot = Parrot(b"\xff" * 40)
    line, host = await plugged(9600, parrot)
    host.say(b"?")
    await asyncio.sleep(0.025)
    os.write(host.fd, b"\x0f\x0f")
    data = await host.hear(40, 0.2)
    assert line.collisions == 1 and data != parrot.reply and len(data) == 40
    assert len(parrot.heard) == 1  # its ears were busy with its own voice


async def test_echo_and_noise(plugged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vbms.simulate.line._NOISE_GAP_S", (0.05, 0.1))
    line, host = await plugged(115200, Parrot(b"answer", 0.02))
    assert await host.ask(b"ask?", 6) == b"answer"
    line.faults.add("echo")
    assert await host.ask(b"ask?", 10) == b"ask?answer"
    line.faults = {"noise"}
    host.say(b"ask?")
    await asyncio.sleep(1.2)
    assert len(host.data) > len(b"answer")
    line.faults.clear()
    await asyncio.sleep(0.05)
    assert await host.ask(b"ask?", 6) == b"answer"


async def test_unplugged_the_port_is_gone_and_comes_back_under_its_name(plugged) -> None:
    line, host = await plugged(115200, Parrot(b"answer"), steady=True)
    assert await host.ask(b"ask?", 6) == b"answer"
    host.data = b""
    line.unplug()
    await host.hear(1, 0.2)
    assert host.gone
    with pytest.raises(FileNotFoundError):
        os.stat(line.path)
    line.unplug()  # twice is no harm
    line.plug()
    again = Host(line.path)
    assert await again.ask(b"ask?", 6) == b"answer"
    again.close()


async def test_far_end_is_paced_both_ways(plugged) -> None:
    line, near = await plugged(9600, far=True)
    far = Host(line.far_path)
    try:
        written_s = far.say(b"01234567")
        assert await near.hear(8, 0.2) == b"01234567"
        assert near.chunks[-1][0] >= written_s + 8 * 10 / 9600
        written_s = near.say(b"x" * 51)
        assert await far.hear(51, 0.3) == b"x" * 51
        assert far.chunks[-1][0] >= written_s + 51 * 10 / 9600
    finally:
        far.close()


async def test_plays_on_a_port_that_exists_and_tells_when_it_is_gone() -> None:
    ours, theirs, path = make_pty()
    line = open_port(path, 115200)
    line.attach(Parrot(b"answer"))
    await line.start()
    os.write(ours, b"ask?")
    await asyncio.sleep(0.05)
    assert os.read(ours, 100) == b"answer"
    with pytest.raises(LinkError, match="in use"):
        open_port(path, 115200)
    os.close(theirs)
    os.close(ours)
    with pytest.raises(LinkError, match=path):
        async with asyncio.timeout(1):
            await line.wait()
    line.close()


def test_a_port_that_does_not_exist_is_said_so() -> None:
    with pytest.raises(LinkError, match="/dev/nowhere does not exist"):
        open_port("/dev/nowhere", 9600)


async def test_a_device_that_raises_does_not_stop_the_line(plugged) -> None:
    class Broken(Parrot):
        def receive(self, data: bytes, now_s: float) -> Answers:
            raise RuntimeError("broken on purpose")

    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: reports.append(about))
    _, host = await plugged(115200, Parrot(b"answer"), Broken())
    await host.ask(b"ask?", 6)
    assert await host.ask(b"ask?", 6) == b"answer"
    assert reports


async def test_close_twice_and_nothing_is_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    line = PacedLine(9600, "t", far=True, steady=True)
    await line.start()
    folder = os.path.dirname(line.path)
    line.close()
    line.close()
    assert not os.path.exists(folder)
    assert len(os.listdir("/proc/self/fd")) == before
