"""Jobs in PostgreSQL: who works on which, how far it is, and what came of it. What must happen together is one function
of the database (schema.sql), so one statement, and one round trip; each may be asked twice."""

import asyncio
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from connections import Connections
from events import SURE_S
from files import RefusedError

HERE = Path(__file__).parent
STATEMENT_S = 1.7
LEASE_S = 4.0
"""Whoever has not said for so long that he still works on a job has lost it to the next."""
MOST_ATTEMPTS = 5
"""As often may a worker go down with a job in its hands. It need not be the file's fault."""
AGAIN_S = 0.2

LOOK = "SELECT state, progress, error, result FROM jobs WHERE id = $1"
KEEP = """
    UPDATE jobs SET leased_until = now() + $4 * interval '1 s', progress = greatest(progress, $3)
    WHERE id = $1 AND claim = $2 AND state = 'processing' RETURNING 1
"""


@dataclass(frozen=True)
class Looked:
    """A job, as it is now."""

    state: str
    progress: float
    error: str | None
    result: str | None


@dataclass(frozen=True)
class Claimed:
    """A job that somebody works on, as long as nobody else claims it."""

    id: uuid.UUID
    sha256: str
    parts: list[int]
    attempts: int
    claim: uuid.UUID


class Jobs:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def look(self, job: uuid.UUID) -> Looked:
        rows = await self._fetch(LOOK, job)
        if not rows:
            raise RefusedError(404, "there is no such job")
        return Looked(*rows[0])

    async def cancel(self, job: uuid.UUID) -> None:
        """From now on nobody can read its result, nobody begins to tell that it is done, and its file is nobody's."""
        while (said := (await self._fetch("SELECT cancel_job($1, $2)", job, SURE_S))[0][0]) == "later":
            await asyncio.sleep(AGAIN_S)
        if said == "none":
            raise RefusedError(404, "there is no such job")

    async def keep(self, job: Claimed, progress: float) -> bool:
        """Whether it is still this claim's. Progress never goes back, also where another attempt begins again."""
        return bool(await self._fetch(KEEP, job.id, job.claim, progress, LEASE_S))

    async def finish(self, job: Claimed, error: str | None, result: str | None) -> bool:
        """Whether it was this claim's to end: with an error or with a result."""
        return bool((await self._fetch("SELECT finish_job($1, $2, $3, $4)", job.id, job.claim, error, result))[0][0])

    async def release(self, job: Claimed, pause_s: float, *, counts: bool) -> None:
        """Somebody else may go on with it, a moment later. It counts as an attempt if it may be the file's fault."""
        await self._fetch("SELECT release_job($1, $2, $3, $4)", job.id, job.claim, pause_s, counts)

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        return await self._connections.fetch(statement, *values, within_s=STATEMENT_S)


async def make_ready(connection: asyncpg.Connection) -> None:
    if not await connection.fetchval("SELECT to_regproc('hush') IS NOT NULL"):
        await connection.execute("".join((HERE / name).read_text() for name in ("schema.sql", "events.sql")))
