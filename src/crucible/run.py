"""Plan + lab -> evidence: the one loop. Scenarios observe; whatever happens, what was seen is kept."""

import asyncio
import contextlib
import os
import platform
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from random import Random
from traceback import extract_tb
from typing import Protocol

import psutil

from crucible import __version__
from crucible.authoring import deaths
from crucible.check import Scenario
from crucible.errors import CrucibleError, Fault, place_in_suite
from crucible.evidence import (
    Evidence,
    LoadBlock,
    Machine,
    Part,
    Problem,
    Recording,
    Result,
)
from crucible.lab.lab import RunningLab, open_lab
from crucible.lab.observer import Observer
from crucible.load.offer import generator
from crucible.planning import challenges
from crucible.planning.plan import LoadPlan, Plan


class Progress(Protocol):
    """Told what is happening while it happens."""

    def step(self, what: str, estimate_s: float | None = None) -> contextlib.AbstractContextManager[None]:
        """A step that begins now and ends with the block; `estimate_s` is how long it usually takes."""

    def observed(self, sofar: Evidence) -> None:
        """After each step that observes: what has been seen with the run's own number of replicas."""


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
    setting = _Setting(environ, progress, challenge.load_file, (*challenges.places(environ), *private))
    parts = [await _part(plan, logs, setting, own=True)]
    over = parts[0].given_up or _nothing_answered(parts[0].recordings)
    for other in plan.others if not over else ():
        parts.append(await _further_part(other, logs / f"{other.replicas}-replicas", setting))
    return _evidence(plan, parts)


def _evidence(plan: Plan, parts: Sequence[Part]) -> Evidence:
    challenge = plan.solution.challenge
    return Evidence(
        schema=1,
        crucible=__version__,
        challenge=challenge.manifest.slug,
        suite=challenge.digest,
        seed=plan.seed,
        mode=plan.mode,
        profile=plan.profile.id,
        profile_chosen=plan.profile_chosen,
        declares=plan.solution.declares,
        predictions=plan.solution.predictions,
        process_types=tuple(plan.solution.processes),
        machine=machine(),
        parts=tuple(parts),
    )


@dataclass(frozen=True, slots=True)
class _Setting:
    """What is the same for every part of a run."""

    environ: Mapping[str, str]
    progress: Progress
    load_file: Path | None
    hidden: tuple[Path, ...]
    """Folders that the solution must not see."""


async def _further_part(plan: Plan, logs: Path, setting: _Setting) -> Part:
    """Likewise, once something has been seen: a solution that does not start with so many replicas loses none of it."""
    try:
        return await _part(plan, logs, setting)
    except CrucibleError as error:
        if error.fault is not Fault.LEARNER:
            raise
        return Part(plan.replicas, tuple(check.id for check in plan.checks), (), given_up=_why(error))


async def _part(plan: Plan, logs: Path, setting: _Setting, *, own: bool = False) -> Part:
    """Everything that runs with one number of replicas, in a lab of its own; of the `own` number it is told as it is
    seen."""
    progress = setting.progress
    async with open_lab(plan, logs, setting.environ, setting.hidden) as lab:
        with progress.step(f"starting the services and the solution, {plan.replicas} replicas"):
            await lab.boot()
        await lab.begin_accounts()
        recordings: list[Recording] = []

        async def observe(wanted: Sequence[Scenario]) -> None:
            async for recorded in _observe(plan, lab, progress, wanted):
                recordings.extend(recorded)
                if own:
                    progress.observed(_evidence(plan, [_seen(plan, lab, recordings)]))

        await observe([scenario for scenario in plan.scenarios if scenario.phase != "fault"])
        offered = _Offered((), ())
        if plan.load is not None and setting.load_file is not None and not _over(lab, recordings):
            recording, offered = await _offer(plan, plan.load, lab, setting)
            recordings.append(recording)
        if not _over(lab, recordings):
            await observe([scenario for scenario in plan.scenarios if scenario.phase == "fault"])
        return replace(
            _seen(plan, lab, recordings),
            load=offered.load,
            ramp=offered.ramp,
            traffic=await lab.traffic(),
            usage=await lab.usage(),
            timings=tuple(lab.timings),
            notes=(*plan.solution.warnings, *lab.isolation.notes),
            bypasses=lab.bypasses,
            given_up=lab.given_up,
            printed=tuple(it.printed() for it in lab.web.values()) if _nothing_answered(recordings) else (),
        )


def _seen(plan: Plan, lab: RunningLab, recordings: Sequence[Recording]) -> Part:
    """What can be said at any time, without asking a service or the network."""
    return Part(
        replicas=plan.replicas,
        checks=tuple(check.id for check in plan.checks),
        recordings=tuple(recordings),
        attempts=lab.attempts,
        services=lab.service_facts,
        given_up=lab.given_up,
    )


