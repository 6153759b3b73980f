"""Events in a list in Redis, from the moment that they are accepted until they are in PostgreSQL.

Redis remembers every id that ever came, and each is put into the list once. Whoever holds the lock writes what stands
at the head of the list, and then cuts it off. When there is no room, nothing more is accepted.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from body import Event
from message import packed, unpacked
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

LIST = "events"
KNOWN = "events:known"
LOCK = "events:lock"
LOCK_MS = 300
"""So long nobody else writes; should its holder end, the others go on after that."""
MOST_LYING = 500_000
"""Events in the list."""
MOST_WAITING = 200
"""Requests that wait for Redis."""
ANSWER_S = 0.9
WAIT_S = 0.3
"""How long one waits for a connection."""
OPEN_S = 3.0
TROUBLE = (RedisError, OSError, TimeoutError, RuntimeError)


class StreamUnavailableError(Exception):
    """Redis did not answer in time, or has no room. Whether it has the batch is unknown."""


class Stream:
    def __init__(self, connections: int, timeout_s: float, retries: int = 1) -> None:
        """`timeout_s` is for each answer of Redis. To put something twice does no harm; to cut twice does."""
        self._connections = connections
        pool = BlockingConnectionPool.from_url(
            os.environ["REDIS_URL"], protocol=2, max_connections=connections, timeout=WAIT_S,
            socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), retries),
        )  # fmt: skip
        self._redis = Redis.from_pool(pool)
        scripts = Path(__file__).parent / "scripts"
        self._put = self._redis.register_script((scripts / "put.lua").read_text())
        self._give_back = self._redis.register_script((scripts / "give_back.lua").read_text())
        self._putting: set[asyncio.Task[int]] = set()

    async def opened(self) -> None:
        """All connections, if Redis is there: no request is to wait until one is made."""
        pings = asyncio.gather(*(self._redis.ping() for _ in range(self._connections)), return_exceptions=True)
        await asyncio.wait({pings}, timeout=OPEN_S)

    async def put(self, events: Sequence[Event]) -> int:
        """How many of them are new, when they are in the list, and in the log of Redis.

        Who waits gives up after a while; a connection that is just being made is made all the same, for the next one.
        """
        if len(self._putting) >= MOST_WAITING:
            raise StreamUnavailableError("too many requests wait")
        putting = asyncio.create_task(self._put_once(events))
        self._putting.add(putting)
        putting.add_done_callback(self._putting.discard)
        await asyncio.wait({putting}, timeout=ANSWER_S)
        if not putting.done() or putting.result() < 0:
            raise StreamUnavailableError("not put into the list")
        return putting.result()

    async def _put_once(self, events: Sequence[Event]) -> int:
        given = [part for event in events for part in (event[0], packed([event]))]
        try:
            return int(await self._put(keys=[LIST, KNOWN], args=[MOST_LYING, *given]))
        except TROUBLE:
            return -1

    async def lock(self, worker: str) -> bool:
        """Whether this worker may write now."""
        try:
            return bool(await self._redis.set(LOCK, worker, nx=True, px=LOCK_MS))
        except TROUBLE as error:
            raise StreamUnavailableError(str(error)) from error

    async def head(self, most: int) -> list[list[Event]]:
        """What was accepted first, an entry each."""
        try:
            return [unpacked(entry) for entry in await self._redis.lrange(LIST, 0, most - 1)]
        except TROUBLE as error:
            raise StreamUnavailableError(str(error)) from error

    async def cut(self, number: int) -> None:
        """So many are in PostgreSQL."""
        try:
            await self._redis.ltrim(LIST, number, -1)
        except TROUBLE as error:
            raise StreamUnavailableError(str(error)) from error

    async def unlock(self, worker: str) -> None:
        """Another one may write, unless it does so already."""
        try:
            await self._give_back(keys=[LOCK], args=[worker])
        except TROUBLE as error:
            raise StreamUnavailableError(str(error)) from error

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
