"""Sends what is in the queues, each on its own, and acknowledges a message when what it asks for has been done."""

import asyncio
import json
import signal
import time
from contextlib import suppress
from functools import partial
from typing import Any

import aio_pika
import aiohttp
from aio_pika.abc import AbstractIncomingMessage
from body import CHANNELS
from broker import PRIORITIES, Broker, BrokerUnavailableError
from provider import Provider, Said, pause_s
from store import Store, StoreUnavailableError

AT_ONCE = {"high": 40, "low": 16}
"""Messages of one queue that are not acknowledged yet: urgent ones never wait for the others."""
AGAIN_S = 1.0


class Worker:
    def __init__(self, store: Store, broker: Broker, session: aiohttp.ClientSession) -> None:
        self._store = store
        self._broker = broker
        self._providers = {name: Provider(session, name) for name in CHANNELS}

    async def run(self) -> None:
        reading = [
            self._broker.read(f"{name}.{priority}", AT_ONCE[priority], self._deliver)
            for name in CHANNELS for priority in PRIORITIES
        ]  # fmt: skip
        await asyncio.gather(*reading, self._broker.read("due", 100, self._come_back))

    async def _deliver(self, incoming: AbstractIncomingMessage) -> None:
        message = json.loads(incoming.body)
        try:
            wait = message["due"] - time.time()
            if wait > 0:
                await asyncio.sleep(wait)  # less than the shortest waiting queue
            await self._send(message)
        except (StoreUnavailableError, BrokerUnavailableError):
            await asyncio.sleep(AGAIN_S)
            with suppress(aio_pika.exceptions.AMQPError, aio_pika.exceptions.ChannelInvalidStateError):
                await incoming.nack(requeue=True)
        else:
            with suppress(aio_pika.exceptions.AMQPError, aio_pika.exceptions.ChannelInvalidStateError):
                await incoming.ack()  # if that is lost it comes again, and is known to be done

    async def _send(self, message: dict[str, Any]) -> None:
        notification_id, channel = message["id"], message["channel"]
        provider = self._providers[channel]
        await provider.turn()
        state, attempts = await self._store.take(notification_id, message["fingerprint"], message["to"], channel)
        if state != "queued":
            return
        said = await provider.send(notification_id, message["to"], message["body"])
        if said is Said.DONE:
            await self._store.finish(notification_id, "sent")
        elif said is Said.NEVER:
            await self._store.finish(notification_id, "failed")
        else:
            pause = 1.1 if said is Said.WAIT else pause_s(attempts)
            await self._broker.put(message | {"due": time.time() + pause})

    async def _come_back(self, incoming: AbstractIncomingMessage) -> None:
        """Its time in a waiting queue is over: on to the next, or to its channel."""
        with suppress(aio_pika.exceptions.AMQPError, aio_pika.exceptions.ChannelInvalidStateError):
            try:
                await self._broker.put(json.loads(incoming.body))
            except BrokerUnavailableError:
                await incoming.nack(requeue=True)
            else:
                await incoming.ack()


async def main() -> None:
    store, broker = await Store.open(len(CHANNELS) * 6), Broker()
    async with aiohttp.ClientSession() as session:
        running = asyncio.ensure_future(Worker(store, broker, session).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, partial(running.cancel))
        with suppress(asyncio.CancelledError):
            await running
    await broker.close()
    await store.close()


asyncio.run(main())
