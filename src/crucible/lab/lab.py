"""A plan becomes a running lab, and the lab becomes nothing again."""

import asyncio
import math
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from crucible import services
from crucible.errors import CrucibleError
from crucible.evidence import Attempt, FaultEvent, Op, ServiceFacts, Timing, Traffic, Usage
from crucible.lab import builds, environment, isolation, leftovers, logs, network
from crucible.lab.backing import Backing
from crucible.lab.client import Client
from crucible.lab.instance import Place, Running
from crucible.lab.isolation import Isolation
from crucible.lab.sink import SinkServer
from crucible.lab.supervision import RESTART_S, Supervisor, Told
from crucible.lab.tally import Tally
from crucible.planning.plan import Plan
from crucible.processes.child import family, kill_all
from crucible.processes.ports import give_back
from crucible.services import Server

T = TypeVar("T")
FIRST_STARTS = 2
"""How often a process is started that ends before it was ever healthy: a command that cannot work is told at once, and
two that make their tables at the same time get another chance."""
KEPT_REPLIES = 64 << 20
"""Bytes of replies that a run keeps; a solution that floods the grader gets no further."""


class RunningLab:
    """Services, network and solution of one run. Made and ended by `open_lab`."""

    def __init__(self, plan: Plan, folder: Path, environ: Mapping[str, str], opening: "Opening") -> None:
        self.plan = plan
        self.begun_ns = time.monotonic_ns() if opening.begun_ns is None else opening.begun_ns
        self.client = Client()
        self.backing = Backing(plan, folder / "services")
        self.timings: list[Timing] = []
        self.instances: dict[str, Running] = {}
        self.isolation = Isolation()
        self.logs = folder / "logs"
        self.logs.mkdir(mode=0o700)
        self.folder = folder
        self._environ = environ
        self._opening = opening
        self.tree: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
        """What was built, as soon as it is."""
        self._network: network.Network | None = None
        self._held = ExitStack()
        """What no other grade may take away meanwhile."""
        self.tally = Tally(self.instances, self.backing)
        self.supervisor = Supervisor(
            self.instances, self.tally.accounts, lambda: self.isolation.crowded(), self.now_ns,
            plan.solution.manifest.memory_mib << 20,
        )  # fmt: skip
        sink = plan.solution.manifest.sink
        self.sink = SinkServer(plan.seed, self.now_ns, callbacks=sink == "callbacks") if sink else None
        self.first_port = 0
        """Of those that answer HTTP, one after the other; free ones, where it is 0."""
        self.given_up = ""
        """Why nothing further is to be tried; empty while it is."""
        self.recorded: dict[str, tuple[Op, ...]] = {}
        """What each scenario that is over has asked."""
        self._kept = 0

    @property
    def network(self) -> network.Network:
        assert self._network is not None, "the lab has not been booted"
        return self._network

    @property
    def servers(self) -> dict[str, Server]:
        return self.backing.servers

    @property
    def web(self) -> dict[str, Running]:
        """The instances that answer HTTP, by name."""
        return {name: running for name, running in self.instances.items() if running.instance.answers_http}

    def who_listens(self, port: int) -> str | None:
        """The instance, or the service, that a port leads to; None where it is neither."""
        own = next((name for name, running in self.web.items() if running.port == port), None)
        return own or self.backing.ways.get(port)

    @property
    def service_facts(self) -> tuple[ServiceFacts, ...]:
        return tuple(self.backing.facts[name] for name in self.plan.solution.services)

    def now_ns(self) -> int:
        """Nanoseconds since the lab was begun."""
        return time.monotonic_ns() - self.begun_ns

    def may_keep(self, size: int) -> bool:
        """Whether a reply of `size` bytes still fits into what the run keeps."""
        self._kept += size
        return self._kept <= KEPT_REPLIES

    async def timed(self, step: str, work: Awaitable[T]) -> T:
        """Await `work` and keep how long it took."""
        begun = time.perf_counter()
        try:
            return await work
        finally:
            self.timings.append(Timing(step, round(time.perf_counter() - begun, 3)))

    async def boot(self) -> None:
        """Start everything. Raises a CrucibleError for what does not start, charged to whom it belongs to."""
        sources = {name: services.locate(name, self._environ) for name in self.plan.solution.services}
        if os.geteuid() == 0:
            os.umask(0o022)  # the solution's users are to get through what is made from here on
        kept, home = environment.build_folders(self._environ)
        work = self.folder / "work"
        work.mkdir(mode=0o711)
        tools = environment.tools(self._environ)
        self.isolation = await asyncio.to_thread(
            isolation.isolate, self.folder, [work, kept, home], tools, self._opening.hidden
        )
        if self.sink is not None:
            await self.sink.start()
        self._network = network.Network.start(self.folder, self.logs / "network.log")
        async with _side_by_side() as group:
            built = group.create_task(self.timed("build", self._build()))
            for name, source in sources.items():
                group.create_task(self.timed(name, self.backing.start(name, source, self.network)))
        past = [port for server in self.servers.values() for port in server.ports]
        await asyncio.to_thread(self.isolation.forbid, past)
        await self.timed("boot", self._start_solution(built.result()))

    async def _build(self) -> Path:
        tree = await (self._built() if self._opening.tree is None else self._opening.tree)
        if not self.tree.done():
            self.tree.set_result(tree)
        return tree

    async def _built(self) -> Path:
        solution = self.plan.solution
        recipe = builds.Recipe(
            solution.folder, solution.build, self.logs / "build.log", self.plan.deadlines.build, self.isolation.builder,
            self.plan.on_top,
        )  # fmt: skip
        return await builds.build(recipe, self._environ, self._held)

    async def _start_solution(self, tree: Path) -> None:
        for instance in self.plan.instances:
            path, settings = environment.search_path(self._environ), self._settings
            given = await self.backing.environment(instance.name, self.network)
            env = {"PATH": path, **settings, **self._sunk, **given}
            place = Place(
                self.folder / "work" / instance.name, self.logs / f"{instance.name}.log", env,
                self.isolation.confine(instance.name),
            )  # fmt: skip
            port = self.first_port + instance.index if self.first_port else 0
            self.instances[instance.name] = Running(instance, tree, place, port)
        await self.start(list(self.instances.values()), most=FIRST_STARTS)

    async def rebuild(self) -> None:
        """Build again, and start every instance from what was built. Raises a CrucibleError where it does not build or
        come up; then the earlier ones go on, or nothing does."""
        tree = await self._build()
        for running in self.instances.values():
            await asyncio.to_thread(running.kill)
            running.tree = tree
        await self.start(list(self.instances.values()), most=FIRST_STARTS)

    async def start(self, instances: list[Running], most: float = math.inf) -> None:
        """Start these; returns when those that answer HTTP are healthy, or raises a CrucibleError. Who ends before that
        is started again, as whatever runs it elsewhere would, `most` times in all and while the deadline lasts."""
        for running in instances:
            self.client.forget(running.port)
            await asyncio.to_thread(running.start)
        async with _side_by_side() as group:
            for running in instances:
                if running.instance.answers_http:
                    group.create_task(self._come_up(running, most))

    async def _come_up(self, running: Running, most: float) -> None:
        starts, end = 1, time.monotonic() + self.plan.deadlines.boot
        while True:
            try:
                return await running.healthy(self.client, end - time.monotonic())
            except CrucibleError as error:
                if starts > 1:
                    error.what += f"; it was started {starts} times"
                if running.ended is None or starts >= most or time.monotonic() + RESTART_S >= end:
                    raise
            await asyncio.sleep(RESTART_S)
            await asyncio.to_thread(running.kill)
            self.client.forget(running.port)
            await asyncio.to_thread(running.start)
            self.supervisor.started_again(running)
            starts += 1

    @property
    def _settings(self) -> dict[str, str]:
        return self.plan.solution.manifest.environment(self.plan.mode)

    @property
    def _sunk(self) -> dict[str, str]:
        return {"SINK_URL": f"http://127.0.0.1:{self.sink.port}"} if self.sink is not None else {}

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What the sink kept."""
        return tuple(self.sink.attempts) if self.sink is not None else ()

    async def urls(self) -> dict[str, str]:
        """The environment in which a process started by hand reaches the same services, through the same network."""
        return self._settings | self._sunk | await self.backing.environment("hand.0", self.network)

    async def revive(self) -> list[FaultEvent]:
        """Start again what has ended, so that one scenario's casualties are not charged to the next."""
        return await self.supervisor.revive(self.start)

    @contextmanager
    def watched(self, happened: Told, *, attempts: bool = True) -> Iterator[None]:
        """While open, `happened` is told what becomes of the processes, and `attempts` at the sink are kept."""
        kept = self.sink if attempts else None
        if kept is not None:
            kept.keeping += 1
        try:
            with self.supervisor.telling(happened):
                yield
        finally:
            if kept is not None:
                kept.keeping -= 1

    async def begin_accounts(self) -> None:
        """Count traffic, CPU and operations from here on."""
        await self.tally.begin(self.network)

    async def traffic(self) -> tuple[Traffic, ...]:
        return await self.tally.traffic(self.network)

    async def exchanged(self) -> dict[str, int]:
        """Bytes in both directions with each service since the network began."""
        found = dict.fromkeys(self.servers, 0)
        for it in await self.network.traffic():
            found[it.service] += it.bytes_to_service + it.bytes_from_service
        return found

    async def usage(self) -> tuple[Usage, ...]:
        return await self.tally.usage()

    @property
    def bypasses(self) -> tuple[str, ...]:
        """How the solution was seen to reach services past the lab network."""
        return self.tally.bypasses

    def close(self) -> None:
        """End everything that was started. Never raises; safe after a partial boot."""
        self.client.close()
        if self.sink is not None:
            self.sink.close()
        for running in self.instances.values():
            running.strike()
        for running in self.instances.values():
            running.end_for("the grade is over")
        for running in self.instances.values():
            running.kill()
            give_back(running.port)
        if self._network is not None:
            self._network.stop()
        self.backing.stop()
        kill_all(family)
        self._held.close()
        self.isolation.lift()


