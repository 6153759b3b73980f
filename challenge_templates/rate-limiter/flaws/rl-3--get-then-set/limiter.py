"""The decision: a sliding log per key, kept in Redis and decided here."""

import json
import math
import os
from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# Of each key, `limit:{key}` holds the limit, and `log:{key}` a JSON list of [microsecond, cost] for each allowed check,
# oldest first. All replicas go by the server's clock. A cost of 0 only asks.

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
        """In force everywhere at once. What is in the log already is kept for a longer window, too."""
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(f"limit:{key}", mapping={"limit": limit, "window_ms": window_ms})
                pipe.pexpire(f"log:{key}", window_ms, gt=True)
                await pipe.execute()
        except RedisError as error:
            raise StoreUnavailableError from error

    async def spend(self, key: str, cost: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hmget(f"limit:{key}", "limit", "window_ms")
                pipe.time()
                pipe.get(f"log:{key}")
                configured, (seconds, microseconds), text = await pipe.execute()
            if configured[0] is None:
                raise UnknownKeyError
            limit, window_ms = map(int, configured)
            now = seconds * 1_000_000 + microseconds
            log = [(at, units) for at, units in json.loads(text or "[]") if at + window_ms * 1000 > now]
            used = sum(units for _, units in log)
            if cost > limit:
                return Decision(False, used, limit, window_ms, window_ms)
            if used + cost > limit:
                wait_us = _room_at(log, used + cost - limit) + window_ms * 1000 - now
                return Decision(False, used, limit, window_ms, math.ceil(wait_us / 1000))
            if cost > 0:
                await self._redis.set(f"log:{key}", json.dumps([*log, (now, cost)]), px=window_ms)
        except RedisError as error:
            raise StoreUnavailableError from error
        return Decision(True, used + cost, limit, window_ms, 0)

    async def close(self) -> None:
        await self._redis.aclose()


def _room_at(log: list[tuple[int, int]], units: int) -> int:
    """The time of the entry with which, oldest first, `units` have left."""
    for at, cost in log:
        units -= cost
        if units <= 0:
            return at
    raise ValueError("more units than are used")
