"""The system's own files, below a folder that a test may choose."""

import grp
import os
import stat
from pathlib import Path


class Machine:
    """Reads /sys, /proc, /dev and /run; what cannot be read is unknown, never an error."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def read(self, path: str) -> str | None:
        try:
            return self.at(path).read_text("utf-8", "replace").strip("\x00\n ")
        except OSError:
            return None

    def names(self, folder: str) -> list[str]:
        """What a folder holds, sorted; nothing where there is none."""
        try:
            return sorted(os.listdir(self.at(folder)))
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        return self.at(path).exists()

    def real(self, path: str) -> str:
        """The path behind links, as it is called below the root."""
        found = os.path.realpath(self.at(path))
        root = os.path.realpath(self.root)
        return found if root == "/" else found.removeprefix(root)

    def is_device(self, path: str) -> bool:
        try:
            return stat.S_ISCHR(os.stat(self.at(path)).st_mode)
        except OSError:
            return False

    def may_use(self, path: str) -> bool:
        return os.access(self.at(path), os.R_OK | os.W_OK)

    def group_of(self, path: str) -> str:
        """The group that owns it, by name."""
        try:
            return grp.getgrgid(os.stat(self.at(path)).st_gid).gr_name
        except (OSError, KeyError):
            return "?"

    def users_of(self, path: str) -> list[str]:
        """Programs that have this open, as `name (pid)`; only those that this user may see."""
        wanted = self.real(path)
        found = []
        for pid in self.names("/proc"):
            if not pid.isdigit():
                continue
            for number in self.names(f"/proc/{pid}/fd"):
                try:
                    target = os.readlink(self.at(f"/proc/{pid}/fd/{number}"))
                except OSError:
                    continue
                if target == wanted:
                    found.append(f"{self.read(f'/proc/{pid}/comm') or '?'} ({pid})")
                    break
        return found

    def driver_of(self, tty: str) -> str | None:
        """The kernel driver of /dev/NAME, such as ftdi_sio, ch341-uart or uart-pl011."""
        for place in ("device/driver", "device/../driver"):
            path = self.at(f"/sys/class/tty/{tty}/{place}")
            if path.exists():
                return os.path.basename(os.path.realpath(path))
        return None
