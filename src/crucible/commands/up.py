"""Services and solution for work by hand."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from crucible.check import Suite
from crucible.lab import leftovers
from crucible.lab.lab import open_lab
from crucible.planning.plan import Plan, make_plan
from crucible.planning.solution import read_solution
from crucible.processes.interrupt import InterruptedGradeError, interruptible


def up(folder: Path, environ: Mapping[str, str], console: Console) -> int:
    """Start what `folder/crucible.yaml` names, print where it is, and wait to be interrupted; returns the exit code."""
    plan = make_plan(read_solution(folder, environ), Suite((), ()), seed=0)
    if cleared := leftovers.clear():
        console.print(cleared, markup=False)
    try:
        interruptible(_serve(plan, folder / ".crucible" / "logs", environ, console))
    except InterruptedGradeError:
        console.print("ended")
    return 0


async def _serve(plan: Plan, logs: Path, environ: Mapping[str, str], console: Console) -> None:
    async with open_lab(plan, logs, environ) as lab:
        console.print("starting …")
        await lab.boot()
        for name, running in lab.web.items():
            console.print(f"{name}  http://{running.host}:{running.port}", markup=False)
        for name, url in (await lab.urls()).items():
            console.print(f"{name}={url}", markup=False, soft_wrap=True)
        console.print(
            f"{plan.network_ms} ms to every service, each way. Logs: {lab.logs}. Ctrl-C ends it.", markup=False
        )
        while True:
            await asyncio.sleep(1)
            for event in await lab.revive():
                console.print(f"{event.subject} had ended and was started again", markup=False)
