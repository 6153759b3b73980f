"""What a replica says is used, held against what was certainly and what was possibly allowed."""

import asyncio
from dataclasses import dataclass, replace
from random import Random

from crucible.check import Call, Finding, History, Lab, Outcome
from crucible.evidence import Op, Result

from .edges import peaks
from .requests import LONG_MS, allowed, answered, check, cost_of, fresh, limit, limits_set, put_limit
from .windows import aligned_window, note_epoch, now_ms

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
SLACK_NS = 60_000_000
"""Of a window's edge: clocks in whole milliseconds, and of several machines."""


def ask(target: str, key: str, name: str) -> Call:
    return Call(target, "GET", f"/v1/usage/{key}", name=name, timeout_s=2)


async def usage(lab: Lab, rng: Random) -> None:
    epoch_ms, targets = note_epoch(lab), lab.replicas
    spare, busy = [fresh(rng, "quiet") for _ in range(ASKED_AGAIN)], fresh(rng, "busy")
    window_ms = aligned_window(now_ms(lab, epoch_ms) + 1_200, LONG_MS)
    for quiet in spare:
        await put_limit(lab, limit(targets[0], quiet, USED_LIMIT, window_ms, "used/quiet"))
    await put_limit(lab, limit(targets[0], busy, USED_LIMIT, BUSY_MS, "used/busy"))
    await lab.sleep(1.0)
    for quiet in spare:  # another one where it is not known what was used of this
        asked = [check(targets[i % len(targets)], quiet, "used/quiet", cost) for i, cost in enumerate(QUIET_COSTS * 2)]
        if all([answered(await lab.call(call)) for call in asked]):
            break
    await lab.sleep(1.0)
    for target in targets * 2:
        for _ in range(ASKED_AGAIN):
            if (await lab.call(ask(target, quiet, f"read/quiet/{target}"))).result is Result.OK:
                break
    gap_s = BUSY_MS / 1000 / (3 * USED_LIMIT)
    turns = [check(targets[i % len(targets)], busy, "used/busy") for i in range(9 * USED_LIMIT)]
    reads = [ask(targets[i % len(targets)], busy, f"read/busy/{targets[i % len(targets)]}") for i in range(40)]
    await asyncio.gather(lab.paced(turns, gap_s), lab.paced(reads, 0.14))


@dataclass(frozen=True, slots=True)
class Reading:
    op: Op
    used: int | None
    low: int
    """Certainly allowed in the window before."""
    high: int
    """Possibly allowed in it."""

    @property
    def wrong(self) -> bool:
        return self.used is not None and not self.low <= self.used <= self.high


def readings(history: History, kind: str) -> list[Reading]:
    limits, ops, found = limits_set(history, f"used/{kind}"), history.named(f"used/{kind}"), []
    for op in history.named(f"read/{kind}") if limits is not None else ():
        used = op.reply.get("used") if op.result is Result.OK and isinstance(op.reply, dict) else None
        key, window_ns = op.request.path.rsplit("/", 1)[1], limits[1] if limits else 0
        before = [it for it in ops if it.sent_ns <= op.received_ns and _key(it) == key]
        low = sum(
            cost_of(it) for it in before
            if allowed(it) and it.received_ns <= op.sent_ns and it.sent_ns > op.received_ns - window_ns + SLACK_NS
        )  # fmt: skip
        high = sum(
            cost_of(it) for it in before
            if (allowed(it) and it.received_ns >= op.sent_ns - window_ns - SLACK_NS) or not answered(it)
        )  # fmt: skip
        number = isinstance(used, int | float) and not isinstance(used, bool)
        found.append(Reading(op, int(used) if number and isinstance(used, int | float) else None, low, high))
    return found


def held_to(quiet: list[Reading], busy: list[Reading], n: int, window_ns: int) -> tuple[list[Reading], list[Reading]]:
    """The readings with the lower bounds that this design is held to.

    One that lets units grow back all the time says less than was allowed, by at most what can have grown back since.
    Where a replica says of the quiet key that nothing has, it is no such design.
    """
    if any(it.used is not None and it.used >= it.low >= ENOUGH for it in quiet):
        return quiet, busy
    first_ns = min((it.op.sent_ns for it in quiet), default=0)
    slack = [n * (it.op.received_ns - first_ns + FILLED_NS) / window_ns + 1 for it in quiet]
    still = [replace(it, low=max(0, int(it.low - less))) for it, less in zip(quiet, slack, strict=True)]
    return still, [replace(it, low=0) for it in busy]


def judge_usage(history: History) -> Finding:
    """Two wrong readings of a quiet key, or a tenth of those of a busy one, on one replica convict an exact design."""
    limits = limits_set(history, "used/quiet") or (USED_LIMIT, LONG_MS * 1_000_000)
    quiet, busy = held_to(readings(history, "quiet"), readings(history, "busy"), *limits)
    every = quiet + busy
    wrong, dumb = [it for it in every if it.wrong], [it for it in every if it.used is None]
    evidence = {"readings": len(every), "out of bounds": len(wrong), "without an answer": len(dumb)}
    value, high, _ = peaks(history)
    if not every or not any(it.low for it in every) or not value:
        what = "nothing was allowed on a key whose usage was read"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    open_to: list[str] = []
    for target in sorted({it.op.target for it in every}):
        still = [it for it in quiet if it.op.target == target]
        moving = [it for it in busy if it.op.target == target]
        guilty = _guilty([it for it in still if it.wrong], 2, 0) or _guilty(
            [it for it in moving if it.wrong], 3, len(moving)
        )
        if guilty and value <= EXACT:
            when = "after a second of quiet" if guilty[0] in still else "during an overload"
            what = (
                f"{when} {target} said that {guilty[0].used} units were used, when at least {guilty[0].low} "
                f"and at most {guilty[0].high} could be"
            )
            if high > EXACT:
                lost = "requests without an answer leave open whether this design counts in a sliding window"
                return Finding(Outcome.INCONCLUSIVE, f"{what}; {lost}", (), (), evidence)
            return Finding(Outcome.FAIL, what, tuple(it.op for it in guilty[:3]), (), evidence)
        right = [it for it in still if it.used is not None and not it.wrong]
        if len(right) < 2 or _guilty([it for it in moving if it.wrong or it.used is None], 3, len(moving)):
            open_to.append(target)
    if value > EXACT:
        what = f"not held to it, since its peak is {value:.2f}: {len(wrong)} of {len(every)} readings were off"
        return Finding(Outcome.PASS, what, (), (), evidence)
    if open_to or len({it.op.target for it in quiet}) < history.replicas:
        what = f"{len(dumb)} of {len(every)} readings had no answer and {len(wrong)} were off, too many to pass"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    if any(it.high != it.low for it in quiet):
        what = "checks without an answer leave open how much was used"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    what = (
        f"{len(every) - len(wrong) - len(dumb)} of {len(every)} readings, on every replica, were what had been allowed"
    )
    return Finding(Outcome.PASS, what, (), (), evidence)


def _key(op: Op) -> object:
    return op.request.body.get("key") if isinstance(op.request.body, dict) else None


def _guilty(off: list[Reading], fewest: int, of: int) -> list[Reading]:
    return off if len(off) >= fewest and len(off) > 0.1 * of else []
