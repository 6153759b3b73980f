"""The decision: a counter per key and window, kept in Redis."""

import os
from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# Of each key, `limit:{key}` holds the limit, and `used:{key}` the units of the window that its first check began.

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

    async def set_limit(self, key: str, limit: int, window_ms: int) -> None:
        """In force everywhere at once."""
        try:
            await self._redis.hset(f"limit:{key}", mapping={"limit": limit, "window_ms": window_ms})
        except RedisError as error:
            raise StoreUnavailableError from error

    async def spend(self, key: str, cost: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        try:
            configured = await self._redis.hmget(f"limit:{key}", "limit", "window_ms")
            if configured[0] is None:
                raise UnknownKeyError
            limit, window_ms = map(int, configured)
            if cost == 0:
                return Decision(True, int(await self._redis.get(f"used:{key}") or 0), limit, window_ms, 0)
            used = await self._redis.incrby(f"used:{key}", cost)
            if used == cost:
                await self._redis.pexpire(f"used:{key}", window_ms)
            if used > limit:
                await self._redis.decrby(f"used:{key}", cost)
                wait_ms = await self._redis.pttl(f"used:{key}")
                return Decision(False, used - cost, limit, window_ms, max(0, wait_ms))
        except RedisError as error:
            raise StoreUnavailableError from error
        return Decision(True, used, limit, window_ms, 0)

    async def close(self) -> None:
        await self._redis.aclose()
