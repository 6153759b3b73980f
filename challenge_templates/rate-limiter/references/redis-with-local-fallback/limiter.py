"""The decision: a sliding log in Redis while it answers, and one in the memory of this replica while it does not."""

import os
import time

from limits import AWAY, Limits
from local import Decision, LocalLog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

# Of each key, the list `log:{key}` holds a "microsecond:cost" for each allowed check, oldest first, and `used:{key}`
# the sum of their costs. All replicas go by the server's clock. A cost of 0 only asks.
SPEND = """
local cost, limit, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used = tonumber(redis.call('GET', KEYS[2]) or 0)

local function entry(index)
  local text = redis.call('LINDEX', KEYS[1], index)
  if not text then return nil end
  local at, units = string.match(text, '(%d+):(%d+)')
  return tonumber(at), tonumber(units)
end

-- Forget what has left the window.
local at, units = entry(0)
while at and at + window_ms * 1000 <= now do
  redis.call('LPOP', KEYS[1])
  redis.call('DECRBY', KEYS[2], string.format('%.0f', units))
  used = used - units
  at, units = entry(0)
end

if cost > limit then return {0, used, window_ms} end

if used + cost > limit then -- refuse; there is room when enough of the oldest have left
  local room, index = limit - used, 0
  while room < cost do
    at, units = entry(index)
    room, index = room + units, index + 1
  end
  return {0, used, math.max(0, math.ceil((at + window_ms * 1000 - now) / 1000))}
end

if cost > 0 then -- allow; the log and its sum go together, a window after the last of these
  used = used + cost
  redis.call('RPUSH', KEYS[1], string.format('%.0f:%.0f', now, cost))
  redis.call('PEXPIRE', KEYS[1], window_ms)
  redis.call('SET', KEYS[2], string.format('%.0f', used), 'PX', window_ms)
end
return {1, used, 0}
"""

TIMEOUT_S = 0.1
ALONE_S = 0.5
"""How long Redis is left alone after it has not answered, so that few requests wait for it."""


class UnknownKeyError(Exception):
    """No limit was set for the key."""


class Limiter:
    def __init__(self) -> None:
        pool = BlockingConnectionPool.from_url(
            os.environ["REDIS_URL"], protocol=2, max_connections=64, timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        self._redis = Redis.from_pool(pool)
        self._spend = self._redis.register_script(SPEND)
        self._limits = Limits()
        self._local = LocalLog()
        self._alone_until = 0.0

    async def set_limit(self, key: str, limit: int, window_ms: int) -> None:
        await self._limits.set(key, limit, window_ms)

    async def spend(self, key: str, cost: int) -> Decision:
        """Consume `cost` units, all or none; a cost of 0 only asks."""
        found = self._limits.get(key) or await self._limits.ask(key)
        if found is None:
            raise UnknownKeyError
        limit, window_ms = found
        if time.monotonic() >= self._alone_until:
            try:
                ok, used, wait_ms = await self._spend(keys=[f"log:{key}", f"used:{key}"], args=[cost, limit, window_ms])
                return Decision(ok == 1, used, limit, window_ms, wait_ms)
            except AWAY:
                self._alone_until = time.monotonic() + ALONE_S
        return self._local.spend(key, cost, limit, window_ms)

    async def close(self) -> None:
        await self._limits.close()
        await self._redis.aclose()
