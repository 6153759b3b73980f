"""Writes what stands at the head of the list into PostgreSQL, many events at a time, and one worker at a time: who has
the lock.

Every event is in the list once, so what is written is simply added up. It is cut off when it is committed.
"""

import asyncio
import os
import signal
from contextlib import suppress

from body import Event
from connections import StoreUnavailableError
from refused import keep_all
from store import Store
from stream import Stream, StreamUnavailableError

WORKER = os.environ["INSTANCE_ID"]
MOST_ROWS = 2000
FLUSH_S = 0.1
AGAIN_S = 0.2
WRITE_S = 2.5
REDIS_S = 2.0


class Worker:
    def __init__(self, store: Store, stream: Stream) -> None:
        self._store = store
        self._stream = stream
        self._ending = False

    def end(self) -> None:
        """What is being written is finished first."""
        self._ending = True

    async def run(self) -> None:
        while not self._ending:
            more = False
            with suppress(StreamUnavailableError, StoreUnavailableError):
                more = await self._flush()
            if not more:
                await asyncio.sleep(FLUSH_S)

    async def _flush(self) -> bool:
        """Whether there may be more."""
        if not await self._stream.lock(WORKER):
            return False
        try:
            entries = await self._stream.head(MOST_ROWS)
            if entries:
                await self._keep([event for entry in entries for event in entry])
                await self._stream.cut(len(entries))
        finally:
            await self._stream.unlock(WORKER)
        return len(entries) == MOST_ROWS

    async def _keep(self, events: list[Event]) -> None:
        """As long as PostgreSQL is away, this is all that the worker has in hand; the rest lies in the list."""
        while True:
            try:
                await keep_all(self._store, events, WRITE_S)
                return
            except StoreUnavailableError:
                if self._ending:
                    raise
                await asyncio.sleep(AGAIN_S)


async def main() -> None:
    store, stream = Store(2), Stream(2, REDIS_S, retries=0)
    worker = Worker(store, stream)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.end)
    await worker.run()
    await stream.close()
    await store.close()


asyncio.run(main())
