"""EV-5: who goes on from the last cursor misses nothing, and what was counted stays counted."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from random import Random

from crucible.authoring.facts import fact
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .books import READ, Sent, accepted, books_of, place_of, readings
from .line import LINE, chunks
from .reading import goes_on, ids, metrics_call, page_call, tallies, walk
from .sending import AFTER_S, Sender, freshness_s

PAGES, READER, WALK = "pages", "pages-reader", "pages-walk"
FAR_MS = (100, 25)
"""In turn: so that a batch takes long, and so that who asks often for one is not past his own patience."""
BATCH, SINGLES, GAP_S = 1_000, 30, 0.02
LIMIT, WALK_LIMIT = 41, 200
HEAD_START_S = 0.03


async def pages_race(lab: Lab, rng: Random) -> None:
    """A batch from a replica that is far from its services, and singles from the others that are done before it; a
    reader goes on all the while."""
    rounds = 2 if lab.mode == "quick" else 6
    sender = Sender(lab, rng, PAGES, rounds * (BATCH + SINGLES))
    near = lab.replicas[1:] or lab.replicas
    reader = Reader(lab, near[0], sender.cohort.source)
    reading = asyncio.create_task(reader.go_on())
    try:
        for turn in range(rounds):
            async with AsyncExitStack() as far:
                for name in _far(lab):
                    await far.enter_async_context(lab.slow(FAR_MS[turn % len(FAR_MS)], instance=name))
                batch = asyncio.create_task(sender.paced(1, BATCH, 0.0, targets=lab.replicas[:1]))
                await lab.sleep(HEAD_START_S)
                await sender.paced(SINGLES, 1, GAP_S, targets=near)
                await batch
                await few_reads(lab, sender)
        await sender.resolve()
        await sender.settle(lab.now_ns())
        await reader.until(len(sender.books.yes))
    finally:
        reading.cancel()
    for target in lab.replicas:
        await walk(lab, target, sender.cohort.source, f"{WALK}/{target}", limit=WALK_LIMIT)
    await few_reads(lab, sender)


async def few_reads(lab: Lab, sender: Sender) -> None:
    for target in lab.replicas:
        await lab.call(metrics_call(target, sender.cohort, f"{PAGES}/{READ}"))


def _far(lab: Lab) -> list[str]:
    """The first of each type of process that there are several of."""
    types = Counter(name.rsplit(".", 1)[0] for name in lab.instances)
    return [f"{kind}.0" for kind, number in types.items() if number > 1]


class Reader:
    """Goes on from its last cursor, again and again."""

    def __init__(self, lab: Lab, target: str, source: str) -> None:
        self._lab, self._target, self._source = lab, target, source
        self._cursor: str | int | None = None
        self.seen: set[str] = set()

    async def go_on(self) -> None:
        while True:
            op = await self._lab.call(page_call(self._target, self._source, self._cursor, LIMIT, READER))
            found, after = ids(op) or [], goes_on(op)
            self.seen.update(found)
            if found and after is not None:
                self._cursor = after
            if len(found) < LIMIT:
                await self._lab.sleep(0.03)

    async def until(self, number: int) -> None:
        """Wait until it has seen so many, or they are past their time, and a moment longer."""
        end_ns = self._lab.now_ns() + int(1e9 * (freshness_s(self._lab.declares) + AFTER_S))
        while len(self.seen) < number and self._lab.now_ns() < end_ns:
            await self._lab.sleep(0.1)
        await self._lab.sleep(0.2)


def judge_pages(history: History) -> Finding:
    sent, books = fact(history, Sent, PAGES), books_of(history, PAGES)
    reads = history.named(READER)
    if sent is None or books is None or not reads:
        return inconclusive("no page was read")
    read = Counter(name for op in reads for name in ids(op) or [])
    due = {books.cohort.id(index) for index in books.yes}
    known = due | {books.cohort.id(index) for index in books.maybe}
    counted = {"events on pages": float(len(read)), "pages": float(len(reads)), "acknowledged": float(len(due))}
    if broken := next((op for op in (*reads, *history.named(WALK)) if ids(op) and goes_on(op) is None), None):
        return failed("a page with events on it had no cursor to go on from", broken, counted=counted)
    if twice := [name for name, times in read.items() if times > 1]:
        shown = [op for op in reads if twice[0] in (ids(op) or [])]
        return failed(f"{len(twice)} events stood on more than one page ({twice[0]})", *shown, counted=counted)
    if strange := {*read} - known:
        return failed(f"pages showed an event that was not sent ({min(strange)})", *reads[-1:], counted=counted)
    if (shrunk := _shrunk(history)) is not None:
        return failed(shrunk[0], *shrunk[1], counted=counted)
    walks = {target: _walked(history, target) for target in sorted({op.target for op in history.named(WALK)})}
    if missing := due - {*read}:
        later = sum(name in found for name in missing for found in list(walks.values())[:1])
        shown = [op for op in history.named(PAGES) if place_of(op) is not None and sent.ids(op) & missing]
        what = (
            f"who went on from the last cursor missed {len(missing)} of {len(due)} events, {later} of which stand on "
            "pages that are read from the beginning"
        )
        return failed(what, *shown[:2], *reads[-1:], counted=counted)
    for target, found in walks.items():
        if len({*found}) < len(found):
            return failed(f"pages that were read from the beginning showed an event twice on {target}", counted=counted)
        if lost := due - {*found}:
            return failed(
                f"{len(lost)} events stood on no page of {target}", *history.named(f"{WALK}/{target}"), counted=counted
            )
    if len({tuple(found) for found in walks.values()}) > 1:
        return failed(
            "two replicas showed the same events in different orders", *history.named(WALK)[-2:], counted=counted
        )
    late = [op for op in history.named(PAGES) if (sent.span(op) or (0, 0))[1] == BATCH]
    overtaken = sum(
        single.sent_ns > batch.sent_ns and single.received_ns < batch.received_ns
        for batch in late for single in history.named(PAGES) if (sent.span(single) or (0, 0))[1] == 1
    )  # fmt: skip
    if len(walks) < history.replicas or not due:
        return inconclusive("pages could not be read from the beginning", counted=counted)
    if not any(map(accepted, late)):
        return inconclusive("no batch from a replica that is far from its services was acknowledged", counted=counted)
    what = f"a reader who went on from cursor to cursor saw all of {len(due)} events once"
    counted["events that overtook a batch"] = float(overtaken)
    return passed(what, counted=counted)


def _walked(history: History, target: str) -> list[str]:
    return [name for op in history.named(f"{WALK}/{target}") for name in ids(op) or []]


def _shrunk(history: History) -> tuple[str, list[Op]] | None:
    """A minute that counted less than it had before, on the same replica."""
    for label in (PAGES, LINE, *chunks(history)):
        for target, ops in readings(history, label).items():
            before: tuple[Op, dict[int, int]] | None = None
            for op in ops:
                seen = tallies(op)
                if seen is None or (before is not None and op.sent_ns < before[0].received_ns):
                    continue
                counts = {minute: tally.count for minute, tally in seen.items()}
                for minute, count in (before[1] if before is not None else {}).items():
                    if counts.get(minute, 0) < count and before is not None:
                        what = f"a minute counted {count} events on {target}, and later {counts.get(minute, 0)}"
                        return what, [before[0], op]
                before = op, counts
    return None
