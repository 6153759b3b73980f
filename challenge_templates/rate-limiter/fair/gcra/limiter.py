"""The decision: the generic cell rate algorithm (ITU-T I.371) with a burst of half the limit, in this replica alone."""

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
    """Of each key, the theoretical arrival time: when all of its burst is free again, in microseconds."""

    def __init__(self) -> None:
        self._limits: dict[str, tuple[int, int]] = {}
        self._free_at: dict[str, float] = {}
        self._round: deque[str] = deque()

    def set_limit(self, key: str, limit: int, window_ms: int) -> None:
        self._limits[key] = (limit, window_ms)

    def spend(self, key: str, cost: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        if key not in self._limits:
            raise UnknownKeyError
        limit, window_ms = self._limits[key]
        now, gap = time.monotonic_ns() // 1000, window_ms * 1000 / limit
        self._forget_old_keys(now)
        free_at = max(self._free_at.get(key, 0), now)
        burst = max(1, math.ceil(limit / 2)) if cost <= math.ceil(limit / 2) else limit
        used = math.ceil((free_at - now) / gap)
        if cost > limit:
            return Decision(False, used, limit, window_ms, window_ms)
        wait = free_at + cost * gap - burst * gap - now
        if wait > 0:
            return Decision(False, used, limit, window_ms, math.ceil(wait / 1000))
        if cost > 0:
            if key not in self._free_at:
                self._round.append(key)
            self._free_at[key] = free_at + cost * gap
        return Decision(True, math.ceil(used + cost), limit, window_ms, 0)

    def _forget_old_keys(self, now: int) -> None:
        """Look at two keys, whichever are next. A check adds at most one, so what is over never piles up."""
        for _ in range(min(2, len(self._round))):
            key = self._round.popleft()
            if self._free_at[key] > now:
                self._round.append(key)
            else:
                del self._free_at[key]
