"""Who watches over the solution's processes: notices deaths, starts workers again, and ends what has too much."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from pydantic import JsonValue

from crucible.evidence import FaultEvent
from crucible.lab.accounting import Accounts
from crucible.lab.instance import Running
from crucible.lab.isolation import MOST_PROCESSES
from crucible.lab.logs import cut

WATCH_S = 0.05
SAMPLE_S = 1.0
RESTART_S = 1.0

Told = Callable[[FaultEvent], None]


class Supervisor:
    """Over the processes of one run. Whoever is in `told` hears what happens to them."""

    def __init__(
        self, instances: Mapping[str, Running], accounts: Accounts, crowded: Callable[[], dict[str, int]],
        now_ns: Callable[[], int], memory_limit: int,
    ) -> None:  # fmt: skip
        """`crowded` says which instances have more processes than they may, and how many; `memory_limit` how many bytes
        each may hold."""
        self.told: list[Told] = []
        self._instances = instances
        self._accounts = accounts
        self._crowded = crowded
        self._now_ns = now_ns
        self._memory_limit = memory_limit
        self._untold: list[FaultEvent] = []
        """What the grader did while nobody listened."""
        self._fallen: dict[str, float] = {}
        """When workers ended that are to be started again, on the monotonic clock."""
        self._reviving = asyncio.Lock()
        self._ending = asyncio.Lock()

    @contextmanager
    def telling(self, happened: Told) -> Iterator[None]:
        """While open, `happened` is told; at first of what the grader did while nobody listened."""
        self.told.append(happened)
        while self._untold:
            self._tell(self._untold.pop(0))
        try:
            yield
            self._notice_deaths()
        finally:
            self.told.remove(happened)

    async def revive(self, start: Callable[[list[Running]], Awaitable[None]]) -> list[FaultEvent]:
        """Start again what has ended, so that one scenario's casualties are not charged to the next."""
        async with self._reviving:
            self._fallen.clear()
            dead = [running for running in self._instances.values() if running.ended is not None]
            for running in dead:
                await asyncio.to_thread(running.kill)
            await start(dead)
        return [FaultEvent("restarted", running.name, self._now_ns()) for running in dead]

    async def let_lie(self, instances: Iterable[str]) -> None:
        """Do not start these again by itself: a scenario has ended them."""
        async with self._reviving:
            for name in instances:
                self._fallen.pop(name, None)

    async def watch(self) -> None:
        """Notice deaths, start workers again, and bound logs and memory, until cancelled."""
        sampled = time.monotonic()
        while True:
            self._notice_deaths()
            await self._start_fallen()
            for running in self._instances.values():
                cut(running.log)
            if time.monotonic() - sampled > SAMPLE_S:
                await asyncio.to_thread(self._accounts.sample)
                sampled = time.monotonic()
                await self._end_what_grows()
            await asyncio.sleep(WATCH_S)

    async def watch_crowds(self) -> None:
        """End an instance that has more processes than it may, until cancelled. Apart from `watch`, which a crowd could
        hold up for minutes: to read a process's memory is to wait for its forks."""
        while True:
            await self._end_crowds()
            await asyncio.sleep(SAMPLE_S)

    async def last_look(self) -> list[FaultEvent]:
        """What nobody was told of, once nobody will listen any more; with who has too many processes by then."""
        await self._end_crowds()
        untold, self._untold = self._untold, []
        return untold

    async def _end_crowds(self) -> None:
        async with self._ending:  # who looks meanwhile would see the same ones
            for name, number in (await asyncio.to_thread(self._crowded)).items():
                detail: dict[str, JsonValue] = {"processes": number, "most": MOST_PROCESSES}
                why = f"it had {number} processes, and may have {MOST_PROCESSES}"
                await self._end_for(why, FaultEvent("too_many_processes", name, self._now_ns(), detail=detail))

    async def _start_fallen(self) -> None:
        """Start workers again that have ended by themselves, a moment later, as whatever runs them elsewhere would."""
        due = [name for name, at in self._fallen.items() if time.monotonic() - at > RESTART_S]
        async with self._reviving:
            for name in due:
                if self._fallen.pop(name, None) is not None and self._instances[name].ended is not None:
                    await asyncio.to_thread(self._instances[name].kill)
                    await asyncio.to_thread(self._instances[name].start)
                    self.started_again(self._instances[name])

    def started_again(self, running: Running) -> None:
        """Tell that one which had ended by itself runs again."""
        self._tell(FaultEvent("restarted", running.name, self._now_ns()))

    def _notice_deaths(self) -> None:
        for running in self._instances.values():
            if (death := running.death()) is not None:
                printed = running.last_lines()
                detail: dict[str, JsonValue] = {"status": death} | ({"log": printed} if printed else {})
                self._tell(FaultEvent("died", running.name, self._now_ns(), detail=detail))
                if not running.instance.answers_http:
                    self._fallen[running.name] = time.monotonic()

    async def _end_what_grows(self) -> None:
        """End an instance that holds more memory than it may."""
        for running in self._instances.values():
            held = self._accounts.held.get(running.pid or 0, 0)
            if held > self._memory_limit:
                detail: dict[str, JsonValue] = {"held_bytes": held, "limit_bytes": self._memory_limit}
                why = f"it held {held >> 20:,} MiB of memory, and may hold {self._memory_limit >> 20:,}"
                await self._end_for(why, FaultEvent("out_of_memory", running.name, self._now_ns(), detail=detail))

    async def _end_for(self, why: str, event: FaultEvent) -> None:
        await asyncio.to_thread(self._instances[event.subject].end_for, why)
        if self.told:
            self._tell(event)
        else:
            self._untold.append(event)

    def _tell(self, event: FaultEvent) -> None:
        for happened in self.told:
            happened(event)
