"""One job, from its first byte to its end, by whoever has claimed it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

from bucket import Bucket, key_of
from connections import StoreUnavailableError
from jobs import Claimed, Jobs
from tally import BadFileError, Tally

LOG = logging.getLogger(__name__)
EVERY_S = 1.0
"""How often a worker says how far it is, and that it lives."""
MOST_ERRORS = 3
"""Attempts that end with an error which is neither the file's nor a store's."""
PAUSE_S = 2.0
AGAIN_S = 0.3
LEAVE_S = 2.0


async def work(job: Claimed, jobs: Jobs, bucket: Bucket) -> None:
    """Until it is over, or somebody else's. It is kept until its end is written down, not only while it is read.
    Whoever is told to leave gives it back, and that is no attempt."""
    tally = Tally()
    keeping = asyncio.create_task(_keep(job, jobs, tally))
    doing = asyncio.create_task(_do(job, jobs, bucket, tally))
    try:
        await asyncio.wait({keeping, doing}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _end(keeping, doing)
        with suppress(StoreUnavailableError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await jobs.release(job, 0.0, counts=False)
        raise
    await _end(keeping, doing)


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(error, Exception):
            LOG.error("a job was left: %r", error)


async def _keep(job: Claimed, jobs: Jobs, tally: Tally) -> None:
    """Until it is over, or somebody else's. While PostgreSQL is away nobody can take it over either."""
    size = max(1, sum(job.parts))
    while True:
        await asyncio.sleep(EVERY_S)
        with suppress(StoreUnavailableError):
            if not await jobs.keep(job, tally.bytes / size):
                return


async def _do(job: Claimed, jobs: Jobs, bucket: Bucket, tally: Tally) -> None:
    """It begins at the first byte, and adds up for itself, so that it is the same however often it is done."""
    try:
        result = await _read(job, bucket, tally)
    except BadFileError as error:
        reason = str(error)
        await _surely(lambda: jobs.finish(job, reason, None))
    except StoreUnavailableError as error:
        LOG.warning("job %s is put off: %s", job.id, error)
        await _surely(lambda: jobs.release(job, PAUSE_S, counts=False))
    except Exception as error:
        LOG.exception("job %s", job.id)
        if job.attempts >= MOST_ERRORS:
            reason = f"it could not be processed ({type(error).__name__})"
            await _surely(lambda: jobs.finish(job, reason, None))
        else:
            await _surely(lambda: jobs.release(job, PAUSE_S, counts=True))
    else:
        await _surely(lambda: jobs.finish(job, None, result))


async def _read(job: Claimed, bucket: Bucket, tally: Tally) -> str:
    for number, size in enumerate(job.parts):
        async with aclosing(bucket.read(key_of(job.id, number), size)) as pieces:
            async for piece in pieces:
                tally.feed(piece)
                await asyncio.sleep(0)  # a heartbeat may be due
    return tally.result(job.sha256)


async def _surely(said: Callable[[], Awaitable[object]]) -> None:
    """What was done is worth waiting for PostgreSQL. If the job is somebody else's by now, this changes nothing."""
    while True:
        try:
            await said()
        except StoreUnavailableError:
            await asyncio.sleep(AGAIN_S)
        else:
            return
