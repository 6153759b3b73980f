"""FP-7: an event for every job, with one id, also where the callback is away, hangs, or fails after it has heard."""

import asyncio
from collections.abc import Sequence
from random import Random

from crucible.authoring import deaths
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, JsonValue, Lab, SinkFault
from crucible.evidence import Attempt

from .jobs import OVER, WITHIN_S, finish, heard, new_job, state_of, submit
from .tables import Table
from .told import Seen, events, says, seen

CALLBACKS = "callbacks"
FAULTS = {"away": SinkFault(outage=True), "hangs": SinkFault(hangs=True), "fine": SinkFault()}
AWAY_S = {"quick": 3.0, "full": 20.0}
SIZE, EACH = 20_000, 3
HEARD = "contact", CALLBACKS, "watched", "retries", "bad", "beside", "strikes", "kills", "exact", "arrivals"
FEWEST = 30


async def callbacks(lab: Lab, rng: Random) -> None:
    await asyncio.gather(*(
        _one(lab, rng, f"{CALLBACKS}/{name}-{index}", fault, index)
        for name, fault in FAULTS.items() for index in range(EACH)
    ))  # fmt: skip


async def _one(lab: Lab, rng: Random, label: str, fault: SinkFault, index: int) -> None:
    job = new_job(lab, rng, label, Table(rng.getrandbits(32), SIZE))
    async with lab.sink.fault(job.channel, fault):
        begun = await submit(lab, job, index)
        await lab.sleep(AWAY_S[lab.mode] if fault is not FAULTS["fine"] else 0.0)
    if begun is not None and await finish(lab, begun, WITHIN_S, index):
        await heard(lab, begun, WITHIN_S)


def judge_events(history: History) -> Finding:
    """Of jobs of which it is known how they ended, and not deleted."""
    found = [it for it in seen(history, *HEARD) if it.over is not None and it.ids and not it.deletes]
    calls = {it.label: _of_its_end(history, it) for it in found}
    every = [call for own in calls.values() for call in own]
    counted = {"jobs that ended": len(found), "calls of their callbacks": len(every),
               "of them refused": sum(call.status != 200 for call in every)}  # fmt: skip
    unheard = [it for it in found if _was_waited_for(it) and not _heard(calls[it.label])]
    if unheard:
        kinds = sorted({it.label.split("/")[0] for it in unheard})
        what = f"of {len(unheard)} of {len(found)} jobs that ended ({', '.join(kinds)}) no event ever came"
        return failed(what, *unheard[0].posts[-1:], *unheard[0].states[-1:], counted=counted)
    for it in found:
        if words := _wrong(calls[it.label], it):
            return failed(words, *it.posts[-1:], *it.states[-1:], counted=counted)
    away = [it for it in found if it.label.startswith(CALLBACKS)]
    if len(found) < FEWEST or len(away) < EACH * len(FAULTS):
        what = f"only {len(found)} jobs were seen to their end, {len(away)} of them with a callback that fails"
        return inconclusive(deaths.first_of_all(history, what), counted=counted)
    return passed(f"an event came for each of {len(found)} jobs, each with one id", counted=counted)


def _was_waited_for(it: Seen) -> bool:
    """Whether the scenario gave the event its time."""
    return it.label.split("/")[0] in ("contact", CALLBACKS, "watched", "bad", "strikes", "kills")


def _heard(calls: Sequence[Attempt]) -> bool:
    return any(call.status == 200 for call in calls)


def _of_its_end(history: History, it: Seen) -> list[Attempt]:
    """The calls of its callback, without those that tell that it was deleted: `left` deletes, to make room, what
    earlier scenarios left, and a design may tell of that, under whichever id."""
    return [call for call in events(history, it) if not says(call, "cancelled")]


def _wrong(calls: Sequence[Attempt], it: Seen) -> str:
    ids: set[JsonValue] = set()
    for call in calls:
        body = call.body
        if not isinstance(body, dict):
            return "an event was no JSON object"
        event_id = body.get("event_id")
        if not isinstance(event_id, str | int) or isinstance(event_id, bool) or event_id == "":
            return f"an event had the `event_id` {event_id!r}"
        if str(body.get("job")) not in it.raw_ids:
            return "an event of another job came to the callback of this one"
        said, ended = body.get("state"), state_of(it.over) if it.over is not None else ""
        if said in OVER and said != ended:
            return f"an event said {said} of a job that is {ended}"
        ids.add(event_id)
    if len(ids) > 1:
        return f"the events of one job had {len(ids)} different ids"
    return ""
