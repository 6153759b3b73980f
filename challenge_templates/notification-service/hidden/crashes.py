"""NT-12: strikes, each on messages of its own, and one settling time for all of them.

Every strike widens first: the providers refuse for a moment, so that what was accepted waits, and is there to be lost.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from random import Random

from crucible.authoring.facts import note
from crucible.authoring.strikes import Posting, after_s, posting, struck
from crucible.check import Call, Lab, SinkFault
from crucible.evidence import Attempt, Op

from . import strikes
from .messages import CHANNELS, Message, accepted, asked, calls, handed, message, messages, reached
from .providers import faulty
from .strikes import Strike
from .waiting import READ_BACK, calm, read_back, resolve, settle, some

WIDE_S, WIDE_PER_S = 1.5, 60
STRIKE_MS = (20, 80)
"""After an answer."""
DOWN_S = 0.5
SLOW_MS, INTO_CALL_S = 500, 0.03
MOST_AGAIN = 3
AT_ONCE = 30
"""Messages that are there when a process is struck in the middle of its call: it has more of them in hand."""
TAKE_OVER_S = 15.0
RESET_S, RESET_AFTER_S = 0.6, 0.5
PATIENCE_S = 5.0


class Cohorts:
    """The messages of each strike, and what was answered."""

    def __init__(self, lab: Lab, rng: Random) -> None:
        self.lab, self.rng = lab, rng
        self.wanted: list[Message] = []
        self.ops: list[Op] = []
        self._strikes = 0

    def draw(self, strike: Strike, number: int) -> list[Call]:
        drawn = messages(self.rng, number)
        self.wanted += drawn
        return calls(self.lab, drawn, strike.name, PATIENCE_S)

    @asynccontextmanager
    async def during(self, strike: Strike) -> AsyncIterator[None]:
        """Note how long a strike lasted, with what was asked for under it."""
        begun_ns = self.lab.now_ns()
        yield
        note(self.lab, strikes.Span(strike.name, begun_ns, self.lab.now_ns()), str(self._strikes))
        self._strikes += 1

    async def calm(self, strike: Strike) -> None:
        """Wait until every replica answers: one that has just started may still be connecting."""
        wanted, ops = await calm(self.lab, self.rng, strike.name)
        self.wanted += wanted
        self.ops += ops

    async def struck(
        self, strike: Strike, seconds: float, at_s: float, act: Callable[[], Awaitable[None]],
        *, heal: Callable[[], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        """Post messages for so long, act in the middle of it, and note what that met."""
        lab, backlog, so_far = self.lab, 0, Posting()

        async def moment(posted: Posting) -> None:
            nonlocal so_far
            so_far = posted
            await after_s(lab, at_s)(posted)

        async def measured() -> None:
            nonlocal backlog
            waiting = {asked(op, "user") for op in (*self.ops, *so_far.ops) if accepted(op)}
            backlog = len(waiting - reached(lab.sink.attempts))
            await act()

        cohort = self.draw(strike, int(seconds * WIDE_PER_S))
        posted, found = await struck(lab, cohort, 1 / WIDE_PER_S, when=moment, strike=measured, heal=heal)
        self.ops += posted.ops
        note(lab, strikes.Met(backlog, found.in_flight, found.not_caused), strike.name)


async def crashes(lab: Lab, rng: Random) -> None:
    cohorts = Cohorts(lab, rng)
    async with cohorts.during(strikes.ALL_KILLED):
        await everything_killed(cohorts)
        await cohorts.calm(strikes.ALL_KILLED)
    async with cohorts.during(strikes.CALLER_KILLED):
        await callers_killed(cohorts)
    async with cohorts.during(strikes.CALLER_PAUSED):
        await caller_paused(cohorts)
    for service in lab.services:
        async with cohorts.during(strikes.crash_of(service)):
            await service_crashed(cohorts, service)
        async with cohorts.during(strikes.outage_of(service)):
            await service_away(cohorts, service)
    if lab.services:
        async with cohorts.during(strikes.RESET):
            await connections_reset(cohorts)
    if lab.mode == "full":
        async with cohorts.during(strikes.ROLLING):
            await rolling_restart(cohorts)
    note(lab, strikes.Healed(healed := lab.now_ns()))
    await resolve(lab, cohorts.ops, strikes.FOR_SURE)
    known = lab.now_ns()
    await settle(lab, cohorts.wanted, healed)
    await read_back(lab, some(cohorts.ops, READ_BACK), strikes.FOR_SURE, known)


async def everything_killed(cohorts: Cohorts) -> None:
    """F2: all processes at once, with a backlog."""
    lab = cohorts.lab

    async def act() -> None:
        await lab.kill(*lab.instances)
        await lab.sleep(DOWN_S)
        await lab.start(*lab.instances)

    await _in_an_outage(cohorts, strikes.ALL_KILLED, WIDE_S + cohorts.rng.uniform(*STRIKE_MS) / 1000, act)


async def service_crashed(cohorts: Cohorts, service: str) -> None:
    """F5, while messages wait."""
    await _in_an_outage(cohorts, strikes.crash_of(service), WIDE_S, partial(cohorts.lab.crash, service, DOWN_S))
    await cohorts.calm(strikes.crash_of(service))


async def _in_an_outage(cohorts: Cohorts, strike: Strike, at_s: float, act: Callable[[], Awaitable[None]]) -> None:
    """Strike while the providers refuse everything, which is over when the strike is."""
    async with AsyncExitStack() as outage:
        await outage.enter_async_context(faulty(cohorts.lab, CHANNELS, SinkFault(outage=True)))
        await cohorts.struck(strike, WIDE_S + 0.5, at_s, act, heal=outage.aclose)


async def connections_reset(cohorts: Cohorts) -> None:
    """F11, of every service, in the middle of deliveries."""
    lab = cohorts.lab

    async def act() -> None:
        for service in lab.services:
            await lab.reset(service)

    async with faulty(lab, CHANNELS, SinkFault(delay_ms=SLOW_MS)):
        await cohorts.struck(strikes.RESET, RESET_S, RESET_AFTER_S, act)
    await cohorts.calm(strikes.RESET)


async def callers_killed(cohorts: Cohorts) -> None:
    """F3, some times; and again, with providers that take longer, until one was killed with its call in hand."""
    times = 2 if cohorts.lab.mode == "quick" else 5
    in_hand = [await caller_killed(cohorts, SLOW_MS) for _ in range(times)]
    for _ in range(MOST_AGAIN):
        if any(in_hand):
            return
        in_hand.append(await caller_killed(cohorts, 4 * SLOW_MS))


async def caller_killed(cohorts: Cohorts, delay_ms: int) -> bool:
    """Kill whoever calls the provider, in the middle of it; whether its call had no answer yet."""
    lab = cohorts.lab
    async with _next_call(cohorts, strikes.CALLER_KILLED, delay_ms) as call:
        caller = await lab.sink.caller(call) if call else None
        if call is None or caller is None:
            return False
        await lab.sleep(max(0.0, INTO_CALL_S - (lab.now_ns() - call.at_ns) / 1e9))
        await lab.kill(caller)
        unanswered = lab.sink.attempts[call.number].answered_ns is None
        await lab.sleep(DOWN_S)
        await lab.start(caller)
        note(lab, strikes.KilledInCall(caller, unanswered), str(call.number))
        return unanswered


async def caller_paused(cohorts: Cohorts) -> None:
    """F4: a worker that stops in the middle of its call, until another one has taken over; then it goes on."""
    lab = cohorts.lab
    async with _next_call(cohorts, strikes.CALLER_PAUSED, SLOW_MS) as call:
        caller = await lab.sink.caller(call) if call else None
        if call is None or caller is None or caller in lab.replicas:
            why = "nobody but the replicas called" if caller else "it was not seen who called"
            note(lab, strikes.TakenOver(0.0, why))
            return
        begun = lab.now_ns()
        async with lab.paused(caller):
            while not (over := _made_again(lab, call)) and lab.now_ns() - begun < TAKE_OVER_S * 1e9:
                await lab.sleep(0.1)
        why = "" if over else f"nobody took over within {TAKE_OVER_S:g} s"
        note(lab, strikes.TakenOver((lab.now_ns() - begun) / 1e9, why))


def _made_again(lab: Lab, call: Attempt) -> bool:
    to = handed(call, "to")
    return to != "" and any(handed(later, "to") == to for later in lab.sink.attempts[call.number + 1 :])


@asynccontextmanager
async def _next_call(cohorts: Cohorts, strike: Strike, delay_ms: int) -> AsyncIterator[Attempt | None]:
    """Post some messages at once, to providers that take their time, and wait for the next call of one; None where
    there was none. Leaves when all have been answered."""
    lab = cohorts.lab
    async with faulty(lab, CHANNELS, SinkFault(delay_ms=delay_ms)):
        calling = asyncio.create_task(lab.sink.next_call())
        burst = asyncio.create_task(lab.burst(cohorts.draw(strike, AT_ONCE)))
        try:
            await asyncio.wait([calling], timeout=PATIENCE_S)
            yield calling.result() if calling.done() else None
            cohorts.ops += await burst
        finally:
            calling.cancel()
            burst.cancel()


async def service_away(cohorts: Cohorts, service: str) -> None:
    """F6: nobody listens where it was; then it is there again, and delivery goes on."""
    lab, strike = cohorts.lab, strikes.outage_of(service)
    async with lab.fault(service, "refuse"):
        await lab.sleep(0.2)
        ops = await lab.paced(cohorts.draw(strike, int(strikes.AWAY_S * strikes.AWAY_PER_S)), 1 / strikes.AWAY_PER_S)
    cohorts.ops += ops
    healed, begun = lab.now_ns(), len(lab.sink.attempts)
    away = strikes.Away(len(ops), sum(map(accepted, ops)))
    note(lab, away, service)
    first = None
    while first is None and lab.now_ns() - healed < strikes.RECOVERS_S * 1e9:
        one = message(cohorts.rng, "push")
        cohorts.wanted.append(one)
        cohorts.ops.append(await lab.call(one.call(lab.replicas[0], f"{strike.name}/after", 2.0)))
        await lab.sleep(0.1)
        first = next((it.at_ns for it in lab.sink.attempts[begun:] if it.effect and it.at_ns > healed), None)
    if first is not None:
        note(lab, replace(away, recovery_s=(first - healed) / 1e9), service)
    await cohorts.calm(strike)


async def rolling_restart(cohorts: Cohorts) -> None:
    """F10: each process in turn is asked to end, and started again."""
    lab, per_s = cohorts.lab, 15
    async with posting(lab, cohorts.draw(strikes.ROLLING, 3 * len(lab.instances) * per_s), 1 / per_s) as posted:
        for name in lab.instances:
            await lab.terminate(name)
            await lab.start(name)
    cohorts.ops += posted.ops
