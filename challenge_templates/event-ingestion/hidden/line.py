"""What is sent without any fault: first contact, a steady line, and probes that show how soon events are counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import few_at_once
from crucible.authoring.outcomes import inconclusive, percentile
from crucible.check import Finding, History, Lab, Measure
from crucible.evidence import Op

from .books import READ, Said, books_of, place_of, readings, said
from .reading import ids, metrics_call, page_call, tallies, walk
from .sending import AFTER_S, CONTACT, Sender, freshness_s

EARLY, LINE, PROBE, VOLUME, PAGES = "early", "line", "probe", "volume", "pages"
EARLY_EVENTS = 12
PER_S = 120
PROBES_PER_S, CHUNK, MOST_CHUNKS = 4, 32, 8
"""Probes of one cohort: each is alone in its minute, so that one answer shows which of them are there."""
LOOK_S = 0.05
GRAIN_MS = 100.0
"""How exactly it can be seen when an event was counted."""
FEWEST = 20


async def contact(lab: Lab, rng: Random) -> None:
    """Some on each replica, one by one and as a batch. Where none of what was acknowledged can be read back in time,
    nothing else can be learnt."""
    first = Sender(lab, rng, CONTACT, 16)
    await first.in_turn(2 * len(lab.replicas), 1)
    await first.in_turn(len(lab.replicas), 5)
    early = Sender(lab, rng, EARLY, EARLY_EVENTS)
    await early.in_turn(EARLY_EVENTS, 1)
    await first.resolve()
    await early.resolve()
    shown = await first.settle(lab.now_ns()) and await early.settle(lab.now_ns())
    await walk(lab, lab.replicas[0], first.cohort.source, f"{CONTACT}/{PAGES}", limit=7)
    if not shown and first.books.yes:
        reads = [metrics_call(target, first.cohort, f"{CONTACT}/{READ}") for target in lab.replicas]
        counted = [tallies(op) for op in await few_at_once(lab, reads)]
        page = await lab.call(page_call(lab.replicas[0], first.cohort.source, None, 10, f"{CONTACT}/{PAGES}"))
        if not any(counted) and not ids(page):
            within_s = freshness_s(lab.declares) + AFTER_S
            number = len(first.books.yes)
            lab.give_up(f"none of the first {number} events that were acknowledged was counted within {within_s:g} s")


async def line(lab: Lab, rng: Random) -> None:
    """120 a second, one by one; and beside them the probes."""
    seconds = 8 if lab.mode == "quick" else 60
    sender = Sender(lab, rng, LINE, PER_S * seconds, single=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(sender.paced(PER_S * seconds, 1, 1 / PER_S))
        for chunk in range(-(-seconds * PROBES_PER_S // CHUNK)):
            group.create_task(_probes(lab, rng, chunk))
    await sender.resolve()
    await sender.settle(lab.now_ns())


async def _probes(lab: Lab, rng: Random, chunk: int) -> None:
    """Post them one after the other, and look all the while whether they are counted."""
    sender = Sender(lab, rng, probe(chunk), CHUNK, single=True, minutes=CHUNK)
    await lab.sleep(chunk * CHUNK / PROBES_PER_S)
    posting = asyncio.create_task(sender.paced(CHUNK, 1, 1 / PROBES_PER_S))
    try:
        await asyncio.gather(*(watch(lab, target, sender, posting) for target in lab.replicas))
        await posting
    finally:
        posting.cancel()


async def watch(lab: Lab, target: str, sender: Sender, posting: "asyncio.Task[list[Op]]") -> None:
    """Look until everything has been posted and is counted, or its time is over."""
    over_ns = None
    while over_ns is None or lab.now_ns() < over_ns:
        op = await lab.call(metrics_call(target, sender.cohort, f"{sender.label}/{READ}"))
        if posting.done():
            over_ns = over_ns or lab.now_ns() + int(1e9 * (freshness_s(lab.declares) + AFTER_S))
            due = sender.books.yes
            if len(tallies(op) or {}) >= len(due):
                return
        await lab.sleep(LOOK_S)


def probe(chunk: int) -> str:
    return f"{PROBE}-{chunk}"


@dataclass(frozen=True, slots=True)
class Wait:
    """How long after its acknowledgement an event was counted on every replica, in ms."""

    least: float
    most: float
    """Infinite, where it was never seen."""
    post: Op


def waits(history: History, label: str) -> list[Wait]:
    """Of each probe that was acknowledged, in the order of sending."""
    books, seen = books_of(history, label), readings(history, label)
    if books is None or len(seen) < history.replicas:
        return []
    found = []
    for post in history.named(label):
        place = place_of(post)
        if place is None or said(post) is not Said.YES:
            continue
        minute = books.cohort.minute(place)
        sides = [_side(reads, minute, post.received_ns) for reads in seen.values()]
        found.append(Wait(max(least for least, _ in sides), max(most for _, most in sides), post))
    return found


def _side(reads: Sequence[Op], minute: int, since_ns: int) -> tuple[float, float]:
    """Between which two moments it was counted on one replica, in ms since its acknowledgement."""
    least = 0.0
    for op in reads:
        seen = tallies(op)
        if seen is None:
            continue
        if minute in seen:
            return least, max(0.0, (op.received_ns - since_ns) / 1e6)
        least = max(least, (op.sent_ns - since_ns) / 1e6)
    return least, float("inf")


def p95(found: Sequence[Wait]) -> tuple[float, float]:
    """The least and the most that the 95th percentile of these can be, in ms."""
    return percentile([wait.least for wait in found], 0.95), percentile([wait.most for wait in found], 0.95)


def freshness(history: History, labels: Sequence[str]) -> tuple[Finding | None, list[Measure], list[Wait], float]:
    """What the probes under these labels say: what is missing, the measure, all waits, and what is declared in ms."""
    declared_ms = freshness_s(history.declares) * 1000
    every = [wait for label in labels for wait in waits(history, label)]
    if len(every) < FEWEST:
        return inconclusive(f"only {len(every)} probes were acknowledged and looked for"), [], every, declared_ms
    least, most = p95(every)
    if most == float("inf"):
        return None, [Measure("freshness_p95_ms", least, least, least, len(every), beyond=True)], every, declared_ms
    return None, [Measure("freshness_p95_ms", most, least, most, len(every))], every, declared_ms


def chunks(history: History) -> list[str]:
    """The labels of all probes of the line."""
    return [label for label in map(probe, range(MOST_CHUNKS)) if history.named(label)]
