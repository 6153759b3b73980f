"""What providers do: errors before and after the effect, too many calls, recipients that are refused for good, a hang;
and a backlog in which some are urgent."""

import asyncio
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from statistics import median

from crucible.check import Finding, History, Lab, Measure, Outcome, SinkFault
from crucible.evidence import Attempt, Op

from .accounts import books, percentile
from .messages import (
    CHANNELS,
    Message,
    field_of,
    idle,
    in_turn,
    message,
    messages,
    read_back,
    resolve,
    settle,
)

ERRORS = SinkFault(errors=0.5, most_per_s=25)
PER_S = 60
"""Over all channels, while they fail: what is tried again is more than they take."""
GRACE_NS, WAIT_NS = 250_000_000, 1_000_000_000
MOST_TRIES = 10
GIVES_UP_S, GIVEN_UP_S, PAUSES = 10.0, 1.0, 2.5
"""How long it is waited for the last try of what is refused for good; how long after one it was the last, and so many
times the pause before it."""
POISON = 0.05
SLACK_MS = 400
"""Two intervals of a poll; what is shorter than that is no delay."""
LOW, HIGH, URGENT_EVERY_S = 300, 20, 0.05
QUARTER = 0.25
"""Of the time that the others take: what urgent ones may take at most."""
HUNG_S, HUNG_PER_S = 10, 10
ASKED = 12
QUEUE_MS = 1_000
"""Less than this, and there was no backlog for anybody to wait in."""


async def errors(lab: Lab, rng: Random) -> None:
    """Every channel fails up to half of its calls, and takes few; some recipients are refused for good."""
    lab.note("instances", len(lab.instances))
    seconds = 4 if lab.mode == "quick" else 12
    wanted = messages(rng, PER_S * seconds)
    bad = wanted[7 :: int(1 / POISON)]
    reject(lab, bad, "errors")
    async with faulty(lab, CHANNELS, ERRORS):
        ops = await lab.paced(in_turn(lab, wanted, "errors"), 1 / PER_S)
        await lab.sleep(1.0)
    await resolve(lab, ops, "errors")
    await settle(lab, [it for it in wanted if it not in bad], lab.now_ns())
    await _let_go(lab, {it.user for it in bad})
    await read_back(lab, ops, "errors")


async def _let_go(lab: Lab, users: set[str]) -> None:
    """Wait until nobody tries these recipients any more, or has done so too often."""
    begun = lab.now_ns()
    while lab.now_ns() - begun < GIVES_UP_S * 1e9:
        tries = _refusals(lab.sink.attempts, users).values()
        if any(len(them) > MOST_TRIES for them in tries) or all(_given_up(them, lab.now_ns()) for them in tries):
            return
        await lab.sleep(0.2)


def _refusals(attempts: Iterable[Attempt], users: set[str]) -> dict[str, list[int]]:
    """When each of these recipients was refused for good, in ns."""
    found: dict[str, list[int]] = defaultdict(list)
    for it in sorted(attempts, key=lambda it: it.at_ns):
        if it.status == 400 and isinstance(it.body, dict) and it.body.get("to") in users:
            found[str(it.body["to"])].append(it.at_ns)
    return found


def _given_up(tries: Sequence[int], now_ns: int) -> bool:
    """Whether it has been silent for long enough to say that nobody tries it any more: pauses may double."""
    pause = (tries[-1] - tries[-2]) / 1e9 if len(tries) > 1 else 0.0
    return (now_ns - tries[-1]) / 1e9 > max(GIVEN_UP_S, PAUSES * pause)


def reject(lab: Lab, bad: Sequence[Message], name: str) -> None:
    for it in bad:
        lab.sink.reject(it.user)
    lab.note(f"rejected-{name}", [it.user for it in bad])


@asynccontextmanager
async def faulty(lab: Lab, channels: Iterable[str], fault: SinkFault) -> AsyncIterator[None]:
    """While open, these channels are under a fault."""
    async with AsyncExitStack() as stack:
        for channel in channels:
            await stack.enter_async_context(lab.sink.fault(channel, fault))
        yield


