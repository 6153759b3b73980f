"""Rate limiters made up in memory that are right and unusual, each named for what it does."""

from support.limiters import FixedWindow, Gcra, HonestLimiter, SlidingCounter

from crucible.authoring.memory_lab import EPOCH_NS, MS


class FixedWindowOfEachProcess(FixedWindow):
    """Counts in each replica, in windows that began when that replica did; a sweep empties all keys at once."""

    def __init__(self, phase_ms: int = 700) -> None:
        super().__init__(0)
        self.phase_ms = phase_ms

    def counter(self, key: str, target: str) -> str:
        return f"{target} {key}"

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        self.epoch_ns = self.began(target)
        return super().admits(key, cost, target, at_ns)

    def used(self, key: str, target: str, at_ns: int) -> int:
        self.epoch_ns = self.began(target)
        return super().used(key, target, at_ns)

    def began(self, target: str) -> int:
        return EPOCH_NS + self.phase_ms * (1 + int(target.removeprefix("web."))) * MS


class BucketOfEachProcess(Gcra):
    """A token bucket in each replica."""

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        self.limits[f"{target} {key}"] = self.limits[key]
        return super().admits(f"{target} {key}", cost, target, at_ns)

    def used(self, key: str, target: str, at_ns: int) -> int:
        self.limits[f"{target} {key}"] = self.limits[key]
        return super().used(f"{target} {key}", target, at_ns)

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        return super().retry_after_ms(f"{target} {key}", cost, target, at_ns)


class QueuesCallers(HonestLimiter):
    """A leaky bucket: one unit after the other at an even pace, for which a caller waits in line, but not for long."""

    def __init__(self, most_ms: int = 900) -> None:
        super().__init__()
        self.most_ns = most_ms * MS
        self.next_ns: dict[str, int] = {}

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        n, window_ns = self.limits[key]
        free_ns = max(self.next_ns.get(key, 0), at_ns)
        if cost > n or free_ns - at_ns > self.most_ns:
            return False
        self.next_ns[key] = free_ns + cost * window_ns // n
        self.hold_ms = (free_ns - at_ns) / MS
        return True

    def used(self, key: str, target: str, at_ns: int) -> int:
        n, window_ns = self.limits[key]
        return -(-max(0, self.next_ns.get(key, 0) - at_ns) * n // window_ns)

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        return max(0, -(-(self.next_ns.get(key, 0) - at_ns - self.most_ns) // MS)) + 1

    def store_crashed(self, service: str) -> None:
        super().store_crashed(service)
        self.next_ns.clear()


class SaysHowLongForWhatNeverFits(HonestLimiter):
    """A cost above the limit has a hint as any other, which is not true, and leaves the state as it is."""

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        n, window_ns = self.limits[key]
        return cost * window_ns // n // MS if cost > n else super().retry_after_ms(key, cost, target, at_ns)


class WeighsAndRoundsUp(SlidingCounter):
    """Two windows and a weight, in whole units: it refuses a little too early, and its `used` is an estimate."""

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        return self.used(key, target, at_ns) + cost <= self.limits[key][0] and super().admits(key, cost, target, at_ns)

    def used(self, key: str, target: str, at_ns: int) -> int:
        window, past_ns = divmod(self.epoch_ns + at_ns, self.limits[key][1])
        before = self.in_window.get((key, window - 1), 0) * (1 - past_ns / self.limits[key][1])
        return -int(-before // 1) + self.in_window.get((key, window), 0)


class SweepsWindowsOfKeys(HonestLimiter):
    """A window begins with the first unit of a key, and is over when a sweep, ten times a second, finds it so."""

    def counts(self, granted_ns: int, now_ns: int, window_ns: int) -> bool:
        return True

    def end_ns(self, key: str) -> int:
        sweep_ns = 100 * MS
        return -(-(self.log[key][0][0] + self.limits[key][1]) // sweep_ns) * sweep_ns

    def swept(self, key: str, at_ns: int) -> None:
        if self.log.get(key) and at_ns >= self.end_ns(key):
            del self.log[key]

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        self.swept(key, at_ns)
        return super().admits(key, cost, target, at_ns)

    def used(self, key: str, target: str, at_ns: int) -> int:
        self.swept(key, at_ns)
        return super().used(key, target, at_ns)

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        return -(-(self.end_ns(key) - at_ns) // MS) if self.log.get(key) else self.limits[key][1] // MS


class CountsInTenths(HonestLimiter):
    """Counts in slots of a tenth of the window, and a slot counts until all of it has left."""

    def counts(self, granted_ns: int, now_ns: int, window_ns: int) -> bool:
        slot_ns = window_ns // 10
        return granted_ns // slot_ns > now_ns // slot_ns - 11

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        """Of what is in the oldest slots: when they have left."""
        n, window_ns = self.limits[key]
        slot_ns = window_ns // 10
        left = n - self.used(key, target, at_ns)
        for at, units in self.log.get(key, []) if cost <= n else ():
            left += units if self.counts(at, at_ns, window_ns) else 0
            if left >= cost:
                return max(0, -(-((at // slot_ns + 11) * slot_ns - at_ns) // MS))
        return window_ns // MS
