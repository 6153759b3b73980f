"""RL-11 on stores that lag, and on heaps that grow, warm up and give back: a leak is told from all of these."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from support import flawed_limiters as flawed
from support import limiters
from support.limiters import HonestLimiter

from crucible.authoring.memory_lab import MS, MemoryLab
from crucible.authoring.testing import watch
from crucible.check import Finding, History, Outcome
from crucible.planning import challenges

SUITE = challenges.at(Path(__file__).parents[2] / "challenge_templates" / "rate-limiter").suite
OLD_KEYS = next(it for it in SUITE.scenarios if it.id == "old-keys")
RL_11 = next(it for it in SUITE.checks if it.id == "RL-11")


class Heap(HonestLimiter):
    """Keeps everything in Redis; each of its processes has a heap."""

    leaks = 0
    """Bytes for each key that was ever used."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.weighed = 0, 0

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, object]:  # type: ignore[override]
        self.asked += 1
        return super().answer(at_ns, target, method, path, text)

    def garbage(self, now_ns: int) -> int:
        return 0

    def footprint(self, now_ns: int) -> dict[str, int]:
        held = 60_000_000 + self.leaks * len(self.log) + self.garbage(now_ns)
        return {**super().footprint(now_ns), "web": held}


class GivesBack(Heap):
    """Gave back what it had needed for its start while the first batch grew old."""

    def garbage(self, now_ns: int) -> int:
        return 16_000_000 if now_ns < 8_000_000_000 else 0


class GivesBackAndLeaks(GivesBack):
    leaks = 600


class SawTooth(Heap):
    """Its garbage grows with what is asked, and is collected now and then."""

    def garbage(self, now_ns: int) -> int:
        return 20_000 * (self.asked % 300)


class SawToothAndLeaks(SawTooth):
    leaks = 1_000


class WarmsUpSlowly(Heap):
    """Grows with its first tens of thousands of requests, ever less."""

    def garbage(self, now_ns: int) -> int:
        return int(50_000_000 * (1 - 0.5 ** (self.asked / 6_000)))


class Jumps(Heap):
    """Holds 20 MB more or less, as it happens."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = Random(seed)

    def garbage(self, now_ns: int) -> int:
        return self.rng.choice((0, 20_000_000))


class IsUsedFasterAndFaster(HonestLimiter):
    """A store whose keys expire in time, of which more are alive each time that it is weighed right after a batch."""

    def footprint(self, now_ns: int) -> dict[str, int]:
        used = sorted(at for log in self.log.values() for at, _ in log)
        alive = sum(at > now_ns - 500 * MS for at in used)
        batches = 1 + sum(later - earlier > 5_000 * MS for earlier, later in pairwise(used))
        return {"redis": 100 * len(self.limits) + alive * 150 * batches, "web": 40_000_000}


class IsToldLate(HonestLimiter):
    """Puts a limit into its store five seconds after it has said so, as one does that was away."""

    def __init__(self) -> None:
        super().__init__()
        self.told_ns: list[int] = []

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, object]:  # type: ignore[override]
        if method == "PUT":
            self.told_ns.append(at_ns)
        return super().answer(at_ns, target, method, path, text)

    def footprint(self, now_ns: int) -> dict[str, int]:
        return {"redis": 300 * sum(at < now_ns - 5_000 * MS for at in self.told_ns), "web": 40_000_000}


def seen_of(limiter: HonestLimiter, declares: dict[str, str] | None = None) -> History:
    return watch(OLD_KEYS, lambda lab: limiter, MemoryLab(limiter), declares=declares)


def judged(limiter: HonestLimiter, declares: dict[str, str] | None = None) -> Finding:
    return RL_11.judge(seen_of(limiter, declares))


@pytest.mark.parametrize("limiter", [GivesBackAndLeaks(), SawToothAndLeaks()], ids=lambda it: type(it).__name__)
def test_a_leak_in_a_heap_that_gives_memory_back_is_caught(limiter: HonestLimiter) -> None:
    finding = judged(limiter)
    assert finding.outcome is Outcome.FAIL, finding.what
    assert finding.what.startswith("web grew by ")
    assert "with batches of 2,000 keys that were used once, more than 11 s after the last use" in finding.what


@pytest.mark.parametrize(
    "limiter",
    [GivesBack(), SawTooth(), WarmsUpSlowly(), limiters.WarmsUp(), IsUsedFasterAndFaster(), IsToldLate()],
    ids=lambda it: type(it).__name__,
)
def test_what_grows_by_itself_is_no_leak(limiter: HonestLimiter) -> None:
    finding = judged(limiter)
    assert finding.outcome is Outcome.PASS, finding.what


def test_keys_that_expire_with_their_windows_need_no_further_batches() -> None:
    assert not any(name.startswith("Larger/") for name in seen_of(IsUsedFasterAndFaster()).facts)


@pytest.mark.parametrize("seed", range(4))
def test_a_heap_that_jumps_is_never_accused(seed: int) -> None:
    assert judged(Jumps(seed)).outcome is not Outcome.FAIL


def test_who_declares_to_forget_at_once_is_held_to_that() -> None:
    assert judged(limiters.ForgetsWhenItIsTime()).outcome is Outcome.PASS
    assert judged(HonestLimiter(), {"forgets_within_s": "0"}).outcome is Outcome.PASS
    kept = judged(flawed.KeepsEveryKey(), {"forgets_within_s": "0"})
    assert "more than 1 s after the last use" in kept.what


@pytest.mark.parametrize("declared", ["11", "3600", "86400"])
def test_a_clean_up_once_an_hour_is_a_choice_with_a_price(declared: str) -> None:
    seen = seen_of(flawed.KeepsEveryKey(), {"forgets_within_s": declared})
    finding = RL_11.judge(seen)
    assert finding.outcome is Outcome.NOT_RUN
    assert f"it may keep a key for {int(declared):,} s" in finding.what
    (measure,) = finding.measures
    assert (measure.axis, measure.value) == ("bytes_per_key", 200)
    assert max(op.received_ns for op in seen.ops) < 10e9, "nothing is waited for"


def test_others_are_asked_beside_it_at_no_more_than_half_the_pace() -> None:
    """The lab takes twelve at once, for 2 ms each."""
    seen = seen_of(HonestLimiter())
    ops = seen.named("put/once")
    late = [op for op in ops if op.sent_ns > ops[0].sent_ns + 600 * MS]
    spent_s = (late[-1].sent_ns - late[0].sent_ns) / 1e9
    assert len(late) / spent_s < 0.55 * 12 / 0.002
