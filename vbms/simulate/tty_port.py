"""Terminal devices: pty pairs in raw mode, and real or pseudo ports opened by path.

A pty ignores baud rate and delivers at memory speed; `line.py` gives it the time of a wire.
"""

import contextlib
import fcntl
import os
import termios
import tty
from pathlib import Path

from vbms.errors import LinkError


def make_pty() -> tuple[int, int, str]:
    """(our end, the program's end kept open, its path), both raw, ours non-blocking.

    The program's end stays open here as well, else our end reads EIO whenever nobody has it open.
    """
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    return ours, theirs, os.ttyname(theirs)


def open_tty(path: str, baud: int) -> int:
    """Open and lock a port, 8N1 and raw. Raises LinkError with what to do."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise LinkError(f"{path} does not exist: is the adapter plugged in?") from None
    except PermissionError:
        raise LinkError(
            f"no permission for {path}: add the user to the group dialout and log in again"
        ) from None
    except OSError as error:
        raise LinkError(f"{path}: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise LinkError(f"{path} is in use: stop the other program first") from None
    try:
        _configure(fd, baud)
    except (termios.error, LinkError) as error:
        os.close(fd)
        raise LinkError(f"{path}: {error}") from None
    return fd


def _configure(fd: int, baud: int) -> None:
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise LinkError(f"{baud} baud is not a speed this system knows")
    tty.setraw(fd)
    settings = termios.tcgetattr(fd)
    settings[2] &= ~(termios.CSIZE | termios.PARENB | termios.CSTOPB | termios.CRTSCTS)
    settings[2] |= termios.CS8 | termios.CREAD | termios.CLOCAL
    settings[4] = settings[5] = speed
    settings[6][termios.VMIN] = 0
    settings[6][termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSANOW, settings)
    termios.tcflush(fd, termios.TCIOFLUSH)


def is_pty(fd: int) -> bool:
    """True for a pseudo terminal: there, nothing but our own clock takes a byte's time."""
    with contextlib.suppress(OSError):
        return Path(os.ttyname(fd)).parts[:3] == ("/", "dev", "pts")
    return False
