"""The notification service's checks, on what its scenarios record of services made up in memory."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

from support.memory_notifier import NotifierLab

from crucible.authoring import testing
from crucible.check import History, Lab, Scenario
from crucible.planning import challenges

SUITE = challenges.at(Path(__file__).parents[2] / "challenge_templates" / "notification-service").suite
CHECKS = {check.id: check for check in SUITE.checks}
SCENARIOS = {scenario.id: scenario for scenario in SUITE.scenarios}


def scenarios_of(check: str) -> tuple[str, ...]:
    return tuple(name for name in SCENARIOS if name in CHECKS[check].scenarios)


@cache
def watch_on(names: tuple[str, ...], flaw: str, seed: int = 7) -> tuple[History, str]:
    """What these scenarios see, one after the other, with one service; and why they gave up, if they did."""
    lab = NotifierLab(flaw)

    async def observe(_: Lab, rng: Random) -> None:
        lab.begin()
        for name in names:
            await SCENARIOS[name].observe(lab, Random(f"{seed}/{name}"))
        await lab.end()

    seen = testing.watch(Scenario("in-turn", "race", observe, 0, 0), lambda lab: lab.solution, lab)
    return replace(seen, attempts=tuple(lab.memory_sink.attempts)), lab.given_up


def watch(names: tuple[str, ...], flaw: str, seed: int = 7) -> History:
    """What these scenarios see, one after the other, with one service."""
    return watch_on(names, flaw, seed)[0]
