"""Does one job after the other."""

import asyncio
import logging

from bucket import Bucket
from connections import StoreUnavailableError
from events import Teller
from jobs import Jobs
from waiting import Waiting
from work import work

LOG = logging.getLogger(__name__)
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
