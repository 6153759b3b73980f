"""The decision: two windows that begin with the epoch, and a weight for the earlier one, in this replica alone."""

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


@dataclass
class Counts:
    """Of one key: the number of a window, what was allowed in it, and what in the one before."""

    window: int
    now: int = 0
    before: int = 0

    def turn_to(self, window: int) -> None:
        if window != self.window:
            self.before = self.now if window == self.window + 1 else 0
            self.now, self.window = 0, window


class Limiter:
    def __init__(self) -> None:
        self._limits: dict[str, tuple[int, int]] = {}
        self._counts: dict[str, Counts] = {}
        self._round: deque[str] = deque()

    def set_limit(self, key: str, limit: int, window_ms: int) -> None:
        self._limits[key] = (limit, window_ms)

    def spend(self, key: str, cost: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        if key not in self._limits:
            raise UnknownKeyError
        limit, window_ms = self._limits[key]
        self._forget_old_keys()
        window, past_ms = divmod(time.time() * 1000, window_ms)
        counts = self._counts.get(key) or Counts(int(window))
        counts.turn_to(int(window))
        estimate = counts.before * (1 - past_ms / window_ms) + counts.now
        used = math.ceil(estimate)
        if cost > limit:
            return Decision(False, used, limit, window_ms, window_ms)
        if estimate + cost > limit:
            wait = _wait_ms(counts, cost, limit, past_ms, window_ms)
            return Decision(False, used, limit, window_ms, math.ceil(wait) + 1)
        if cost > 0:
            counts.now += cost
            if key not in self._counts:
                self._counts[key] = counts
                self._round.append(key)
        return Decision(True, min(limit, math.ceil(estimate + cost)), limit, window_ms, 0)

    def _forget_old_keys(self) -> None:
        """Look at two keys, whichever are next. A check adds at most one, so what is over never piles up."""
        for _ in range(min(2, len(self._round))):
            key = self._round.popleft()
            if self._counts[key].window + 1 < time.time() * 1000 // self._limits[key][1]:
                del self._counts[key]
            else:
                self._round.append(key)


def _wait_ms(counts: Counts, cost: int, limit: int, past_ms: float, window_ms: int) -> float:
    """Until enough of the earlier window has faded, or of this one when it is the earlier one."""
    if counts.now + cost <= limit:
        return (1 - (limit - counts.now - cost) / counts.before) * window_ms - past_ms
    return window_ms - past_ms + (1 - (limit - cost) / counts.now) * window_ms
