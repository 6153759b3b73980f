"""Tells those who sent a file that it has been dealt with: again and again, until they have heard it (2xx)."""

import asyncio
import logging
import time
import uuid
from contextlib import suppress

import aiohttp
import asyncpg
from connections import Connections, StoreUnavailableError

LOG = logging.getLogger(__name__)
AT_ONCE = 16
POLL_S = 0.5
AWAY_S = 1.0
BEGIN_S, CONNECT_S = 0.5, 0.5
"""So long after it is claimed an event may be begun to be told, and then to reach somebody."""
SURE_S = 1.5
"""Longer than both together: then nobody begins any more."""
ANSWER_S = 3.0
LEASE_S = 6.0
STATEMENT_S = 1.7
TROUBLE = (aiohttp.ClientError, TimeoutError, OSError, ValueError)

CLAIM = "SELECT id, job, callback, state, attempts FROM claim_events($1, $2, $3)"
HEARD = "DELETE FROM events WHERE id = $1"
PUT_OFF = "UPDATE events SET due = now() + $3 * interval '1 s' WHERE id = $1 AND claim = $2"


class Teller:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._telling: set[asyncio.Task[None]] = set()
        self._something = asyncio.Event()

    def soon(self) -> None:
        """There may be something to tell."""
        self._something.set()

    async def run(self) -> None:
        """For ever."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S, connect=CONNECT_S), cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:  # fmt: skip
            try:
                while True:
                    self._something.clear()
                    claimed = await self._claim(session)
                    if not claimed:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(POLL_S):
                                await self._something.wait()
            finally:
                for task in self._telling:
                    task.cancel()
                await asyncio.gather(*self._telling, return_exceptions=True)

    async def _claim(self, session: aiohttp.ClientSession) -> int:
        """How many are being told now, of those that are due."""
        room = AT_ONCE - len(self._telling)
        if not room:
            await asyncio.wait(self._telling, return_when=asyncio.FIRST_COMPLETED)
            return 1
        claim, asked = uuid.uuid4(), time.monotonic()
        try:
            events = await self._connections.fetch(CLAIM, claim, room, LEASE_S, within_s=STATEMENT_S)
        except Exception as error:  # whatever it is: nobody else would tell here
            LOG.warning("nothing is told: %s", error)
            await asyncio.sleep(AWAY_S)
            return 0
        for event in events:
            task = asyncio.create_task(self._tell(session, event, claim, asked))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        return len(events)

    async def _tell(
        self, session: aiohttp.ClientSession, event: asyncpg.Record, claim: uuid.UUID, asked: float
    ) -> None:  # fmt: skip
        """It may have been heard although nobody says so: then it is heard once more, under the same id."""
        if time.monotonic() - asked > BEGIN_S:  # somebody may have been told meanwhile that nothing is begun any more
            return
        said = {"event_id": str(event["id"]), "job": str(event["job"]), "state": event["state"]}
        heard = False
        with suppress(*TROUBLE):
            async with session.post(event["callback"], json=said, allow_redirects=False) as answer:
                heard = answer.status < 300
        with suppress(StoreUnavailableError):  # then it is due again by itself
            if heard:
                await self._connections.fetch(HEARD, event["id"], within_s=STATEMENT_S)
            else:
                pause = 0.25 * 2 ** min(5, event["attempts"])
                await self._connections.fetch(PUT_OFF, event["id"], claim, pause, within_s=STATEMENT_S)
