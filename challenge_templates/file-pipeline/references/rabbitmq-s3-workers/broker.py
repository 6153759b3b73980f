"""A durable queue in RabbitMQ, in which a ticket says that there is a job to be done. A worker draws one at a time, and
gives it back to nobody: it is acknowledged as soon as PostgreSQL knows whose the job is, long before the job is done.

RabbitMQ takes a delivery away that is not acknowledged within `consumer_timeout`, and jobs may take longer than that.
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
QUEUE = "jobs"
ARGUMENTS: dict[str, Any] = {"x-queue-type": "classic"}
WAIT_S = 0.3
"""How long somebody who has a ticket waits for a channel that is being opened."""
ANSWER_S = 2.0
CONNECT_S = 3.0
"""It takes a handful of round trips, and nobody waits for it."""
CLOSE_S = 1.0
AGAIN_S = 0.3
HEARTBEAT_S = 2
"""A worker that is silent for about twice that has its ticket given to others, if it still has one."""

T = TypeVar("T")


class BrokerUnavailableError(Exception):
    """RabbitMQ did not answer. Whether it did what it was asked is unknown."""


class Publisher:
    """A channel on which publishing is confirmed; when it is lost, another one is opened in the background."""

    def __init__(self) -> None:
        self._channel: AbstractChannel | None = None
        self._open = asyncio.Event()
        self._keeping = asyncio.create_task(self._keep())

    async def put(self, ticket: str) -> None:
        """It is on the disk. Asked twice it may be there twice, which does no harm."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await self._open.wait()
        if not self._open.is_set() or self._channel is None:
            raise BrokerUnavailableError("no channel is open")
        message = aio_pika.Message(ticket.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await within(ANSWER_S, self._channel.default_exchange.publish(message, QUEUE, mandatory=True))

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


async def draw(take: Callable[[AbstractIncomingMessage], Awaitable[None]]) -> None:
    """Hand one ticket after the other to `take`, whatever becomes of connections. For ever."""
    while True:
        try:
            async with _channel() as (channel, lost):
                await within(ANSWER_S, channel.set_qos(prefetch_count=1))
                while not lost.is_set():
                    if (ticket := await _one(channel, lost)) is not None:
                        await take(ticket)
        except BrokerUnavailableError as error:
            LOG.warning("no channel to RabbitMQ: %s", error)
        await asyncio.sleep(AGAIN_S)


async def _one(channel: AbstractChannel, lost: asyncio.Event) -> AbstractIncomingMessage | None:
    """The next one, as soon as there is one. After it nothing is delivered here any more: no other ticket may wait here
    for as long as this one's job takes, while another worker has time for it."""
    came: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await within(ANSWER_S, channel.get_queue(QUEUE, ensure=False))
    consumer = await within(ANSWER_S, queue.consume(came.put))
    coming, losing = asyncio.create_task(came.get()), asyncio.create_task(lost.wait())
    try:
        await asyncio.wait({coming, losing}, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            return None
        await within(ANSWER_S, queue.cancel(consumer))
        return coming.result()
    finally:
        coming.cancel()
        losing.cancel()


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
