"""Notifications in PostgreSQL. The row is the message: it is accepted, waits and is done in one place."""

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
COMMAND_S = 2.0
POOL_WAIT_S = 1.0
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
class Claimed:
    """A notification that this worker has until its lease runs out."""

    id: str
    lease: str
    to: str
    body: str
    attempts: int


async def _make_tables(url: str) -> None:
    """Waits for PostgreSQL as long as it takes: to end would only be to be started again, and to wait then."""
    while True:
        with suppress(*AWAY):
            first = await asyncpg.connect(url, timeout=10)
            try:
                async with first.transaction():
                    await first.execute("SELECT pg_advisory_xact_lock(4711)")  # every process makes the tables at once
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

    async def accept(self, wanted: Wanted) -> tuple[str, str]:
        """Its id and its state. The same key is the same notification, whichever replica it reaches."""
        row = await self._one(
            "INSERT INTO notifications (id, key, fingerprint, recipient, channel, body, high, state, due)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN opted_out($4, $5) THEN 'suppressed' ELSE 'queued' END,"
            " to_timestamp(greatest($8, extract(epoch FROM now()))))"
            " ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING id, state, fingerprint",
            uuid.uuid4(), wanted.key, wanted.fingerprint, wanted.user, wanted.channel, wanted.text, wanted.high,
            wanted.send_after,
        )  # fmt: skip
        if row["fingerprint"] != wanted.fingerprint:
            raise KeyReusedError
        return str(row["id"]), row["state"]

    async def get(self, notification_id: uuid.UUID) -> tuple[str, int] | None:
        row = await self._one("SELECT state, attempts FROM notifications WHERE id = $1", notification_id)
        return (row["state"], row["attempts"]) if row else None

    async def cancel(self, notification_id: uuid.UUID) -> bool | None:
        """Whether it is cancelled now; None where there is none. One that was ever tried may have arrived."""
        row = await self._one(
            "WITH done AS (UPDATE notifications SET state = 'cancelled' WHERE id = $1 AND (state = 'cancelled' OR"
            " state = 'queued' AND attempts = 0) RETURNING 1)"
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

    async def claim(self, channel: str, most: int, lease_s: float) -> list[Claimed]:
        """Up to so many that are due, the urgent ones first; who has opted out meanwhile is not among them."""
        lease = uuid.uuid4()
        rows = await self._all(
            "WITH due AS (SELECT id FROM notifications WHERE state = 'queued' AND channel = $1 AND due <= now()"
            " AND coalesce(leased_until < now(), true) ORDER BY high DESC, due LIMIT $2 FOR UPDATE SKIP LOCKED)"
            " UPDATE notifications n SET lease = $3, leased_until = now() + $4 * interval '1 s',"
            " state = CASE WHEN opted_out(recipient, channel) THEN 'suppressed' ELSE state END,"
            " attempts = attempts + CASE WHEN opted_out(recipient, channel) THEN 0 ELSE 1 END"
            " FROM due WHERE n.id = due.id RETURNING n.id, recipient, body, attempts, n.state, high, n.due",
            channel, most, lease, lease_s,
        )  # fmt: skip
        rows.sort(key=lambda row: (not row["high"], row["due"]))
        return [
            Claimed(str(row["id"]), str(lease), row["recipient"], row["body"], row["attempts"])
            for row in rows if row["state"] == "queued"
        ]  # fmt: skip

    async def finish(self, claimed: Claimed, state: str) -> None:
        """It has been sent, or has failed for good."""
        await self._one(
            "UPDATE notifications SET state = $3, leased_until = NULL"
            " WHERE id = $1 AND lease = $2 AND state = 'queued' RETURNING 1",
            uuid.UUID(claimed.id), uuid.UUID(claimed.lease), state,
        )  # fmt: skip

    async def put_off(self, claimed: Claimed, seconds: float) -> None:
        """Try it again later."""
        await self._one(
            "UPDATE notifications SET due = now() + $3 * interval '1 s', leased_until = NULL"
            " WHERE id = $1 AND lease = $2 AND state = 'queued' RETURNING 1",
            uuid.UUID(claimed.id), uuid.UUID(claimed.lease), seconds,
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
