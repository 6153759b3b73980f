"""Notifications in Redis: a hash each, a stream per channel and priority, and a sorted set of what is to come later.

Every step is one script, so that nothing is ever half done. The log (AOF) brings all of it back after a crash of the
server; a power failure may take the last second.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from body import CHANNELS, Wanted
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

GROUP = "workers"
PRIORITIES = ("high", "low")
KEPT_S = 24 * 3600
COMMAND_S = 1.0
TROUBLE = (RedisError, OSError, TimeoutError)


class StoreUnavailableError(Exception):
    """Redis did not answer in time. Whether it did what it was asked is unknown."""


class KeyReusedError(Exception):
    """The key was used for another notification."""


@dataclass(frozen=True)
class Claimed:
    """A message that this worker has, until another one takes it over."""

    stream: str
    message: str
    id: str
    to: str
    body: str
    attempts: int


class Store:
    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._scripts = {
            path.stem: client.register_script(path.read_text())
            for path in (Path(__file__).parent / "scripts").glob("*.lua")
        }

    @classmethod
    async def open(cls, connections: int) -> "Store":
        pool = BlockingConnectionPool.from_url(
            os.environ["REDIS_URL"], max_connections=connections, timeout=COMMAND_S, decode_responses=True,
            socket_timeout=COMMAND_S, socket_connect_timeout=COMMAND_S, retry=Retry(NoBackoff(), 1),
        )  # fmt: skip
        return cls(Redis(connection_pool=pool))

    async def accept(self, wanted: Wanted) -> tuple[str, str]:
        """Its id and its state. The id follows from the key, so the same key is the same notification."""
        notification_id = hashlib.sha256(wanted.key.encode()).hexdigest()[:32]
        fingerprint, state = await self._run(
            "accept", [f"n:{notification_id}", f"p:{wanted.user}"],
            notification_id, wanted.fingerprint, wanted.user, wanted.channel, wanted.text,
            "high" if wanted.high else "low", int(wanted.send_after * 1000 + 0.999), KEPT_S,
        )  # fmt: skip
        if fingerprint != wanted.fingerprint:
            raise KeyReusedError
        return notification_id, state

    async def get(self, notification_id: str) -> tuple[str, int] | None:
        try:
            state, attempts = await self._redis.hmget(f"n:{notification_id}", "state", "attempts")
        except TROUBLE as error:
            raise StoreUnavailableError from error
        return (state, int(attempts)) if state else None

    async def cancel(self, notification_id: str) -> bool | None:
        """Whether it is cancelled now; None where there is none. One that was ever tried may have arrived."""
        said = await self._run("cancel", [f"n:{notification_id}"], notification_id)
        return None if said < 0 else said == 1

    async def prefer(self, user: str, given: dict[str, bool]) -> None:
        try:
            await self._redis.hset(f"p:{user}", mapping={channel: int(value) for channel, value in given.items()})
        except TROUBLE as error:
            raise StoreUnavailableError from error

    async def make_groups(self) -> None:
        """Once for all workers; who comes later finds them."""
        for channel in CHANNELS:
            for priority in PRIORITIES:
                try:
                    await self._redis.xgroup_create(f"stream:{channel}:{priority}", GROUP, id="0", mkstream=True)
                except ResponseError as error:
                    if "BUSYGROUP" not in str(error):
                        raise StoreUnavailableError from error
                except TROUBLE as error:
                    raise StoreUnavailableError from error

    async def claim(self, channel: str, worker: str, most: int, idle_s: float) -> list[Claimed]:
        """Up to so many messages, urgent ones first, what another worker has left lying for `idle_s` among them."""
        found = await self._run("claim", [], channel, GROUP, worker, most, int(idle_s * 1000))
        return [Claimed(*message) for message in found]

    async def finish(self, claimed: Claimed, state: str) -> None:
        """It has been sent, or has failed for good."""
        await self._run("finish", [claimed.stream], GROUP, claimed.message, claimed.id, state)

    async def put_off(self, claimed: Claimed, seconds: float) -> None:
        """Try it again later."""
        channel = claimed.stream.split(":")[1]
        await self._run(
            "finish", [claimed.stream], GROUP, claimed.message, claimed.id, "queued", channel, int(seconds * 1000)
        )

    async def _run(self, script: str, keys: list[str], *values: object) -> Any:
        try:
            return await self._scripts[script](keys=keys, args=list(values))
        except TROUBLE as error:
            raise StoreUnavailableError from error

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
