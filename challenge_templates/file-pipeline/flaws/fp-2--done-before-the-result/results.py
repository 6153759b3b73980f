"""Results, which are put away together."""

import asyncio
import logging
import uuid

from connections import Connections, StoreUnavailableError
from jobs import STATEMENT_S

LOG = logging.getLogger(__name__)
EVERY_S = 1.0
KEEP = """
    INSERT INTO results SELECT n.job, n.result FROM unnest($1::uuid[], $2::text[]) AS n (job, result)
    JOIN jobs j ON j.id = n.job AND j.state = 'done' FOR SHARE OF j ON CONFLICT DO NOTHING
"""


class Results:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._new: dict[uuid.UUID, str] = {}

    def keep_soon(self, job: uuid.UUID, result: str) -> None:
        self._new[job] = result

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.keep()
            except StoreUnavailableError as error:
                LOG.warning("results are kept later: %s", error)

    async def keep(self) -> None:
        """All that have come until now. One of a job that was taken back meanwhile is dropped."""
        new = dict(self._new)
        if new:
            await self._connections.fetch(KEEP, list(new), list(new.values()), within_s=STATEMENT_S)
        for job in new:
            self._new.pop(job, None)
