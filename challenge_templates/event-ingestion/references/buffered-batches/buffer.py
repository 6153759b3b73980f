"""What is acknowledged lies here, in memory, until it is in PostgreSQL: for 200 ms, and as long as the statement takes.

A process that is killed takes it with it. So that this is never much, nothing more is acknowledged when PostgreSQL is
away, as far as that is known, or what lies here becomes too old. What was acknowledged by then stays, and is written
when PostgreSQL is back. It may have been written already, and then counts once all the same, by its id.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from body import Event
from connections import StoreUnavailableError
from refused import keep_all
from store import Store

LOG = logging.getLogger(__name__)
FLUSH_S = 0.2
STALE_S = 0.8
"""It is sent within 200 ms, and to a store that is 200 ms away, each way, that takes 400 ms more, and the work. What a
crash takes with it has not even arrived there, and is younger."""
MOST_ROWS = 4000
"""So many are not waited for any longer."""
MOST_HELD = 20_000
WRITE_S = 2.5
AGAIN_S = 0.1
CLOSE_S = 6.0
"""After SIGTERM there are 10 s, of which the requests before had 3."""


@dataclass(eq=False)
class Portion:
    """Events that are written together."""

    events: dict[str, Event] = field(default_factory=dict)
    since: float = 0.0
    """When the oldest of them was acknowledged."""
    failed: bool = False


class BufferFullError(Exception):
    """What lies here has to be in PostgreSQL before anything more is acknowledged."""


class Buffer:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._filling = Portion()
        self._flying: dict[Portion, asyncio.Task[None]] = {}
        self._held = 0
        self._ticking = asyncio.create_task(self._tick())

    def add(self, events: Sequence[Event]) -> int:
        """How many of them do not lie here already; from now on the others do, too."""
        self._check(len(events))
        portions = [self._filling, *self._flying]
        new = [event for event in events if not any(event[0] in portion.events for portion in portions)]
        if new and not self._filling.events:
            self._filling.since = time.monotonic()
        self._filling.events.update((event[0], event) for event in new)
        self._held += len(new)
        if len(self._filling.events) >= MOST_ROWS:
            self._send()
        return len(new)

    def _check(self, more: int) -> None:
        if self._held + more > MOST_HELD:
            raise BufferFullError("too many events lie here")
        if not self._store.connections.alive:
            raise BufferFullError("PostgreSQL is away")
        for portion in (self._filling, *self._flying):
            if portion.failed or (portion.events and time.monotonic() - portion.since > STALE_S):
                raise BufferFullError("PostgreSQL does not take what lies here")

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            self._send()

    def _send(self) -> None:
        """What has come until now is on its way; it does not wait for what is on its way already."""
        if self._filling.events:
            portion, self._filling = self._filling, Portion()
            self._flying[portion] = asyncio.create_task(self._write(portion))

    async def _write(self, portion: Portion) -> None:
        """Until it is there, however long PostgreSQL is away."""
        events = list(portion.events.values())
        while True:
            try:
                await keep_all(self._store, events, WRITE_S)
                break
            except StoreUnavailableError:
                portion.failed = True
                await asyncio.sleep(AGAIN_S)
        del self._flying[portion]
        self._held -= len(events)

    async def close(self) -> None:
        """Write everything; nothing comes any more."""
        self._ticking.cancel()
        self._send()
        if self._flying:
            await asyncio.wait(self._flying.values(), timeout=CLOSE_S)
        if self._held:
            LOG.error("%d acknowledged events are lost: PostgreSQL does not take them", self._held)
        for task in self._flying.values():
            task.cancel()
