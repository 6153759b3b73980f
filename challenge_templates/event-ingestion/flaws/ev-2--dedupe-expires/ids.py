"""Ids that came within the last 30 s, in Redis: each with the number under which its event is stored."""

import asyncio
import os
import uuid
from collections.abc import Sequence

from connections import StoreUnavailableError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

CONNECTIONS = 16
KEPT_S = 30
REDIS_S = 0.45
WAIT_S = 0.3
"""How long one waits for a connection."""
NUMBERS = """
local numbers = {}
for i, key in ipairs(KEYS) do
  numbers[i] = redis.call('SET', key, ARGV[i], 'NX', 'GET', 'EX', ARGV[#KEYS + 1]) or ARGV[i]
end
return numbers
"""
TROUBLE = (RedisError, OSError, TimeoutError, RuntimeError)


class Ids:
    def __init__(self) -> None:
        pool = BlockingConnectionPool.from_url(
            os.environ["REDIS_URL"], protocol=2, max_connections=CONNECTIONS, timeout=WAIT_S,
            socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S, retry=Retry(NoBackoff(), 1),
        )  # fmt: skip
        self._redis = Redis.from_pool(pool)
        self._numbers = self._redis.register_script(NUMBERS)

    async def opened(self, within_s: float) -> None:
        """All connections, if Redis is there: no request is to wait until one is made."""
        pings = asyncio.gather(*(self._redis.ping() for _ in range(CONNECTIONS)), return_exceptions=True)
        await asyncio.wait({pings}, timeout=within_s)

    async def numbers(self, ids: Sequence[str]) -> list[str]:
        """The number of each: that of its event, if it came before, else a new one. Asked again, it says the same."""
        keys = [f"event:{event_id}" for event_id in ids]
        try:
            numbers = await self._numbers(keys=keys, args=[*(uuid.uuid4().hex for _ in ids), KEPT_S])
        except TROUBLE as error:
            raise StoreUnavailableError(str(error)) from error
        return [number.decode() for number in numbers]

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
