"""Takes back what uploads that came to nothing have reserved and sent, and what was replaced or deleted. There may be
any number of sweepers: the database sees to it that they do not meet, and its clock decides."""

import asyncio
import logging
import random

from connections import StoreUnavailableError
from store import Store

LOG = logging.getLogger(__name__)
EVERY_S = 1.0
AT_ONCE = 32
AFTER_TROUBLE_S = 2.0


async def sweep(store: Store) -> None:
    """For ever."""
    pause = EVERY_S
    while True:
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        try:
            await store.sweep_uploads()
            while await store.delete(AT_ONCE) == AT_ONCE:
                await asyncio.sleep(0)
            pause = EVERY_S
        except StoreUnavailableError as error:
            LOG.warning("nothing was swept: %s", error)
            pause = AFTER_TROUBLE_S
        except Exception:  # whatever it is: nobody else would sweep
            LOG.exception("nothing was swept")
            pause = AFTER_TROUBLE_S
