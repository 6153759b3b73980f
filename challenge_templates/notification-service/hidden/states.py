"""NT-5: what a notification's state says, held against what had arrived by then, and against what others say."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History
from crucible.evidence import Op
from crucible.oracles.delivery import Owes

from .accounts import Books, books
from .arrivals import SHARE
from .line import FEWEST
from .messages import state
from .waiting import read_backs

BACK_NS = 2_500_000_000
"""How long a replica may not have heard of what another one has said."""
QUEUED_NS = 60_000_000_000
"""How long something may be called queued after it has arrived."""


@dataclass(frozen=True, slots=True)
class Untrue:
    op: Op
    words: str


def judge_states(history: History) -> Finding:
    told = books(history, history.ops)
    keys = told.by_place()
    every = read_backs(history)
    reads = [op for op in every if state(op)]
    known = [op for op in reads if op.request.path in keys]  # of the others it was never answered whose they are
    by_place: dict[str, list[Op]] = defaultdict(list)
    for op in known:
        by_place[op.request.path].append(op)
    wrong = [Untrue(op, words) for op in known if (words := _lie(told, keys[op.request.path], op))]
    wrong += [untrue for ops in by_place.values() for untrue in _taken_back(ops)]
    counted = {"states read": len(reads), "notifications": len(by_place)}
    if wrong:
        what = f"{len(wrong)} of {len(reads)} states were not true: one {wrong[0].words}"
        return failed(what, *(it.op for it in wrong), counted=counted)
    if len(by_place) < FEWEST or len(reads) < SHARE * len(every):
        return inconclusive(f"only {len(reads)} of {len(every)} states could be read", counted=counted)
    return passed(f"all {len(reads)} states that were read were true", counted=counted)


def _lie(told: Books, key: str, op: Op) -> str:
    """What the state of a message said that was not so, in words; empty where it was true."""
    said, done = state(op), told.account.done.get(key)
    if said == "sent" and (done is None or done > op.received_ns):
        return "said `sent` before anything had arrived"
    if said == "failed" and told.items[key].owes is Owes.ONE and not _refused_for_good(told, key, op):
        return "said `failed` without having been refused for good"
    if said == "queued" and done is not None and op.sent_ns > done + QUEUED_NS:
        return "still said `queued` a minute after it had arrived"
    return ""


def _refused_for_good(told: Books, key: str, op: Op) -> bool:
    return any(it.status == 400 and it.at_ns < op.received_ns for it in told.attempts.get(key, []))


def _taken_back(ops: Sequence[Op]) -> Iterator[Untrue]:
    """Of the states of one message, those that say something else than a final one before them."""
    final = [op for op in ops if state(op) != "queued"]
    for op in ops:
        before = [it for it in final if it.received_ns + BACK_NS < op.sent_ns and state(it) != state(op)]
        if before:
            first = f"`{state(before[0])}` on {before[0].target}"
            yield Untrue(op, f"said `{state(op)}` on {op.target} after {first}")
