"""Connections to PostgreSQL, which are made, and made again, in the background: no request waits while one is made, and
none that gives up takes one with it that is being made.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg

LOG = logging.getLogger(__name__)
CONNECT_S = 3.0
"""It takes four round trips, which may be slow, and nobody waits for it."""
WAIT_S = 0.3
"""How long a statement waits for a connection while there is none at all."""
PAUSE_S = (0.1, 0.4)
"""Between two tries: each connection for itself, so that one of them is soon there when PostgreSQL is back."""
SETTINGS = {
    "application_name": os.environ.get("INSTANCE_ID", ""),
    "statement_timeout": "5000",
    "idle_in_transaction_session_timeout": "5000",
    "jit": "off",
}
UNSTORABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""What PostgreSQL says of values, and would say again."""
LOST = (
    OSError, RuntimeError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)  # fmt: skip
"""After these a connection is of no use any more; RuntimeError is uvloop's, of one that it has closed already."""


class StoreUnavailableError(Exception):
    """A store did not answer in time. Whether it did what it was asked is unknown."""


class UnstorableError(Exception):
    """PostgreSQL refuses it, and will refuse it again. Nothing of the statement was done."""


class Connections:
    def __init__(self, number: int, make_ready: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        """`make_ready` is called with every new connection, before anybody gets it."""
        self._make_ready = make_ready
        self._free: asyncio.Queue[asyncpg.Connection] = asyncio.Queue()
        self._alive: set[asyncpg.Connection] = set()
        self._opened = asyncio.Event()
        self._said = ""
        self._keeping = [asyncio.create_task(self._keep()) for _ in range(number)]

    async def opened(self, within_s: float) -> None:
        """Wait for the first one, but not for longer: whoever starts while PostgreSQL is away can still refuse."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._opened.wait()

    async def fetch(self, statement: str, *values: object, within_s: float) -> list[asyncpg.Record]:
        """The rows. It may be asked twice, since a connection can be lost without anybody's notice: only what does no
        harm the second time may be asked here."""
        ends = time.monotonic() + within_s
        for _ in range(2):
            connection = await self._take(ends - time.monotonic())
            try:
                rows = await connection.fetch(statement, *values, timeout=max(0.01, ends - time.monotonic()))
            except TimeoutError as error:
                connection.terminate()  # nobody knows what it is busy with
                raise StoreUnavailableError("no answer in time") from error
            except UNSTORABLE as error:
                self._free.put_nowait(connection)
                raise UnstorableError(str(error)) from error
            except LOST as error:
                connection.terminate()
                reason: Exception = error
            except asyncpg.PostgresError as error:  # a deadlock, for one
                self._free.put_nowait(connection)
                reason = error
            except BaseException:
                connection.terminate()
                raise
            else:
                self._free.put_nowait(connection)
                return rows
        raise StoreUnavailableError(str(reason)) from reason

    async def _take(self, within_s: float) -> asyncpg.Connection:
        try:
            async with asyncio.timeout(within_s if self._alive else min(WAIT_S, within_s)):
                while True:
                    connection = await self._free.get()
                    if not connection.is_closed():
                        return connection
        except TimeoutError as error:
            raise StoreUnavailableError("no connection is free") from error

    async def _keep(self) -> None:
        """One connection, again and again."""
        while True:
            try:
                await self._hold_one()
            except Exception as error:  # whatever it is: nobody else would try again
                self._say(f"{type(error).__name__}: {error}")
            await asyncio.sleep(random.uniform(*PAUSE_S))

    async def _hold_one(self) -> None:
        connection = await asyncpg.connect(
            os.environ["DATABASE_URL"], timeout=CONNECT_S, command_timeout=CONNECT_S, max_cached_statement_lifetime=0,
            server_settings=SETTINGS,
        )  # fmt: skip
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await self._make_ready(connection)
            self._alive.add(connection)
            self._free.put_nowait(connection)
            self._opened.set()
            self._said = ""
            await lost.wait()
        finally:
            self._alive.discard(connection)
            connection.terminate()

    def _say(self, what: str) -> None:
        """Once for all connections and all tries."""
        if what != self._said:
            self._said = what
            LOG.warning("no connection to PostgreSQL: %s", what)

    async def close(self) -> None:
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
