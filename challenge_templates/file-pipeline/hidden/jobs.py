"""Jobs, and how they are submitted, looked at, read and deleted: what every scenario asks."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Protocol
from urllib.parse import quote

from crucible.authoring.asking import in_turn, segment, until_told
from crucible.authoring.facts import note
from crucible.authoring.outcomes import refused, taken
from crucible.check import Body, Call, Lab, Transfer
from crucible.evidence import Op

from .tables import Expected

JOBS = "/v1/jobs"
WITHIN_S = 60.0
"""`MAX_REDELIVERY_S`, as the manifest says it: after the last failure every job ends in that time."""
OVER = ("done", "failed", "cancelled")
STATES = ("queued", "processing", *OVER)
POST, STATE, RESULT, DELETE = "post", "state", "result", "delete"
TRIES, PATIENT_TRIES, PAUSE_S = 6, 24, 0.5
LOOKS_S = 0.1
"""Between two looks at a job."""


class File(Body, Protocol):
    """What is sent, and what it comes to."""

    def expected(self) -> Expected | None:
        """None where it fails."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a client wants to have done."""

    label: str
    body: File
    key: str
    channel: str
    """The first segment of its callback's path, which no other job has."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What is to come of a job, by its label."""

    channel: str
    size: int
    expected: Expected | None
    """None where its file fails."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that was accepted."""

    job: Job
    id: str
    """As a segment of a path."""


def new_job(lab: Lab, rng: Random, label: str, body: File) -> Job:
    """Noted for the judges."""
    job = Job(label, body, f"key-{rng.getrandbits(64):016x}", f"job-{rng.getrandbits(64):016x}")
    note(lab, Meant(job.channel, body.size, body.expected()), label)
    return job


def submitting(lab: Lab, job: Job, target: str, *, timeout_s: float = 30.0) -> Transfer:
    url = f"{JOBS}?callback={quote(f'{lab.sink.url}/{job.channel}/events', safe='')}"
    headers = {"Idempotency-Key": job.key, "Content-Type": "text/csv"}
    return Transfer(target, "POST", url, f"{job.label}/{POST}", headers, sends=job.body, timeout_s=timeout_s)


def known(op: Op) -> bool:
    """Whether there is an answer that says what became of it."""
    return op.status is not None and op.status < 500 and op.status != 429


def id_of(op: Op) -> str | None:
    """The job's id, as a segment of a path."""
    said = op.reply.get("job") if taken(op) and isinstance(op.reply, dict) else None
    return segment(said)


def state_of(op: Op) -> str:
    """What it says of its job; empty where it says nothing."""
    said = op.field("state", str) if taken(op) else None
    return said if said in STATES else ""


def progress_of(op: Op) -> float:
    """Below 0 where it says nothing."""
    said = op.reply.get("progress") if taken(op) and isinstance(op.reply, dict) else None
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) else -1.0


async def submit(lab: Lab, job: Job, turn: int = 0, *, tries: int = TRIES, timeout_s: float = 30.0) -> Begun | None:
    """Until it is known what came of it, on each replica in turn. None where it was refused, or that is not known."""
    for number in range(tries):
        if number:
            await lab.sleep(min(number, 4) * PAUSE_S)
        op = await lab.transfer(submitting(lab, job, in_turn(lab, turn + number), timeout_s=timeout_s))
        if (it := id_of(op)) is not None:
            return Begun(job, it)
        if refused(op) and op.status != 409:
            return None
    return None


def getting(target: str, begun: Begun, what: str) -> Call:
    path = f"{JOBS}/{begun.id}" + (f"/{RESULT}" if what == RESULT else "")
    return Call(target, "GET", path, name=f"{begun.job.label}/{what}", timeout_s=8.0)


def deleting(target: str, begun: Begun) -> Call:
    path = f"{JOBS}/{begun.id}"
    return Call(target, "DELETE", path, name=f"{begun.job.label}/{DELETE}", timeout_s=8.0, json_reply=False)


async def look(lab: Lab, begun: Begun, turn: int) -> Op:
    return await lab.call(getting(in_turn(lab, turn), begun, STATE))


async def until_over(lab: Lab, begun: Begun, within_s: float, turn: int = 0, gap_s: float = LOOKS_S) -> str:
    """Look on each replica in turn; the state that it ended in, empty where it did not, or is gone."""
    end_ns = lab.now_ns() + within_s * 1e9
    while True:
        op = await look(lab, begun, turn)
        if state_of(op) in OVER:
            return state_of(op)
        if lab.now_ns() > end_ns:
            return ""
        turn += 1
        await lab.sleep(gap_s)


async def read(lab: Lab, begun: Begun, turn: int, *, tries: int = 4) -> Op:
    """Its result, until there is an answer."""
    return await until_told(lab, getting(in_turn(lab, turn), begun, RESULT), known, tries=tries, pause_s=PAUSE_S)


async def delete(lab: Lab, begun: Begun, turn: int = 0) -> Op:
    return await until_told(lab, deleting(in_turn(lab, turn), begun), known, pause_s=PAUSE_S)


async def finish(lab: Lab, begun: Begun, within_s: float, turn: int = 0, gap_s: float = LOOKS_S) -> str:
    """To its end: the result is read on the replica that has not said so."""
    state = await until_over(lab, begun, within_s, turn, gap_s)
    if state == "done":
        await read(lab, begun, turn + 1, tries=PATIENT_TRIES)
    return state


async def run(lab: Lab, job: Job, within_s: float, turn: int = 0, *, gap_s: float = LOOKS_S) -> Begun | None:
    """From its submission to its end."""
    begun = await submit(lab, job, turn)
    if begun is not None:
        await finish(lab, begun, within_s, turn, gap_s)
    return begun


async def run_all(lab: Lab, jobs: list[Job], within_s: float, at_once: int = 8) -> list[Begun | None]:
    """So many at a time."""
    turns = asyncio.Semaphore(at_once)

    async def one(index: int, job: Job) -> Begun | None:
        async with turns:
            return await run(lab, job, within_s, index)

    return list(await asyncio.gather(*(one(index, job) for index, job in enumerate(jobs))))


async def heard(lab: Lab, begun: Begun, within_s: float) -> bool:
    """Wait for the event of a job that is over."""
    end_ns = lab.now_ns() + within_s * 1e9
    path, seen = f"/{begun.job.channel}/", 0
    while True:
        attempts = lab.sink.attempts
        if any(it.path.startswith(path) and it.status == 200 for it in attempts[seen:]):
            return True
        if lab.now_ns() > end_ns:
            return False
        seen = max(0, len(attempts) - 200)
        await lab.sleep(0.1)
