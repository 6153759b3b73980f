"""EV-8: many events, what they take to keep, and how fast queries are beside them."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, percentile
from crucible.check import Finding, History, Lab, Measure

from .books import books_of
from .line import VOLUME
from .reading import READ_S, metrics_call, tallies
from .sending import Sender
from .survival import MANY, said_of, toll

BESIDE, QUERY = "beside", "query"
BATCH, AT_ONCE = 1_000, 2
NUMBER = {"quick": 30_000, "full": 300_000}
HOUR, HOT = 60, 0.65
"""The events lie in an hour, most of them in its first minute."""
PER_S = 120
QUERIES_PER_S, SECONDS = 10, {"quick": 3, "full": 30}
MOST_MS = 1_000.0
IN_MEMORY = ("redis",)
"""Services that keep everything in memory."""
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Weighed:
    """Bytes in each store before and after."""

    before: dict[str, int]
    after: dict[str, int]


async def volume(lab: Lab, rng: Random) -> None:
    before = await lab.footprint()
    sender = Sender(lab, rng, VOLUME, NUMBER[lab.mode], minutes=HOUR, hot=HOT)
    await sender.in_turn(NUMBER[lab.mode] // BATCH, BATCH, AT_ONCE)
    await sender.resolve()
    await sender.settle(lab.now_ns(), within_s=WITHIN_S)
    after = await lab.footprint()
    note(
        lab,
        Weighed(
            {name: before.get(name, 0) for name in lab.services}, {name: after.get(name, 0) for name in lab.services}
        ),
    )
    beside = Sender(lab, rng, BESIDE, PER_S * SECONDS[lab.mode], single=True)
    queries = [
        metrics_call(in_turn(lab, turn), sender.cohort, f"{QUERY}/{turn}")
        for turn in range(QUERIES_PER_S * SECONDS[lab.mode])
    ]  # fmt: skip
    async with asyncio.TaskGroup() as group:
        group.create_task(beside.paced(PER_S * SECONDS[lab.mode], 1, 1 / PER_S))
        group.create_task(lab.paced(queries, 1 / QUERIES_PER_S))
    await beside.resolve()
    await beside.settle(lab.now_ns())


def judge_volume(history: History) -> Finding:
    books, found = books_of(history, VOLUME), toll(history, VOLUME, MANY)
    asked = history.named(QUERY)
    if books is None or found is None or not asked:
        return inconclusive("too little was stored to ask for")
    times = [(op.received_ns - op.sent_ns) / 1e6 if tallies(op) is not None else READ_S * 1000 for op in asked]
    silent = [op for op in asked if tallies(op) is None]
    thirds = [percentile(times[turn::3], 0.95) for turn in range(3)]
    p95 = percentile(times, 0.95)
    counted = {
        "events stored": float(found.acknowledged),
        "queries": float(len(asked)),
        "without an answer": float(len(silent)),
    }
    measures = [*_bytes(history, found.acknowledged)]
    if len(silent) > 0.05 * len(asked):
        measures.append(Measure("query_p95_ms", p95, p95, p95, len(asked), beyond=True))
    elif not found.wrong:
        measures.append(Measure("query_p95_ms", p95, min(*thirds, p95), max(*thirds, p95), len(asked)))
    if found.wrong:
        return failed(said_of(found), *found.shown, counted=counted, measures=measures)
    if len(silent) > 0.05 * len(asked):
        what = f"{len(silent)} of {len(asked)} queries for an hour had no answer that counts"
        return failed(what, *silent, counted=counted, measures=measures)
    if found.acknowledged < 0.9 * books.cohort.number:
        what = f"only {found.acknowledged:,} of {books.cohort.number:,} events were taken"
        return failed(what, counted=counted, measures=measures)
    slow = max(asked, key=lambda op: op.received_ns - op.sent_ns)
    if min(thirds) > MOST_MS:
        return failed(
            f"queries for an hour took {p95:,.0f} ms (95th percentile)", slow, counted=counted, measures=measures
        )
    if p95 > MOST_MS or found.unread:
        return inconclusive("whether queries are fast enough is open", counted=counted, measures=measures)
    what = f"with {found.acknowledged:,} events stored, queries for an hour took {p95:,.0f} ms (95th percentile)"
    return passed(what, counted=counted, measures=measures)


def _bytes(history: History, number: int) -> list[Measure]:
    weighed = fact(history, Weighed)
    if weighed is None or not number:
        return []
    more = {name: max(0, weighed.after[name] - weighed.before[name]) for name in weighed.after}
    memory = sum(size for name, size in more.items() if name in IN_MEMORY)
    return [
        exactly("bytes_per_event", (sum(more.values()) - memory) / number, number),
        exactly("memory_bytes_per_event", memory / number, number),
    ]
