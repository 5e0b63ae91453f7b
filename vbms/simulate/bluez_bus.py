"""A D-Bus daemon of our own on a private socket, for a simulated BlueZ. Nobody's system bus.

bleak follows DBUS_SYSTEM_BUS_ADDRESS: whoever owns org.bluez on that bus is BlueZ for it. The
address is set for this process and what it starts, and put back when the daemon ends. Needs the
program `dbus-daemon` (Debian: dbus).
"""

import asyncio
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from vbms.errors import LinkError

VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"
_START_S = 10.0
_CONF = """<busconfig><type>custom</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>
"""


def is_available() -> bool:
    return shutil.which("dbus-daemon") is not None


class PrivateBus:
    """`address` once started. `kill` and `start` again: the same address, as after a crash."""

    def __init__(self) -> None:
        # A socket's path holds 107 bytes: no deep folder.
        self._folder = tempfile.mkdtemp(prefix="bz-")
        self._daemon: asyncio.subprocess.Process | None = None
        self._before: str | None = None
        self._is_set = False
        self.address = f"unix:path={self._folder}/bus"

    async def start(self) -> None:
        """Raises LinkError where the daemon cannot be had."""
        if not is_available():
            raise LinkError("dbus-daemon is missing: apt-get install dbus")
        conf = Path(self._folder) / "conf"
        conf.write_text(_CONF.format(socket=f"{self._folder}/bus"), encoding="utf-8")
        self._daemon = await asyncio.create_subprocess_exec(
            *("dbus-daemon", f"--config-file={conf}", "--nofork", "--nopidfile", "--print-address"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._daemon.stdout is not None
        try:
            async with asyncio.timeout(_START_S):
                said = await self._daemon.stdout.readline()
        except TimeoutError:
            said = b""
        if not said:
            await self.kill()
            raise LinkError("dbus-daemon does not start")

    def enter(self) -> None:
        """From now on this is the system bus of this process."""
        self._before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = self.address
        self._is_set = True

    async def kill(self) -> None:
        """The daemon dies, as in a crash."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            with contextlib.suppress(ProcessLookupError):
                daemon.kill()
            await daemon.wait()

    async def close(self) -> None:
        """End it, and leave the environment as it was."""
        if self._is_set:
            self._is_set = False
            if self._before is None:
                os.environ.pop(VARIABLE, None)
            else:
                os.environ[VARIABLE] = self._before
        await self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
