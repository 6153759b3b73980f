"""Who reads which object here. What is replaced or deleted while somebody reads it is kept until he has it all."""

import asyncio
import logging
import random
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from connections import StoreUnavailableError

LOG = logging.getLogger(__name__)
KEEP_S = 10.0
"""How long bytes stay that are nobody's any more. Most reads are shorter, and cost nothing here."""
LONGEST_S = 60.0
"""Nobody is waited for longer than that."""
EVERY_S = 3.0


class Readers:
    def __init__(self, extend: Callable[[list[uuid.UUID], float], Awaitable[None]]) -> None:
        self._extend = extend
        self._reading: Counter[uuid.UUID] = Counter()

    async def reading(self, object_id: uuid.UUID, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The pieces; as long as they are read, the object stays."""
        self._reading[object_id] += 1
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        finally:
            self._reading[object_id] -= 1
            self._reading += Counter()  # forgets those that nobody reads

    async def keep(self) -> None:
        """For ever: ask for those that are read now."""
        while True:
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.0))
            if self._reading:
                try:
                    await self._extend(list(self._reading), KEEP_S)
                except StoreUnavailableError as error:
                    LOG.warning("slow readers may lose what was replaced: %s", error)
