"""RL-9 to RL-14: a pass rests on every part of what was seen, but for those that are named here with a reason."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import limiters
from support.limiters import HonestLimiter

from crucible.authoring.memory_lab import MemoryLab
from crucible.authoring.testing import as_one, watch, without_each_part
from crucible.check import History, Outcome
from crucible.planning import challenges

SUITE = challenges.at(Path(__file__).parents[2] / "challenge_templates" / "rate-limiter").suite
CHECKS = {check.id: check for check in SUITE.checks}
SCENARIOS = {scenario.id: scenario for scenario in SUITE.scenarios}

WARM = ("warm", "put/warm", "/calm", "/well")
"""What only warms up, or is looked at on each replica by itself."""
NOT_RESTED_ON: dict[str, Callable[[str], bool]] = {
    # its scenarios show other checks more than it looks at: only the keys that were full across a crash are its own
    "RL-9": lambda part: "kept/" not in part,
    # the keys across a crash are RL-9's; that a replica is itself again is asked of each check, not of its setting
    "RL-10": lambda part: "kept/" in part or part.endswith("/calm") or (part.startswith("put/") and "/well" in part),
    # a check that was let through shows its limit; the idle key can only excuse
    "RL-11": lambda part: part.startswith("put/once") or part == "once/busy",
    # they say only whether a design is held to it at all
    "RL-12": lambda part: "overload" in part or "edge/" in part,
    "RL-13": lambda part: False,
    "RL-14": lambda part: "kept/" in part or part in WARM,
}
DESIGNS: dict[str, tuple[Callable[[MemoryLab], HonestLimiter], tuple[str, ...], dict[str, str]]] = {
    "fails closed": (lambda lab: HonestLimiter(), ("redis",), {"on_store_outage": "fail-closed"}),
    "in each process": (lambda lab: limiters.InProcess(), (), {}),
}


def seen_by(check: str, design: str) -> History:
    make, services, declares = DESIGNS[design]
    return as_one(
        [
            watch(SCENARIOS[name], make, MemoryLab(HonestLimiter(), 2, services), declares=declares)
            for name in CHECKS[check].scenarios
        ]
    )


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("check", NOT_RESTED_ON)
def test_no_part_of_a_pass_may_be_empty(check: str, design: str) -> None:
    seen, judge = seen_by(check, design), CHECKS[check].judge
    assert judge(seen).outcome is Outcome.PASS
    if check == "RL-12" and "not held to it" in judge(seen).what:
        return  # whoever counts in each replica is judged by its peak alone
    passed = {part for part, less in without_each_part(seen) if judge(less).outcome is Outcome.PASS}
    assert {part for part in passed if not NOT_RESTED_ON[check](part)} == set()


@pytest.mark.parametrize("check", ["RL-10", "RL-11", "RL-14"])
def test_no_fact_of_a_pass_may_be_missing(check: str) -> None:
    seen, judge = seen_by(check, "fails closed"), CHECKS[check].judge
    for fact in seen.facts:
        less = History(
            seen.ops, seen.events, {name: it for name, it in seen.facts.items() if name != fact}, seen.replicas,
            seen.services, seen.declares,
        )  # fmt: skip
        assert judge(less).outcome is not Outcome.PASS, fact


def test_a_key_that_was_never_full_says_nothing_of_a_crash() -> None:
    seen, judge = seen_by("RL-9", "fails closed"), CHECKS["RL-9"].judge
    few = [op for op in seen.named("kept/control/fill") if op.status == 200][:2]
    ops = tuple(op for op in seen.ops if not op.name.startswith("kept/control/fill") or op in few)
    less = History(ops, seen.events, seen.facts, seen.replicas, seen.services, seen.declares)
    assert judge(less).outcome is Outcome.INCONCLUSIVE
