"""FP-10: after the answer to DELETE there is no result, and neither a state nor an event says done."""

import asyncio
from random import Random

from crucible.authoring import deaths
from crucible.authoring.asking import in_turn
from crucible.authoring.outcomes import failed, inconclusive, passed, taken
from crucible.check import Finding, History, Lab, SinkFault
from crucible.evidence import Op

from .jobs import (
    OVER,
    RESULT,
    WITHIN_S,
    Begun,
    delete,
    getting,
    known,
    look,
    new_job,
    progress_of,
    read,
    state_of,
    submit,
    until_over,
)
from .tables import Table
from .told import Seen, Wrong, events, says, seen

CANCEL = "cancel"
AT_ONCE, SMALL, SIZE = 6, 40_000, {"quick": 5_000_000, "full": 40_000_000}
WATCHED_S, GAP_S = {"quick": 4.5, "full": 40.0}, 0.4
SOME = 0.05
"""Progress at which it is certainly being worked on."""
GRACE_NS = 250_000_000
"""For an event whose sending had begun."""


async def cancel(lab: Lab, rng: Random) -> None:
    """At once, in the middle, and when it is done while its event is still refused."""
    await asyncio.gather(
        *(_at_once(lab, rng, f"{CANCEL}/at-once-{index}", index) for index in range(AT_ONCE)),
        *(_in_the_middle(lab, rng, f"{CANCEL}/middle-{index}", index) for index in range(3)),
        *(_when_done(lab, rng, f"{CANCEL}/done-{index}", index) for index in range(2)),
    )


async def _at_once(lab: Lab, rng: Random, label: str, index: int) -> None:
    begun = await submit(
        lab, new_job(lab, rng, label, Table(rng.getrandbits(32), SMALL * (1 + 9 * (index % 2)))), index
    )
    if begun is not None:
        await _deleted(lab, begun, index)


async def _in_the_middle(lab: Lab, rng: Random, label: str, index: int) -> None:
    begun = await submit(lab, new_job(lab, rng, label, Table(rng.getrandbits(32), SIZE[lab.mode])), index)
    if begun is None:
        return
    end_ns = lab.now_ns() + WITHIN_S * 1e9
    while lab.now_ns() < end_ns:
        op = await look(lab, begun, index)
        if state_of(op) in OVER or (
            state_of(op) == "processing" and (progress_of(op) > SOME * (1 + index) or index == 0)
        ):
            break
        await lab.sleep(0.03)
    await _deleted(lab, begun, index)


async def _when_done(lab: Lab, rng: Random, label: str, index: int) -> None:
    job = new_job(lab, rng, label, Table(rng.getrandbits(32), SMALL))
    async with lab.sink.fault(job.channel, SinkFault(outage=True)):
        begun = await submit(lab, job, index)
        if begun is None or not await until_over(lab, begun, WITHIN_S, index):
            return
        for turn in range(len(lab.replicas)):  # who remembers a result has to forget it
            await read(lab, begun, turn)
        await lab.sleep(0.5 + index)
        await delete(lab, begun, index)
        await lab.sleep(0.3)
    await _watch(lab, begun, index)


async def _deleted(lab: Lab, begun: Begun, index: int) -> None:
    await delete(lab, begun, index)
    await _watch(lab, begun, index)


async def _watch(lab: Lab, begun: Begun, index: int) -> None:
    end_ns, turn = lab.now_ns() + WATCHED_S[lab.mode] * 1e9, index
    while lab.now_ns() < end_ns:
        await look(lab, begun, turn)
        await lab.call(getting(in_turn(lab, turn), begun, RESULT))
        turn += 1
        await lab.sleep(GAP_S)


def judge_cancel(history: History) -> Finding:
    found = seen(history, CANCEL)
    deleted = [it for it in found if any(map(taken, it.deletes))]
    looks = sum(len(it.states) + len(it.results) for it in deleted)
    counted = {"jobs that were deleted": len(deleted), "looks at them": looks,
               "deleted while processing": sum(_was(it, "processing") for it in deleted)}  # fmt: skip
    wrong = [words for it in found if (words := _wrong(history, it))]
    if wrong:
        return failed(wrong[0][0], *wrong[0][1], counted=counted)
    if len(deleted) < len(found) or len(found) < AT_ONCE:
        what = f"only {len(deleted)} of {len(found)} jobs could be deleted"
        return inconclusive(deaths.first_of_all(history, what), counted=counted)
    return passed(
        f"after DELETE, {looks} looks at {len(deleted)} jobs showed no result, and nothing said done", counted=counted
    )


def _was(it: Seen, state: str) -> bool:
    before = [op for op in it.states if op.received_ns <= it.deletes[0].sent_ns]
    return bool(before) and state_of(before[-1]) == state


def _wrong(history: History, it: Seen) -> Wrong | None:
    done = next(filter(taken, it.deletes), None)
    if done is None:
        answers = [op for op in it.deletes if known(op)]
        return (f"DELETE of a job was answered {answers[-1].status}", tuple(answers[-1:])) if answers else None
    for op in it.states:
        if op.sent_ns > done.received_ns and taken(op) and state_of(op) != "cancelled":
            return f"a job was deleted, and {_after(done, op)} later it was {state_of(op) or 'there'}", (done, op)
    for op in it.results:
        if op.sent_ns > done.received_ns and taken(op):
            return f"a job was deleted, and {_after(done, op)} later its result could be read", (done, op)
    for call in events(history, it):
        if says(call, "done") and call.at_ns > done.received_ns + GRACE_NS:
            after_s = (call.at_ns - done.received_ns) / 1e9
            return f"a job was deleted, and {after_s:.1f} s later an event said that it was done", (done,)
    return None


def _after(done: Op, op: Op) -> str:
    return f"{(op.sent_ns - done.received_ns) / 1e9:.1f} s"
