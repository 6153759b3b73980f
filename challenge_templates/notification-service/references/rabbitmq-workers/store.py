"""What became of notifications, and who wants none, in PostgreSQL. Nothing has to be here before one is accepted."""

import asyncio
import os
from contextlib import suppress
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

    async def look(self, notification_id: str, wanted: Wanted, within_s: float) -> str | None:
        """Its state where it came before, or is not wanted; None for one that is to be accepted."""
        row = await self._one(
            "SELECT * FROM look($1, $2, $3, $4)", notification_id, wanted.fingerprint, wanted.user, wanted.channel,
            within_s=within_s,
        )  # fmt: skip
        if row is not None and row["fingerprint"] not in (None, wanted.fingerprint):
            raise KeyReusedError
        return row["state"] if row is not None else None

    async def take(self, notification_id: str, fingerprint: str, recipient: str, channel: str) -> tuple[str, int]:
        """Its state, `queued` where it is to be sent now, and how often that has been tried, this time included."""
        row = await self._one("SELECT * FROM take($1, $2, $3, $4)", notification_id, fingerprint, recipient, channel)
        return row["state"], row["attempts"]

    async def finish(self, notification_id: str, state: str) -> None:
        """It has been sent, or has failed for good."""
        await self._one(
            "UPDATE notifications SET state = $2 WHERE id = $1 AND state = 'queued' RETURNING 1", notification_id, state
        )

    async def get(self, notification_id: str) -> tuple[str, int]:
        """Its state; what nobody has had in hand yet waits in its queue."""
        row = await self._one("SELECT state, attempts FROM notifications WHERE id = $1", notification_id)
        return (row["state"], row["attempts"]) if row else ("queued", 0)

    async def cancel(self, notification_id: str) -> bool:
        """Whether it is cancelled now. One that was ever tried may have arrived."""
        row = await self._one(
            "INSERT INTO notifications AS n (id, state) VALUES ($1, 'cancelled')"
            " ON CONFLICT (id) DO UPDATE SET state = n.state RETURNING state",
            notification_id,
        )
        return bool(row["state"] == "cancelled")

    async def prefer(self, recipient: str, given: dict[str, bool]) -> None:
        """What is not given stays as it was."""
        await self._one(
            "INSERT INTO preferences AS p VALUES ($1, coalesce($2, true), coalesce($3, true), coalesce($4, true))"
            " ON CONFLICT (recipient) DO UPDATE SET email = coalesce($2, p.email), sms = coalesce($3, p.sms),"
            " push = coalesce($4, p.push) RETURNING 1",
            recipient, given.get("email"), given.get("sms"), given.get("push"),
        )  # fmt: skip

    async def _one(self, statement: str, *values: object, within_s: float = COMMAND_S) -> Any:
        try:
            async with self._pool.acquire(timeout=min(POOL_WAIT_S, within_s)) as connection:
                return await connection.fetchrow(statement, *values, timeout=within_s)
        except TROUBLE as error:
            raise StoreUnavailableError from error

    async def close(self) -> None:
        self._pool.terminate()
