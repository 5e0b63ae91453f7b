"""A relay behind a command: an argument list for on, one for off, no shell."""

import asyncio
import contextlib
import os
import signal
import subprocess

from vbms.errors import LinkError
from vbms.settings.shapes import RelaySettings


class Command:
    """Runs one of two programs; done when it ended with 0 within its time."""

    def __init__(self, on: "tuple[str, ...]", off: "tuple[str, ...]", timeout_ms: int) -> None:
        self._on = on
        self._off = off
        self._timeout_s = timeout_ms / 1000
        self._is_off = False  # for certain

    async def put(self, on: bool) -> None:
        argv = self._on if on else self._off
        self._is_off = False
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise LinkError(f"{argv[0]}: {error.strerror or error}") from None
        try:
            async with asyncio.timeout(self._timeout_s):
                _, said = await process.communicate()
        except TimeoutError:
            raise LinkError(f"{argv[0]} did not end within {self._timeout_s:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # ended; sudo
                    os.killpg(process.pid, signal.SIGKILL)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await process.communicate()
        _judge(argv[0], process.returncode, said)
        self._is_off = not on

    def force_off(self) -> None:
        try:
            done = subprocess.run(
                self._off,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self._timeout_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LinkError(f"{self._off[0]}: {error}") from None
        _judge(self._off[0], done.returncode, done.stderr)

    def close(self) -> None:
        """Where off is not certain, it is told once more, by a program that outlives this one."""
        if not self._is_off:
            away = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
            with contextlib.suppress(OSError):
                os.posix_spawnp(self._off[0], self._off, os.environ, file_actions=away, setpgroup=0)


def _judge(name: str, code: int | None, said: bytes) -> None:
    if code:
        lines = said.decode(errors="replace").strip().splitlines()
        why = f": {lines[-1][:200]}" if lines else ""
        raise LinkError(f"{name} ended with {code}{why}")


def make(settings: RelaySettings) -> Command:
    return Command(settings.on_command, settings.off_command, settings.command_timeout_ms)
