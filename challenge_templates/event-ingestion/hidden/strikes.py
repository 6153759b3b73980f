"""EV-1: strikes, each on a cohort of its own, with everything sent again and read back when it is over."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from crucible.authoring.facts import note
from crucible.authoring.strikes import Posting, posting, struck, when_answered
from crucible.check import Call, Lab

from .books import Books
from .reading import walk
from .sending import LOST_AFTER_S, Sender, freshness_s

DOWN_S = 0.5
STRIKE_MS = (18, 30)
"""After an acknowledgement."""
BATCH, GAP_S, BATCHES = 50, 0.05, 14
LONG_BATCH, LONG_BATCHES, LONG_BEFORE = 20, 35, (20, 32)
BEFORE_STRIKE = 5
"""Batches that have been acknowledged when something is struck."""
WIDE_MS, SLOW_MS = 20, 200
"""How far away services are, each way: so that something is on its way, and so that any flush takes long."""
PATIENCE_S = 5.0
SOON_S = 3.0
"""Who declares to be fresher than that is read back after each strike, the others after all of them."""
AWAY_EVENTS, AWAY_S = 500, 2.0
"""One by one, so that as many wait as a small queue does not hold."""
TAKE_OVER_S = {"quick": 3.0, "full": 15.0}
SLACK_NS = 100_000_000
"""By which an answer may have been on its way to the grader when its age is reckoned."""
ROLLING_EVENTS, ROLLING_BATCHES = 8_000, 80
"""How many there are, and how many batches of them are sent at least."""


@dataclass(frozen=True, slots=True)
class Strike:
    """What is struck, and how; `name` labels everything that is sent under it."""

    name: str
    words: str
    loses: bool = False
    """Whether something that holds events ends, so that who declares a loss may have one."""


ALL_KILLED = Strike("f2", "a crash of all processes", loses=True)
ALL_KILLED_SLOW = Strike("f7f2", "a crash of all processes while the services were slow", loses=True)
ONE_KILLED = Strike("f3", "a crash of one process, with everything sent twice", loses=True)
ONE_PAUSED = Strike("f4", "a process that stood still and went on")
ROLLING = Strike("f10", "a rolling restart")
RESET = Strike("f11", "a reset of all connections to services")
SLOW = Strike("f7", "services that are slow")


def crash_of(service: str) -> Strike:
    return Strike(f"f5-{service}", f"a crash of {service}", loses=True)


def away_and_killed(service: str) -> Strike:
    return Strike(f"f6f2-{service}", f"a crash of all processes while {service} was away", loses=True)


def loss_ns(declares: Mapping[str, str]) -> int:
    """What is declared."""
    return int(declares.get("max_loss_ms", 0)) * 1_000_000


def all_killed(declares: Mapping[str, str]) -> list[Strike]:
    """How much a crash takes depends on when it comes: where a loss is declared there are several."""
    more = range(1, 3) if loss_ns(declares) else ()
    return [ALL_KILLED, *(replace(ALL_KILLED, name=f"{ALL_KILLED.name}-{turn}") for turn in more)]


def every(services: Iterable[str], declares: Mapping[str, str]) -> list[Strike]:
    """All that a design with these services and promises meets."""
    with_services = [RESET, SLOW, ALL_KILLED_SLOW] if [*services] else []
    found = [*all_killed(declares), ONE_KILLED, ONE_PAUSED, ROLLING, *with_services]
    return found + [make(service) for service in services for make in (crash_of, away_and_killed)]


@dataclass(frozen=True, slots=True)
class Met:
    """What a strike met, noted by its name."""

    at_ns: int
    """When it struck."""
    healed_ns: int = 0
    """When it was over, and everything was there again."""
    known_ns: int = 0
    """When every batch had an answer."""
    not_caused: str = ""
    away_ns: int = 0
    """Since when a service was away when it struck; 0, where none was."""

    @property
    def since_ns(self) -> int:
        """From when on nothing more could be written down."""
        return self.away_ns or self.at_ns


def excusable(strike: Strike, met: Met, books: Books, declares: Mapping[str, str]) -> set[int]:
    """Events that a strike may have taken with it, by what is declared."""
    if not strike.loses or not loss_ns(declares):
        return set()
    return books.acknowledged_between(met.since_ns - loss_ns(declares) - SLACK_NS, met.at_ns + SLACK_NS)


class Campaign:
    """The cohorts of all strikes."""

    def __init__(self, lab: Lab, rng: Random) -> None:
        self.lab, self.rng = lab, rng
        self.open: list[tuple[Strike, Sender, Met]] = []

    async def run(
        self,
        strike: Strike,
        calls: Callable[[Sender], list[Call]],
        act: Callable[[], Awaitable[None]],
        *,
        size: int = BATCH * BATCHES,
        gap_s: float = GAP_S,
        before: int = BEFORE_STRIKE,
        widen_ms: int = WIDE_MS,
    ) -> None:
        """Send, strike some moments after an acknowledgement, send again what has no answer, and read back."""
        lab = self.lab
        sender = Sender(lab, self.rng, strike.name, size)

        async def moment(posted: Posting) -> None:
            await when_answered(lab, before)(posted)
            await lab.sleep(self.rng.uniform(*STRIKE_MS) / 1000)

        posted, found = await struck(
            lab, calls(sender), gap_s, when=moment, strike=act, widen_ms=widen_ms if lab.services else 0
        )  # fmt: skip
        sender.ops += posted.ops
        healed_ns = max(found.until_ns, lab.now_ns() if widen_ms else 0)
        await self.close(strike, sender, Met(found.at_ns, healed_ns, not_caused=found.not_caused))

    async def close(self, strike: Strike, sender: Sender, met: Met) -> None:
        """Until it is known what came of everything; and read back, where that takes no longer than a moment."""
        lab = self.lab
        await sender.resolve()
        met = replace(met, known_ns=lab.now_ns())
        note(lab, met, strike.name)
        if freshness_s(lab.declares) <= SOON_S:
            await self.settle(strike, sender, met)
        self.open.append((strike, sender, met))

    async def settle(self, strike: Strike, sender: Sender, met: Met, *, within_s: float | None = None) -> bool:
        return await sender.settle(
            met.known_ns, doubtful=excusable(strike, met, sender.books, self.lab.declares), within_s=within_s
        )


def batches(sender: Sender) -> list[Call]:
    return sender.calls(BATCHES, BATCH, timeout_s=PATIENCE_S)


def longer(sender: Sender) -> list[Call]:
    """For as long as any buffer takes to be filled and written down."""
    return sender.calls(LONG_BATCHES, LONG_BATCH, timeout_s=PATIENCE_S)


def twice(sender: Sender) -> list[Call]:
    """Every batch to one replica, and at once to the next."""
    lab = sender.lab
    calls = sender.calls(BATCHES, BATCH, timeout_s=PATIENCE_S)
    return [
        sender.call_of(place, lab.replicas[(place + turn) % len(lab.replicas)])
        for place in range(len(calls)) for turn in range(2)
    ]  # fmt: skip


async def strikes(lab: Lab, rng: Random) -> None:
    campaign = Campaign(lab, rng)
    victim = next((name for name in lab.instances if name not in lab.replicas), lab.replicas[0])

    async def kill(*instances: str) -> None:
        await lab.kill(*instances)
        await _start(lab, *instances)

    kill_all = partial(kill, *lab.instances)
    for strike in all_killed(lab.declares):
        await campaign.run(strike, longer, kill_all, before=rng.randint(*LONG_BEFORE), widen_ms=0)
    if lab.services:
        await slow_then_killed(campaign)
    await campaign.run(ONE_KILLED, twice, partial(kill, victim))
    await one_paused(campaign, victim)
    await rolling(campaign)
    if lab.services:
        await campaign.run(RESET, batches, partial(resets, lab))
        await campaign.run(SLOW, batches, partial(lab.sleep, 0.5), widen_ms=SLOW_MS)
    for service in lab.services:
        await campaign.run(crash_of(service), batches, partial(lab.crash, service, DOWN_S))
        await away_then_killed(campaign, service)
    await read_all(campaign)


async def _start(lab: Lab, *instances: str) -> None:
    """A moment after they were killed."""
    await lab.sleep(DOWN_S)
    await lab.start(*instances)


async def slow_then_killed(campaign: Campaign) -> None:
    """F7 for as long as any buffer takes to be filled, then F2; what starts again finds the services as they were."""
    lab = campaign.lab
    sender = Sender(lab, campaign.rng, ALL_KILLED_SLOW.name, 400)
    async with posting(lab, sender.calls(80, 5, timeout_s=PATIENCE_S), 0.04) as posted:
        async with lab.slow(SLOW_MS):
            await when_answered(lab, 55)(posted)
            await lab.sleep(campaign.rng.uniform(*STRIKE_MS) / 1000)
            at_ns = lab.now_ns()
            await lab.kill(*lab.instances)
        await _start(lab, *lab.instances)
    sender.ops += posted.ops
    await campaign.close(ALL_KILLED_SLOW, sender, Met(at_ns, lab.now_ns()))


async def resets(lab: Lab) -> None:
    for _ in range(3):
        for service in lab.services:
            await lab.reset(service)
        await lab.sleep(0.12)


async def one_paused(campaign: Campaign, victim: str) -> None:
    """F4: a worker stands still until others have taken over what it had, or nobody does, and goes on."""
    lab = campaign.lab
    if victim in lab.replicas:
        note(lab, Met(0, not_caused="there is no process but the replicas"), ONE_PAUSED.name)
        return
    sender = Sender(lab, campaign.rng, ONE_PAUSED.name, BATCH * BATCHES)
    async with lab.slow(WIDE_MS):
        async with posting(lab, batches(sender), GAP_S) as posted:
            await when_answered(lab, BEFORE_STRIKE)(posted)
            at_ns = lab.now_ns()
            async with lab.paused(victim):
                await lab.sleep(BATCHES * GAP_S)
                sender.ops += posted.ops
                await sender.settle(lab.now_ns(), within_s=TAKE_OVER_S[lab.mode])
        sender.ops = list(posted.ops)
    await campaign.close(ONE_PAUSED, sender, Met(at_ns, lab.now_ns()))


async def rolling(campaign: Campaign) -> None:
    """F10: each process in turn is asked to end, and started again; what it accepts meanwhile counts."""
    lab = campaign.lab
    names = lab.instances if lab.mode == "full" else _one_of_each(lab.instances)
    sender = Sender(lab, campaign.rng, ROLLING.name, ROLLING_EVENTS)
    restarting = asyncio.create_task(_restart(lab, names))
    begun_ns = lab.now_ns()
    try:
        while calls := sender.calls(10, 4, timeout_s=PATIENCE_S):
            sender.ops += await lab.paced(calls, 0.02)
            if restarting.done() and len(sender.ops) >= ROLLING_BATCHES:
                break
        await restarting
    finally:
        restarting.cancel()
    await campaign.close(ROLLING, sender, Met(begun_ns, lab.now_ns()))


def _one_of_each(instances: Sequence[str]) -> list[str]:
    """Both replicas, and one of each other type."""
    first = {name.rsplit(".", 1)[0]: name for name in reversed(instances)}
    return [name for name in instances if name.startswith("web.") or first[name.rsplit(".", 1)[0]] == name]


async def _restart(lab: Lab, names: Sequence[str]) -> None:
    for name in names:
        await lab.sleep(0.2)
        await lab.terminate(name)
        await lab.start(name)


async def away_then_killed(campaign: Campaign, service: str) -> None:
    """F6, then F2 before it is over."""
    lab, strike = campaign.lab, away_and_killed(service)
    sender = Sender(lab, campaign.rng, strike.name, AWAY_EVENTS)
    async with lab.fault(service, "refuse"):
        away_ns = lab.now_ns()
        sender.ops += await lab.paced(sender.calls(AWAY_EVENTS, 1, timeout_s=2.0), AWAY_S / AWAY_EVENTS)
        at_ns = lab.now_ns()
        await lab.kill(*lab.instances)
    await _start(lab, *lab.instances)
    await campaign.close(strike, sender, Met(at_ns, lab.now_ns(), away_ns=away_ns))


async def read_all(campaign: Campaign) -> None:
    """Once more when all is over: what was late is there by now, what was lost is not, and nothing has been counted
    again. Pages show which events are missing."""
    lab = campaign.lab
    for strike, sender, met in campaign.open:
        right = await campaign.settle(strike, sender, met)
        right = right or await campaign.settle(strike, sender, met, within_s=LOST_AFTER_S)
        if not right or loss_ns(lab.declares):
            await walk(lab, lab.replicas[0], sender.cohort.source, f"{strike.name}/pages")
