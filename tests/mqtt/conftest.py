"""A real mosquitto on a free port of 127.0.0.1, which a test may stop and start again."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing


class Broker:
    """`url`, and a process that comes and goes."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._program = program
        self._file = folder / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure("allow_anonymous true")

    def configure(self, *lines: str) -> None:
        head = f"listener {self.port} 127.0.0.1"
        self._file.write_text("\n".join((head, "persistence false", *lines)) + "\n")

    def start(self) -> None:
        self._process = subprocess.Popen(
            (self._program, "-c", str(self._file)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end_s = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < end_s, "mosquitto does not start"
                time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        missing("mosquitto is missing", "apt-get install mosquitto")
    broker = Broker(program, tmp_path)
    broker.start()
    yield broker
    broker.stop()
