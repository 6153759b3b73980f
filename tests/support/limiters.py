"""Rate limiters made up in memory that keep the contract, each named for what it does; `MemoryLab` runs scenarios on
them."""

import json
from collections.abc import Sequence
from random import Random

from pydantic import JsonValue

from crucible.authoring.memory_lab import MS, LateAnswer, MadeUp, MemoryLab


class HonestLimiter(MadeUp):
    """An exact sliding log behind the whole contract, shared by all replicas, in a store that a crash empties.

    Without its store it fails closed, fast.
    """

    def __init__(self) -> None:
        self.limits: dict[str, tuple[int, int]] = {}
        self.log: dict[str, list[tuple[int, int]]] = {}

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        n, window_ns = self.limits[key]
        counter = self.counter(key, target)
        used = sum(units for at, units in self.log.get(counter, []) if self.counts(at, at_ns, window_ns))
        if used + cost <= n:
            self.log.setdefault(counter, []).append((at_ns, cost))
        else:
            self.refuse(counter, cost, at_ns, n - used)
        return used + cost <= n

    def counter(self, key: str, target: str) -> str:
        return key

    def counts(self, granted_ns: int, now_ns: int, window_ns: int) -> bool:
        return granted_ns > now_ns - window_ns

    def used(self, key: str, target: str, at_ns: int) -> int:
        log, window_ns = self.log.get(self.counter(key, target), []), self.limits[key][1]
        return sum(units for at, units in log if self.counts(at, at_ns, window_ns))

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        """Milliseconds until `cost` fits, by what is in the log."""
        n, window_ns = self.limits[key]
        log = self.log.get(self.counter(key, target), [])
        left = n - self.used(key, target, at_ns)
        for at, units in log if cost <= n else ():
            left += units if self.counts(at, at_ns, window_ns) else 0
            if left >= cost:
                return max(0, -(-(at + window_ns - at_ns) // MS))
        return window_ns // MS

    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        """503: at once where the store refuses, after the timeout where it hangs."""
        return LateAnswer(503, {"error": "the store does not answer"}, 1 if fault == "refuse" else 250)

    def store_crashed(self, service: str) -> None:
        self.limits.clear()
        self.log.clear()

    def processes_crashed(self, targets: Sequence[str]) -> None:
        pass

    def footprint(self, now_ns: int) -> dict[str, int]:
        """100 bytes for each unit that still counts and for each limit."""
        longest_ns = max((window_ns for _, window_ns in self.limits.values()), default=0)
        kept = sum(at > now_ns - min(longest_ns, 1_000 * MS) for log in self.log.values() for at, _ in log)
        return {"redis": 200 * kept + 100 * len(self.limits), "web": 40_000_000}

    def refuse(self, counter: str, cost: int, at_ns: int, left: int) -> None:
        pass

    def malformed(self, text: str, at_ns: int) -> tuple[int, JsonValue]:
        return 400, {"error": "malformed"}

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        key = path.rsplit("/", 1)[1]
        if "%00" in key:
            return 404, {"error": "no such key"}
        if method == "GET":
            if path == "/healthz":
                return 200, {}
            n, window_ns = self.limits.get(key, (0, 0))
            if not n:
                return 404, {}
            return 200, {"used": self.used(key, target, at_ns), "limit": n, "window_ms": window_ns // MS}
        try:
            body = json.loads(text, parse_constant=lambda word: word, object_pairs_hook=dict)
            if method == "PUT":
                n, window_ms = body["limit"], body["window_ms"]
                if type(n) is not int or type(window_ms) is not int or n < 1 or window_ms < 100:
                    return self.malformed(text, at_ns)
                self.limits[key] = (n, window_ms * MS)
                return 200, {"limit": n, "window_ms": window_ms}
            key, cost = body["key"], body.get("cost", 1)
            if type(key) is not str or type(cost) is not int or cost < 1:
                return self.malformed(text, at_ns)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return self.malformed(text, at_ns)
        if key not in self.limits:
            return 404, {"error": "unknown key"}
        if self.admits(key, cost, target, at_ns):
            return 200, {"allowed": True, "remaining": 0}
        return 429, {"allowed": False, "retry_after_ms": self.retry_after_ms(key, cost, target, at_ns)}


class FixedWindow(HonestLimiter):
    def __init__(self, epoch_ns: int) -> None:
        super().__init__()
        self.epoch_ns = epoch_ns

    def counts(self, granted_ns: int, now_ns: int, window_ns: int) -> bool:
        return (granted_ns + self.epoch_ns) // window_ns == (now_ns + self.epoch_ns) // window_ns

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        window_ns = self.limits[key][1]
        return -(-(window_ns - (at_ns + self.epoch_ns) % window_ns) // MS)


class Gcra(HonestLimiter):
    """Refills steadily; its burst is the limit, or half of it."""

    def __init__(self, burst: float = 1.0) -> None:
        super().__init__()
        self.burst = burst
        self.level: dict[str, tuple[int, float]] = {}

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        level = self.level_at(key, at_ns)
        self.level[key] = (at_ns, level - cost if cost <= level else level)
        return cost <= level

    def level_at(self, key: str, at_ns: int) -> float:
        n, window_ns = self.limits[key]
        most = self.most(n)
        then_ns, level = self.level.get(key, (at_ns, most))
        return min(most, level + n * (at_ns - then_ns) / window_ns)

    def most(self, n: int) -> float:
        """What may come at once, and that is 1 at least."""
        return max(1.0, n * self.burst)

    def used(self, key: str, target: str, at_ns: int) -> int:
        return int(self.most(self.limits[key][0]) - self.level_at(key, at_ns))

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        n, window_ns = self.limits[key]
        missing = min(cost, self.most(n)) - self.level_at(key, at_ns)
        return max(0, -(-int(missing * window_ns / n + 0.5) // MS))

    def store_crashed(self, service: str) -> None:
        super().store_crashed(service)
        self.level.clear()


class SlidingCounter(HonestLimiter):
    """Two fixed windows, of which the earlier one is weighed by how much of it the sliding one still covers."""

    def __init__(self, epoch_ns: int) -> None:
        super().__init__()
        self.epoch_ns = epoch_ns
        self.in_window: dict[tuple[str, int], int] = {}

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        n, window_ns = self.limits[key]
        window, past_ns = divmod(self.epoch_ns + at_ns, window_ns)
        now, before = self.in_window.get((key, window), 0), self.in_window.get((key, window - 1), 0)
        if fits := before * (1 - past_ns / window_ns) + now + cost <= n:
            self.in_window[key, window] = now + cost
        return fits

    def used(self, key: str, target: str, at_ns: int) -> int:
        window, past_ns = divmod(self.epoch_ns + at_ns, self.limits[key][1])
        before = self.in_window.get((key, window - 1), 0) * (1 - past_ns / self.limits[key][1])
        return int(before) + self.in_window.get((key, window), 0)

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        """The end of the window, or when enough of the earlier one has faded."""
        n, window_ns = self.limits[key]
        window, past_ns = divmod(self.epoch_ns + at_ns, window_ns)
        now, before = self.in_window.get((key, window), 0), self.in_window.get((key, window - 1), 0)
        if now + cost <= n and before:
            return max(0, -(-int((1 - (n - now - cost) / before) * window_ns - past_ns) // MS)) + 1
        fades = max(0.0, 1 - (n - cost) / now) if now else 0.0
        return -(-int(window_ns - past_ns + fades * window_ns) // MS) + 1

    def store_crashed(self, service: str) -> None:
        super().store_crashed(service)
        self.in_window.clear()


class FailsNowAndThen(HonestLimiter):
    """One request in fifty gets a 503, before it is looked at or after."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = Random(11)

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        fate = self.rng.random()
        done = super().answer(at_ns, target, method, path, text) if fate > 0.01 else (503, None)
        return (503, {"error": "try again"}) if fate < 0.02 else done


class GivesUpOnAFarStore(HonestLimiter):
    """Answers `status` by itself while its store is 20 ms away, and for some seconds after that."""

    def __init__(self, lab: MemoryLab, status: int, for_s: float = 0.0) -> None:
        super().__init__()
        self.lab, self.status, self.for_ns = lab, status, int(for_s * 1e9)

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        lab = self.lab
        recovering = lab.near_since_ns and at_ns < lab.near_since_ns + self.for_ns
        if path == "/v1/check" and (lab.services_ms > 1 or recovering):
            return self.status, {"allowed": True, "remaining": 0}
        return super().answer(at_ns, target, method, path, text)


class IsHalfSilentOnAFarStore(GivesUpOnAFarStore):
    """Gives up on every second check only, as a pool does that is too small for the distance."""

    turn = 0

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        self.turn += 1
        if self.turn % 2:
            return HonestLimiter.answer(self, at_ns, target, method, path, text)
        return super().answer(at_ns, target, method, path, text)


class InProcess(HonestLimiter):
    """A sliding log in each replica; a crash of the replica empties it."""

    def counter(self, key: str, target: str) -> str:
        return f"{target} {key}"

    def processes_crashed(self, targets: Sequence[str]) -> None:
        for target in targets:
            for counter in [it for it in self.log if it.startswith(f"{target} ")]:
                del self.log[counter]


class FailsOpen(HonestLimiter):
    """Lets everybody through while its store is away."""

    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        if path == "/v1/check":
            return LateAnswer(200, {"allowed": True, "remaining": 0}, 1 if fault == "refuse" else 250)
        return super().without_store(at_ns, target, method, path, text, fault=fault)


class DecidesAloneMeanwhile(HonestLimiter):
    """Counts in each replica while its store is away, by limits that it remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.alone: dict[str, int] = {}
        self.remembered: dict[str, tuple[int, int]] = {}

    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        body = json.loads(text or "null")
        if path != "/v1/check" or body["key"] not in self.remembered:
            return super().without_store(at_ns, target, method, path, text, fault=fault)
        n, counter = self.remembered[body["key"]][0], f"{target} {body['key']}"
        fits = self.alone.get(counter, 0) + body["cost"] <= n
        self.alone[counter] = self.alone.get(counter, 0) + fits * body["cost"]
        reply: JsonValue = {"allowed": True, "remaining": 0} if fits else {"allowed": False, "retry_after_ms": 1_000}
        return LateAnswer(200 if fits else 429, reply, 1 if fault == "refuse" else 100)

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        self.remembered |= self.limits
        return super().answer(at_ns, target, method, path, text)


class ForgetsWhenItIsTime(HonestLimiter):
    """Sweeps old units away ten seconds after their window only, as a job does that runs now and then."""

    def footprint(self, now_ns: int) -> dict[str, int]:
        kept = sum(at > now_ns - 10_900 * MS for log in self.log.values() for at, _ in log)
        return {"redis": 200 * kept + 100 * len(self.limits), "web": 40_000_000}


class WarmsUp(HonestLimiter):
    """Its heap grows with every request, whatever is asked, up to a point far away."""

    asked = 0

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        self.asked += 1
        return super().answer(at_ns, target, method, path, text)

    def footprint(self, now_ns: int) -> dict[str, int]:
        return {**super().footprint(now_ns), "web": 40_000_000 + 50_000 * self.asked}


class LosesItsWindowWithItsProcess(HonestLimiter):
    """Keeps the limits in the store and the log beside it, in one of its processes."""

    def processes_crashed(self, targets: Sequence[str]) -> None:
        self.log.clear()
