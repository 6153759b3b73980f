"""FP-8 and FP-9: large files at once in little memory, and an API that stays quick beside them."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring import deaths
from crucible.authoring.asking import in_turn
from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, taken
from crucible.check import Call, Finding, History, Lab, Measure
from crucible.evidence import Op

from .jobs import JOBS, STATE, WITHIN_S, Begun, Job, finish, new_job, submit
from .tables import Table
from .told import Wrong, ended_well, seen, wrong_end

HEAVY, BEHIND, SLOWED, IDLE, BUSY = "heavy", "behind", "slowed", "idle", "busy"
SIZE = {"quick": 40_000_000, "full": 200_000_000}
OPENED = {"quick": 120_000_000, "full": 200_000_000}
"""Bytes of the one with a quote that is never closed, behind which nothing can be told apart."""
NUMBER, BEHINDS, SMALL = 3, 4, 5_000
BACKED_UP = {"quick": 80_000_000, "full": 200_000_000}
"""Bytes of a file that fails in its first rows, sent while services are slow: it has to be kept back."""
FAR_MS = 50
WITHIN = {"quick": 90.0, "full": 300.0}
IDLE_S, PROBE_S, POST_EVERY = 2.5, 0.06, 8
FEWEST_PROBES = 25
TIMES, MORE_MS = 3, 50
LATE_MS = 20.0
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """Until a file was accepted, and until the last of all was over, in seconds from the first byte."""

    accepted_s: list[float]
    accepted_bytes: int
    over_s: float
    sent_bytes: int
    good: int
    """How many of them have a result."""


async def heavy(lab: Lab, rng: Random) -> None:
    known = await submit(lab, new_job(lab, rng, f"{BEHIND}/known", Table(rng.getrandbits(32), SMALL)))
    if known is None or not await finish(lab, known, WITHIN_S):
        return
    files = [Table(rng.getrandbits(32), SIZE[lab.mode]) for _ in range(NUMBER - 1)]
    files.append(Table(rng.getrandbits(32), OPENED[lab.mode], opened=True))
    large = [new_job(lab, rng, f"{HEAVY}/{index}", file) for index, file in enumerate(files)]
    await _probe(lab, rng, known, IDLE, asyncio.create_task(lab.sleep(IDLE_S)))
    working = asyncio.create_task(_work(lab, rng, large))
    try:
        await _probe(lab, rng, known, BUSY, working)
        await working
    finally:
        working.cancel()
    await _back_up(lab, rng)


async def _probe(lab: Lab, rng: Random, known: Begun, label: str, until: "asyncio.Task[None]") -> None:
    """Small requests, on each replica in turn, in an open model."""
    asked, number = list[asyncio.Task[object]](), 0
    while not until.done():
        if number % POST_EVERY == POST_EVERY - 1:
            job = new_job(lab, rng, f"{label}/{number}", Table(rng.getrandbits(32), SMALL))
            asked.append(asyncio.create_task(submit(lab, job, number, tries=1)))
        else:
            path = f"{JOBS}/{known.id}"
            call = Call(in_turn(lab, number), "GET", path, name=f"{label}-{STATE}", timeout_s=8.0)
            asked.append(asyncio.create_task(lab.call(call)))
        number += 1
        await lab.sleep(PROBE_S)
    await asyncio.gather(*asked)


async def _work(lab: Lab, rng: Random, jobs: list[Job]) -> None:
    """Three large files, one of which fails in the end, and small ones behind them."""
    begun_ns = lab.now_ns()

    async def one(index: int, job: Job) -> tuple[float, str]:
        begun = await submit(lab, job, index, tries=3, timeout_s=WITHIN[lab.mode])
        accepted_s = (lab.now_ns() - begun_ns) / 1e9
        return accepted_s, (await finish(lab, begun, WITHIN[lab.mode], index, 0.3) if begun is not None else "")

    async def behind(index: int) -> None:
        await lab.sleep(0.5 + 0.3 * index)
        begun = await submit(lab, new_job(lab, rng, f"{BEHIND}/{index}", Table(rng.getrandbits(32), SMALL)), index)
        if begun is not None:
            await finish(lab, begun, WITHIN[lab.mode], index, 0.3)

    smaller = asyncio.gather(*(behind(index) for index in range(BEHINDS)))
    try:
        found = await asyncio.gather(*(one(index, job) for index, job in enumerate(jobs)))
        over_s = (lab.now_ns() - begun_ns) / 1e9
        await smaller
    finally:
        smaller.cancel()
    good = sum(state == "done" for _, state in found)
    sent = [(it, job.body.size) for (it, state), job in zip(found, jobs, strict=True) if state]
    note(lab, Spent(
        [it for it, _ in sent], sum(size for _, size in sent), over_s, sum(job.body.size for job in jobs), good
    ))  # fmt: skip


async def _back_up(lab: Lab, rng: Random) -> None:
    """Files that fail at once, sent faster than they can be kept."""
    size = BACKED_UP[lab.mode]
    jobs = [
        new_job(lab, rng, f"{SLOWED}/{index}", Table(rng.getrandbits(32), size, broken=True)) for index in range(NUMBER)
    ]
    async with lab.slow(FAR_MS):
        found = await asyncio.gather(*(
            submit(lab, job, 0, tries=1, timeout_s=WITHIN[lab.mode]) for job in jobs
        ))  # fmt: skip
    for index, begun in enumerate(found):
        if begun is not None:
            await finish(lab, begun, WITHIN_S, index, 0.3)


def judge_memory(history: History) -> Finding:
    found, spent = seen(history, HEAVY, SLOWED), fact(history, Spent)
    size = min((it.meant.size for it in seen(history, HEAVY)), default=0) // MB
    counted = {"large files": len(found), "MB each": size}
    measures = _measures(spent)
    if ended := deaths.untimely(history):
        event = ended[0]
        slowed = any(op.sent_ns <= event.at_ns for op in history.named(SLOWED))
        what = (
            "while the services were slow and large files were sent" if slowed else f"with {NUMBER} files of {size} MB"
        )
        return failed(f"{what}, {deaths.briefly(event)}", counted=counted, measures=measures)
    wrong: list[Wrong] = [words for it in found if (words := wrong_end(it))]
    if wrong:
        return failed(f"of a file of {size} MB, {wrong[0][0]}", *wrong[0][1], counted=counted, measures=measures)
    large = [it for it in found if it.label.startswith(HEAVY)]
    unfinished = [it for it in large if it.accepted and not ended_well(it)]
    if unfinished and unfinished[0].states and not deaths.in_short(history):
        op = unfinished[0].states[-1]
        waited_s = (op.received_ns - unfinished[0].posts[-1].received_ns) / 1e9
        what = f"{waited_s:.0f} s after a file of {size} MB had been accepted, its job was not over"
        return failed(what, unfinished[0].posts[-1], op, counted=counted, measures=measures)
    sent = [it for it in found if it.label.startswith(SLOWED) and it.posts]
    if len([it for it in large if ended_well(it)]) < NUMBER or len(sent) < NUMBER:
        answers = [str(op.error or op.status) for it in large for op in it.posts if not taken(op)]
        what = (
            f"not all of the {NUMBER} files of {size} MB could be sent ({', '.join(answers[:2]) or 'nothing is known'})"
        )
        return inconclusive(what, counted=counted, measures=measures)
    return passed(
        f"{NUMBER} files of {size} MB at once, and {NUMBER} that had to wait for slow services, fitted into the memory",
        counted=counted, measures=measures,
    )  # fmt: skip


def _measures(spent: Spent | None) -> list[Measure]:
    if spent is None or not spent.accepted_s:
        return []
    number = len(spent.accepted_s)
    found = [exactly("submit_mb_per_s", spent.accepted_bytes / max(spent.accepted_s) / MB, number)]
    if spent.good >= NUMBER - 1:
        found.append(exactly("mb_per_s", spent.sent_bytes / spent.over_s / MB, NUMBER))
    return found


def judge_quick(history: History) -> Finding:
    idle, busy = _times(history, IDLE), _times(history, BUSY)
    counted = {"small requests when idle": len(idle), "beside large files": len(busy)}
    behind = [it for it in seen(history, BEHIND) if it.accepted]
    counted["small jobs behind large ones"] = len(behind) - 1
    late = [it for it in behind if it.over is None and it.states]
    if late:
        what = f"{len(late)} of {len(behind)} small jobs behind large ones had not ended when those had"
        return failed(what, late[0].posts[-1], late[0].states[-1], counted=counted)
    if min(len(idle), len(busy)) < FEWEST_PROBES:
        return inconclusive(f"only {len(busy)} small requests could be asked beside large files", counted=counted)
    before, beside = _p95(idle), _p95(busy)
    measures = [exactly("api_heavy_ratio", beside[0] / before[0], len(busy))]
    most = TIMES * before[0] + MORE_MS
    what = (
        f"95 % of small requests took at most {beside[0]:.0f} ms beside large files, and {before[0]:.0f} ms when idle"
    )
    if beside[0] <= most:
        return passed(what, counted=counted, measures=measures)
    if history.lag_ms > LATE_MS:
        return inconclusive(f"{what}, but the grader was {history.lag_ms:.0f} ms late itself", counted=counted)
    return failed(f"{what} (at most {most:.0f} ms)", *beside[1], counted=counted, measures=measures)


def _times(history: History, label: str) -> list[tuple[float, Op]]:
    """Milliseconds of each small request; who had no answer took as long as was waited."""
    ops = [op for op in history.ops if op.name == f"{label}-{STATE}" or op.name.startswith(f"{label}/")]
    return [((op.received_ns - op.sent_ns) / 1e6, op) for op in ops]


def _p95(times: list[tuple[float, Op]]) -> tuple[float, tuple[Op, ...]]:
    """With those that took longest."""
    ordered = sorted(times, key=lambda it: it[0])
    return ordered[int(0.95 * (len(ordered) - 1))][0], tuple(op for _, op in ordered[-2:])
