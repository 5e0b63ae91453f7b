"""The far end out of a recording: who is answered, with what, and when."""

import asyncio
from collections.abc import Coroutine, Sequence

import pytest

from vbms.errors import LinkError
from vbms.links.replay_link import ReplayLink, exchanges
from vbms.replaying import JumpingLoop

S = 1_000_000


def run(body: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(body)


async def ask(link: ReplayLink, request: bytes, at_s: float = 0.0) -> list[tuple[int, bytes]]:
    """(ms after the request, bytes) of what comes within a second."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(at_s - loop.time())
    began = loop.time()
    await link.write(request)
    found = []
    while loop.time() < began + 1:
        data = await link.read(50)
        if data:
            found.append((round((loop.time() - began) * 1000), data))
    return found


EVENTS = [
    (5 * S, True, b"A?"),
    (5 * S + 20_000, False, b"a1"),
    (5 * S + 30_000, False, b"a2"),
    (6 * S, True, b"B?"),
    (7 * S, True, b"A?"),
    (8 * S, True, b"B?"),
    (8 * S + 100_000, False, b"b"),
]


def test_asked_again_it_answers_as_it_did() -> None:
    async def body() -> None:
        link = ReplayLink("x", 0, EVENTS, [b"A?", b"B?"], origin_us=5 * S)
        with pytest.raises(LinkError):
            await link.read(0)
        await link.open()
        assert await ask(link, b"A?", 0.0) == [(20, b"a1"), (30, b"a2")]
        assert await ask(link, b"B?", 1.1) == []  # nobody said anything then
        assert await ask(link, b"A?", 2.2) == []
        assert await ask(link, b"B?", 3.3) == [(100, b"b")]
        assert await ask(link, b"C?", 4.4) == []
        assert await ask(link, b"B?", 30.0) == [(100, b"b")]  # the nearest there is
        assert await ask(link, b"B?", 60.0) == []
        assert link.written == 7

    run(body())


def test_a_sniffed_line_is_both_sides() -> None:
    stream = b"..A?a1a2B?A?B?b"

    def cut(sizes: Sequence[int]) -> list[tuple[int, bool, bytes]]:
        events, at, us = [], 0, 0
        for size in sizes:
            events.append((us, False, stream[at : at + size]))
            at, us = at + size, us + 1000
        return events

    for sizes in ([15], [1] * 15, [3, 4, 5, 3], [2, 2, 4, 2, 2, 2, 1]):
        found = exchanges(cut(sizes), [b"A?", b"B?"])
        said = [(each.request, b"".join(data for _, data in each.heard)) for each in found]
        assert said == [(b"A?", b"a1a2"), (b"B?", b""), (b"A?", b""), (b"B?", b"b")], sizes
        assert all(after >= 0 for each in found for after, _ in each.heard)


def test_without_requests_all_comes_at_its_time() -> None:
    async def body() -> None:
        link = ReplayLink("x", 0, EVENTS, origin_us=5 * S)
        await link.open()
        assert await link.read(10) == b""
        assert await link.read(1000) == b"a1"
        loop = asyncio.get_running_loop()
        assert round(loop.time() * 1000) == 20
        await link.write(b"never mind")
        assert await link.read(1000) == b"a2"
        assert await link.read(5000) == b"b"
        assert round(loop.time() * 1000) == 3100
        assert await link.read(5000) == b""

    run(body())
