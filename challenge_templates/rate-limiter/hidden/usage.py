"""What a replica says is used, held against what was certainly and what was possibly allowed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.clock import aligned_window, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Call, Finding, History, Lab
from crucible.evidence import Op, Result

from .edges import missed, peaks
from .requests import LONG_MS, allowed, answered, check, fresh, key_of, limit, limits_set, number, put_limit, units

USED_LIMIT, BUSY_MS = 20, 2_000
QUIET_COSTS = (1, 2, 1, 3)
ASKED_AGAIN = 3
"""Readings, where one has no answer: they change nothing; and quiet keys, where a check of one has none."""
EXACT = 1.02
"""The highest peak ratio of a design that counts in a sliding window; of others `used` has no one meaning."""
ENOUGH = 8
"""Units of the quiet key that show whether they grow back."""
FILLED_NS = 3_000_000_000
"""From the first unit to the first reading, at most, where requests take up to 300 ms."""
READ_BUSY, READ_LEAST = 40, 0.5
"""Readings of the busy key, and the share of them that has to have been answered by each replica."""
TOO_HIGH = "What is in your count that was never allowed?"
SLOT = 0.1
"""Of a window: for so long who counts in slots may count what has left it."""
SLACK_NS = 60_000_000
"""Of a window's edge: clocks in whole milliseconds, and of several machines."""


QUIET, BUSY = "quiet", "busy"
"""A key that is let alone after a few checks, and one under overload."""


def used(which: str) -> str:
    """What the checks of a key are called."""
    return f"used/{which}"


def read(which: str) -> str:
    """What the readings of a key are called."""
    return f"read/{which}"


def ask(target: str, key: str, which: str) -> Call:
    return Call(target, "GET", f"/v1/usage/{key}", name=read(which), timeout_s=2)


async def usage(lab: Lab, rng: Random) -> None:
    targets = lab.replicas
    spare, busy = [fresh(rng, QUIET) for _ in range(ASKED_AGAIN)], fresh(rng, BUSY)
    window_ms = aligned_window(wall_ms(lab) + 1_200, LONG_MS)
    for quiet in spare:
        await put_limit(lab, limit(targets[0], quiet, USED_LIMIT, window_ms, used(QUIET)))
    await put_limit(lab, limit(targets[0], busy, USED_LIMIT, BUSY_MS, used(BUSY)))
    await lab.sleep(1.0)
    for quiet in spare:  # another one where it is not known what was used of this
        asked = [check(in_turn(lab, i), quiet, used(QUIET), cost) for i, cost in enumerate(QUIET_COSTS * 2)]
        if all([answered(await lab.call(call)) for call in asked]):
            break
    await lab.sleep(1.0)
    for target in targets * 2:
        for _ in range(ASKED_AGAIN):
            if (await lab.call(ask(target, quiet, QUIET))).result is Result.OK:
                break
    turns = [check(in_turn(lab, i), busy, used(BUSY)) for i in range(9 * USED_LIMIT)]
    reads = [ask(in_turn(lab, i), busy, BUSY) for i in range(READ_BUSY)]
    await asyncio.gather(lab.paced(turns, BUSY_MS / 1000 / (3 * USED_LIMIT)), lab.paced(reads, 0.14))


@dataclass(frozen=True, slots=True)
class Reading:
    op: Op
    used: int | None
    low: int
    """Certainly allowed in the window before."""
    high: int
    """Possibly allowed in it, or in the slot before it."""
    last: Op | None = None
    """The last check before it that was answered."""

    @property
    def wrong(self) -> bool:
        return self.used is not None and not self.low <= self.used <= self.high


def readings(history: History, which: str) -> list[Reading]:
    limits = limits_set(history, used(which))
    if limits is None:
        return []
    return [read_by(op, history.named(used(which)), limits[1]) for op in history.named(read(which))]


def read_by(op: Op, checks: Sequence[Op], window_ns: int) -> Reading:
    """One reading, beside what was allowed of its key."""
    said = number(op, "used") if op.result is Result.OK else None
    key = op.request.path.rsplit("/", 1)[1]
    before = [it for it in checks if it.sent_ns <= op.received_ns and key_of(it) == key]
    let = [it for it in before if allowed(it)]
    earliest_ns = op.received_ns - window_ns + SLACK_NS
    low = units(it for it in let if it.received_ns <= op.sent_ns and it.sent_ns > earliest_ns)
    high = units(it for it in let if it.received_ns >= op.sent_ns - (1 + SLOT) * window_ns - SLACK_NS)
    open_still = units(it for it in before if not answered(it))
    last = next((it for it in reversed(before) if it.received_ns <= op.sent_ns and answered(it)), None)
    return Reading(op, None if said is None else int(said), low, high + open_still, last)


