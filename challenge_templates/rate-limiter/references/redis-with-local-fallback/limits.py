"""Limits, which every replica knows by heart, so that it can decide without Redis."""

import asyncio
import os
from contextlib import suppress

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

TIMEOUT_S = 0.25
AGAIN_S = 0.2
AWAY = (RedisError, OSError, TimeoutError, RuntimeError)
"""What is raised while Redis is away; the last by uvloop, for a connection that it has closed already."""


class Limits:
    """Kept in the hash `limits`, and told on the channel of the same name. What Redis has lost it is told again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        self._untold: set[str] = set()
        self._redis = Redis.from_url(
            os.environ["REDIS_URL"], protocol=2, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0), decode_responses=True,
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen())

    def get(self, key: str) -> tuple[int, int] | None:
        return self._known.get(key)

    async def ask(self, key: str) -> tuple[int, int] | None:
        """What another replica may have been told a moment ago."""
        with suppress(*AWAY):
            if (text := await self._redis.hget("limits", key)) is not None:
                self._take(key, text)
        return self._known.get(key)

    async def set(self, key: str, units: int, window_ms: int) -> None:
        """In force here at once, elsewhere as soon as Redis passes it on."""
        self._known[key] = units, window_ms
        try:
            await self._tell(key)
        except AWAY:
            self._untold.add(key)

    async def _tell(self, key: str) -> None:
        text = "{}:{}".format(*self._known[key])
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hset("limits", key, text)
            pipe.publish("limits", f"{key} {text}")
            await pipe.execute()

    def _take(self, key: str, text: str) -> None:
        units, window_ms = text.split(":")
        self._known[key] = int(units), int(window_ms)

    async def _listen(self) -> None:
        while True:
            with suppress(*AWAY):
                await self._catch_up()
            await asyncio.sleep(AGAIN_S)

    async def _catch_up(self) -> None:
        """Subscribe; then take in what Redis knows, and tell it what it does not; then listen."""
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe("limits")
            there = await self._redis.hgetall("limits")
            for key, text in there.items():
                if key not in self._untold:
                    self._take(key, text)
            for key in [key for key in self._known if key not in there or key in self._untold]:
                await self._tell(key)
                self._untold.discard(key)
            while True:
                message = await subscription.get_message(ignore_subscribe_messages=True, timeout=TIMEOUT_S / 2)
                if message is not None:
                    key, _, text = message["data"].partition(" ")
                    self._take(key, text)

    async def close(self) -> None:
        self._listening.cancel()
        await self._redis.aclose()
