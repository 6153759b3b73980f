"""What was asked for, and what came of it, in PostgreSQL. There is no queue: a row is written, sent, and marked."""

import asyncio
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from body import Wanted

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
COMMAND_S = 1.0
POOL_WAIT_S = 0.5
AWAY = (
    OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)  # fmt: skip
"""What a PostgreSQL says that is not there yet, or not any more; nothing else mends itself."""
TROUBLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class StoreUnavailableError(Exception):
    """PostgreSQL did not answer in time. Whether it did what it was asked is unknown."""


class KeyReusedError(Exception):
    """The key was used for another notification."""


@dataclass(frozen=True)
class Kept:
    """A notification as it is kept: `now` is to be sent at once, `later` when it is due."""

    id: str
    state: str
    channel: str
    to: str
    body: str


async def _make_tables(url: str) -> None:
    """Waits for PostgreSQL as long as it takes: to end would only be to be started again, and to wait then."""
    while True:
        with suppress(*AWAY):
            first = await asyncpg.connect(url, timeout=10)
            try:
                async with first.transaction():
                    await first.execute("SELECT pg_advisory_xact_lock(4711)")  # both replicas make the tables at once
                    await first.execute(SCHEMA)
            finally:
                await first.close()
            return
        await asyncio.sleep(0.2)


class Store:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, connections: int) -> "Store":
        url = os.environ["DATABASE_URL"]
        await _make_tables(url)
        return cls(
            await asyncpg.create_pool(url, min_size=0, max_size=connections, timeout=POOL_WAIT_S, command_timeout=10)
        )

    async def keep(self, wanted: Wanted) -> Kept:
        """The same key is the same notification, whichever replica it reaches."""
        row = await self._one(
            "INSERT INTO notifications (id, key, fingerprint, recipient, channel, body, state, due)"
            " VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN opted_out($4, $5) THEN 'suppressed'"
            " WHEN $7 > extract(epoch FROM now()) THEN 'later' ELSE 'now' END, to_timestamp($7))"
            " ON CONFLICT (key) DO UPDATE SET key = excluded.key"
            " RETURNING id, state, channel, recipient, body, fingerprint",
            uuid.uuid4(), wanted.key, wanted.fingerprint, wanted.user, wanted.channel, wanted.text, wanted.send_after,
        )  # fmt: skip
        if row["fingerprint"] != wanted.fingerprint:
            raise KeyReusedError
        return _kept(row)

    async def mark(self, kept: Kept, state: str, attempts: int) -> None:
        await self._one(
            "UPDATE notifications SET state = $2, attempts = attempts + $3 WHERE id = $1 RETURNING 1",
            uuid.UUID(kept.id), state, attempts,
        )  # fmt: skip

    async def due(self, most: int) -> list[Kept]:
        """Up to so many that were asked for later, and are due; each is put off by 5 s, in case this process dies."""
        rows = await self._all(
            "WITH due AS (SELECT id FROM notifications WHERE state = 'later' AND due <= now() ORDER BY due LIMIT $1"
            " FOR UPDATE SKIP LOCKED)"
            " UPDATE notifications n SET due = now() + interval '5 s',"
            " state = CASE WHEN opted_out(recipient, channel) THEN 'suppressed' ELSE state END"
            " FROM due WHERE n.id = due.id RETURNING n.id, n.state, channel, recipient, body",
            most,
        )
        return [_kept(row) for row in rows if row["state"] == "later"]

    async def get(self, notification_id: uuid.UUID) -> tuple[str, int] | None:
        row = await self._one("SELECT state, attempts FROM notifications WHERE id = $1", notification_id)
        return ("queued" if row["state"] in ("now", "later") else row["state"], row["attempts"]) if row else None

    async def cancel(self, notification_id: uuid.UUID) -> bool | None:
        """Whether it is cancelled now; None where there is none. Only what is to be sent later can be."""
        row = await self._one(
            "WITH done AS (UPDATE notifications SET state = 'cancelled' WHERE id = $1"
            " AND (state = 'cancelled' OR state = 'later' AND due > now()) RETURNING 1)"
            " SELECT EXISTS (SELECT FROM done) AS done, EXISTS (SELECT FROM notifications WHERE id = $1) AS there",
            notification_id,
        )
        return row["done"] if row["there"] else None

    async def prefer(self, recipient: str, given: dict[str, bool]) -> None:
        """What is not given stays as it was."""
        await self._one(
            "INSERT INTO preferences AS p VALUES ($1, coalesce($2, true), coalesce($3, true), coalesce($4, true))"
            " ON CONFLICT (recipient) DO UPDATE SET email = coalesce($2, p.email), sms = coalesce($3, p.sms),"
            " push = coalesce($4, p.push) RETURNING 1",
            recipient, given.get("email"), given.get("sms"), given.get("push"),
        )  # fmt: skip

    async def _one(self, statement: str, *values: object) -> Any:
        found = await self._all(statement, *values)
        return found[0] if found else None

    async def _all(self, statement: str, *values: object) -> list[Any]:
        try:
            async with self._pool.acquire(timeout=POOL_WAIT_S) as connection:
                return await connection.fetch(statement, *values, timeout=COMMAND_S)
        except TROUBLE as error:
            raise StoreUnavailableError from error

    async def close(self) -> None:
        self._pool.terminate()


def _kept(row: Any) -> Kept:
    return Kept(str(row["id"]), row["state"], row["channel"], row["recipient"], row["body"])
