"""Sweeps (sweeper.py), until it is told to end. What it had claimed by then is claimed again."""

import asyncio
import signal
from contextlib import suppress

from bucket import Bucket
from store import Store
from sweeper import sweep

CONNECTIONS = 2


async def main() -> None:
    bucket = Bucket()
    store = Store(CONNECTIONS, bucket)
    sweeping = asyncio.create_task(sweep(store))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sweeping.cancel)
    with suppress(asyncio.CancelledError):
        await sweeping
    await store.close()
    await bucket.close()


asyncio.run(main())
