"""The decision: a sliding log in Redis (spend.lua) while it answers, and one in the memory of this replica (local.py)
while it does not."""

import os
import time
from pathlib import Path

from limits import AWAY, Limits
from local import Decision, LocalLog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SPEND = (Path(__file__).parent / "spend.lua").read_text()

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
