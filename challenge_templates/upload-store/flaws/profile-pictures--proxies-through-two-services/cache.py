"""Chunks that were read lately, in Redis. They never change, so what is there is right; without Redis it is slower."""

import os
import uuid
from contextlib import suppress

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

LASTS_S = 10
ANSWER_S = 0.2
TROUBLE = (RedisError, OSError, TimeoutError, RuntimeError)


class Cache:
    def __init__(self) -> None:
        self._redis = Redis.from_url(
            os.environ["REDIS_URL"], protocol=2, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip

    async def get(self, blob: uuid.UUID, number: int) -> bytes | None:
        with suppress(*TROUBLE):
            return await self._redis.get(f"{blob}:{number}")
        return None

    async def put(self, blob: uuid.UUID, number: int, data: bytes) -> None:
        with suppress(*TROUBLE):
            await self._redis.set(f"{blob}:{number}", data, ex=LASTS_S)

    async def close(self) -> None:
        await self._redis.aclose()
