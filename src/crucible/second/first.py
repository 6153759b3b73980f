"""The first lab's side: what it asks of a second one, and what it makes of the answer."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import psutil

from crucible import services
from crucible.evidence import Attempt, Beside, Part, Recording, Timing, Traffic, Usage
from crucible.lab import leftovers
from crucible.lab.lab import RunningLab
from crucible.planning.plan import Plan
from crucible.processes.child import Child
from crucible.second.records import Apart, Counted, Job, Recorded, Seen, read, unpickle, write

ROOM_BYTES = 3 << 30
"""Memory that must be free for a second lab."""
END_S = 20.0
"""How long it may take to end what it has started."""
SOURCES = Path(__file__).resolve().parents[2]


def no_room(plan: Plan, environ: Mapping[str, str]) -> str:
    """Why this machine, or what stands ready on it, is not enough for two labs; empty where it is."""
    found = {name: services.find(name, environ) for name in plan.solution.services}
    attached = [name for name, source in found.items() if source is not None and source.kind == "attached"]
    if attached:
        return f"there is one server for {', '.join(attached)}"
    free = psutil.virtual_memory().available
    if free < ROOM_BYTES:
        return f"{free >> 20:,} MiB of memory were free, and a second one wants {ROOM_BYTES >> 20:,}"
    return "this machine has one core" if (os.cpu_count() or 1) < 2 else ""


class Second:
    """What is known of the second lab. Not begun, it has seen nothing, and never will."""

    def __init__(self, apart: str = "") -> None:
        self.wanted: tuple[str, ...] = ()
        """The scenarios that it is to see."""
        self.recordings: list[Recording] = []
        self.attempts: tuple[Attempt, ...] = ()
        """The calls of its sink, as of the last of them."""
        self.counted: Counted | None = None
        self.apart = apart
        """Why it saw less than it could have."""
        self._child: Child | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._contact: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        self._answered = asyncio.Event()
        """It stands, or never will."""
        self._untold: list[bytes] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """For the reader of the report."""
        return (f"everything ran in one lab: {self.apart}",) if self.apart else ()

    def begin(self, job: Job, lab: RunningLab) -> None:
        """Start its process."""
        self._child = Child.start(
            [sys.executable, "-P", "-m", "crucible.second.child"],
            cwd=Path.cwd(), log=lab.logs / "second-lab.log", env={**job.environ, "PYTHONPATH": str(SOURCES)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.wanted = tuple(job.scenarios)
        self._say(job)
        assert self._child.popen.stdout is not None
        self._tasks = [
            asyncio.create_task(self._read(self._child.popen.stdout)),
            asyncio.create_task(self._hand_over(lab.tree)),
        ]

    async def _hand_over(self, built: asyncio.Future[Path]) -> None:
        self._say(await built)
        asked = await self._contact
        await self._answered.wait()
        self._say(asked)

    def go(self, recorded: Recorded) -> None:
        """Let it observe as soon as it stands; `recorded` is what the first scenarios have asked."""
        self._contact.set_result(dict(recorded))

    async def over(self) -> None:
        """Wait for its end."""
        if self._child is not None:
            await asyncio.shield(self._tasks[0])  # which `end` waits for, whoever interrupts this
            await asyncio.to_thread(self._child.popen.wait)

    def look(self) -> None:
        """Take in what it has told. Not as it arrives: the first lab's clients would be late for it."""
        while self._untold:
            told = unpickle(self._untold.pop(0))
            if isinstance(told, Apart):
                self.apart = told.why
            elif isinstance(told, Counted):
                self.counted = told
            elif isinstance(told, Seen):
                self.recordings += told.recordings
                self.attempts = told.attempts

    async def end(self) -> None:
        """End it, wherever it is; safe to call twice."""
        child, self._child = self._child, None
        if child is None:
            return
        reading, handing = self._tasks
        handing.cancel()
        assert child.popen.stdin is not None
        by_itself = child.returncode is not None
        with suppress(OSError):
            child.popen.stdin.close()
        status, _ = await asyncio.to_thread(child.terminate, END_S)
        await reading
        self.look()
        if status != 0 or self.counted is None:
            await asyncio.to_thread(leftovers.clear)
        if by_itself and self.counted is None and not self.apart:
            self.apart = "the second one ended early"

    def _say(self, what: object) -> None:
        if self._child is not None and (pipe := self._child.popen.stdin) is not None:
            with suppress(OSError):  # it has ended, which its silence says
                write(pipe, what)

    async def _read(self, pipe: IO[bytes]) -> None:
        while told := await asyncio.to_thread(read, pipe):
            self._untold.append(told)
            self._answered.set()
        self._answered.set()
        pipe.close()


