"""A timer on the event loop that is exact to some tens of microseconds.

asyncio waits in whole milliseconds, which is eleven bytes at 115200 baud. On Linux a timer
descriptor (timerfd_create(2)) wakes the loop's own poll on time; elsewhere call_at has to do.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1


class _Spec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Alarm:
    """Calls `ring` once `time.monotonic` has passed the moment last set; never before it."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._when_s = 0.0
        self._fd = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None)
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            self._spec = _Spec()
            self._pointer = ctypes.byref(self._spec)
            self._loop.add_reader(self._fd, self._expired)

    def set(self, when_s: float | None) -> None:
        """Ring at when_s on the monotonic clock; None: not at all. One moment at a time."""
        if self._fd < 0:
            self._set_handle(when_s)
            return
        nanoseconds = 0 if when_s is None else max(1, int(when_s * 1e9) + 1)
        self._spec.value_s, self._spec.value_ns = divmod(nanoseconds, 1_000_000_000)
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, self._pointer, None)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # set anew between the expiry and now
        self._ring()

    def _set_handle(self, when_s: float | None) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if when_s is not None:
            self._when_s = when_s
            self._handle = self._loop.call_at(when_s, self._early_or_ring)

    def _early_or_ring(self) -> None:
        # asyncio lets a timer run up to its clock's resolution before its time.
        if time.monotonic() < self._when_s:
            self._set_handle(self._when_s)
        else:
            self._handle = None
            self._ring()