def judge_polite(history: History) -> Finding:
    """NT-7: it waits as long as it is told to, tries ten times at most, and longer and longer apart."""
    named = history.named("errors")
    them = books(history, named)
    most = history.facts["instances"]
    assert isinstance(most, int)
    by_channel: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        by_channel[attempt.path].append(attempt)
    refused = {path: sorted(it.at_ns for it in tries if it.status == 429) for path, tries in by_channel.items()}
    rude, worst = 0, ""
    for path, moments in refused.items():
        for at in moments:
            again = bisect_left(moments, at + WAIT_NS) - bisect_right(moments, at + GRACE_NS)
            if again > most and again > rude:
                rude, worst = again, path
    often = {
        key: len([it for it in tries if it.status not in (409, 429)])
        for key, tries in them.attempts.items()
        if key in them.items
    }
    most_often = max(often.values(), default=0)
    gaps = [_gaps(tries) for key, tries in them.attempts.items() if key in them.items]
    first, third = [it[0] for it in gaps if len(it) > 2], [it[2] for it in gaps if len(it) > 2]
    evidence = {
        "calls of the provider": sum(map(len, by_channel.values())), "told to wait": sum(map(len, refused.values())),
        "messages tried more than once": sum(count > 1 for count in often.values()), "most tries of one": most_often,
    }  # fmt: skip
    if rude:
        what = (
            f"within the second that it had been told to wait, it called {worst} {rude} times more, and was told again"
        )
        return Finding(Outcome.FAIL, what, (), (), evidence)
    if most_often > MOST_TRIES:
        return Finding(Outcome.FAIL, f"one notification was tried {most_often} times", (), (), evidence)
    if len(first) >= 5 and median(third) < 1.2 * median(first):
        what = (
            f"of {len(first)} notifications that failed three times, the third pause was no longer than the first: "
            f"{median(third):.2f} s after {median(first):.2f} s"
        )
        return Finding(Outcome.FAIL, what, (), (), evidence)
    rejected = history.facts["rejected-errors"]
    assert isinstance(rejected, list)
    end = max([op.received_ns for op in history.ops] + [it.at_ns for it in history.attempts])
    still = [len(it) for it in _refusals(history.attempts, set(map(str, rejected))).values() if not _given_up(it, end)]
    if still:
        what = (
            f"{len(still)} notifications that the provider had refused for good were still being tried at the end, up "
            f"to {max(still)} times so far: whether that stops was not seen"
        )
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    if evidence["messages tried more than once"] < 5:
        return Finding(Outcome.INCONCLUSIVE, "hardly anything was tried more than once", (), (), evidence)
    what = f"no notification was tried more than {most_often} times, and nobody called while they had been told to wait"
    return Finding(Outcome.PASS, what, (), (), evidence)


def _gaps(tries: Sequence[Attempt]) -> list[float]:
    """Seconds between the failed tries of one message, in their order."""
    return [(after.at_ns - it.at_ns) / 1e9 for it, after in pairwise(tries) if it.status in (500, 503)]


async def isolation(lab: Lab, rng: Random) -> None:
    """One channel hangs, on another one recipients are refused for good, and a third has no troubles of its own."""
    number = HUNG_PER_S * (HUNG_S if lab.mode == "quick" else 30)
    email, push, sms = (messages(rng, number, (channel,)) for channel in ("email", "push", "sms"))
    bad = push[3 :: int(1 / POISON)]
    reject(lab, bad, "isolation")
    lab.note("isolation/idle", await idle(lab, rng, "isolation"))

    hung = in_turn(lab, sms, "isolation/sms", 3.0)

    async def first() -> list[Op]:
        """Of the first ones to the channel that hangs it is asked what they say of themselves."""
        ops = await lab.paced(hung[:ASKED], 1 / HUNG_PER_S)
        await read_back(lab, ops, "isolation")
        return ops

    async def others() -> list[Op]:
        await lab.sleep(ASKED / HUNG_PER_S)
        return await lab.paced(hung[ASKED:], 1 / HUNG_PER_S)

    async with asyncio.TaskGroup() as group, faulty(lab, ["sms"], SinkFault(hangs=True)):
        kept_waiting = [group.create_task(them()) for them in (first, others)]
        sent = await asyncio.gather(
            lab.paced(in_turn(lab, email, "isolation/email"), 1 / HUNG_PER_S),
            lab.paced(in_turn(lab, push, "isolation/push"), 1 / HUNG_PER_S),
        )
    ops = [op for them in (*sent, *(task.result() for task in kept_waiting)) for op in them]
    await resolve(lab, ops, "isolation")
    await settle(lab, [*email, *[it for it in push if it not in bad], *sms], lab.now_ns())


def judge_poison(history: History) -> Finding:
    """NT-8. What is usual is what the channel without such recipients took at the same time, on the same machine."""
    push, email = _waits(history, "push", "email")
    if email.few:
        return Finding(Outcome.INCONCLUSIVE, f"there is nothing to compare with: {email.few}")
    usual = email.held * max(1.0, push.usual / email.usual)
    found = _held_up(history, push, usual, "recipients that are refused for good", None)
    if found.outcome is not Outcome.PASS and judge_isolation(history).outcome is Outcome.FAIL:
        what = "others waited too long, and not only beside recipients that are refused for good: see NT-10"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), found.evidence)
    return found


def judge_isolation(history: History) -> Finding:
    """NT-10. What is usual is what the channel took on the steady line."""
    (email,) = _waits(history, "email")
    return _held_up(history, email, email.usual, "a channel that hung", "hung_channel_ratio")


