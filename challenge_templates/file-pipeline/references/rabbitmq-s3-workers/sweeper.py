"""Takes back what files that came to nothing, or were taken back, have left in the bucket. There may be any number of
sweepers: the database sees to it that they do not meet, and its clock decides."""

import asyncio
import logging
import random

from bucket import Bucket, key_of
from connections import StoreUnavailableError
from files import Files

LOG = logging.getLogger(__name__)
EVERY_S = 1.0
AT_ONCE = 8
AFTER_TROUBLE_S = 2.0


async def sweep(files: Files, bucket: Bucket) -> None:
    """For ever."""
    pause = EVERY_S
    while True:
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        try:
            await files.sweep()
            while await _delete(files, bucket) == AT_ONCE:
                await asyncio.sleep(0)
            pause = EVERY_S
        except StoreUnavailableError as error:
            LOG.warning("nothing was swept: %s", error)
            pause = AFTER_TROUBLE_S
        except Exception:  # whatever it is: nobody else would sweep here
            LOG.exception("nothing was swept")
            pause = AFTER_TROUBLE_S


async def _delete(files: Files, bucket: Bucket) -> int:
    """How many were to be deleted. The transaction that dropped them is committed, so nobody can come back to one."""
    claimed = await files.to_delete(AT_ONCE)
    for file, begun in claimed:
        said = await asyncio.gather(
            *(bucket.delete(key_of(file, number)) for number in range(begun)), return_exceptions=True
        )
        for error in said:
            if isinstance(error, BaseException):
                raise error  # all of them are claimed again, and deleted again
        await files.forget([file])
    return len(claimed)
