"""Plan + lab -> evidence: the one loop. Scenarios observe; whatever happens, what was seen is kept."""

import asyncio
import contextlib
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Protocol

import psutil

from crucible import __version__
from crucible.check import Scenario
from crucible.errors import CrucibleError, Fault
from crucible.evidence import (
    Attempt,
    Evidence,
    LoadBlock,
    Machine,
    Part,
    Problem,
    Recording,
    Result,
    ServiceFacts,
    Timing,
    Traffic,
    Usage,
)
from crucible.judging.tradeoffs import knee_p99_ms
from crucible.lab.lab import RunningLab, open_lab
from crucible.lab.observer import Observer
from crucible.load.offer import generator
from crucible.planning import challenges
from crucible.planning.plan import LoadPlan, Plan


class Progress(Protocol):
    """Told what is happening while it happens."""

    def plan(self, plan: Plan, cleared: str | None) -> None:
        """Before anything runs: what will be done, and what an interrupted run had left."""

    def step(self, what: str, estimate_s: float | None = None) -> contextlib.AbstractContextManager[None]:
        """A step that begins now and ends with the block; `estimate_s` is how long it usually takes."""


async def run(
    plan: Plan,
    logs: Path,
    environ: Mapping[str, str],
    progress: Progress,
    private: Sequence[Path] = (),
) -> Evidence:
    """Carry out `plan`. Raises a CrucibleError where there is nothing to observe: no server, no build, no boot.

    `private`: folders that the solution must not see, besides the challenges.
    """
    challenge = plan.solution.challenge
    hidden, loadfile = (*challenges.places(environ), *private), challenge.load_file
    whole = await _part(plan, loadfile, logs, environ, progress, hidden)
    others = []
    for other in plan.others if not _nothing_answered(whole.recordings) else ():
        others.append(await _part(other, loadfile, logs / f"{other.replicas}-replicas", environ, progress, hidden))
    seen = (whole, *others)
    return Evidence(
        schema=1,
        crucible=__version__,
        challenge=challenge.manifest.slug,
        suite=challenge.digest,
        seed=plan.seed,
        mode=plan.mode,
        profile=plan.profile.id,
        profile_chosen=plan.profile_chosen,
        replicas=plan.replicas,
        checks=tuple(check.id for check in plan.checks),
        services=whole.services,
        declares=plan.solution.declares,
        predictions=plan.solution.predictions,
        process_types=tuple(plan.solution.processes),
        machine=machine(),
        recordings=whole.recordings,
        traffic=whole.traffic,
        usage=whole.usage,
        timings=tuple(timing for part in seen for timing in part.timings),
        load=whole.load,
        ramp=whole.ramp,
        parts=tuple(
            Part(
                other.replicas,
                tuple(check.id for check in other.checks),
                it.recordings,
                it.load,
                it.traffic,
                it.usage,
                it.attempts,
            )
            for other, it in zip(plan.others, others, strict=False)
        ),
        attempts=whole.attempts,
        notes=tuple(dict.fromkeys(note for part in seen for note in part.notes)),
        bypasses=tuple(dict.fromkeys(bypass for part in seen for bypass in part.bypasses)),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one lab showed."""

    recordings: tuple[Recording, ...]
    load: tuple[LoadBlock, ...]
    ramp: tuple[LoadBlock, ...]
    traffic: tuple[Traffic, ...]
    usage: tuple[Usage, ...]
    services: tuple[ServiceFacts, ...]
    timings: tuple[Timing, ...]
    attempts: tuple[Attempt, ...]
    notes: tuple[str, ...]
    bypasses: tuple[str, ...]


async def _part(
    plan: Plan,
    loadfile: Path | None,
    logs: Path,
    environ: Mapping[str, str],
    progress: Progress,
    hidden: Sequence[Path],
) -> _Seen:
    """Everything that runs with one number of replicas, in a lab of its own."""
    async with open_lab(plan, logs, environ, hidden) as lab:
        with progress.step(f"starting the services and the solution, {plan.replicas} replicas"):
            await lab.boot()
        await lab.begin_accounts()
        before = [scenario for scenario in plan.scenarios if scenario.phase != "fault"]
        recordings = await _observe(plan, lab, progress, before)
        load: tuple[LoadBlock, ...] = ()
        ramp: tuple[LoadBlock, ...] = ()
        if not _nothing_answered(recordings):
            if plan.load is not None and loadfile is not None:
                recording, load, ramp = await _offer(plan, plan.load, lab, loadfile, progress)
                recordings.append(recording)
            faults = [scenario for scenario in plan.scenarios if scenario.phase == "fault"]
            recordings += await _observe(plan, lab, progress, faults)
        return _Seen(
            tuple(recordings), load, ramp, await lab.traffic(), await lab.usage(), lab.service_facts,
            tuple(lab.timings), lab.attempts, tuple(lab.isolation.notes), lab.bypasses,
        )  # fmt: skip


def _nothing_answered(recordings: Iterable[Recording]) -> bool:
    """Whether nothing of the contract is there: the verdict says what came instead."""
    contact = [recording for recording in recordings if recording.phase == "contact"]
    return bool(contact) and not any(op.result is Result.OK for recording in contact for op in recording.ops)


async def _offer(
    plan: Plan, load: LoadPlan, lab: RunningLab, loadfile: Path, progress: Progress
) -> tuple[Recording, tuple[LoadBlock, ...], tuple[LoadBlock, ...]]:
    """The load, and what happened to the solution's processes under it."""
    observer = Observer(lab, "load", "load")
    sent: list[LoadBlock] = []
    ramp: list[LoadBlock] = []

    async def offer() -> None:
        async with generator(lab, loadfile, os.cpu_count() or 1) as offered:
            for rate in load.rates:
                sent.extend(await offered.at(rate, load.blocks, load.seconds))
            if load.ramp:
                ramp.extend(await offered.ramp(plan.profile.rate, knee_p99_ms(plan.profile)))

    try:
        for event in await lab.revive():
            observer.happened(event)
    except CrucibleError as error:
        return observer.recording(Problem("stopped", error.what)), (), ()
    rates = ", ".join(f"{rate:g}/s" for rate in load.rates)
    problem: Problem | None = None
    async with lab.watched(observer, attempts=False):
        with progress.step(f"load: {rates}{' and rising' if load.ramp else ''}", load.estimate_s):
            try:
                await lab.timed("load", offer())
            except CrucibleError as error:
                if error.fault is not Fault.AUTHOR:
                    raise
                problem = Problem("author", f"{error.what} ({error.where})")
    return observer.recording(problem), tuple(sent), tuple(ramp)


async def _observe(plan: Plan, lab: RunningLab, progress: Progress, wanted: Sequence[Scenario]) -> list[Recording]:
    recordings: list[Recording] = []
    for scenarios in _groups(wanted):
        names = ", ".join(scenario.id for scenario in scenarios)
        estimate = max(scenario.estimate_s for scenario in scenarios)
        with progress.step(f"{scenarios[0].phase}: {names}", estimate):
            recorded = await lab.timed(names, _together(plan, lab, scenarios))
        recordings += recorded
        if _nothing_answered(recordings):
            break
    return recordings


def _groups(scenarios: Sequence[Scenario]) -> Iterator[list[Scenario]]:
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
