"""Jobs in PostgreSQL, each of which is written down when it is done. What must happen together is one function of the
database (schema.sql), so one statement, and one round trip; each may be asked twice."""

import asyncio
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from connections import Connections, StoreUnavailableError
from events import SURE_S

HERE = Path(__file__).parent
STATEMENT_S = 1.7
KEEP_S = 10.0
"""How long somebody who has sent a whole file waits for PostgreSQL to come back, before he has to send it again."""
AGAIN_S = 0.2

FIND = "SELECT id, callback, sha256, state FROM jobs WHERE key = $1"
ADD = "SELECT id, callback, sha256, state FROM add_job($1, $2, $3, $4, $5)"
LOOK = "SELECT state, result FROM jobs WHERE id = $1"


class RefusedError(Exception):
    """What is asked cannot be done as things are, and nothing of it was done."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


@dataclass(frozen=True)
class Known:
    """The job that a key stands for."""

    id: uuid.UUID
    callback: str
    sha256: str
    state: str

    def check(self, callback: str, sha256: str) -> "Known":
        """The same, if it is asked for once more; a key is good for one file and one callback."""
        if (callback, sha256) != (self.callback, self.sha256):
            raise RefusedError(422, "this Idempotency-Key came with another file or callback before")
        return self


class Jobs:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def find(self, key: str) -> Known | None:
        rows = await self._fetch(FIND, key)
        return Known(*rows[0]) if rows else None

    async def add(self, key: str, callback: str, sha256: str, result: str) -> Known:
        """The job of this key from now on, which may be somebody else's who was faster."""
        clock = asyncio.get_running_loop().time
        job, ends = uuid.uuid4(), clock() + KEEP_S
        while True:
            try:
                return Known(*(await self._fetch(ADD, job, key, callback, sha256, result))[0])
            except StoreUnavailableError:
                if clock() > ends:
                    raise
                await asyncio.sleep(AGAIN_S)

    async def look(self, job: uuid.UUID) -> tuple[str, str | None]:
        """Its state, and the result of one that is done."""
        rows = await self._fetch(LOOK, job)
        if not rows:
            raise RefusedError(404, "there is no such job")
        return rows[0]["state"], rows[0]["result"]

    async def cancel(self, job: uuid.UUID) -> None:
        """From now on nobody can read its result, and nobody begins to tell that it is done."""
        while (said := (await self._fetch("SELECT cancel_job($1, $2)", job, SURE_S))[0][0]) == "later":
            await asyncio.sleep(AGAIN_S)
        if said == "none":
            raise RefusedError(404, "there is no such job")

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        return await self._connections.fetch(statement, *values, within_s=STATEMENT_S)


async def make_ready(connection: asyncpg.Connection) -> None:
    if not await connection.fetchval("SELECT to_regproc('hush') IS NOT NULL"):
        await connection.execute("".join((HERE / name).read_text() for name in ("schema.sql", "events.sql")))
