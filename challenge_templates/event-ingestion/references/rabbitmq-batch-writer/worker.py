"""Writes batches from the queue into PostgreSQL, many at a time, and acknowledges them when they are committed.

What is not acknowledged comes again, here or at another worker, and what was written already is known by its ids.
"""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from aio_pika.abc import AbstractIncomingMessage
from body import Event
from broker import BrokerUnavailableError, read, within
from connections import StoreUnavailableError
from message import merged, portions, unpacked
from refused import keep_all
from store import Store

PREFETCH = 100
"""Messages that are not acknowledged yet: those that are being written, and the next ones."""
AT_ONCE = 50
MOST_ROWS = 2000
GATHER_S = 0.05
AGAIN_S = 0.2
WRITE_S = 2.5
ACK_S = 1.0


@dataclass(frozen=True)
class Taken:
    message: AbstractIncomingMessage
    events: list[Event]


class Worker:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[AbstractIncomingMessage] = []
        self._some = asyncio.Event()

    async def run(self) -> None:
        await asyncio.gather(read(PREFETCH, self._take, self._lose), self._write())

    async def _take(self, message: AbstractIncomingMessage) -> None:
        self._waiting.append(message)
        self._some.set()

    def _lose(self) -> None:
        self._waiting.clear()

    async def _write(self) -> None:
        while True:
            await self._some.wait()
            if len(self._waiting) < AT_ONCE:
                await asyncio.sleep(GATHER_S)
            messages, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            if not self._waiting:
                self._some.clear()
            taken = [Taken(message, unpacked(message.body)) for message in messages]
            for portion in portions(taken, MOST_ROWS):
                await self._keep(portion)

    async def _keep(self, portion: Sequence[Taken]) -> None:
        """As long as PostgreSQL is away, the worker holds on to what it has; the rest lies in the queue."""
        events = merged(portion)
        while True:
            try:
                await keep_all(self._store, events, WRITE_S)
                break
            except StoreUnavailableError:
                await asyncio.sleep(AGAIN_S)
        with suppress(BrokerUnavailableError):  # then they come again
            await within(ACK_S, asyncio.gather(*(it.message.ack() for it in portion)))


async def main() -> None:
    store = Store(2)
    running = asyncio.ensure_future(Worker(store).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with suppress(asyncio.CancelledError):
        await running
    await store.close()


asyncio.run(main())
