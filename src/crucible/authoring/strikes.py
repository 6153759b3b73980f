"""Strikes: what is on its way is made to wait, and something is struck in the middle of it.

A fault shows something only of what it met. So requests go on while it strikes, and are told apart by where they were.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from crucible.check import Call, Lab, NotCausedError
from crucible.evidence import Op

PATIENCE_S = 10.0
"""How long a strike waits for its moment before it strikes anyway."""


@dataclass(frozen=True, slots=True)
class Struck:
    """That something was struck: a fact for the judges."""

    at_ns: int
    in_flight: int
    """Requests that were on their way."""
    until_ns: int
    """When it was over, and whatever was struck had been healed."""
    not_caused: str = ""
    """Why it could not be caused here; then nothing was struck."""


@dataclass(slots=True)
class Posting:
    """Requests that are sent at a steady rate, whatever happens meanwhile."""

    ops: list[Op] = field(default_factory=list)
    """Those that have an answer, or none any more, in that order."""

    def before(self, at_ns: int) -> list[Op]:
        """What was answered before this moment."""
        return [op for op in self.ops if op.received_ns <= at_ns]

    def met(self, at_ns: int) -> list[Op]:
        """What was on its way at this moment."""
        return [op for op in self.ops if op.sent_ns <= at_ns < op.received_ns]

    def after(self, at_ns: int) -> list[Op]:
        """What was sent after this moment."""
        return [op for op in self.ops if op.sent_ns > at_ns]


@asynccontextmanager
async def posting(lab: Lab, calls: Sequence[Call], gap_s: float) -> AsyncIterator[Posting]:
    """While open, and until the last one is answered, a call is sent every `gap_s` seconds. What is raised meanwhile,
    such as that a process does not start again, is raised as it is."""
    posted = Posting()

    async def post(index: int, call: Call) -> None:
        await lab.sleep(index * gap_s)
        posted.ops.append(await lab.call(call))

    tasks = [asyncio.create_task(post(index, call)) for index, call in enumerate(calls)]
    try:
        yield posted
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def when_answered(lab: Lab, number: int) -> Callable[[Posting], Awaitable[None]]:
    """The moment at which so many have been answered, and `PATIENCE_S` at the latest."""

    async def moment(posted: Posting) -> None:
        end_ns = lab.now_ns() + PATIENCE_S * 1e9
        while len(posted.ops) < number and lab.now_ns() < end_ns:
            await lab.sleep(0.002)

    return moment


def after_s(lab: Lab, seconds: float) -> Callable[[Posting], Awaitable[None]]:
    """The moment so many seconds after the first was sent."""

    async def moment(posted: Posting) -> None:
        await lab.sleep(seconds)

    return moment


async def struck(
    lab: Lab,
    calls: Sequence[Call],
    gap_s: float,
    *,
    when: Callable[[Posting], Awaitable[None]],
    strike: Callable[[], Awaitable[None]],
    heal: Callable[[], Awaitable[None]] | None = None,
    widen_ms: int = 0,
) -> tuple[Posting, Struck]:
    """Post `calls`, strike at the moment `when`, and heal; all of it with the services `widen_ms` away, each way, where
    that is asked for. Returns when everything that was posted has an answer, or none any more."""
    async with lab.slow(widen_ms) if widen_ms else nullcontext(), posting(lab, calls, gap_s) as posted:
        await when(posted)
        at_ns, in_flight, why = lab.now_ns(), lab.in_flight, ""
        try:
            await strike()
        except NotCausedError as error:
            why = str(error)
        if heal is not None:
            await heal()
        found = Struck(at_ns, in_flight, lab.now_ns(), why)
    return posted, found
