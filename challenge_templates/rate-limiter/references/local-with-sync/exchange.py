"""What replicas tell each other through Redis: limits, and what each has allowed. All of it may be lost."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

EVERY_S = 0.1
TIMEOUT_S = 1.0
AWAY = (RedisError, OSError, TimeoutError, RuntimeError)
"""What is raised while Redis is away; the last by uvloop, for a connection that it has closed already."""
MOST_WAITING = 20_000
"""Units of news that wait for Redis; while it is away for longer, the oldest are lost."""


class Exchange:
    """Publishes what happens here every `EVERY_S`, and hands on what happens elsewhere."""

    def __init__(self, set_limit: Callable[[str, int, int], None], spend: Callable[[str, int, int], None]) -> None:
        """`set_limit(key, units, window_ms)` and `spend(key, at_us, cost)` take in what another replica says."""
        self._set_limit, self._spend = set_limit, spend
        self._me = os.environ["INSTANCE_ID"] + os.urandom(4).hex()
        self._redis = Redis.from_url(
            os.environ["REDIS_URL"], protocol=2, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        self._limits: dict[str, tuple[int, int]] = {}
        self._spent: list[tuple[str, int, int]] = []
        self._tasks = [asyncio.create_task(self._forever(work)) for work in (self._tell, self._listen)]

    def tell_limit(self, key: str, units: int, window_ms: int) -> None:
        self._limits[key] = units, window_ms

    def tell_spent(self, key: str, at_us: int, cost: int) -> None:
        self._spent.append((key, at_us, cost))
        if len(self._spent) > MOST_WAITING:
            del self._spent[: MOST_WAITING // 2]

    async def _forever(self, work: Callable[[], object]) -> None:
        while True:
            with suppress(*AWAY):
                await work()  # type: ignore[misc]
            await asyncio.sleep(EVERY_S)

    async def _tell(self) -> None:
        if not self._limits and not self._spent:
            return
        limits, spent = self._limits, self._spent
        self._limits, self._spent = {}, []
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                if limits:
                    pipe.hset(
                        "limits", mapping={key: f"{units}:{window_ms}" for key, (units, window_ms) in limits.items()}
                    )
                news = {"from": self._me, "at": time.time_ns() // 1000, "limits": limits, "spent": spent}
                pipe.publish("news", json.dumps(news))
                await pipe.execute()
        except AWAY:
            self._limits = limits | self._limits  # they are told until somebody hears them
            raise

    async def _listen(self) -> None:
        """Subscribe, then read what there was before."""
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe("news")
            for key, value in (await self._redis.hgetall("limits")).items():
                units, window_ms = value.decode().split(":")
                self._set_limit(key.decode(), int(units), int(window_ms))
            while True:
                message = await subscription.get_message(ignore_subscribe_messages=True, timeout=TIMEOUT_S / 2)
                if message is not None:
                    self._take(json.loads(message["data"]))

    def _take(self, news: dict[str, object]) -> None:
        if news["from"] == self._me:
            return
        for key, (units, window_ms) in news["limits"].items():  # type: ignore[attr-defined]
            self._set_limit(key, units, window_ms)
        for key, at_us, cost in news["spent"]:  # type: ignore[attr-defined]
            self._spend(key, at_us, cost)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._redis.aclose()
