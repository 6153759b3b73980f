"""The decision: a sliding log per key, kept in Redis and decided there, in one atomic script."""

import os
from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# Of each key, `limit:{key}` holds the limit, the list `log:{key}` a "microsecond:cost" for each allowed check, oldest
# first, and `used:{key}` the sum of their costs. All replicas go by the server's clock. A cost of 0 only asks.
SPEND = """
local limit, window_ms = unpack(redis.call('HMGET', KEYS[1], 'limit', 'window_ms'))
if not limit then return {-1} end
limit, window_ms = tonumber(limit), tonumber(window_ms)
local cost = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used = tonumber(redis.call('GET', KEYS[3]) or 0)

local function entry(index)
  local text = redis.call('LINDEX', KEYS[2], index)
  if not text then return nil end
  local at, units = string.match(text, '(%d+):(%d+)')
  return tonumber(at), tonumber(units)
end

-- Forget what has left the window.
local at, units = entry(0)
while at and at + window_ms * 1000 <= now do
  redis.call('LPOP', KEYS[2])
  redis.call('DECRBY', KEYS[3], string.format('%.0f', units))
  used = used - units
  at, units = entry(0)
end

if cost > limit then return {0, used, limit, window_ms, window_ms} end

if used + cost > limit then -- refuse; there is room when enough of the oldest have left
  local room, index = limit - used, 0
  while room < cost do
    at, units = entry(index)
    room, index = room + units, index + 1
  end
  return {0, used, limit, window_ms, math.max(0, math.ceil((at + window_ms * 1000 - now) / 1000))}
end

if cost > 0 then -- allow; the log and its sum go together, a window after the last of these
  used = used + cost
  redis.call('RPUSH', KEYS[2], string.format('%.0f:%.0f', now, cost))
  redis.call('PEXPIRE', KEYS[2], window_ms)
  redis.call('SET', KEYS[3], string.format('%.0f', used), 'PX', window_ms)
end
return {1, used, limit, window_ms, 0}
"""

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
