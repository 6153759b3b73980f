"""RL-7's measures of an overload of which much had no answer."""

from pathlib import Path
from random import Random

import pytest
from support.limiters import HonestLimiter

from crucible.authoring.memory_lab import MemoryLab
from crucible.authoring.testing import watch, with_answers_lost
from crucible.check import History, Outcome
from crucible.planning import challenges

SUITE = challenges.at(Path(__file__).parents[2] / "challenge_templates" / "rate-limiter").suite
RL_7 = next(check for check in SUITE.checks if check.id == "RL-7")


def overload(share: float) -> History:
    scenario = next(it for it in SUITE.scenarios if it.id == "overload")
    seen = watch(scenario, lambda lab: HonestLimiter(), MemoryLab(HonestLimiter(), 2, ("redis",)))
    return with_answers_lost(seen, Random(1), share, "503", "POST")


@pytest.mark.parametrize(
    ("lost", "outcome", "unsure"), [(0.0, Outcome.PASS, False), (0.3, Outcome.FAIL, True), (0.8, Outcome.FAIL, True)]
)
def test_an_overload_without_answers_keeps_no_limit(lost: float, outcome: Outcome, unsure: bool) -> None:
    finding = RL_7.judge(overload(lost))
    assert finding.outcome is outcome
    assert {measure.axis: measure.open for measure in finding.measures} == dict.fromkeys(RL_7.axes, unsure)
