"""The rate limiter's checks, on what its scenarios record of limiters made up in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.limiters import HonestLimiter

from crucible.authoring.memory_lab import MemoryLab
from crucible.authoring.testing import as_one, complaints
from crucible.authoring.testing import watch as watch_scenario
from crucible.check import Finding, History
from crucible.planning import challenges

CHALLENGE = Path(__file__).parents[2] / "challenge_templates" / "rate-limiter"
MANIFEST, SUITE = challenges.at(CHALLENGE).manifest, challenges.at(CHALLENGE).suite
CHECKS = {check.id: check for check in SUITE.checks}
SCENARIOS = {scenario.id: scenario for scenario in SUITE.scenarios}
Make = Callable[[MemoryLab], HonestLimiter]


@dataclass(frozen=True)
class Design:
    """A limiter with what its crucible.yaml says."""

    make: Make
    services: tuple[str, ...] = ("redis",)
    declares: str = ""


def watch(scenario: str, design: Design, replicas: int = 2, seed: int = 7, lab: type[MemoryLab] = MemoryLab) -> History:
    declares = {"on_store_outage": design.declares} if design.declares else {}
    there = lab(HonestLimiter(), replicas, design.services)
    return watch_scenario(SCENARIOS[scenario], design.make, there, seed=seed, declares=declares)


def watch_all(
    check: str, design: Design, replicas: int = 2, seed: int = 7, lab: type[MemoryLab] = MemoryLab
) -> History:
    """All scenarios that a check rests on, each with a limiter of its own, as one history."""
    return as_one([watch(scenario, design, replicas, seed, lab) for scenario in CHECKS[check].scenarios])


def judge(check: str, seen: History) -> Finding:
    finding = CHECKS[check].judge(seen)
    assert complaints(finding) == []
    return finding
