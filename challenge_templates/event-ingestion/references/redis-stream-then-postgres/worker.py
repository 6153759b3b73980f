"""Takes batches out of the stream, and writes them into PostgreSQL, many at a time.

A batch is finished when it is committed. What a worker had that ends before, another one takes over, and what was
written already is known by its ids.
"""

import asyncio
import os
import signal
from contextlib import suppress

from connections import StoreUnavailableError
from message import merged, portions
from refused import keep_all
from store import Store
from stream import AT_ONCE, Stream, StreamUnavailableError, Taken

WORKER = os.environ["INSTANCE_ID"]
MOST_ROWS = 2000
GATHER_S = 0.05
"""After few batches: the next ones come together."""
AGAIN_S = 0.2
WRITE_S = 2.5
REDIS_S = 2.0
"""Longer than it waits for something to come."""


class Worker:
    def __init__(self, store: Store, stream: Stream) -> None:
        self._store = store
        self._stream = stream

    async def run(self) -> None:
        while True:
            with suppress(StreamUnavailableError):
                await self._stream.make_group()
                await self._go_on()
            await asyncio.sleep(AGAIN_S)

    async def _go_on(self) -> None:
        while True:
            taken = await self._stream.take(WORKER)
            for portion in portions(taken, MOST_ROWS):
                await self._keep(portion)
                await self._stream.finish(portion)
            if 0 < len(taken) < AT_ONCE:
                await asyncio.sleep(GATHER_S)

    async def _keep(self, portion: list[Taken]) -> None:
        """As long as PostgreSQL is away, this is all that the worker has in hand; the rest lies in the stream."""
        events = merged(portion)
        while True:
            try:
                await keep_all(self._store, events, WRITE_S)
                return
            except StoreUnavailableError:
                await asyncio.sleep(AGAIN_S)


async def main() -> None:
    store, stream = Store(2), Stream(2, REDIS_S)
    running = asyncio.ensure_future(Worker(store, stream).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with suppress(asyncio.CancelledError):
        await running
    await stream.close()
    await store.close()


asyncio.run(main())
