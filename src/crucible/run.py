"""Plan + lab -> evidence: the one loop. Scenarios observe; whatever happens, what was seen is kept."""

import asyncio
import contextlib
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Protocol

import psutil

from crucible import __version__
from crucible.check import Scenario
from crucible.errors import CrucibleError
from crucible.evidence import Evidence, Machine, Problem, Recording, Result
from crucible.lab.lab import RunningLab, open_lab
from crucible.lab.observer import Observer
from crucible.plan import Plan
from crucible.suite import digest


class Progress(Protocol):
    """Told what is happening while it happens."""

    def plan(self, plan: Plan, cleared: str | None) -> None:
        """Before anything runs: what will be done, and what an interrupted run had left."""

    def step(self, what: str, estimate_s: float | None = None) -> contextlib.AbstractContextManager[None]:
        """A step that begins now and ends with the block; `estimate_s` is how long it usually takes."""


async def run(
    plan: Plan,
    challenge: Path,
    logs: Path,
    environ: Mapping[str, str],
    progress: Progress,
    private: Sequence[Path] = (),
) -> Evidence:
    """Carry out `plan`. Raises a CrucibleError where there is nothing to observe: no server, no build, no boot.

    `private`: folders that the solution must not see, besides the challenges.
    """
    hidden = (challenge.parent, *private)
    async with open_lab(plan, logs, environ, hidden) as lab:
        with progress.step("starting the services and the solution"):
            await lab.boot()
        await lab.begin_accounts()
        recordings = await _observe(plan, lab, progress)
        traffic, usage = await lab.traffic(), await lab.usage()
    return Evidence(
        schema=1,
        crucible=__version__,
        challenge=plan.solution.manifest.slug,
        suite=digest(challenge),
        seed=plan.seed,
        mode=plan.mode,
        profile=plan.profile.id,
        profile_chosen=plan.profile_chosen,
        replicas=plan.replicas,
        checks=tuple(check.id for check in plan.checks),
        services=lab.service_facts,
        declares=plan.solution.declares,
        predictions=plan.solution.predictions,
        process_types=tuple(plan.solution.processes),
        machine=machine(),
        recordings=recordings,
        traffic=traffic,
        usage=usage,
        timings=tuple(lab.timings),
        notes=tuple(lab.isolation.notes),
        bypasses=lab.bypasses,
    )


async def _observe(plan: Plan, lab: RunningLab, progress: Progress) -> tuple[Recording, ...]:
    recordings: list[Recording] = []
    for scenarios in _groups(plan.scenarios):
        names = ", ".join(scenario.id for scenario in scenarios)
        estimate = max(scenario.estimate_s for scenario in scenarios)
        with progress.step(f"{scenarios[0].phase}: {names}", estimate):
            recorded = await lab.timed(names, _together(plan, lab, scenarios))
        recordings += recorded
        if scenarios[0].phase == "contact" and not any(op.result is Result.OK for r in recorded for op in r.ops):
            break  # nothing of the contract is there: the verdict says what came instead
    return tuple(recordings)


def _groups(scenarios: tuple[Scenario, ...]) -> Iterator[list[Scenario]]:
    """Neighbours of the phase `steady` side by side, all others alone."""
    for phase, members in groupby(scenarios, key=lambda scenario: scenario.phase):
        if phase == "steady":
            yield list(members)
        else:
            yield from ([scenario] for scenario in members)


async def _together(plan: Plan, lab: RunningLab, scenarios: list[Scenario]) -> list[Recording]:
    observers = [Observer(lab, scenario.id, scenario.phase) for scenario in scenarios]
    try:
        for event in await lab.revive():
            for observer in observers:
                observer.happened(event)
    except CrucibleError as error:
        return [observer.recording(Problem("stopped", error.what)) for observer in observers]
    return list(
        await asyncio.gather(
            *(_record(plan, lab, scenario, observer) for scenario, observer in zip(scenarios, observers, strict=True))
        )
    )


async def _record(plan: Plan, lab: RunningLab, scenario: Scenario, observer: Observer) -> Recording:
    """Let one scenario observe. It may take its budget; what it raises is the author's, and both are recorded."""
    problem: Problem | None = None
    rng = Random(f"{plan.seed}/{scenario.id}")
    async with lab.watched(observer):
        try:
            async with asyncio.timeout(scenario.budget_s):
                await scenario.observe(observer, rng)
        except TimeoutError:
            problem = Problem("budget", f"{scenario.id} took longer than its {scenario.budget_s:g} s")
        except CrucibleError:
            raise
        except Exception as error:  # a scenario is somebody else's code, and any failure in it is theirs
            problem = Problem("author", f"{scenario.id} raised {type(error).__name__}: {error}")
    return observer.recording(problem)


def machine() -> Machine:
    """What the run ran on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return Machine(cpu, os.cpu_count() or 1, psutil.virtual_memory().total, f"{platform.system()} {platform.release()}")
