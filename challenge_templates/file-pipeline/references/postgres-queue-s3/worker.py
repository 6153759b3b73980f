"""Does one job after the other, tells that they have ended, and sweeps, until it is told to leave. It does one at a
time: a file that ends its worker takes nobody else's with it."""

import asyncio
import logging
import signal
from contextlib import suppress

import uvloop
from bucket import Bucket
from connections import Connections, StoreUnavailableError
from events import Teller
from files import Files
from jobs import Jobs, make_ready
from sweeper import sweep
from waiting import Waiting
from work import work

LOG = logging.getLogger(__name__)
CONNECTIONS = 4
POLL_S = 0.2
AWAY_S = 0.5


async def serve(waiting: Waiting, jobs: Jobs, bucket: Bucket, teller: Teller) -> None:
    """For ever."""
    while True:
        try:
            job = await waiting.claim()
        except StoreUnavailableError as error:
            LOG.warning("nothing is done: %s", error)
            await asyncio.sleep(AWAY_S)
            continue
        if job is None:
            await asyncio.sleep(POLL_S)
        else:
            await work(job, jobs, bucket)
            teller.soon()


async def main() -> None:
    connections, bucket = Connections(CONNECTIONS, make_ready), Bucket()
    teller = Teller(connections)
    running = asyncio.gather(
        serve(Waiting(connections), Jobs(connections), bucket, teller), teller.run(),
        sweep(Files(connections), bucket),
    )  # fmt: skip
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with suppress(asyncio.CancelledError):
        await running
    await bucket.close()
    await connections.close()


uvloop.run(main())
