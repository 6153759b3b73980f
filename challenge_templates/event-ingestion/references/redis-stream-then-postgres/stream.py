"""Batches in a stream in Redis, from the moment that they are accepted until they are in PostgreSQL.

A batch is an entry. Whoever reads it has it until it is finished; what lies for two seconds, another worker takes over.
Nothing is ever trimmed: when there is no room, nothing more is accepted.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from body import Event
from message import unpacked
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

STREAM = "batches"
BYTES = "batches:bytes"
GROUP = "workers"
MOST_BYTES = 128 << 20
"""About a million events: five minutes of a storm."""
MOST_WAITING = 200
"""Requests that wait for Redis."""
ANSWER_S = 0.9
WAIT_S = 0.3
"""How long one waits for a connection."""
OPEN_S = 3.0
AT_ONCE = 50
"""Batches that a worker takes; each may have 1,000 events."""
BLOCK_MS = 500
IDLE_MS = 2000
LOOK_S = 1.0
"""How often a worker looks for what another one has left lying."""
TROUBLE = (RedisError, OSError, TimeoutError, RuntimeError)


class StreamUnavailableError(Exception):
    """Redis did not answer in time, or has no room. Whether it has the batch is unknown."""


@dataclass(frozen=True)
class Taken:
    """A batch that this worker has, until another one takes it over."""

    entry: bytes
    size: int
    events: list[Event]


class Stream:
    def __init__(self, connections: int, timeout_s: float) -> None:
        """`timeout_s` is for each answer of Redis."""
        self._connections = connections
        pool = BlockingConnectionPool.from_url(
            os.environ["REDIS_URL"], protocol=2, max_connections=connections, timeout=WAIT_S,
            socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 1),
        )  # fmt: skip
        self._redis = Redis.from_pool(pool)
        scripts = Path(__file__).parent / "scripts"
        self._put = self._redis.register_script((scripts / "put.lua").read_text())
        self._finish = self._redis.register_script((scripts / "finish.lua").read_text())
        self._putting: set[asyncio.Task[bool]] = set()
        self._look_at = 0.0

    async def opened(self) -> None:
        """All connections, if Redis is there: no request is to wait until one is made."""
        pings = asyncio.gather(*(self._redis.ping() for _ in range(self._connections)), return_exceptions=True)
        await asyncio.wait({pings}, timeout=OPEN_S)

    async def put(self, batch: bytes) -> None:
        """It is in the stream, and in the log of Redis. Asked twice it may be there twice, which does no harm.

        Who waits gives up after a while; a connection that is just being made is made all the same, for the next one.
        """
        if len(self._putting) >= MOST_WAITING:
            raise StreamUnavailableError("too many requests wait")
        putting = asyncio.create_task(self._put_once(batch))
        self._putting.add(putting)
        putting.add_done_callback(self._putting.discard)
        await asyncio.wait({putting}, timeout=ANSWER_S)
        if not putting.done() or not putting.result():
            raise StreamUnavailableError("not put into the stream")

    async def _put_once(self, batch: bytes) -> bool:
        try:
            return await self._put(keys=[STREAM, BYTES], args=[batch, MOST_BYTES]) == 1
        except TROUBLE:
            return False

    async def make_group(self) -> None:
        """Once for all workers; who comes later finds it."""
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise StreamUnavailableError(str(error)) from error
        except TROUBLE as error:
            raise StreamUnavailableError(str(error)) from error

    async def take(self, worker: str) -> list[Taken]:
        """Some batches: those that lie already, or whatever comes within half a second."""
        try:
            entries: list[Any] = []
            if time.monotonic() >= self._look_at:
                entries = (await self._redis.xautoclaim(STREAM, GROUP, worker, IDLE_MS, "0-0", count=AT_ONCE))[1]
                if not entries:  # else there may be more of them
                    self._look_at = time.monotonic() + LOOK_S
            if not entries:
                read = await self._redis.xreadgroup(GROUP, worker, {STREAM: ">"}, count=AT_ONCE, block=BLOCK_MS)
                entries = read[0][1] if read else []
        except TROUBLE as error:
            raise StreamUnavailableError(str(error)) from error
        bodies = [(entry, fields.get(b"batch", b"")) for entry, fields in entries if entry is not None]
        return [Taken(entry, len(body), unpacked(body)) for entry, body in bodies]

    async def finish(self, taken: Sequence[Taken]) -> None:
        """They are in PostgreSQL."""
        done = [part for it in taken for part in (it.entry, it.size)]
        try:
            await self._finish(keys=[STREAM, BYTES], args=[GROUP, *done])
        except TROUBLE as error:
            raise StreamUnavailableError(str(error)) from error

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