@dataclass(frozen=True)
class _Waits:
    """How long the messages of a channel took on the steady line, and beside the faults of `isolation`, in ms."""

    line: list[float]
    meanwhile: list[float]

    @property
    def few(self) -> str:
        """In words, where they are too few to say anything."""
        enough = len(self.line) >= 15 and len(self.meanwhile) >= 40
        return "" if enough else f"only {len(self.line)} and {len(self.meanwhile)} notifications arrived"

    @property
    def usual(self) -> float:
        """95th percentile, as are the others."""
        return percentile(self.line, 0.95)

    @property
    def best(self) -> float:
        """Of the third of the line that took least: a machine that is busy for a while may hide a delay."""
        third = -(-len(self.line) // 3) or 1
        return min((percentile(self.line[i : i + third], 0.95) for i in range(0, len(self.line), third)), default=0.0)

    @property
    def held(self) -> float:
        return percentile(self.meanwhile, 0.95)


def _waits(history: History, *channels: str) -> list[_Waits]:
    before, them = books(history, history.named("line")), books(history, history.named("isolation"))
    return [
        _Waits(
            before.waits_ms(op for op in history.named("line") if field_of(op, "channel") == channel),
            them.waits_ms(history.named(f"isolation/{channel}")),
        )
        for channel in channels
    ]


def _held_up(history: History, waits: _Waits, usual: float, by: str, axis: str | None) -> Finding:
    """Whether messages waited more than twice as long as usual; open where that rests on what is taken for usual."""
    held, best = waits.held, min(usual, waits.best)
    evidence = {
        "usual messages": len(waits.line), "messages meanwhile": len(waits.meanwhile),
        "usual p95 ms": usual, "p95 ms on the line": waits.usual, "at best": waits.best, "p95 ms meanwhile": held,
    }  # fmt: skip
    if not history.facts.get("isolation/idle"):
        what = "what had been asked for before was still being delivered"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    if waits.few:
        return Finding(Outcome.INCONCLUSIVE, waits.few, (), (), evidence)
    ratio = max(held, SLACK_MS / 2) / max(waits.usual, SLACK_MS / 2)
    measures = (Measure(axis, ratio, ratio, ratio, len(waits.meanwhile)),) if axis else ()
    if held > 2 * usual + SLACK_MS:
        what = f"{by} raised the others' delivery time (95th percentile) from {usual:.0f} to {held:.0f} ms"
        return Finding(Outcome.FAIL, what, (), measures, evidence)
    if held > 2 * best + SLACK_MS:
        what = (
            f"beside {by} the others took {held:.0f} ms (95th percentile), and {best:.0f} to "
            f"{max(usual, waits.usual):.0f} ms without: whether that is a delay cannot be told"
        )
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    what = f"beside {by} the others took {held:.0f} ms (95th percentile), and {usual:.0f} ms without"
    return Finding(Outcome.PASS, what, (), measures, evidence)


async def priority(lab: Lab, rng: Random) -> None:
    """A backlog of low ones on one channel, and high ones that come while it drains."""
    low = [message(rng, "email") for _ in range(LOW if lab.mode == "quick" else 2_000)]
    high = [message(rng, "email", high=True) for _ in range(HIGH)]
    posting = asyncio.ensure_future(lab.paced(in_turn(lab, low, "priority/low"), 0.004))
    await lab.sleep(0.004 * len(low) * 0.8)
    ops = await lab.paced(in_turn(lab, high, "priority/high"), URGENT_EVERY_S)
    ops += await posting
    await resolve(lab, ops, "priority")
    await settle(lab, [*low, *high], lab.now_ns())


def judge_priority(history: History) -> Finding:
    """NT-9."""
    them = books(history, history.named("priority"))
    low, high = (them.waits_in_hand_ms(history.named(f"priority/{name}")) for name in ("low", "high"))
    slow, quick = percentile(low, 0.95), percentile(high, 0.95)
    evidence = {"low ones": len(low), "high ones": len(high), "low p95 ms": slow, "high p95 ms": quick}
    if len(low) < LOW * 0.9 or len(high) < HIGH * 0.9:
        return Finding(Outcome.INCONCLUSIVE, f"only {len(low)} low and {len(high)} high ones arrived", (), (), evidence)
    if slow < QUEUE_MS:
        what = f"no backlog formed: low ones took {slow:.0f} ms (95th percentile), and high ones {quick:.0f} ms"
        return Finding(Outcome.PASS, what, (), (Measure("priority_ratio", 0, 0, 0, len(high)),), evidence)
    seen = sorted([quick / slow, *(percentile(high[i::2], 0.95) / slow for i in range(2))])
    measures = (Measure("priority_ratio", quick / slow, seen[0], seen[-1], len(high)),)
    what = f"high ones took {quick:.0f} ms (95th percentile) behind a backlog in which low ones took {slow:.0f} ms"
    if seen[0] <= QUARTER < seen[-1]:
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    return Finding(Outcome.PASS if seen[-1] <= QUARTER else Outcome.FAIL, what, (), measures, evidence)
