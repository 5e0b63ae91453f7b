"""`vbms selftest` over a pair of ptys: whole, cut, deaf on one side, noisy, in use."""

import asyncio
import json
import os
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from click.testing import CliRunner

from vbms.__main__ import main
from vbms.commands.selftest import ANSWER, REQUEST
from vbms.links.serial_line import SerialLine

Wire = Callable[[bytes], bytes]


@asynccontextmanager
async def pair(
    to_inv: Wire = lambda data: data, to_bms: Wire = lambda data: data, echo: bool = False
) -> AsyncIterator[tuple[str, str, list[bytes]]]:
    """Two ports and the wire between them; what the batteries' port sent."""
    loop = asyncio.get_running_loop()
    ends = [os.openpty(), os.openpty()]
    sent: list[bytes] = []
    for ours, theirs in ends:
        tty.setraw(ours)
        tty.setraw(theirs)
        os.set_blocking(ours, False)

    def carry(source: int) -> None:
        data = os.read(ends[source][0], 4096)
        if source == 0:
            sent.append(data)
        if echo:
            os.write(ends[source][0], data)
        arrived = (to_inv if source == 0 else to_bms)(data)
        if arrived:
            os.write(ends[1 - source][0], arrived)

    for source in (0, 1):
        loop.add_reader(ends[source][0], carry, source)
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1]), sent
    finally:
        for ours, theirs in ends:
            loop.remove_reader(ours)
            os.close(ours)
            os.close(theirs)


async def call(bms: str, inv: str, *words: str) -> tuple[int, str]:
    words = ("selftest", "--bms", bms, "--inv", inv, "--rounds", "2", *words)
    done = await asyncio.to_thread(CliRunner().invoke, main, list(words))
    return done.exit_code, done.output


@pytest.mark.parametrize("echo", [False, True])
async def test_a_good_pair(echo: bool) -> None:
    async with pair(echo=echo) as (bms, inv, sent):
        code, text = await call(bms, inv)
        assert code == 0 and text.startswith("OK: 2 rounds at 9600 baud, both ports hear"), text
        assert b"".join(sent).count(REQUEST) == 2 and REQUEST[1] == 0
        assert ANSWER.hex(" ") == "be c0 01 11 22 33 44 55 66 77 88"
        code, text = await call(bms, inv, "--json")
        found = json.loads(text)
        assert (code, found["ok"], found["good"], found["bms"]) == (0, True, 2, bms)


def cut(data: bytes) -> bytes:
    return b""


async def test_which_side_failed() -> None:
    async with pair(cut, cut) as (bms, inv, _):
        code, text = await call(bms, inv)
        assert code == 1 and f"FAILED: neither {bms} nor {inv} hears the other" in text
    async with pair(cut) as (bms, inv, _):
        code, text = await call(bms, inv)
        assert code == 1 and f"{inv} hears nothing of what {bms} sends" in text
        assert f"the driver of {bms} or the receiver of {inv}" in text
    async with pair(to_bms=cut) as (bms, inv, _):
        code, text = await call(bms, inv)
        assert code == 1 and f"{bms} hears nothing of what {inv} answers" in text
    async with pair(lambda data: bytes(each ^ 1 for each in data)) as (bms, inv, _):
        code, text = await call(bms, inv)
        assert code == 1 and "hears 8 bytes, 0 of 8 right" in text
    async with pair(lambda data: data[:-1], lambda data: data[1:]) as (bms, inv, _):
        code, text = await call(bms, inv)
        assert code == 1 and "damaged both ways" in text and "round 1 of 2" in text


async def test_nothing_is_sent_where_somebody_speaks() -> None:
    async with pair() as (bms, inv, sent):
        calling = asyncio.create_task(call(bms, inv))
        other = os.open(inv, os.O_RDWR | os.O_NOCTTY)
        end = asyncio.get_running_loop().time() + 5
        while not calling.done() and asyncio.get_running_loop().time() < end:
            os.write(other, b"\x01\x04")
            await asyncio.sleep(0.05)
        code, text = await calling
        os.close(other)
        assert code == 1 and "before anything was sent" in text
        assert sent == []


async def test_a_port_that_is_not_there() -> None:
    async with pair() as (bms, inv, _sent):
        code, text = await call(bms, "/no/such/port")
        assert code == 1 and "FAILED: /no/such/port does not exist" in text
        busy = SerialLine("other", inv, 9600)
        await busy.open()
        code, text = await call(bms, inv)
        busy.close()
        assert code == 1 and "is in use" in text


def test_one_port_is_no_pair() -> None:
    result = CliRunner().invoke(
        main, ["selftest", "--bms", "/dev/null", "--inv", "/dev/../dev/null"]
    )
    assert result.exit_code == 2 and "are one port" in result.output


@pytest.mark.parametrize(
    "line",
    [
        ["demo", "--seconds", "-1"],
        ["sniff", "/dev/null", "--seconds", "-1"],
        ["scan", "serial", "--baud", "5"],
        ["simulate", "byd_pro", "--fault-at", "-3"],
        ["simulate", "byd_pro", "--address", "x"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_2_and_name_what_is_allowed(line: list[str]) -> None:
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 2, result.output
    assert ">=" in result.output or "<=" in result.output or "0..255" in result.output
