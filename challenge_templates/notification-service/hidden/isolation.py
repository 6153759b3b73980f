"""Who waits behind whom: beside recipients that are refused for good (NT-8), in a backlog (NT-9), and beside a channel
that hangs (NT-10)."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, percentile
from crucible.authoring.strikes import posting
from crucible.check import Finding, History, Lab, Measure, Outcome, SinkFault
from crucible.evidence import Op

from .accounts import books
from .line import FEWEST, LINE
from .messages import CHANNELS, asked, calls, message, messages, place
from .providers import POISON, faulty, reject
from .waiting import idle, read_states, resolve, settle

ISOLATION = "isolation"
BESIDE = {channel: f"{ISOLATION}/{channel}" for channel in CHANNELS}
"""How what is asked for on a channel is labelled."""
SLACK_MS = 400
"""Two intervals of a poll; what is shorter than that is no delay."""
HUNG_S, HUNG_PER_S = 10, 10
READ = 12
PRIORITY = "priority"
LOW, HIGH = f"{PRIORITY}/low", f"{PRIORITY}/high"
LOWS, HIGHS = 300, 20
GAP_S, URGENT_EVERY_S = 0.004, 0.05
QUARTER = 0.25
"""Of the time that the others take: what urgent ones may take at most."""
QUEUE_MS = 1_000
"""Less than this, and there was no backlog for anybody to wait in."""
ENOUGH = 0.9


@dataclass(frozen=True, slots=True)
class Idle:
    """Whether what had been asked for before had been delivered."""

    came: bool


async def isolation(lab: Lab, rng: Random) -> None:
    """One channel hangs, on another one recipients are refused for good, and a third has no troubles of its own."""
    number = HUNG_PER_S * (HUNG_S if lab.mode == "quick" else 30)
    email, push, sms = (messages(rng, number, (channel,)) for channel in ("email", "push", "sms"))
    bad = push[3 :: int(1 / POISON)]
    reject(lab, bad, ISOLATION)
    note(lab, Idle(await idle(lab, rng, ISOLATION)))

    hung = calls(lab, sms, BESIDE["sms"], 3.0)

    async def first() -> list[Op]:
        """Of the first ones to the channel that hangs it is asked what they say of themselves."""
        ops = await lab.paced(hung[:READ], 1 / HUNG_PER_S)
        await read_states(lab, filter(None, map(place, ops)), ISOLATION)
        return ops

    async def others() -> list[Op]:
        await lab.sleep(READ / HUNG_PER_S)
        return await lab.paced(hung[READ:], 1 / HUNG_PER_S)

    async with asyncio.TaskGroup() as group, faulty(lab, ["sms"], SinkFault(hangs=True)):
        kept_waiting = [group.create_task(them()) for them in (first, others)]
        sent = await asyncio.gather(
            lab.paced(calls(lab, email, BESIDE["email"]), 1 / HUNG_PER_S),
            lab.paced(calls(lab, push, BESIDE["push"]), 1 / HUNG_PER_S),
        )
    ops = [op for some in (*sent, *(task.result() for task in kept_waiting)) for op in some]
    await resolve(lab, ops, ISOLATION)
    await settle(lab, [*email, *[it for it in push if it not in bad], *sms], lab.now_ns())


def judge_poison(history: History) -> Finding:
    """NT-8. What is usual is what the channel without such recipients took at the same time, on the same machine."""
    push, email = waits(history, "push", "email")
    if email.few:
        return inconclusive(f"there is nothing to compare with: {email.few}")
    usual = email.held * max(1.0, push.usual / email.usual)
    found = _held_up(history, push, usual, "recipients that are refused for good")
    if found.outcome is not Outcome.PASS and judge_isolation(history).outcome is Outcome.FAIL:
        what = "others waited too long, and not only beside recipients that are refused for good: see NT-10"
        return inconclusive(what, counted=found.evidence)
    return found


def judge_isolation(history: History) -> Finding:
    """NT-10. What is usual is what the channel took on the steady line."""
    (email,) = waits(history, "email")
    asked_for = len(history.named(BESIDE["sms"]))
    called = sum(attempt.path.strip("/").startswith("sms") for attempt in history.attempts)
    if asked_for < FEWEST or not called:
        return inconclusive(f"the channel that hung was asked for {asked_for} times, and called {called} times")
    return _held_up(history, email, email.usual, "a channel that hung", "hung_channel_ratio")


@dataclass(frozen=True, slots=True)
class Waits:
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


def waits(history: History, *channels: str) -> list[Waits]:
    line, meanwhile = history.named(LINE), history.named(ISOLATION)
    usual, told = books(history, line), books(history, meanwhile)
    return [
        Waits(
            usual.waits_ms(op for op in line if asked(op, "channel") == channel),
            told.waits_ms(history.named(BESIDE[channel])),
        )
        for channel in channels
    ]


def _held_up(history: History, channel: Waits, usual: float, by: str, axis: str = "") -> Finding:
    """Whether messages waited more than twice as long as usual; open where that rests on what is taken for usual."""
    held, best = channel.held, min(usual, channel.best)
    counted = {
        "usual messages": len(channel.line), "messages meanwhile": len(channel.meanwhile),
        "usual p95 ms": usual, "p95 ms on the line": channel.usual, "at best": channel.best, "p95 ms meanwhile": held,
    }  # fmt: skip
    before = fact(history, Idle)
    if before is None or not before.came:
        return inconclusive("what had been asked for before was still being delivered", counted=counted)
    if channel.few:
        return inconclusive(channel.few, counted=counted)
    ratio = max(held, SLACK_MS / 2) / max(channel.usual, SLACK_MS / 2)
    measures = (exactly(axis, ratio, len(channel.meanwhile)),) if axis else ()
    if held > 2 * usual + SLACK_MS:
        what = f"{by} raised the others' delivery time (95th percentile) from {usual:.0f} to {held:.0f} ms"
        return failed(what, counted=counted, measures=measures)
    if held > 2 * best + SLACK_MS:
        what = (
            f"beside {by} the others took {held:.0f} ms (95th percentile), and {best:.0f} to "
            f"{max(usual, channel.usual):.0f} ms without: whether that is a delay cannot be told"
        )
        return inconclusive(what, counted=counted, measures=measures)
    what = f"beside {by} the others took {held:.0f} ms (95th percentile), and {usual:.0f} ms without"
    return passed(what, counted=counted, measures=measures)


async def priority(lab: Lab, rng: Random) -> None:
    """A backlog of low ones on one channel, and high ones that come while it drains."""
    low = [message(rng, "email") for _ in range(LOWS if lab.mode == "quick" else 2_000)]
    high = [message(rng, "email", high=True) for _ in range(HIGHS)]
    async with posting(lab, calls(lab, low, LOW), GAP_S) as posted:
        await lab.sleep(GAP_S * len(low) * 0.8)
        urgent = await lab.paced(calls(lab, high, HIGH), URGENT_EVERY_S)
    await resolve(lab, [*urgent, *posted.ops], PRIORITY)
    await settle(lab, [*low, *high], lab.now_ns())


def judge_priority(history: History) -> Finding:
    told = books(history, history.named(PRIORITY))
    low, high = (told.waits_in_hand_ms(history.named(name)) for name in (LOW, HIGH))
    slow, quick = percentile(low, 0.95), percentile(high, 0.95)
    counted = {"low ones": len(low), "high ones": len(high), "low p95 ms": slow, "high p95 ms": quick}
    if len(low) < LOWS * ENOUGH or len(high) < HIGHS * ENOUGH:
        return inconclusive(f"only {len(low)} low and {len(high)} high ones arrived", counted=counted)
    if slow < QUEUE_MS:
        what = f"no backlog formed: low ones took {slow:.0f} ms (95th percentile), and high ones {quick:.0f} ms"
        return passed(what, counted=counted, measures=(exactly("priority_ratio", 0, len(high)),))
    seen = [quick / slow, *(percentile(high[i::2], 0.95) / slow for i in range(2))]
    measure = Measure("priority_ratio", quick / slow, min(seen), max(seen), len(high))
    what = (
        f"high ones took {quick:.0f} ms (95th percentile) behind a backlog in which low ones took {slow:.0f} ms: "
        f"{quick / slow:.2f} of it, and {QUARTER:g} is the most"
    )
    if measure.low <= QUARTER < measure.high:
        return inconclusive(what, counted=counted, measures=(measure,))
    return (passed if measure.high <= QUARTER else failed)(what, counted=counted, measures=(measure,))