@asynccontextmanager
async def opened(
    plan: Plan, lab: RunningLab, environ: Mapping[str, str], hidden: Sequence[Path]
) -> AsyncIterator[Second]:
    """The second lab of `plan` while the block is open; one that is never begun, where none is wanted or possible."""
    second = Second(no_room(plan, environ) if plan.beside else "")
    try:
        if plan.beside and not second.apart:
            try:
                second.begin(_job(plan, lab, environ, hidden), lab)
            except OSError as error:
                second.apart = f"the second one cannot be started: {error}"
        yield second
    finally:
        await second.end()


def _job(plan: Plan, lab: RunningLab, environ: Mapping[str, str], hidden: Sequence[Path]) -> Job:
    return Job(
        folder=plan.solution.folder,
        environ=dict(environ),
        hidden=tuple(hidden),
        logs=lab.logs / "second-lab",
        begun_ns=lab.begun_ns,
        seed=plan.seed,
        mode=plan.mode,
        checks=tuple(check.id for check in plan.checks),
        profile=plan.profile.id,
        network_ms=plan.network_ms,
        deadlines=plan.deadlines,
        scenarios=plan.beside,
    )


def with_second(part: Part, second: Second) -> Part:
    """What both labs have shown."""
    recordings, counted = list(second.recordings), second.counted
    if not recordings:
        return part
    if counted is not None:
        recordings[-1] = replace(recordings[-1], events=(*recordings[-1].events, *counted.late))
    seen = tuple(recording.scenario for recording in recordings)
    part = replace(part, recordings=(*part.recordings, *recordings), beside=Beside(seen, second.attempts))
    if counted is None:
        return part
    return replace(
        part,
        beside=Beside(seen, counted.attempts),
        traffic=_traffic((*part.traffic, *counted.traffic)),
        usage=_usage((*part.usage, *counted.usage)),
        timings=(*part.timings, *(Timing(f"beside: {it.step}", it.seconds) for it in counted.timings)),
        notes=tuple(dict.fromkeys((*part.notes, *counted.notes))),
        bypasses=tuple(dict.fromkeys((*part.bypasses, *counted.bypasses))),
        given_up=part.given_up or counted.given_up,
    )


def _traffic(counted: Sequence[Traffic]) -> tuple[Traffic, ...]:
    found: dict[tuple[str, str], Traffic] = {}
    for new in counted:
        old = found.setdefault((new.process, new.service), new)
        if old is not new:
            found[new.process, new.service] = Traffic(
                new.process, new.service, old.connections + new.connections,
                max(old.peak_connections, new.peak_connections), old.round_trips + new.round_trips,
                old.bytes_to_service + new.bytes_to_service, old.bytes_from_service + new.bytes_from_service,
            )  # fmt: skip
    return tuple(found.values())


def _usage(counted: Sequence[Usage]) -> tuple[Usage, ...]:
    found: dict[str, Usage] = {}
    for new in counted:
        old = found.setdefault(new.subject, new)
        if old is not new:
            found[new.subject] = replace(
                old,
                cpu_s=round(old.cpu_s + new.cpu_s, 3),
                peak_memory_bytes=max(old.peak_memory_bytes, new.peak_memory_bytes),
                operations=dict(Counter(old.operations) + Counter(new.operations)),
            )
    return tuple(found.values())
