"""The decision: a counter per key for the current window. Windows are fixed, and begin with this process."""

import math
import time
from collections import deque
from dataclasses import dataclass


class UnknownKeyError(Exception):
    """No limit was set for the key."""


@dataclass(frozen=True)
class Decision:
    allowed: bool
    used: int
    limit: int
    window_ms: int
    retry_after_ms: int


class Limiter:
    """Of each key, the number of its last window and what was allowed in it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._limits: dict[str, tuple[int, int]] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._round: deque[str] = deque()

    def set_limit(self, key: str, limit: int, window_ms: int) -> None:
        self._limits[key] = (limit, window_ms)

    def spend(self, key: str, cost: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        if key not in self._limits:
            raise UnknownKeyError
        limit, window_ms = self._limits[key]
        self._forget_old_keys()
        window, past_ms = self._at(window_ms)
        last, units = self._counts.get(key, (window, 0))
        used = units if last == window else 0
        if used + cost > limit:
            wait_ms = window_ms if cost > limit else math.ceil(window_ms - past_ms)
            return Decision(False, used, limit, window_ms, wait_ms)
        if cost > 0:
            if key not in self._counts:
                self._round.append(key)
            self._counts[key] = (window, used + cost)
        return Decision(True, used + cost, limit, window_ms, 0)

    def _at(self, window_ms: int) -> tuple[int, float]:
        """The number of the current window of this length, and how many ms of it are over."""
        window, past_ms = divmod((time.monotonic() - self._began) * 1000, window_ms)
        return int(window), past_ms

    def _forget_old_keys(self) -> None:
        """Look at two keys, whichever are next. A check adds at most one, so what is over never piles up."""
        for _ in range(min(2, len(self._round))):
            key = self._round.popleft()
            if self._counts[key][0] == self._at(self._limits[key][1])[0]:
                self._round.append(key)
            else:
                del self._counts[key]
