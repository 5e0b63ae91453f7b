"""`vbms simulate`: the path first, an answer on it, a clean stop, clear refusals."""

import os
import select
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from vbms.commands.simulate import command

RUN = (sys.executable, "-c", "from vbms.commands.simulate import command; command()")


@contextmanager
def playing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A running simulator and its port."""
    process = subprocess.Popen(
        (*RUN, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        path = process.stdout.readline().strip()
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(fd)
        yield process, fd
        os.close(fd)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def ask(fd: int, request: str, size: int) -> bytes:
    os.write(fd, bytes.fromhex(request))
    data, until_s = b"", time.monotonic() + 2
    while len(data) < size and select.select([fd], [], [], max(0, until_s - time.monotonic()))[0]:
        data += os.read(fd, 4096)
    return data


def test_plays_two_modules_and_stops_on_sigterm() -> None:
    with playing("byd-pro", "--address", "4", "7") as (process, fd):
        assert ask(fd, "040004010355aa07", 105)[0] == 4
        assert ask(fd, "070004010355aa07", 105)[0] == 7
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0 and time.monotonic() - began_s < 2
        assert process.stderr is not None and process.stderr.read() == ""


def test_plays_a_jk_with_a_fault_at_once() -> None:
    arguments = ("jk_pb", "--cells", "8", "--fault", "refuse", "--fault-at", "0")
    with playing(*arguments) as (process, fd):
        time.sleep(0.2)
        assert ask(fd, "011016200001020000d6f1", 5)[:3].hex() == "019002"
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0


def test_a_jk_master_talks_by_itself() -> None:
    with playing("jk_pb", "--address", "0") as (_, fd):
        heard, until_s = b"", time.monotonic() + 5
        # The first may have come before the port was opened here; the next unit's is as good.
        while (
            len(heard) < 22 and select.select([fd], [], [], max(0, until_s - time.monotonic()))[0]
        ):
            heard += os.read(fd, 100)
        assert bytes.fromhex("1016200001020000") in heard


def test_the_inverter_asks() -> None:
    with playing("deye") as (process, fd):
        assert select.select([fd], [], [], 2)[0]
        time.sleep(0.02)
        assert os.read(fd, 100).hex() == "0011c1bc"
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert process.stdout is not None and "violations" in process.stdout.read()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["acme"], "acme: there are byd_pro, "),
        (["byd_pro", "7"], "unexpected 7"),
        (["byd_pro", "--address", "x"], "x is no address"),
        (["jk_pb", "--address", "16"], "16 is not in 0..15"),
        (["jk_pb", "--address", "1-3,2"], "each address once"),
        (["byd_pro", "--fault", "fire"], "fire: there are silence"),
        (["byd_pro", "--fault", "bad_crc"], "bad_crc: there are silence"),
        (["deye", "--fault", "late"], "late: there are bad_crc"),
    ],
)
def test_wrong_arguments_exit_2(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2 and text in " ".join(result.output.split())


def test_a_port_that_is_not_there_exits_1() -> None:
    for device in ("byd_pro", "deye"):
        result = CliRunner().invoke(command, [device, "--port", "/dev/nowhere"])
        assert result.exit_code == 1 and "/dev/nowhere does not exist" in result.output
