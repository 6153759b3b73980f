"""Sleeping until an absolute moment inside a gevent loop, to some tens of microseconds.

`gevent.sleep` rounds up to whole milliseconds, and spinning would starve the answers; a timerfd (timerfd_create(2))
does neither. Where the system has none, gevent's own timer has to do.
"""

import ctypes
import os
import sys
import time
from types import TracebackType

import gevent
from gevent.hub import get_hub

_READ = 1
_ABSOLUTE = 1
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK


class _Times(ctypes.Structure):
    """struct itimerspec."""

    _fields_ = (
        ("interval_s", ctypes.c_long), ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long), ("value_ns", ctypes.c_long),
    )  # fmt: skip


class Timer:
    """One sleeper's timer, on the clock of `time.monotonic_ns`."""

    def __init__(self) -> None:
        self._fd = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _CLOEXEC_NONBLOCK)
        if self._fd >= 0:
            self._ready = get_hub().loop.io(self._fd, _READ)

    def __enter__(self) -> "Timer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._fd >= 0:
            self._ready.close()
            os.close(self._fd)

    def sleep_until(self, moment_ns: int) -> None:
        """Return at `moment_ns`, or at once where that is past; others get their turn meanwhile."""
        if moment_ns <= time.monotonic_ns():
            gevent.sleep(0)
            return
        if self._fd < 0:
            gevent.sleep((moment_ns - time.monotonic_ns()) / 1e9)
            return
        times = _Times(0, 0, moment_ns // 1_000_000_000, max(1, moment_ns % 1_000_000_000))
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(times), None)
        get_hub().wait(self._ready)
        os.read(self._fd, 8)
