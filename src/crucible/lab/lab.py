"""A plan becomes a running lab, and the lab becomes nothing again."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from crucible import services
from crucible.child import family, kill_all
from crucible.errors import CrucibleError
from crucible.evidence import FaultEvent, ServiceFacts, Timing, Traffic, Usage
from crucible.lab import leftovers, network, workspace
from crucible.lab.accounting import Accounts
from crucible.lab.client import Client
from crucible.lab.instance import Running
from crucible.lab.observer import Observer
from crucible.plan import Plan
from crucible.services import SERVICES, Server, Source

T = TypeVar("T")
KEPT_REPLIES = 64 << 20
"""Bytes of replies that a run keeps; a solution that floods the grader gets no further."""
WATCH_S = 0.05
SAMPLE_S = 1.0


class RunningLab:
    """Services, network and solution of one run. Made and ended by `open_lab`."""

    def __init__(self, plan: Plan, folder: Path, environ: Mapping[str, str]) -> None:
        self.plan = plan
        self.begun_ns = time.monotonic_ns()
        self.client = Client()
        self.servers: dict[str, Server] = {}
        self.timings: list[Timing] = []
        self._facts: dict[str, ServiceFacts] = {}
        self._running: list[Running] = []
        self._observers: list[Observer] = []
        self._folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir()
        self._environ = environ
        self._network: network.Network | None = None
        self._accounts = Accounts(self._roots)
        self._kept = 0
        self._traffic_before: tuple[Traffic, ...] = ()
        self._operations_before: dict[str, dict[str, int]] = {}

    @property
    def web(self) -> dict[str, Running]:
        """The instances that answer HTTP, by name."""
        return {running.name: running for running in self._running if running.instance.answers_http}

    @property
    def service_facts(self) -> tuple[ServiceFacts, ...]:
        return tuple(self._facts[name] for name in self.plan.solution.services)

    def now_ns(self) -> int:
        """Nanoseconds since the lab was begun."""
        return time.monotonic_ns() - self.begun_ns

    def may_keep(self, size: int) -> bool:
        """Whether a reply of `size` bytes still fits into what the run keeps."""
        self._kept += size
        return self._kept <= KEPT_REPLIES

    async def set_delay(self, ms: int) -> None:
        """Put every used service `ms` milliseconds away, each way."""
        if self._network is not None:
            for name in self.servers:
                await self._network.delay(name, ms)

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
        self._network = network.Network.start(self._folder, self.logs / "network.log")
        try:
            async with asyncio.TaskGroup() as group:
                built = group.create_task(self.timed("build", self._build()))
                for name, source in sources.items():
                    group.create_task(self.timed(name, self._start_server(name, source)))
        except* CrucibleError as failed:
            raise failed.exceptions[0] from None
        await self.timed("boot", self._start_solution(built.result()))

    async def _build(self) -> Path:
        solution = self.plan.solution
        return await workspace.build(
            solution.folder, solution.build, self._environ, self.logs / "build.log", self.plan.deadlines.build
        )

    async def _start_server(self, name: str, source: Source) -> None:
        assert self._network is not None
        folder = self._folder / "services" / name
        starting = asyncio.ensure_future(asyncio.to_thread(SERVICES[name].start, source, folder))
        try:
            server = self.servers[name] = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(CrucibleError):
                self.servers[name] = await starting
            raise
        port = await self._network.link(network.PROBE, server, self.plan.network_ms)
        added = await asyncio.to_thread(network.added_ms, server, port)
        self._facts[name] = ServiceFacts(name, source.words, server.version, self.plan.network_ms, round(added, 3))

    async def _start_solution(self, tree: Path) -> None:
        assert self._network is not None
        for instance in self.plan.instances:
            env = {"PATH": workspace.search_path(self._environ), **self.plan.solution.manifest.settings}
            for server in self.servers.values():
                port = await self._network.link(instance.name, server, self.plan.network_ms)
                env |= server.environment("127.0.0.1", port)
            log = self.logs / f"{instance.name}.log"
            running = Running(instance, tree, self._folder / "work" / instance.name, log, env)
            running.start()
            self._running.append(running)
        await self._wait_for(list(self.web.values()))

    async def urls(self) -> dict[str, str]:
        """The environment in which a process started by hand reaches the same services, through the same network."""
        assert self._network is not None
        found: dict[str, str] = {}
        for server in self.servers.values():
            port = await self._network.link("hand.0", server, self.plan.network_ms)
            found |= server.environment("127.0.0.1", port)
        return found

    async def _wait_for(self, instances: list[Running]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for running in instances:
                    group.create_task(running.healthy(self.client, self.plan.deadlines.boot))
        except* CrucibleError as failed:
            raise failed.exceptions[0] from None

    async def revive(self) -> list[FaultEvent]:
        """Start again what has ended, so that one scenario's casualties are not charged to the next."""
        dead = [running for running in self._running if running.ended is not None]
        for running in dead:
            running.kill()
            running.start()
        await self._wait_for([running for running in dead if running.instance.answers_http])
        return [FaultEvent("restarted", running.name, self.now_ns()) for running in dead]

    @asynccontextmanager
    async def watched(self, observer: Observer) -> AsyncIterator[None]:
        """While open, what happens to the solution's processes is recorded by `observer`."""
        self._observers.append(observer)
        try:
            yield
            self._notice_deaths()
        finally:
            self._observers.remove(observer)

    def _notice_deaths(self) -> None:
        for running in self._running:
            if (death := running.death()) is not None:
                event = FaultEvent("died", running.name, self.now_ns(), detail={"status": death})
                for observer in self._observers:
                    observer.happened(event)

    async def watch(self) -> None:
        """Notice deaths, bound the logs and sample the accounts, until cancelled."""
        sampled = time.monotonic()
        while True:
            self._notice_deaths()
            for running in self._running:
                workspace.cut(running.log)
            if time.monotonic() - sampled > SAMPLE_S:
                await asyncio.to_thread(self._accounts.sample)
                sampled = time.monotonic()
            await asyncio.sleep(WATCH_S)

    async def begin_accounts(self) -> None:
        """Count traffic, CPU and operations from here on."""
        assert self._network is not None
        self._traffic_before = await self._network.traffic()
        await asyncio.to_thread(self._accounts.open)
        self._operations_before = await asyncio.to_thread(self._operations)

    async def traffic(self) -> tuple[Traffic, ...]:
        assert self._network is not None
        return network.less(await self._network.traffic(), self._traffic_before)

    async def usage(self) -> tuple[Usage, ...]:
        operations = await asyncio.to_thread(self._operations)
        await asyncio.to_thread(self._accounts.sample)
        totals = self._accounts.totals()
        return tuple(
            Usage(
                subject, "service" if kind == "service" else "process", instances, round(cpu, 3), memory,
                _more(operations.get(subject, {}), self._operations_before.get(subject, {})),
            )
            for subject, (kind, instances, cpu, memory) in totals.items()
        )  # fmt: skip

    def _operations(self) -> dict[str, dict[str, int]]:
        return {name: server.operations() for name, server in self.servers.items()}

    def _roots(self) -> Iterator[tuple[str, str, int]]:
        for running in self._running:
            if (pid := running.pid) is not None:
                yield running.instance.type, "process", pid
        for server in self.servers.values():
            if server.pid is not None:
                yield server.name, "service", server.pid

    def close(self) -> None:
        """End everything that was started. Never raises; safe after a partial boot."""
        self.client.close()
        for running in self._running:
            running.kill()
        if self._network is not None:
            self._network.stop()
        for server in self.servers.values():
            with suppress(Exception):  # whatever one server says, the others are stopped as well
                server.stop()
        kill_all(family)

    def keep_logs(self, target: Path) -> None:
        """Move the logs to `target`, in place of earlier ones, and remove everything else that the run made."""
        for log in self._folder.glob("services/*/server.log"):
            shutil.copyfile(log, self.logs / f"{log.parent.name}.log")
        shutil.rmtree(target, ignore_errors=True)
        for log in self.logs.iterdir():
            workspace.cut(log)
        with suppress(OSError):
            shutil.copytree(self.logs, target, symlinks=True)
        shutil.rmtree(self._folder, ignore_errors=True)


@asynccontextmanager
async def open_lab(plan: Plan, logs: Path, environ: Mapping[str, str]) -> AsyncIterator[RunningLab]:
    """A lab to boot for `plan`; whatever ends the block, nothing of it stays but the logs, in `logs`."""
    lab = RunningLab(plan, leftovers.make_run_folder(), environ)
    watching = asyncio.create_task(lab.watch())
    try:
        yield lab
    finally:
        watching.cancel()
        lab.close()
        lab.keep_logs(logs)


def _more(now: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """What was counted since `before`, without what did not change."""
    return {name: count - before.get(name, 0) for name, count in now.items() if count > before.get(name, 0)}