@dataclass(frozen=True, slots=True)
class Readings:
    """Of all replicas, or of one."""

    quiet: list[Reading]
    busy: list[Reading]

    def of(self, target: str) -> "Readings":
        return Readings(*([it for it in own if it.op.target == target] for own in (self.quiet, self.busy)))

    @property
    def guilty(self) -> list[Reading]:
        """Those that convict: two wrong ones of a quiet key, or three and a tenth of those of a busy one."""
        return many([it for it in self.quiet if it.wrong], 2, 0) or many(
            [it for it in self.busy if it.wrong], 3, len(self.busy)
        )

    @property
    def clear(self) -> bool:
        """Whether they acquit."""
        right = [it for it in self.quiet if it.used is not None and not it.wrong]
        off = [it for it in self.busy if it.wrong or it.used is None]
        return len(right) >= 2 and not many(off, 3, len(self.busy))


def many(off: list[Reading], fewest: int, of: int) -> list[Reading]:
    return off if len(off) >= fewest and len(off) > 0.1 * of else []


def held_to(quiet: list[Reading], busy: list[Reading], n: int, window_ns: int) -> Readings:
    """The readings with the lower bounds that this design is held to.

    One that lets units grow back all the time says less than was allowed, by at most what can have grown back since.
    Where a replica says of the quiet key that nothing has, it is no such design.
    """
    if any(it.used is not None and it.used >= it.low >= ENOUGH for it in quiet):
        return Readings(quiet, busy)
    first_ns = min((it.op.sent_ns for it in quiet), default=0)
    slack = [n * (it.op.received_ns - first_ns + FILLED_NS) / window_ns + 1 for it in quiet]
    still = [replace(it, low=max(0, int(it.low - less))) for it, less in zip(quiet, slack, strict=True)]
    return Readings(still, [replace(it, low=0) for it in busy])


def judge_usage(history: History) -> Finding:
    """Two wrong readings of a quiet key, or a tenth of those of a busy one, on one replica convict an exact design."""
    limits = limits_set(history, used(QUIET)) or (USED_LIMIT, LONG_MS * 1_000_000)
    found = held_to(readings(history, QUIET), readings(history, BUSY), *limits)
    every = found.quiet + found.busy
    wrong, dumb = sum(it.wrong for it in every), sum(it.used is None for it in every)
    counted = {"readings": len(every), "out of bounds": wrong, "without an answer": dumb}
    peak = peaks(history)
    if not any(it.high for it in every) or not peak.certain:
        return inconclusive("nothing was allowed on a key whose usage was read", counted=counted)
    if peak.certain > EXACT:
        what = f"not held to it, since its peak is {peak.certain:.2f}: {wrong} of {len(every)} readings were off"
        return passed(what, counted=counted)
    by_target = [found.of(target) for target in sorted({it.op.target for it in every})]
    guilty = next((own.guilty for own in by_target if own.guilty), None)
    if guilty:
        first = guilty[0]
        when = "after a second of quiet" if first in found.quiet else "during an overload"
        what = (
            f"{when} {first.op.target} said that {first.used} units were used, when at least {first.low} "
            f"and at most {first.high} could be"
        )
        if peak.possible > EXACT:
            lost = "requests without an answer leave open whether this design counts in a sliding window"
            return inconclusive(f"{what}; {lost}", counted=counted)
        if missed(history):
            return inconclusive(f"{what}; whether this design counts in a sliding window was not seen", counted=counted)
        shown = [op for op in (first.last, first.op, guilty[1].op) if op is not None]
        question = TOO_HIGH if (first.used or 0) > first.high else ""
        return failed(what, *shown, counted=counted, question=question)
    if not all(own.clear for own in by_target) or len({it.op.target for it in found.quiet}) < history.replicas:
        what = f"{dumb} of {len(every)} readings had no answer and {wrong} were off, too many to pass"
        return inconclusive(what, counted=counted)
    least = READ_LEAST * READ_BUSY / history.replicas
    busy = [own for own in by_target if sum(it.used is not None for it in own.busy) >= least]
    if len(busy) < history.replicas:
        return inconclusive("too few readings under overload, on every replica, were answered", counted=counted)
    if any(it.high != it.low for it in readings(history, QUIET)):
        return inconclusive("checks without an answer leave open how much was used", counted=counted)
    what = f"{len(every) - wrong - dumb} of {len(every)} readings, on every replica, were what had been allowed"
    return passed(what, counted=counted)
