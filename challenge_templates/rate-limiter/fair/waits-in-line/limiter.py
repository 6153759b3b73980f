"""The decision: a leaky bucket (ITU-T I.371) in which callers queue for a while, in this replica alone."""

import math
import time
from collections import deque
from dataclasses import dataclass

LONGEST_S = 0.5
"""How long a caller may wait in line."""


class UnknownKeyError(Exception):
    """No limit was set for the key."""


@dataclass(frozen=True)
class Decision:
    allowed: bool
    used: int
    limit: int
    window_ms: int
    retry_after_ms: int
    wait_s: float = 0.0
    """Until it is this caller's turn."""


class Limiter:
    """Of each key, when the line is at its end, in seconds."""

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
        now, gap = time.monotonic(), window_ms / 1000 / limit
        self._forget_old_keys(now)
        wait = max(0.0, self._free_at.get(key, 0.0) - now)
        used = min(limit, math.ceil(wait / gap))
        if cost > limit:
            return Decision(False, used, limit, window_ms, window_ms)
        if wait > LONGEST_S and cost > 0:
            return Decision(False, used, limit, window_ms, math.ceil((wait - LONGEST_S) * 1000))
        if cost > 0:
            if key not in self._free_at:
                self._round.append(key)
            self._free_at[key] = now + wait + cost * gap
        return Decision(True, min(limit, used + cost), limit, window_ms, 0, wait)

    def _forget_old_keys(self, now: float) -> None:
        """Look at two keys, whichever are next. A check adds at most one, so what is over never piles up."""
        for _ in range(min(2, len(self._round))):
            key = self._round.popleft()
            if self._free_at[key] > now:
                self._round.append(key)
            else:
                del self._free_at[key]
