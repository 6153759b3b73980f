"""Rate limiters made up in memory that break the contract, each named for what it does."""

import re
from collections.abc import Sequence

from pydantic import JsonValue
from support.limiters import FailsNowAndThen, FixedWindow, Gcra, GivesUpOnAFarStore, HonestLimiter

from crucible.authoring.memory_lab import MS, LateAnswer


class RacyLimiter(HonestLimiter):
    """Sees a grant only 3 ms after it was made, like a GET that is followed by a SET."""

    def counts(self, granted_ns: int, now_ns: int, window_ns: int) -> bool:
        return now_ns - window_ns <= granted_ns <= now_ns - 3 * MS


class RacesAndFails(FailsNowAndThen, RacyLimiter):
    """Both, so that its races are repeated."""


class RefusesEverything(HonestLimiter):
    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        return False


class ConsumesWhatItRefuses(HonestLimiter):
    """Takes unit by unit until none is left, and then refuses."""

    def refuse(self, counter: str, cost: int, at_ns: int, left: int) -> None:
        self.log.setdefault(counter, []).append((at_ns, left))


class AllowsAnyCost(HonestLimiter):
    """Looks only at what was used before."""

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        fits = super().admits(key, 1, target, at_ns)
        if fits:
            self.log[key].append((at_ns, cost - 1))
        return fits


class TrimsItsCount(HonestLimiter):
    """After each admission it counts no more than would leave room for one more of that cost but one."""

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        fits = super().admits(key, cost, target, at_ns)
        over = self.used(key, target, at_ns) - (self.limits[key][0] - cost + 1)
        if fits and over > 0:
            self.log[key].append((at_ns, -over))
        return fits


class CountsACostAsOneUnit(HonestLimiter):
    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        fits = super().admits(key, cost, target, at_ns)
        if fits:
            self.log[key][-1] = (at_ns, 1)
        return fits


class CountsAllKeysTogether(HonestLimiter):
    def counter(self, key: str, target: str) -> str:
        return "all"


class CutsKeysShort(HonestLimiter):
    def counter(self, key: str, target: str) -> str:
        return key[:64]


class ExtendsTheWindow(HonestLimiter):
    """What is refused counts as well, so that a steady overload is never let through again."""

    def refuse(self, counter: str, cost: int, at_ns: int, left: int) -> None:
        self.log.setdefault(counter, []).append((at_ns, cost))


class ConsumesOnBadInput(HonestLimiter):
    def malformed(self, text: str, at_ns: int) -> tuple[int, JsonValue]:
        if found := re.search(r'"(spent-\w+)"', text):
            self.log.setdefault(found[1], []).append((at_ns, 1))
        return super().malformed(text, at_ns)


class DiesOnBadInput(HonestLimiter):
    def malformed(self, text: str, at_ns: int) -> tuple[int, JsonValue]:
        raise SystemExit


class CountsTogetherWhileItLasts(HonestLimiter):
    """One counter for all keys, gone a window after its first unit, whichever key that window was of."""

    def __init__(self) -> None:
        super().__init__()
        self.taken, self.until_ns = 0, 0

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        n, window_ns = self.limits[key]
        if at_ns >= self.until_ns:
            self.taken, self.until_ns = 0, at_ns + window_ns
        self.taken += cost
        return self.taken <= n


class RacesOnANearStore(GivesUpOnAFarStore, RacyLimiter):
    """Both, so that it can only be caught near by."""


class LimitsNothingMuch(HonestLimiter):
    """Compares with ten times the limit."""

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        n, window_ns = self.limits[key]
        self.limits[key] = 10 * n, window_ns
        fits = super().admits(key, cost, target, at_ns)
        self.limits[key] = n, window_ns
        return fits


class HintsAtTheWholeWindow(HonestLimiter):
    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        return self.limits[key][1] // MS


class HintsByTheNewestUnit(HonestLimiter):
    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        window_ns = self.limits[key][1]
        newest = max((at for at, _ in self.log.get(key, ())), default=at_ns)
        return max(0, -(-(newest + window_ns - at_ns) // MS))


class AlwaysHintsAtTheWholeWindow(FixedWindow):
    """In windows that begin with the epoch."""

    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        return self.limits[key][1] // MS


class RefillsAndHintsAtTheWholeWindow(Gcra):
    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        return self.limits[key][1] // MS


class HintsTooShort(HonestLimiter):
    def retry_after_ms(self, key: str, cost: int, target: str, at_ns: int) -> int:
        return super().retry_after_ms(key, cost, target, at_ns) // 2


class CachesLimits(HonestLimiter):
    """Each replica remembers a limit for a minute after it has first used it."""

    def __init__(self) -> None:
        super().__init__()
        self.cached: dict[str, tuple[int, int]] = {}

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        now = self.limits[key]
        self.limits[key] = self.cached.setdefault(f"{target} {key}", now)
        fits = super().admits(key, cost, target, at_ns)
        self.limits[key] = now
        return fits


class HangsWithItsStore(HonestLimiter):
    """Has no timeout of its own."""

    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        if fault == "refuse":
            return super().without_store(at_ns, target, method, path, text, fault=fault)
        return LateAnswer(None, None, 60_000)


class NeverComesBack(HonestLimiter):
    """Fails for good once its store has been started again."""

    lost = False

    def store_crashed(self, service: str) -> None:
        super().store_crashed(service)
        self.lost = True

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        if self.lost and path == "/v1/check":
            return 503, {"error": "the store does not answer"}
        return super().answer(at_ns, target, method, path, text)


class KeepsEveryKey(HonestLimiter):
    def footprint(self, now_ns: int) -> dict[str, int]:
        kept = sum(len(log) for log in self.log.values())
        return {"redis": 200 * kept + 100 * len(self.limits), "web": 40_000_000}


class KeepsEveryKeyInTheProcess(HonestLimiter):
    def footprint(self, now_ns: int) -> dict[str, int]:
        kept = sum(len(log) for log in self.log.values())
        return {**super().footprint(now_ns), "web": 40_000_000 + 1_100 * kept}


class SaysWhatThisReplicaSaw(HonestLimiter):
    """Usage is what was used when this replica last decided."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        fits = super().admits(key, cost, target, at_ns)
        self.seen[f"{target} {key}"] = self.used(key, target, at_ns)
        return fits

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        status, reply = super().answer(at_ns, target, method, path, text)
        if method == "GET" and status == 200 and isinstance(reply, dict) and "used" in reply:
            reply["used"] = self.seen.get(f"{target} {path.rsplit('/', 1)[1]}", 0)
        return status, reply


class BlocksKeysThatACrashMet(HonestLimiter):
    """Counts in one step and sets the expiry in another, 20 ms later; a crash in between leaves a key for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[str, tuple[int, str]] = {}
        self.blocked: set[str] = set()
        self.now_ns = 0

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        self.now_ns = at_ns
        self.steps.setdefault(key, (at_ns, target))
        return key not in self.blocked and super().admits(key, cost, target, at_ns)

    def processes_crashed(self, targets: Sequence[str]) -> None:
        self.blocked |= {k for k, (at, by) in self.steps.items() if by in targets and self.now_ns - at < 20 * MS}
