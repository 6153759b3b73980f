"""Services and solution for work by hand."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from crucible.check import Suite
from crucible.commands import results
from crucible.errors import CrucibleError
from crucible.lab import leftovers
from crucible.lab.lab import RunningLab, open_lab
from crucible.lab.logs import tail
from crucible.lab.workspace import state_of
from crucible.planning.contract import read_routes
from crucible.planning.plan import Plan, make_plan
from crucible.planning.solution import read_solution
from crucible.processes.interrupt import InterruptedGradeError, interruptible
from crucible.report.text import plain

Say = Callable[[str], None]
LOOK_S = 0.5
MOST_LINES, MOST_READ = 200, 64 << 10
"""Of one log, each time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asks for."""

    folder: Path
    port: int = 0
    """Of the first replica; the others have the next ones. Free ones, where it is 0."""
    logs: bool = False
    """Whether what processes print is shown."""


def up(wanted: Wanted, environ: Mapping[str, str], console: Console) -> int:
    """Start what `crucible.yaml` names, print where it is, build and start again at every save, and wait to be
    interrupted; returns the exit code."""
    plan = make_plan(read_solution(wanted.folder, environ), Suite((), ()), seed=0)
    if cleared := leftovers.clear():
        console.print(cleared, markup=False)
    try:
        interruptible(_serve(plan, wanted, environ, console))
    except InterruptedGradeError:
        console.print("ended")
    return 0


async def _serve(plan: Plan, wanted: Wanted, environ: Mapping[str, str], console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    async with open_lab(plan, wanted.folder / results.FOLDER / "logs", environ) as lab:
        say("starting …")
        lab.first_port = wanted.port
        await lab.boot()
        urls = {name: running.url for name, running in lab.web.items()}
        for name, url in (urls | await lab.urls()).items():
            say(f"{name}  {url}" if name in urls else f"{name}={url}")
        say("")
        for route in read_routes(plan.solution.challenge.folder):
            say(route.curl(next(iter(urls.values()))))
        say(f"\n{plan.network_ms} ms to every service, each way. A save builds and starts again. Logs: {lab.logs}")
        say("Ctrl-C ends it.")
        shown, seen, broken = _Shown(lab), state_of(wanted.folder), False
        while True:
            await asyncio.sleep(LOOK_S)
            if (now := state_of(wanted.folder)) != seen:
                seen = now
                say("saved: building and starting again …")
                broken = not await _tried(lab.rebuild(), say)
                say("" if broken else "started")
            elif not broken:
                broken = not await _tried(_revived(lab, say), say)
            if wanted.logs:
                shown.more(say)


async def _revived(lab: RunningLab, say: Say) -> None:
    for event in await lab.revive():
        say(f"{event.subject} had ended and was started again")


async def _tried(work: Awaitable[None], say: Say) -> bool:
    """Whether it was done; where not, it is told why, and the next save is waited for."""
    try:
        await work
    except CrucibleError as error:
        say(f"{error.where}: {error.what}: {error.fix}")
        for line in error.excerpt.splitlines()[-MOST_LINES:]:
            say(f"  | {plain(line)}")
        return False
    return True


class _Shown:
    """What has been shown of the processes' logs."""

    def __init__(self, lab: RunningLab) -> None:
        self._lab = lab
        self._read: dict[str, int] = {}

    def more(self, say: Say) -> None:
        """Show what was printed since, at most so many lines of each process."""
        for name, running in self._lab.instances.items():
            size = running.log.stat().st_size if running.log.is_file() else 0
            since = self._read.get(name, 0)
            self._read[name] = size
            for line in tail(running.log, MOST_READ, since).splitlines()[-MOST_LINES:] if size != since else ():
                say(f"{name} | {plain(line)}")