@asynccontextmanager
async def _side_by_side() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises the first CrucibleError as itself; `except*` cannot, before Python 3.11.4."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failed:
        known, others = failed.split(CrucibleError)
        if known is None or others is not None:
            raise
        raise known.exceptions[0] from None


@dataclass(frozen=True)
class Opening:
    """How a lab is opened, beyond its plan."""

    hidden: Sequence[Path] = ()
    """Folders that the solution must not see."""
    begun_ns: int | None = None
    """The beginning of its clock, on that of `time.monotonic_ns`; now, where there is none."""
    tree: Awaitable[Path] | None = None
    """What another lab has built, and holds; without one it builds itself."""


@asynccontextmanager
async def open_lab(
    plan: Plan, kept_logs: Path, environ: Mapping[str, str], opening: Opening | None = None
) -> AsyncIterator[RunningLab]:
    """A lab to boot for `plan`; whatever ends the block, nothing of it stays but the logs, in `kept_logs`."""
    lab = RunningLab(plan, leftovers.make_run_folder(), environ, opening or Opening())
    watching = [
        asyncio.create_task(watch())
        for watch in (lab.supervisor.watch, lab.supervisor.watch_crowds, lab.tally.watch_strangers)
    ]
    try:
        yield lab
    finally:
        for task in watching:
            task.cancel()
        lab.close()
        logs.keep(lab.folder, kept_logs)
        shutil.rmtree(lab.folder, ignore_errors=True)
    for task in watching:
        if task.done() and not task.cancelled():
            task.result()  # who did not watch to the end has failed, and says how
