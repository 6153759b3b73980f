"""The lab network in front of any TCP server, used from plain, blocking tests."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from crucible.check import NetworkFault, Stored
from crucible.evidence import Traffic
from crucible.lab.network import Network
from crucible.lab.strangers import Ways
from crucible.services.base import Server, Source, Upstream

NOWHERE = Source("attached", "", "")


@dataclass(frozen=True)
class Nearby:
    """A server that somebody else has started, as far as the network looks at it."""

    upstream: Upstream
    name: str = "echo"
    source: Source = NOWHERE
    version: str = ""
    pid: int | None = None
    ports: tuple[int, ...] = ()

    @classmethod
    def at(cls, port: int, name: str = "echo") -> "Nearby":
        return cls(Upstream(host="127.0.0.1", port=port), name)

    def environment(self, host: str, port: int) -> dict[str, str]:
        return {}

    def pinger(self, host: str, port: int) -> Callable[[], object]:
        raise NotImplementedError

    def operations(self) -> dict[str, int]:
        return {}

    def clients(self) -> list[int]:
        return []

    def footprint(self) -> int | None:
        return 0

    def stored(self) -> Stored | None:
        return None

    def wipe(self) -> None:
        raise NotImplementedError

    def crash(self) -> None:
        raise NotImplementedError

    def restart(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        pass


@dataclass(frozen=True)
class Blocking:
    """`Network`, awaited."""

    network: Network
    runner: asyncio.Runner

    def link(self, instance: str, server: Server, delay_ms: int) -> int:
        return self.runner.run(self.network.link(instance, server, delay_ms))

    def delay(self, service: str, ms: int, instance: str | None = None) -> None:
        self.runner.run(self.network.delay(service, ms, instance))

    @contextmanager
    def under(self, kind: NetworkFault, *, most: int = 0, service: str = "echo") -> Iterator[dict[str, int]]:
        """While open, the fault is; what the block is given is filled with what it did once it is over."""
        did: dict[str, int] = {}
        self.runner.run(self.network.strike(service, kind, most))
        try:
            yield did
        finally:
            did |= self.heal(service)

    def heal(self, service: str = "echo") -> dict[str, int]:
        return self.runner.run(self.network.heal(service))

    def reset(self, service: str = "echo") -> int:
        return self.runner.run(self.network.reset(service))

    def ways(self, service: str = "echo") -> Ways:
        return self.runner.run(self.network.ways(service))

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.network._child.pid)

    def traffic(self, process: str = "web") -> Traffic:
        return next(t for t in self.all_traffic() if t.process == process)

    def all_traffic(self) -> tuple[Traffic, ...]:
        return self.runner.run(self.network.traffic())


@contextmanager
def running_network(folder: Path) -> Iterator[Blocking]:
    with asyncio.Runner() as runner:
        network = Network.start(folder, folder / "network.log")
        try:
            yield Blocking(network, runner)
        finally:
            network.stop()
