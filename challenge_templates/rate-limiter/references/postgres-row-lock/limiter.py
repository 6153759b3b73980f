"""The decision: a sliding log in PostgreSQL, one statement for each check, and the row of the limit as its lock."""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
CONNECTIONS = 8
"""All of them from the start: a pool that grows when it is busiest makes those wait who came for an answer."""
COMMAND_S = 0.3
POOL_WAIT_S = 0.35
"""How long a request waits for a connection; with the timeout of its command, every answer is there within a second."""
CONNECT_S = 2.0
"""How long a connection may take to be made while nobody waits for it."""
SWEEP_S = 2.0
AWAY = (
    OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)  # fmt: skip
"""What a PostgreSQL says that is not there yet, or not any more; nothing else mends itself."""
TROUBLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class StoreUnavailableError(Exception):
    """PostgreSQL did not answer in time. Whether it counted is unknown."""


class UnknownKeyError(Exception):
    """No limit was set for the key."""


@dataclass(frozen=True)
class Decision:
    allowed: bool
    used: int
    limit: int
    window_ms: int
    retry_after_ms: int


class Limiter:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sweeping = asyncio.create_task(self._sweep())

    @classmethod
    async def open(cls) -> "Limiter":
        """Waits for PostgreSQL as long as it takes: to end would only be to be started again, and to wait then."""
        while True:
            with suppress(*AWAY):
                return cls(await _pool())
            await asyncio.sleep(0.2)

    async def set_limit(self, key: str, limit: int, window_ms: int) -> None:
        """In force everywhere at once."""
        await self._ask(
            "INSERT INTO limits VALUES ($1, $2, $3)"
            " ON CONFLICT (key) DO UPDATE SET units = $2, window_ms = $3 RETURNING 1",
            key, limit, window_ms,
        )  # fmt: skip

    async def spend(self, key: str, cost: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        row = await self._ask("SELECT * FROM spend($1, $2)", key, cost)
        if row is None:
            raise UnknownKeyError
        return Decision(*row)

    async def _ask(self, statement: str, *values: object) -> asyncpg.Record | None:
        """One row. What was sent twice could count twice, so an unknown outcome goes to the caller."""
        try:
            async with self._pool.acquire(timeout=POOL_WAIT_S) as connection:
                return await connection.fetchrow(statement, *values, timeout=COMMAND_S)
        except TROUBLE as error:
            raise StoreUnavailableError from error

    async def _sweep(self) -> None:
        """Remove what no window holds any more."""
        while True:
            await asyncio.sleep(SWEEP_S)
            with suppress(*TROUBLE):
                async with self._pool.acquire(timeout=POOL_WAIT_S) as connection:
                    await connection.execute("DELETE FROM spent WHERE until < now()", timeout=5)

    async def close(self) -> None:
        self._sweeping.cancel()
        self._pool.terminate()


async def _pool() -> asyncpg.Pool:
    """Connections to a database that has the tables."""
    url = os.environ["DATABASE_URL"]
    first = await asyncpg.connect(url, timeout=10)  # who starts can wait longer than who is asked
    try:
        async with first.transaction():
            await first.execute("SELECT pg_advisory_xact_lock(4711)")  # both replicas make the tables at once
            await first.execute(SCHEMA)
    finally:
        await first.close()
    return await asyncpg.create_pool(
        url, min_size=CONNECTIONS, max_size=CONNECTIONS, timeout=CONNECT_S, command_timeout=10
    )
