"""FP-2 and FP-3: jobs that are watched, on all replicas, from their submission to some time after their end."""

import asyncio
from random import Random

from crucible.authoring import deaths
from crucible.authoring.asking import in_turn
from crucible.authoring.outcomes import failed, inconclusive, passed, taken
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .arrivals import times
from .jobs import OVER, RESULT, WITHIN_S, Begun, getting, known, look, new_job, progress_of, state_of, submit
from .tables import Table
from .told import Seen, Wrong, difference, events, says, seen

WATCHED = "watched"
SIZES = {"quick": (4_000_000, 4_000_000, 300_000), "full": (20_000_000, 20_000_000, 4_000_000, 300_000)}
SMALL, SMALLS = 20_000, 6
GAP_S, AFTER_S = 0.06, 2.0
RANKS = {"queued": 0, "processing": 1, "done": 2, "failed": 2, "cancelled": 2}


async def watched(lab: Lab, rng: Random) -> None:
    sizes = [*SIZES[lab.mode], *[SMALL] * SMALLS]
    await asyncio.gather(*(_watch(lab, rng, f"{WATCHED}/{index}", size, index) for index, size in enumerate(sizes)))


async def _watch(lab: Lab, rng: Random, label: str, size: int, index: int) -> None:
    job = new_job(lab, rng, label, Table(rng.getrandbits(32), size))
    told = asyncio.ensure_future(lab.sink.next_call(job.channel))
    try:
        begun = await submit(lab, job, index)
        if begun is None:
            return
        if await _until_seen_over(lab, begun, index):
            await _everywhere(lab, begun)
        await asyncio.wait({told}, timeout=WITHIN_S)
        if told.done():
            await _everywhere(lab, begun)
        await lab.sleep(AFTER_S)
        await _everywhere(lab, begun)
        for turn in range(len(lab.replicas)):
            await look(lab, begun, turn)
    finally:
        told.cancel()


async def _until_seen_over(lab: Lab, begun: Begun, turn: int) -> bool:
    end_ns, early = lab.now_ns() + WITHIN_S * 1e9, False
    while lab.now_ns() < end_ns:
        op = await look(lab, begun, turn)
        if state_of(op) in OVER:
            return True
        if state_of(op) == "processing" and not early:
            early = True
            await lab.call(getting(in_turn(lab, turn), begun, RESULT))
        turn += 1
        await lab.sleep(GAP_S)
    return False


async def _everywhere(lab: Lab, begun: Begun) -> None:
    """The result, at once on every replica."""
    await asyncio.gather(*(lab.call(getting(target, begun, RESULT)) for target in lab.replicas))


def judge_readable(history: History) -> Finding:
    found = seen(history, "contact", WATCHED, "retries", "arrivals", "kills", "strikes")
    reads = [op for it in found for op in it.results]
    wrong = [words for it in found for words in _unreadable(history, it)]
    after = sum(_done_ns(history, it) is not None and any(taken(op) for op in it.results) for it in found)
    measures = times(history)
    counted = {"results read": len(reads), "jobs read when they were done": after}
    if wrong:
        return failed(wrong[0][0], *wrong[0][1], counted=counted, measures=measures)
    watched = [it for it in found if it.label.startswith(WATCHED)]
    open_still = [it for it in watched if not any(taken(op) for op in it.results)]
    if open_still or len(watched) < SMALLS:
        what = f"of {len(watched)} jobs that were watched, {len(open_still)} never gave a result"
        return inconclusive(deaths.first_of_all(history, what), counted=counted, measures=measures)
    return passed(
        f"{after} results were there as soon as their jobs were done, and stayed as they were",
        counted=counted,
        measures=measures,
    )


def _done_ns(history: History, it: Seen) -> int | None:
    """When it was first known to be done: by a state, or by its event."""
    said = [op.received_ns for op in it.states if state_of(op) == "done"]
    said += [op.received_ns for op in it.posts if op.field("state", str) == "done"]
    said += [call.at_ns for call in events(history, it) if says(call, "done")]
    return min(said, default=None)


def _unreadable(history: History, it: Seen) -> list[Wrong]:
    done_ns, expected = _done_ns(history, it), it.meant.expected
    if expected is None:
        return []
    wrong: list[Wrong] = []
    for op in it.results:
        if taken(op) and (words := difference(op.reply, expected)):
            wrong.append((f"a result said {words}", (op,)))
        elif known(op) and not taken(op) and done_ns is not None and op.sent_ns > done_ns and not it.deletes:
            wrong.append((f"{_said(it)} and then its result was answered {op.status}", (*it.states[-1:], op)))
    return wrong


def _said(it: Seen) -> str:
    return "a job was done" if any(state_of(op) == "done" for op in it.states) else "an event said that a job was done,"


def judge_progress(history: History) -> Finding:
    found = seen(history, "contact", WATCHED, "retries", "arrivals")
    calm = [words for it in found for words in _backwards(it.states, calm=True)]
    struck = seen(history, "strikes", "kills", "cancel", "heavy")
    rough = [words for it in struck for words in _backwards(it.states, calm=False)]
    told = [words for it in struck if (words := _two_ends(history, it))]
    looks = sum(len(it.states) for it in (*found, *struck))
    between = sum(0 < progress_of(op) < 1 for it in found for op in it.states)
    counted = {"states read": looks, "progress read on the way": between}
    for words in (*calm, *rough, *told):
        return failed(words[0], *words[1], counted=counted)
    if looks < 50 or sum(any(state_of(op) in OVER for op in it.states) for it in found) < SMALLS:
        what = f"only {looks} states could be read"
        return inconclusive(deaths.first_of_all(history, what), counted=counted)
    return passed(f"in {looks} looks at jobs, none ever went back", counted=counted)


def _backwards(states: tuple[Op, ...], *, calm: bool) -> list[Wrong]:
    """What was said after something later. In a failure a job may be queued again, but not when it is over."""
    said = [op for op in states if state_of(op)]
    by_answer = sorted(said, key=lambda op: op.received_ns)
    wrong: list[Wrong] = []
    furthest: Op | None = None
    at = 0
    for op in said:
        while at < len(by_answer) and by_answer[at].received_ns <= op.sent_ns:
            one = by_answer[at]
            if furthest is None or _further(one, furthest):
                furthest = one
            at += 1
        if calm and state_of(op) in ("processing", "done") and not 0 <= progress_of(op) <= 1:
            return [(f"`progress` was {op.reply.get('progress') if isinstance(op.reply, dict) else None}", (op,))]
        if furthest is not None and (words := _fell(furthest, op, calm)):
            wrong.append((words, (furthest, op)))
    return wrong


def _further(one: Op, other: Op) -> bool:
    return (RANKS[state_of(one)], progress_of(one)) > (RANKS[state_of(other)], progress_of(other))


def _fell(before: Op, op: Op, calm: bool) -> str:
    was, now = state_of(before), state_of(op)
    if was in OVER and now not in (was, "cancelled"):
        return f"a job was {was}, and then {now}"
    if not calm or was in OVER:
        return ""
    if RANKS[now] < RANKS[was]:
        return f"a job was {was}, and then {now}"
    if now == was and progress_of(op) < progress_of(before) - 1e-9:
        return f"the progress of a job was {progress_of(before):g}, and then {progress_of(op):g}"
    return ""


def _two_ends(history: History, it: Seen) -> Wrong | None:
    """Events that say two ends."""
    ends = {str(call.body.get("state")) for call in events(history, it) if isinstance(call.body, dict)}
    if {"done", "failed"} <= ends:
        return "one event of a job said that it was done, and another one that it had failed", it.posts[-1:]
    return None
