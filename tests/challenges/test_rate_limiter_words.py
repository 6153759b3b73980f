"""RL-10 to RL-14: what a failure shows, what it asks, and how long somebody takes who never comes back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import JsonValue
from support import flawed_limiters as flawed
from support import limiters
from support.limiters import HonestLimiter

from crucible.authoring.memory_lab import MemoryLab
from crucible.authoring.testing import as_one, complaints, watch
from crucible.check import Finding, Outcome
from crucible.planning import challenges

SUITE = challenges.at(Path(__file__).parents[2] / "challenge_templates" / "rate-limiter").suite
CHECKS = {check.id: check for check in SUITE.checks}
SCENARIOS = {scenario.id: scenario for scenario in SUITE.scenarios}


def judged(check: str, make: Callable[[], HonestLimiter], declares: dict[str, str] | None = None) -> Finding:
    seen = [
        watch(SCENARIOS[name], lambda lab: make(), MemoryLab(HonestLimiter()), declares=declares)
        for name in CHECKS[check].scenarios
    ]
    finding = CHECKS[check].judge(as_one(seen))
    assert finding.outcome is Outcome.FAIL, finding.what
    assert complaints(finding) == []
    return finding


def test_who_never_comes_back_takes_longer_than_was_waited_for() -> None:
    finding = judged("RL-10", flawed.NeverComesBack)
    (recovery,) = [measure for measure in finding.measures if measure.axis == "recovery_s"]
    assert recovery.beyond
    assert recovery.value > 5


def test_who_is_dead_after_a_restart_of_the_store_is_asked_what_is_gone_now() -> None:
    finding = judged("RL-10", flawed.NeverComesBack)
    assert finding.question == "What did you put into the service at the start that is gone now?"
    assert {op.name for op in finding.examples} == {"out/redis/crash/well/web.0", "out/redis/crash/well/web.1"}
    assert all(op.status == 503 for op in finding.examples)


@pytest.mark.parametrize(
    ("make", "declares"),
    [
        (limiters.FailsOpen, {}), (limiters.FailsOpen, {"on_store_outage": "local"}),
        (HonestLimiter, {"on_store_outage": "fail-open"}), (flawed.HangsWithItsStore, {}),
    ],
)  # fmt: skip
def test_whatever_breaks_a_word_is_shown(make: Callable[[], HonestLimiter], declares: dict[str, str]) -> None:
    assert judged("RL-10", make, declares).examples


def test_a_key_that_stays_blocked_is_shown_with_the_request_that_met_the_crash() -> None:
    names = [op.name for op in judged("RL-14", flawed.BlocksKeysThatACrashMet).examples]
    assert names[0].startswith("first/")
    assert all(name.startswith("later/") for name in names[1:])


def test_usage_that_is_too_low_is_shown_with_what_was_allowed_before() -> None:
    finding = judged("RL-12", flawed.SaysWhatThisReplicaSaw)
    assert [op.name.partition("/")[0] for op in finding.examples] == ["used", "read", "read"]
    assert finding.question == ""


class CountsWhatItRefuses(HonestLimiter):
    """Of the usage alone; what is decided is right."""

    def __init__(self) -> None:
        super().__init__()
        self.knocks: dict[str, int] = {}

    def refuse(self, counter: str, cost: int, at_ns: int, left: int) -> None:
        self.knocks[counter] = self.knocks.get(counter, 0) + cost

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        status, reply = super().answer(at_ns, target, method, path, text)
        if method == "GET" and isinstance(reply, dict) and isinstance(used := reply.get("used"), int):
            return status, {**reply, "used": used + self.knocks.get(path.rsplit("/", 1)[1], 0)}
        return status, reply


def test_usage_that_is_too_high_is_asked_for_what_was_never_allowed() -> None:
    assert judged("RL-12", CountsWhatItRefuses).question == "What is in your count that was never allowed?"


class DiesOfANull(HonestLimiter):
    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        if "\\u0000" in text and method == "POST":
            raise SystemExit
        return super().answer(at_ns, target, method, path, text)


class TakesHalfAPair(HonestLimiter):
    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        return (500, {}) if "\\ud800" in text else super().answer(at_ns, target, method, path, text)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (DiesOfANull, "a key with the character U+0000 ended the process"),
        (TakesHalfAPair, "a key with half a pair of surrogates was answered with 500"),
    ],
)
def test_what_a_store_or_an_encoder_chokes_on_is_sent(make: Callable[[], HonestLimiter], says: str) -> None:
    assert judged("RL-13", make).what.startswith(says)
