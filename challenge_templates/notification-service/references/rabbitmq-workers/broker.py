"""Queues in RabbitMQ: one per channel and priority, and some in which a message waits before it comes back.

A message goes to a waiting queue of a fixed time, and from there, when its time is over, to `due`, whose reader decides
where it goes next. So nothing that waits long is in front of anything that waits a moment.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from body import CHANNELS

PRIORITIES = ("high", "low")
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 60.0)
SAFELY: dict[str, Any] = {
    "x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
}  # fmt: skip
"""A message leaves a waiting queue when the next one has it. In a classic queue a crash between the two loses it."""
TROUBLE = (OSError, TimeoutError, aio_pika.exceptions.AMQPError, aio_pika.exceptions.ChannelInvalidStateError)
CONFIRM_S = 2.0
HEARTBEAT_S = 2
"""A worker that is silent for about twice that has its messages given to others."""


class BrokerUnavailableError(Exception):
    """RabbitMQ did not confirm. Whether it has the message is unknown."""


class Broker:
    """A connection that is made again when it is lost."""

    def __init__(self) -> None:
        self._connection: aio_pika.abc.AbstractRobustConnection | None = None
        self._channel: aio_pika.abc.AbstractChannel | None = None
        self._opening = asyncio.Lock()

    async def channel(self) -> aio_pika.abc.AbstractChannel:
        """One on which publishing is confirmed."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                await self.close()
                url = f"{os.environ['AMQP_URL']}?heartbeat={HEARTBEAT_S}"
                self._connection = await aio_pika.connect(url, timeout=CONFIRM_S)
                channel = await self._connection.channel(publisher_confirms=True)
                await declare(channel)
                self._channel = channel
        return self._channel

    async def put(self, message: dict[str, Any]) -> None:
        """Into the queue of its channel and priority, or where it waits until then; returns once it is on the disk."""
        wait = message["due"] - time.time()
        fitting = [pause for pause in WAITS_S if pause <= wait]
        queue = f"wait.{fitting[-1]}" if fitting else f"{message['channel']}.{message['priority']}"
        await self.put_into(queue, message)

    async def put_into(self, queue: str, message: dict[str, Any]) -> None:
        body = aio_pika.Message(json.dumps(message).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        try:
            async with asyncio.timeout(CONFIRM_S):
                channel = await self.channel()
                await channel.default_exchange.publish(body, queue, mandatory=True)
        except TROUBLE as error:
            raise BrokerUnavailableError from error

    async def read(self, queue: str, most: int, take: Callable[[AbstractIncomingMessage], Awaitable[None]]) -> None:
        """Hand every message of a queue to `take`, at most so many at once, whatever becomes of connections."""
        while True:
            with suppress(OSError, TimeoutError, aio_pika.exceptions.AMQPError):
                connection = await aio_pika.connect(
                    f"{os.environ['AMQP_URL']}?heartbeat={HEARTBEAT_S}", timeout=CONFIRM_S
                )
                async with connection:
                    channel = await connection.channel()
                    await declare(channel)
                    await channel.set_qos(prefetch_count=most)
                    await (await channel.get_queue(queue)).consume(take)
                    lost = asyncio.Event()
                    connection.close_callbacks.add(partial(_note, lost))
                    await lost.wait()
            await asyncio.sleep(0.3)

    async def close(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                await self._connection.close()


def _note(lost: asyncio.Event, *_: object) -> None:
    lost.set()


async def declare(channel: aio_pika.abc.AbstractChannel) -> None:
    for name in CHANNELS:
        for priority in PRIORITIES:
            await channel.declare_queue(f"{name}.{priority}", durable=True)
    await channel.declare_queue("due", durable=True, arguments={"x-queue-type": "quorum"})
    for wait in WAITS_S:
        arguments = {
            **SAFELY, "x-message-ttl": int(wait * 1000),
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "due",
        }  # fmt: skip
        await channel.declare_queue(f"wait.{wait}", durable=True, arguments=arguments)
