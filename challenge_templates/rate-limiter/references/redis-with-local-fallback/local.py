"""What this replica decides alone: a sliding log for each key, in its memory."""

import time
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Decision:
    allowed: bool
    used: int
    limit: int
    window_ms: int
    retry_after_ms: int


@dataclass
class Log:
    """What was allowed of one key: (microsecond, cost), oldest first, and the sum of the costs."""

    window_ms: int
    entries: deque[tuple[int, int]] = field(default_factory=deque)
    used: int = 0

    def forget(self, until: int) -> None:
        while self.entries and self.entries[0][0] <= until:
            self.used -= self.entries.popleft()[1]

    def room_at(self, units: int) -> int:
        """The time of the entry with which, oldest first, `units` have left."""
        for at, cost in self.entries:
            units -= cost
            if units <= 0:
                return at
        raise ValueError("more units than are used")


class LocalLog:
    """There is one thread and no `await` in here, so every decision is atomic."""

    def __init__(self) -> None:
        self._logs: dict[str, Log] = {}
        self._round: deque[str] = deque()
        """The keys of `_logs`, in the order in which they are looked at next for being over."""

    def spend(self, key: str, cost: int, limit: int, window_ms: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        now = time.monotonic_ns() // 1000
        self._forget_old_keys(now)
        log = self._logs.get(key) or Log(window_ms)
        log.forget(now - window_ms * 1000)
        if cost > limit:
            return Decision(False, log.used, limit, window_ms, window_ms)
        if log.used + cost > limit:
            wait = log.room_at(log.used + cost - limit) + window_ms * 1000 - now
            return Decision(False, log.used, limit, window_ms, -(-wait // 1000))  # rounded up
        if cost > 0:
            log.entries.append((now, cost))
            log.used += cost
            if key not in self._logs:
                self._logs[key] = log
                self._round.append(key)
        return Decision(True, log.used, limit, window_ms, 0)

    def _forget_old_keys(self, now: int) -> None:
        """Look at two keys, whichever are next. A check adds at most one, so what is over never piles up."""
        for _ in range(min(2, len(self._round))):
            key = self._round.popleft()
            log = self._logs[key]
            log.forget(now - log.window_ms * 1000)
            if log.entries:
                self._round.append(key)
            else:
                del self._logs[key]
