"""Tickets: each says that a job is to be done, and PostgreSQL says whether that is still so. A job without one gets
one, and one too many is drawn in vain: what is published without effect does no harm, nor what comes twice."""

import asyncio
import logging
import random
import uuid

from broker import BrokerUnavailableError, Publisher
from connections import Connections, StoreUnavailableError
from jobs import LEASE_S, MOST_ATTEMPTS, STATEMENT_S, Claimed

LOG = logging.getLogger(__name__)
EVERY_S = 1.0
AT_ONCE = 50
AFTER_TROUBLE_S = 2.0
CLAIM = "SELECT id, sha256, parts, attempts FROM claim_job($1, $2, $3, $4)"
MISSING = "SELECT id, claims FROM claim_announcements($1)"
ANNOUNCED = "SELECT announced($1, $2)"


class Tickets:
    def __init__(self, connections: Connections, publisher: Publisher) -> None:
        self._connections = connections
        self._publisher = publisher
        self._announcing: set[asyncio.Task[None]] = set()

    def announce_soon(self, job: uuid.UUID) -> None:
        """A job that is new. Nobody waits for it: if nothing comes of it, `run` notices a moment later."""
        task = asyncio.create_task(self._try(job))
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def _try(self, job: uuid.UUID) -> None:
        try:
            await self._announce(job, claims=0)
        except (BrokerUnavailableError, StoreUnavailableError) as error:
            LOG.warning("job %s is announced later: %s", job, error)

    async def run(self) -> None:
        """For ever: put up a ticket for each job that has none, and that nobody has."""
        pause = EVERY_S
        while True:
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            try:
                for row in await self._connections.fetch(MISSING, AT_ONCE, within_s=STATEMENT_S):
                    await self._announce(row["id"], row["claims"])
                pause = EVERY_S
            except (BrokerUnavailableError, StoreUnavailableError) as error:
                LOG.warning("nothing is announced: %s", error)
                pause = AFTER_TROUBLE_S

    async def _announce(self, job: uuid.UUID, claims: int) -> None:
        """The ticket is on the disk before it is written down that there is one, which is no longer so if it has been
        drawn meanwhile."""
        await self._publisher.put(str(job))
        await self._connections.fetch(ANNOUNCED, job, claims, within_s=STATEMENT_S)

    async def claim(self, ticket: str) -> Claimed | None:
        """The job of a ticket, if it is still to be done, and nobody has it."""
        claim = uuid.uuid4()
        rows = await self._connections.fetch(
            CLAIM, uuid.UUID(ticket), claim, LEASE_S, MOST_ATTEMPTS, within_s=STATEMENT_S
        )
        return Claimed(rows[0]["id"], rows[0]["sha256"], rows[0]["parts"], rows[0]["attempts"], claim) if rows else None
