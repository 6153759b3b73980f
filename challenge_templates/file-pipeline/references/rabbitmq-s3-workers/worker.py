"""Does one job after the other, tells that they have ended, and sweeps, until it is told to leave. It does one at a
time: a file that ends its worker takes nobody else's with it."""

import asyncio
import logging
import signal
from contextlib import suppress

import uvloop
from aio_pika.abc import AbstractIncomingMessage
from broker import ANSWER_S, BrokerUnavailableError, Publisher, draw, within
from bucket import Bucket
from connections import Connections, StoreUnavailableError
from events import Teller
from files import Files
from jobs import Jobs, make_ready
from sweeper import sweep
from tickets import Tickets
from work import work

LOG = logging.getLogger(__name__)
CONNECTIONS = 4
AWAY_S = 0.5


class Worker:
    def __init__(self, tickets: Tickets, jobs: Jobs, bucket: Bucket, teller: Teller) -> None:
        self._tickets = tickets
        self._jobs = jobs
        self._bucket = bucket
        self._teller = teller

    async def take(self, ticket: AbstractIncomingMessage) -> None:
        """Once it is written down whose the job is, the ticket has done its duty. If its acknowledgement is lost, it
        comes again, and is drawn in vain."""
        try:
            job = await self._tickets.claim(ticket.body.decode())
        except StoreUnavailableError as error:
            LOG.warning("nothing is done: %s", error)
            await asyncio.sleep(AWAY_S)
            with suppress(BrokerUnavailableError):
                await within(ANSWER_S, ticket.nack(requeue=True))
            return
        with suppress(BrokerUnavailableError):
            await within(ANSWER_S, ticket.ack())
        if job is not None:
            await work(job, self._jobs, self._bucket)
            self._teller.soon()


async def main() -> None:
    connections, bucket, publisher = Connections(CONNECTIONS, make_ready), Bucket(), Publisher()
    teller, tickets = Teller(connections), Tickets(connections, publisher)
    worker = Worker(tickets, Jobs(connections), bucket, teller)
    running = asyncio.gather(
        draw(worker.take), tickets.run(), teller.run(), sweep(Files(connections), bucket)
    )  # fmt: skip
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with suppress(asyncio.CancelledError):
        await running
    await publisher.close()
    await bucket.close()
    await connections.close()


uvloop.run(main())
