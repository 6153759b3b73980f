"""The decision: a sliding log per key, kept in Redis and decided there, by one atomic script, spend.lua."""

import os
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

SPEND = (Path(__file__).parent / "spend.lua").read_text()

TIMEOUT_S = 0.25
POOL_WAIT_S = 0.4
"""How long a request waits for a connection; with the timeouts, every answer is there well within a second."""


class StoreUnavailableError(Exception):
    """Redis did not answer in time. Whether it counted is unknown."""


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
    def __init__(self) -> None:
        pool = BlockingConnectionPool.from_url(
            os.environ["REDIS_URL"],
            protocol=2,  # as good here as 3, and a new connection is ready one round trip earlier
            max_connections=64,
            timeout=POOL_WAIT_S,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            # A check that was sent twice could count twice, so an unknown outcome goes to the caller.
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)
        self._spend = self._redis.register_script(SPEND)  # EVALSHA; sends the script again where Redis has forgotten it

    async def set_limit(self, key: str, limit: int, window_ms: int) -> None:
        """In force everywhere at once. What is in the log already is kept for a longer window, too."""
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(f"limit:{key}", mapping={"limit": limit, "window_ms": window_ms})
                pipe.pexpire(f"log:{key}", window_ms, gt=True)
                pipe.pexpire(f"used:{key}", window_ms, gt=True)
                await pipe.execute()
        except RedisError as error:
            raise StoreUnavailableError from error

    async def spend(self, key: str, cost: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        try:
            reply = await self._spend(keys=[f"limit:{key}", f"log:{key}", f"used:{key}"], args=[cost])
        except RedisError as error:
            raise StoreUnavailableError from error
        if reply[0] == -1:
            raise UnknownKeyError
        return Decision(reply[0] == 1, *reply[1:])

    async def close(self) -> None:
        await self._redis.aclose()
