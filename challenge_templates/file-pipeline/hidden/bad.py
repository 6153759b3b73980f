"""FP-5: files that fail do so soon, with a reason, and hold nobody up."""

import asyncio
from random import Random

from crucible.authoring import deaths
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab

from . import corpus
from .jobs import WITHIN_S, Job, heard, new_job, run, state_of
from .tables import Sample, Table
from .told import Seen, Wrong, ended_well, seen, wrong_end

BAD, BESIDE = "bad", "beside"
TURN_S, GRACE_S = 10.0, 2.0
"""From `processing` to `failed`; and what the grader may be late."""
LARGE = 3_000_000
BESIDES, SMALL = 8, 30_000
GAP_S = 0.3


async def bad(lab: Lab, rng: Random) -> None:
    """Every file of the corpus that fails, and a larger one, at once; and good ones that come meanwhile."""
    names = [name for name in corpus.small() if Sample(name).certain and Sample(name).expected() is None]
    jobs = [new_job(lab, rng, f"{BAD}/{name}", Sample(name)) for name in names]
    jobs.append(new_job(lab, rng, f"{BAD}/opened", Table(rng.getrandbits(32), LARGE, opened=True)))
    good = [new_job(lab, rng, f"{BESIDE}/{i}", Table(rng.getrandbits(32), SMALL)) for i in range(BESIDES)]

    async def later(index: int) -> None:
        await lab.sleep(index * GAP_S)
        await run(lab, good[index], WITHIN_S, index)

    async def failing(index: int, job: Job) -> None:
        begun = await run(lab, job, WITHIN_S, index, gap_s=0.3)
        if begun is not None:
            await heard(lab, begun, WITHIN_S)

    await asyncio.gather(
        *(failing(index, job) for index, job in enumerate(jobs)),
        *(later(index) for index in range(BESIDES)),
    )


def judge_bad_files(history: History) -> Finding:
    found, beside = seen(history, BAD), seen(history, BESIDE)
    failures = sum(it.over is not None for it in found)
    counted = {"files that fail": len(found), "jobs that failed": failures,
               "files that were refused": sum(it.refused for it in found)}  # fmt: skip
    wrong = [(it, words) for it in found if (words := wrong_end(it) or _late(it) or _silent(it))]
    if wrong:
        it, words = wrong[0]
        return failed(f"of the file `{it.label}`, {words[0]}", *words[1], counted=counted)
    held = [it for it in beside if it.accepted and it.over is None]
    if held:
        what = f"{len(held)} of {len(beside)} good files that came beside files that fail did not end"
        return failed(what, *held[0].posts[-1:], *held[0].states[-1:], counted=counted)
    ended = [it for it in found if ended_well(it)]
    if len(ended) < len(found) or not found:
        what = f"only {len(ended)} of {len(found)} files that fail were seen to their end"
        return inconclusive(deaths.first_of_all(history, what), counted=counted)
    return passed(f"all {len(found)} files that fail did so with a reason, and held nobody up", counted=counted)


def _late(it: Seen) -> Wrong | None:
    begun = next((op for op in it.states if state_of(op) == "processing"), None)
    if begun is None:
        if it.accepted and it.states and it.over is None:
            waited_s = (it.states[-1].sent_ns - it.posts[-1].received_ns) / 1e9
            return f"after {waited_s:.0f} s it was still {state_of(it.states[-1]) or 'nothing'}", it.states[-1:]
        return None
    late = [op for op in it.states if op.sent_ns > begun.received_ns + (TURN_S + GRACE_S) * 1e9]
    if late and state_of(late[0]) == "processing":
        after_s = (late[0].sent_ns - begun.received_ns) / 1e9
        return f"{after_s:.0f} s after its processing had begun it had not failed", (begun, late[0])
    return None


def _silent(it: Seen) -> Wrong | None:
    """A failure without a reason."""
    over = it.over
    if over is not None and state_of(over) == "failed" and not over.field("error", str):
        return "it failed without an `error` that says why", (over,)
    return None
