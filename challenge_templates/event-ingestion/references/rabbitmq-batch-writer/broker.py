"""A durable queue in RabbitMQ. Batches lie in it from the moment that they are accepted until they are in PostgreSQL.

It is a classic queue: a quorum queue drops a message after 20 deliveries. Nor does a worker ever give one back: it
keeps it until it is written, and only when it dies, or loses the connection, does another one get it.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

LOG = logging.getLogger(__name__)
QUEUE = "batches"
ARGUMENTS: dict[str, Any] = {
    "x-queue-type": "classic", "x-max-length-bytes": 256 << 20, "x-overflow": "reject-publish",
}  # fmt: skip
"""When there is no room, a message is refused (nack), never dropped."""
MOST_WAITING = 300
"""Requests that wait for RabbitMQ."""
WAIT_S = 0.3
"""How long a request waits for a channel that is being opened."""
CONFIRM_S = 0.6
"""And then for the confirm."""
CONNECT_S = 3.0
"""It takes a handful of round trips, and nobody waits for it."""
CLOSE_S = 1.0
AGAIN_S = 0.3
HEARTBEAT_S = 2
"""A worker that is silent for about twice that has its messages given to others."""

T = TypeVar("T")


class BrokerUnavailableError(Exception):
    """RabbitMQ did not confirm. Whether it has the message is unknown."""


class Publisher:
    """A channel on which publishing is confirmed; when it is lost, another one is opened in the background."""

    def __init__(self) -> None:
        self._channel: AbstractChannel | None = None
        self._open = asyncio.Event()
        self._waiting = 0
        self._keeping = asyncio.create_task(self._keep())

    async def opened(self, within_s: float) -> bool:
        """Whether there is one, if need be a little later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._open.wait()
        return self._open.is_set()

    async def put(self, body: bytes) -> None:
        """It is on the disk. Asked twice it may be there twice, which does no harm."""
        if self._waiting >= MOST_WAITING:
            raise BrokerUnavailableError("too many requests wait")
        self._waiting += 1
        try:
            if not await self.opened(WAIT_S) or self._channel is None:
                raise BrokerUnavailableError("no channel is open")
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await within(CONFIRM_S, self._channel.default_exchange.publish(message, QUEUE, mandatory=True))
        finally:
            self._waiting -= 1

    async def _keep(self) -> None:
        while True:
            try:
                async with _channel() as (channel, lost):
                    self._channel = channel
                    self._open.set()
                    await lost.wait()
            except BrokerUnavailableError as error:
                LOG.warning("no channel to RabbitMQ: %s", error)
            finally:
                self._open.clear()
            await asyncio.sleep(AGAIN_S)

    async def close(self) -> None:
        self._keeping.cancel()
        await asyncio.wait({self._keeping})


async def read(most: int, take: Callable[[AbstractIncomingMessage], Awaitable[None]], lose: Callable[[], None]) -> None:
    """Hand every message to `take`, at most so many that are not acknowledged, whatever becomes of connections. With a
    connection all of its messages are lost, and come again: that is what `lose` is told."""
    while True:
        try:
            async with _channel() as (channel, lost):
                await within(CONNECT_S, _consume(channel, most, take))
                await lost.wait()
        except BrokerUnavailableError as error:
            LOG.warning("no channel to RabbitMQ: %s", error)
        finally:
            lose()
        await asyncio.sleep(AGAIN_S)


async def within(seconds: float, doing: Awaitable[T]) -> T:
    """What comes of it, or a BrokerUnavailableError, whatever went wrong.

    It is done in a task of its own: the library may cancel what waits for a connection that is lost, and that must not
    end whoever asked for it.
    """
    task = asyncio.ensure_future(doing)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()  # where it is not done yet
    if not task.done():
        raise BrokerUnavailableError("no answer in time")
    if task.cancelled():
        raise BrokerUnavailableError("the connection was lost")
    if (error := task.exception()) is not None:
        raise BrokerUnavailableError(f"{type(error).__name__}: {error}") from error
    return task.result()


@asynccontextmanager
async def _channel() -> AsyncIterator[tuple[AbstractChannel, asyncio.Event]]:
    """A channel to a broker that has the queue, and what is set when it is lost."""
    url = f"{os.environ['AMQP_URL']}?heartbeat={HEARTBEAT_S}"
    connection = await within(CONNECT_S, aio_pika.connect(url, timeout=CONNECT_S))
    try:
        lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: lost.set())
        channel = await within(CONNECT_S, _open(connection))
        channel.close_callbacks.add(lambda *_: lost.set())
        yield channel, lost
    finally:
        with suppress(BrokerUnavailableError):
            await within(CLOSE_S, connection.close())


async def _open(connection: AbstractConnection) -> AbstractChannel:
    """A nack and a return are exceptions there."""
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    await channel.declare_queue(QUEUE, durable=True, arguments=ARGUMENTS)
    return channel


async def _consume(channel: AbstractChannel, most: int, take: Callable[[AbstractIncomingMessage], Any]) -> None:
    await channel.set_qos(prefetch_count=most)
    await (await channel.get_queue(QUEUE)).consume(take)
