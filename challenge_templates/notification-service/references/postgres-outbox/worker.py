"""Sends what is due, channel by channel, so that one that hangs holds up none of the others."""

import asyncio
import signal
from contextlib import suppress

import aiohttp
from body import CHANNELS
from provider import TIMEOUT_S, Provider, Said, pause_s
from store import Claimed, Store, StoreUnavailableError

LEASE_S = 4.0
"""Longer than a call may take and wait for its turn; what a dead worker had is taken over after that."""
AT_ONCE = 16
POLL_S = 0.2


class Channel:
    def __init__(self, store: Store, provider: Provider, name: str) -> None:
        self._store = store
        self._provider = provider
        self._name = name
        self._busy: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            await self._go_on()
        finally:
            if self._busy:  # what has been begun is ended
                await asyncio.wait(self._busy, timeout=TIMEOUT_S)

    async def _go_on(self) -> None:
        while True:
            claimed: list[Claimed] = []
            with suppress(StoreUnavailableError):
                if len(self._busy) < AT_ONCE:
                    claimed = await self._store.claim(self._name, AT_ONCE - len(self._busy), LEASE_S)
            for one in claimed:
                task = asyncio.create_task(self._deliver(one))
                self._busy.add(task)
                task.add_done_callback(self._busy.discard)
            if self._busy and len(self._busy) >= AT_ONCE:
                await asyncio.wait(self._busy, return_when=asyncio.FIRST_COMPLETED)
            elif not claimed:
                await asyncio.sleep(POLL_S)

    async def _deliver(self, one: Claimed) -> None:
        with suppress(
            StoreUnavailableError
        ):  # then the lease runs out, and somebody sends it again, under the same key
            await self._provider.turn()
            said = await self._provider.send(one.id, one.to, one.body)
            if said is Said.DONE:
                await self._store.finish(one, "sent")
            elif said is Said.NEVER:
                await self._store.finish(one, "failed")
            elif said is Said.WAIT:
                await self._store.put_off(one, 1.1)
            else:
                await self._store.put_off(one, pause_s(one.attempts))


async def main() -> None:
    store = await Store.open(len(CHANNELS) * 2)
    async with aiohttp.ClientSession() as session:
        running = [asyncio.create_task(Channel(store, Provider(session, name), name).run()) for name in CHANNELS]
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: [task.cancel() for task in running])
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*running)
    await store.close()


asyncio.run(main())
