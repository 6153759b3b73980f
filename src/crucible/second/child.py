"""The second lab, in its own process."""

import asyncio
import os
import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import IO, Any

from crucible.errors import CrucibleError, Fault
from crucible.lab.lab import Opening, RunningLab, open_lab
from crucible.observing import observe
from crucible.planning.plan import Plan, make_plan
from crucible.planning.solution import read_solution
from crucible.processes.child import adopt_orphans
from crucible.processes.interrupt import InterruptedGradeError, interruptible
from crucible.second.records import Apart, Counted, Job, Seen, Stands, read, unpickle, write


class _Silent:
    """Implements `observing.Steps`: of the second lab the first one tells."""

    def step(self, what: str, estimate_s: float | None = None) -> nullcontext[None]:
        return nullcontext()


async def work(hears: IO[bytes], tells: IO[bytes]) -> None:
    """Do what is heard, and tell what is seen. Raises CrucibleError or BrokenPipeError where the first lab is gone."""
    job: Job = await _hear(hears)
    plan = _plan(job)
    opening = Opening(job.hidden, job.begun_ns, tree=_hear(hears))
    async with open_lab(plan, job.logs, job.environ, opening) as lab:
        if apart := _missing(job, plan) or await _boot(lab):
            write(tells, Apart(f"the second one did not come up: {apart}"))
            return
        write(tells, Stands())
        lab.recorded.update(await _hear(hears))
        async for recorded in observe(plan, lab, _Silent(), plan.scenarios):
            write(tells, Seen(tuple(recorded), lab.attempts))
        write(tells, await _counted(lab))


def _missing(job: Job, plan: Plan) -> str:
    """What is wanted and is not in the suite that was found here; empty where all is."""
    names = set(job.scenarios) - {scenario.id for scenario in plan.scenarios}
    return f"no scenario {', '.join(sorted(names))}" if names else ""


async def _boot(lab: RunningLab) -> str:
    """Why it does not stand; empty where it does. One that has ended may be one that a machine can have only once."""
    try:
        await lab.boot()
    except CrucibleError as error:
        return error.what
    await lab.begin_accounts()
    return next((f"{it.name} ended" for it in lab.instances.values() if it.ended is not None), "")


async def _hear(pipe: IO[bytes]) -> Any:
    pickled = await asyncio.to_thread(read, pipe)
    if not pickled:
        raise CrucibleError(
            "the first lab has ended", where="the second lab", fix="see what the first one said", fault=Fault.CRUCIBLE
        )
    return unpickle(pickled)


async def _counted(lab: RunningLab) -> Counted:
    return Counted(
        late=tuple(await lab.supervisor.last_look()),
        attempts=lab.attempts,
        traffic=await lab.traffic(),
        usage=await lab.usage(),
        timings=tuple(lab.timings),
        notes=tuple(lab.isolation.notes),
        bypasses=lab.bypasses,
        given_up=lab.given_up,
    )


def _plan(job: Job) -> Plan:
    """The first lab's, with no more than is asked for."""
    solution = read_solution(job.folder, job.environ)
    plan = make_plan(
        solution, solution.challenge.suite, seed=job.seed, mode=job.mode, checks=job.checks, profile=job.profile,
        network_ms=job.network_ms, deadlines=job.deadlines,
    )  # fmt: skip
    return replace(plan, scenarios=tuple(it for it in plan.scenarios if it.id in job.scenarios), beside=())


def main() -> None:
    adopt_orphans()
    tells = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed goes to the log
    with suppress(InterruptedGradeError, BrokenPipeError):  # the first lab has no more use for it
        try:
            interruptible(work(sys.stdin.buffer, tells))
        except CrucibleError as error:
            write(tells, Apart(f"the second one ended early: {error.what} ({error.where})"))


if __name__ == "__main__":
    main()
