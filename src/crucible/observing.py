"""Scenarios on one lab -> recordings. Whatever happens, what was seen is kept."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path
from random import Random
from traceback import extract_tb
from typing import Protocol

from crucible.authoring import deaths
from crucible.check import Scenario
from crucible.errors import CrucibleError, place_in_suite
from crucible.evidence import Problem, Recording, Result
from crucible.lab.lab import RunningLab
from crucible.lab.observer import Observer
from crucible.planning.plan import Plan


class Steps(Protocol):
    """Told what is happening while it happens."""

    def step(self, what: str, estimate_s: float | None = None) -> AbstractContextManager[None]:
        """A step that begins now and ends with the block; `estimate_s` is how long it usually takes."""


async def observe(
    plan: Plan, lab: RunningLab, steps: Steps, wanted: Sequence[Scenario]
) -> AsyncIterator[list[Recording]]:
    """Let these observe, in order and neighbours of the phase `steady` at once, until there is nothing further to be
    learnt."""
    for scenarios in _groups(wanted):
        names = ", ".join(scenario.id for scenario in scenarios)
        estimate = max(scenario.estimate_s for scenario in scenarios)
        with steps.step(f"{scenarios[0].phase}: {names}", estimate):
            recorded = await lab.timed(names, _together(plan, lab, scenarios))
        yield recorded
        if lab.given_up or nothing_answered(recorded):
            return


def nothing_answered(recordings: Iterable[Recording]) -> bool:
    """Whether nothing of the contract is there: the verdict says what came instead."""
    contact = [recording for recording in recordings if recording.phase == "contact"]
    return bool(contact) and not any(op.result is Result.OK for recording in contact for op in recording.ops)


async def revive(lab: RunningLab, observers: Sequence[Observer]) -> Problem | None:
    """Start again what has ended, and tell the observers. Where it does not come back the run is over."""
    try:
        for event in await lab.revive():
            for observer in observers:
                observer.happened(event)
    except CrucibleError as error:
        lab.given_up = why(error)
        return Problem("stopped", lab.given_up)
    return None


def why(error: CrucibleError) -> str:
    """What went wrong, with what the process printed last."""
    return error.what + deaths.last_words(error.excerpt)


def _groups(scenarios: Sequence[Scenario]) -> Iterator[list[Scenario]]:
    """Neighbours of the phase `steady` side by side, all others alone."""
    for phase, members in groupby(scenarios, key=lambda scenario: scenario.phase):
        if phase == "steady":
            yield list(members)
        else:
            yield from ([scenario] for scenario in members)


async def _together(plan: Plan, lab: RunningLab, scenarios: list[Scenario]) -> list[Recording]:
    observers = [Observer(lab, scenario.id, scenario.phase) for scenario in scenarios]
    if (problem := await revive(lab, observers)) is not None:
        return [observer.recording(problem) for observer in observers]
    return list(
        await asyncio.gather(
            *(_record(plan, lab, scenario, observer) for scenario, observer in zip(scenarios, observers, strict=True))
        )
    )


async def _record(plan: Plan, lab: RunningLab, scenario: Scenario, observer: Observer) -> Recording:
    """Let one scenario observe. It may take its budget; what it raises is the author's, and both are recorded. That the
    solution did not come back when it was started again is neither's, and ends the scenario alone."""
    problem: Problem | None = None
    rng = Random(f"{plan.seed}/{scenario.id}")
    with lab.watched(observer.happened):
        try:
            async with asyncio.timeout(scenario.budget_s) as observer.budget:
                await scenario.observe(observer, rng)
        except TimeoutError:
            problem = Problem("budget", f"{scenario.id} took longer than its {scenario.budget_s:g} s")
        except CrucibleError as error:
            if observer.not_back is not error:
                raise
        except Exception as error:  # a scenario is somebody else's code, and any failure in it is theirs
            problem = Problem("author", f"{scenario.id} raised {type(error).__name__}{place_in_suite(error)}: {error}")
            _log(scenario, error, lab.logs / "suite.log")
    if observer.not_back is not None:
        problem = Problem("stopped", why(observer.not_back))
    recording = observer.recording(problem)
    lab.recorded[scenario.id] = recording.ops
    return recording


def _log(scenario: Scenario, error: Exception, path: Path) -> None:
    """Append where the exception came through: places alone, since a suite's own lines are nobody's to read."""
    frames = "".join(f"  {it.filename}:{it.lineno} in {it.name}\n" for it in extract_tb(error.__traceback__))
    with path.open("a", encoding="utf-8", errors="replace") as target:
        target.write(f"{scenario.id} raised {type(error).__name__}: {error}\n{frames}")
