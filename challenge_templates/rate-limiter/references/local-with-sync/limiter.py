"""The decision: a sliding log in the memory of this replica, which hears a tenth of a second later of the others."""

import time
from bisect import insort
from collections import deque
from dataclasses import dataclass, field

from exchange import Exchange


class UnknownKeyError(Exception):
    """No limit was set for the key, as far as this replica has heard."""


@dataclass(frozen=True)
class Decision:
    allowed: bool
    used: int
    limit: int
    window_ms: int
    retry_after_ms: int


@dataclass
class Log:
    """What was allowed of one key, here and elsewhere: (microsecond, cost), oldest first, and the sum of the costs."""

    entries: list[tuple[int, int]] = field(default_factory=list)
    used: int = 0

    def forget(self, until: int) -> None:
        over = 0
        while over < len(self.entries) and self.entries[over][0] <= until:
            self.used -= self.entries[over][1]
            over += 1
        del self.entries[:over]

    def add(self, at: int, cost: int) -> None:
        insort(self.entries, (at, cost))
        self.used += cost

    def room_at(self, units: int) -> int:
        """The time of the entry with which, oldest first, `units` have left."""
        for at, cost in self.entries:
            units -= cost
            if units <= 0:
                return at
        raise ValueError("more units than are used")


class Limiter:
    """There is one thread and no `await` in a decision, so it is atomic here; clocks of replicas are about the same."""

    def __init__(self) -> None:
        self._limits: dict[str, tuple[int, int]] = {}
        self._logs: dict[str, Log] = {}
        self._round: deque[str] = deque()
        """The keys of `_logs`, in the order in which they are looked at next for being over."""
        self._exchange = Exchange(self._heard_limit, self._heard_spent)

    def set_limit(self, key: str, limit: int, window_ms: int) -> None:
        self._limits[key] = (limit, window_ms)
        self._exchange.tell_limit(key, limit, window_ms)

    def _heard_limit(self, key: str, limit: int, window_ms: int) -> None:
        self._limits[key] = (limit, window_ms)

    def _heard_spent(self, key: str, at: int, cost: int) -> None:
        self._log_of(key).add(at, cost)

    def _log_of(self, key: str) -> Log:
        if key not in self._logs:
            self._logs[key] = Log()
            self._round.append(key)
        return self._logs[key]

    def spend(self, key: str, cost: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        if key not in self._limits:
            raise UnknownKeyError
        limit, window_ms = self._limits[key]
        now = time.time_ns() // 1000
        self._forget_old_keys(now)
        log = self._log_of(key)
        log.forget(now - window_ms * 1000)
        if cost > limit:
            return Decision(False, log.used, limit, window_ms, window_ms)
        if log.used + cost > limit:
            wait = log.room_at(log.used + cost - limit) + window_ms * 1000 - now
            return Decision(False, log.used, limit, window_ms, max(0, -(-wait // 1000)))  # rounded up
        if cost > 0:
            log.add(now, cost)
            self._exchange.tell_spent(key, now, cost)
        return Decision(True, log.used, limit, window_ms, 0)

    def _forget_old_keys(self, now: int) -> None:
        """Look at a few keys, whichever are next. A check adds at most one, so what is over never piles up."""
        for _ in range(min(4, len(self._round))):
            key = self._round.popleft()
            log = self._logs[key]
            log.forget(now - self._limits.get(key, (0, 60_000))[1] * 1000)
            if log.entries:
                self._round.append(key)
            else:
                del self._logs[key]

    async def close(self) -> None:
        await self._exchange.close()
