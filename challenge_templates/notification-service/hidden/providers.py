"""What is wrong with providers: channels under a fault, and recipients that they refuse for good."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from crucible.authoring.facts import note
from crucible.check import Lab, SinkFault

from .messages import Message

POISON = 0.05
"""Of the messages of a scenario: so many go to recipients that are refused for good."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Recipients that the sink takes nothing for."""

    users: tuple[str, ...]


def reject(lab: Lab, bad: Sequence[Message], scenario: str) -> None:
    for one in bad:
        lab.sink.reject(one.user)
    note(lab, Rejected(tuple(one.user for one in bad)), scenario)


@asynccontextmanager
async def faulty(lab: Lab, channels: Iterable[str], fault: SinkFault) -> AsyncIterator[None]:
    """While open, these channels are under a fault."""
    async with AsyncExitStack() as stack:
        for channel in channels:
            await stack.enter_async_context(lab.sink.fault(channel, fault))
        yield