@dataclass(frozen=True, slots=True)
class _Offered:
    """What became of the load: at the rates of the profiles, and at rising ones."""

    load: tuple[LoadBlock, ...]
    ramp: tuple[LoadBlock, ...]


def _nothing_answered(recordings: Iterable[Recording]) -> bool:
    """Whether nothing of the contract is there: the verdict says what came instead."""
    contact = [recording for recording in recordings if recording.phase == "contact"]
    return bool(contact) and not any(op.result is Result.OK for recording in contact for op in recording.ops)


def _over(lab: RunningLab, recordings: Iterable[Recording]) -> bool:
    """Whether there is nothing further to be learnt."""
    return bool(lab.given_up) or _nothing_answered(recordings)


def _why(error: CrucibleError) -> str:
    """What went wrong, with what the process printed last."""
    return error.what + deaths.last_words(error.excerpt)


async def _revive(lab: RunningLab, observers: Sequence[Observer]) -> Problem | None:
    """Start again what has ended, and tell the observers. Where it does not come back the run is over."""
    try:
        for event in await lab.revive():
            for observer in observers:
                observer.happened(event)
    except CrucibleError as error:
        lab.given_up = _why(error)
        return Problem("stopped", lab.given_up)
    return None


async def _offer(plan: Plan, load: LoadPlan, lab: RunningLab, setting: _Setting) -> tuple[Recording, _Offered]:
    """The load, and what happened to the solution's processes under it."""
    assert setting.load_file is not None
    load_file, progress = setting.load_file, setting.progress
    observer = Observer(lab, "load", "load")
    sent: list[LoadBlock] = []
    ramp: list[LoadBlock] = []

    async def offer() -> None:
        async with generator(lab, load_file, os.cpu_count() or 1) as offered:
            for rate in load.rates:
                sent.extend(await offered.at(rate, load.blocks, load.seconds))
            if load.ramp:
                ramp.extend(await offered.ramp(plan.profile.rate, plan.profile.knee_p99_ms))

    if (problem := await _revive(lab, [observer])) is not None:
        return observer.recording(problem), _Offered((), ())
    rates = ", ".join(f"{rate:g}/s" for rate in load.rates)
    step = progress.step(f"load: {rates}{' and rising' if load.ramp else ''}", load.estimate_s)
    with lab.watched(observer.happened, attempts=False), step:
        try:
            await lab.timed("load", offer())
        except CrucibleError as error:
            if error.fault is not Fault.AUTHOR:
                raise
            problem = Problem("author", f"{error.what} ({error.where})")
    return observer.recording(problem), _Offered(tuple(sent), tuple(ramp))


async def _observe(
    plan: Plan, lab: RunningLab, progress: Progress, wanted: Sequence[Scenario]
) -> AsyncIterator[list[Recording]]:
    recordings: list[Recording] = []
    for scenarios in _groups(wanted):
        names = ", ".join(scenario.id for scenario in scenarios)
        estimate = max(scenario.estimate_s for scenario in scenarios)
        with progress.step(f"{scenarios[0].phase}: {names}", estimate):
            recorded = await lab.timed(names, _together(plan, lab, scenarios))
        recordings += recorded
        yield recorded
        if _over(lab, recordings):
            return


def _groups(scenarios: Sequence[Scenario]) -> Iterator[list[Scenario]]:
    """Neighbours of the phase `steady` side by side, all others alone."""
    for phase, members in groupby(scenarios, key=lambda scenario: scenario.phase):
        if phase == "steady":
            yield list(members)
        else:
            yield from ([scenario] for scenario in members)


async def _together(plan: Plan, lab: RunningLab, scenarios: list[Scenario]) -> list[Recording]:
    observers = [Observer(lab, scenario.id, scenario.phase) for scenario in scenarios]
    if (problem := await _revive(lab, observers)) is not None:
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
        problem = Problem("stopped", _why(observer.not_back))
    return observer.recording(problem)


def _log(scenario: Scenario, error: Exception, path: Path) -> None:
    """Append where the exception came through: places alone, since a suite's own lines are nobody's to read."""
    frames = "".join(f"  {it.filename}:{it.lineno} in {it.name}\n" for it in extract_tb(error.__traceback__))
    with path.open("a", encoding="utf-8", errors="replace") as target:
        target.write(f"{scenario.id} raised {type(error).__name__}: {error}\n{frames}")


def machine() -> Machine:
    """What the run ran on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return Machine(cpu, os.cpu_count() or 1, psutil.virtual_memory().total, f"{platform.system()} {platform.release()}")
