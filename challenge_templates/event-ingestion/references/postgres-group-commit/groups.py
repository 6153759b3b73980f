"""Requests that come within 20 ms are a group: one statement writes it, and each is answered after the commit."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from body import Event
from connections import StoreUnavailableError, UnstorableError
from store import Store

GROUP_S = 0.02
WRITERS = 4
"""Groups that are being written at a time: on a slow network one would be too few."""
MOST_ROWS = 2000
"""Of a group; the request that goes beyond is still in it."""
MOST_HELD = 20_000
"""Events of requests that have no answer yet."""
ANSWER_S = 0.9
WRITE_S = 0.85


@dataclass(eq=False)
class Waiting:
    """A request, until it is answered with the number of its events that are new."""

    events: list[Event]
    answer: asyncio.Future[int]

    def accepted(self, number: int) -> None:
        if not self.answer.done():  # else it has waited long enough
            self.answer.set_result(number)

    def failed(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Groups:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._held = 0
        self._some = asyncio.Event()
        self._writers = asyncio.Semaphore(WRITERS)
        self._writing: set[asyncio.Task[None]] = set()
        self._gathering = asyncio.create_task(self._gather())

    async def write(self, events: list[Event]) -> int:
        """How many of them are new, when all of them are on the disk; within a second, or it is said that it failed."""
        if not events:
            return 0
        if self._held + len(events) > MOST_HELD:
            raise StoreUnavailableError("too many events wait")
        one = Waiting(events, asyncio.get_running_loop().create_future())
        self._waiting[one] = None
        self._held += len(events)
        self._some.set()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await one.answer
        except TimeoutError as error:
            raise StoreUnavailableError("not written in time") from error
        finally:
            self._waiting.pop(one, None)
            self._held -= len(events)

    async def _gather(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(GROUP_S)
            await self._writers.acquire()
            writing = asyncio.create_task(self._write(self._next()))
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)

    def _next(self) -> list[Waiting]:
        group: list[Waiting] = []
        rows = 0
        while self._waiting and rows < MOST_ROWS:
            one, _ = self._waiting.popitem(last=False)
            group.append(one)
            rows += len(one.events)
        if not self._waiting:
            self._some.clear()
        return group

    async def _write(self, group: list[Waiting]) -> None:
        try:
            await self._write_or_split(group)
        finally:
            self._writers.release()
            for one in group:
                one.failed(StoreUnavailableError("it was not written"))

    async def _write_or_split(self, group: list[Waiting]) -> None:
        """One that PostgreSQL refuses must not fail the others: the group is halved until that one is alone."""
        first: dict[str, Event] = {}
        for one in group:
            for event in one.events:
                first.setdefault(event[0], event)
        try:
            new = await self._store.write(first.values(), WRITE_S)
        except UnstorableError as error:
            if len(group) == 1:
                group[0].failed(error)
                return
            half = len(group) // 2
            await self._write_or_split(group[:half])
            await self._write_or_split(group[half:])
        except StoreUnavailableError as error:
            for one in group:
                one.failed(error)
        else:
            for one in group:  # of several with the same event the first has brought it
                mine = new.intersection(event[0] for event in one.events)
                new -= mine
                one.accepted(len(mine))

    async def close(self) -> None:
        """What waits is answered first; nothing comes any more."""
        while self._waiting or self._writing:
            await asyncio.sleep(GROUP_S)
        self._gathering.cancel()
