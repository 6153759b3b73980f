"""The number, in Redis, which counts in one command: no press is lost to another one."""

import os

from redis.asyncio import Redis


class Counter:
    def __init__(self) -> None:
        self._redis = Redis.from_url(os.environ["REDIS_URL"])

    async def press(self) -> int:
        return int(await self._redis.incr("presses"))

    async def value(self) -> int:
        return int(await self._redis.get("presses") or 0)
