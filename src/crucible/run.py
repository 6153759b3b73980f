"""Plan + labs -> evidence: contact, then both labs at once, then the load alone; what was seen is kept."""

import contextlib
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import psutil

from crucible import __version__
from crucible.check import Scenario
from crucible.errors import CrucibleError, Fault
from crucible.evidence import (
    Evidence,
    LoadBlock,
    Machine,
    Part,
    Problem,
    Recording,
)
from crucible.lab.lab import Opening, RunningLab, open_lab
from crucible.lab.observer import Observer
from crucible.load.offer import generator
from crucible.observing import Steps, nothing_answered, observe, revive, why
from crucible.planning import challenges
from crucible.planning.plan import LoadPlan, Plan
from crucible.second import first


class Progress(Steps, Protocol):
    """Told also what has been seen."""

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
    over = parts[0].given_up or nothing_answered(parts[0].recordings)
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
        return Part(plan.replicas, tuple(check.id for check in plan.checks), (), given_up=why(error))


async def _part(plan: Plan, logs: Path, setting: _Setting, *, own: bool = False) -> Part:
    """Everything that runs with one number of replicas, in labs of its own; of the `own` number it is told as it is
    seen."""
    async with (
        open_lab(plan, logs, setting.environ, Opening(setting.hidden)) as lab,
        first.opened(plan, lab, setting.environ, setting.hidden) as second,
    ):
        with setting.progress.step(f"starting the services and the solution, {plan.replicas} replicas"):
            await lab.boot()
        await lab.begin_accounts()
        run = _Run(plan, lab, second, setting, own)
        offered = await run.everything()
        notes = (*plan.solution.warnings, *lab.isolation.notes, *second.notes)
        part = replace(
            run.seen,
            load=offered.load,
            ramp=offered.ramp,
            traffic=await lab.traffic(),
            usage=await lab.usage(),
            timings=tuple(lab.timings),
            notes=notes,
            bypasses=lab.bypasses,
            given_up=lab.given_up,
            printed=tuple(it.printed() for it in lab.web.values()) if nothing_answered(run.recordings) else (),
        )
        return first.with_second(part, second)


@dataclass
class _Run:
    """Of one part, in the order of running."""

    plan: Plan
    lab: RunningLab
    second: first.Second
    setting: _Setting
    own: bool
    recordings: list[Recording] = field(default_factory=list)

    async def everything(self) -> "_Offered":
        """A second lab sees its share meanwhile, and has ended when the load begins; without one, what may leave the
        solution in any state comes after the load."""
        second = self.second
        mine = [it for it in self.plan.scenarios if it.id not in second.wanted and not it.after]
        await self._observe(scenario for scenario in mine if scenario.phase == "contact")
        if not self._over:
            second.go(self.lab.recorded)
            early = [it for it in mine if it.phase != "contact" and (it.phase != "fault" or second.wanted)]
            await self._observe(early)
        if not self._over and second.wanted:
            with self.setting.progress.step(f"in a second lab: {', '.join(second.wanted)}"):
                await second.over()
        await second.end()
        offered = await self._offer()
        seen = {recording.scenario for recording in (*self.recordings, *second.recordings)}
        seen |= set() if second.apart else set(second.wanted)  # what it gave up is not to be had here, either
        await self._observe(scenario for scenario in self.plan.scenarios if scenario.id not in seen)
        if self.recordings and (late := await self.lab.supervisor.last_look()):
            self.recordings[-1] = replace(self.recordings[-1], events=(*self.recordings[-1].events, *late))
        return offered

    @property
    def seen(self) -> Part:
        """What can be said at any time, without asking a service or the network."""
        return Part(
            replicas=self.plan.replicas,
            checks=tuple(check.id for check in self.plan.checks),
            recordings=tuple(self.recordings),
            attempts=self.lab.attempts,
            services=self.lab.service_facts,
            given_up=self.lab.given_up,
        )

    @property
    def _over(self) -> bool:
        """Whether there is nothing further to be learnt."""
        return bool(self.lab.given_up) or nothing_answered(self.recordings)

    async def _observe(self, wanted: Iterable[Scenario]) -> None:
        if self._over:
            return
        progress = self.setting.progress
        async for recorded in observe(self.plan, self.lab, progress, list(wanted)):
            self.recordings.extend(recorded)
            if self.own:
                self.second.look()
                progress.observed(_evidence(self.plan, [first.with_second(self.seen, self.second)]))

    async def _offer(self) -> "_Offered":
        if self.plan.load is None or self.setting.load_file is None or self._over:
            return _Offered((), ())
        recording, offered = await _offer(self.plan, self.plan.load, self.lab, self.setting)
        self.recordings.append(recording)
        return offered


@dataclass(frozen=True, slots=True)
class _Offered:
    """What became of the load: at the rates of the profiles, and at rising ones."""

    load: tuple[LoadBlock, ...]
    ramp: tuple[LoadBlock, ...]


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
                sent.extend(await offered.at(rate, load.blocks, load.seconds, load.limits))
            if load.ramp:
                ramp.extend(await offered.ramp(plan.profile.rate, plan.profile.knee_p99_ms))

    if (problem := await revive(lab, [observer])) is not None:
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


def machine() -> Machine:
    """What the run ran on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return Machine(cpu, os.cpu_count() or 1, psutil.virtual_memory().total, f"{platform.system()} {platform.release()}")
