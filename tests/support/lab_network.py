"""The lab network in front of any TCP server, used from plain, blocking tests."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crucible.evidence import Traffic
from crucible.lab.network import Network
from crucible.services.base import Source, Upstream

NOWHERE = Source("attached", "", "")


@dataclass(frozen=True)
class Nearby:
    """A server that somebody else has started, as far as the network looks at it."""

    upstream: Upstream
    name: str = "echo"
    source: Source = NOWHERE
    version: str = ""
    pid: int | None = None

    @classmethod
    def at(cls, port: int, name: str = "echo") -> "Nearby":
        return cls(Upstream(host="127.0.0.1", port=port), name)

    def environment(self, host: str, port: int) -> dict[str, str]:
        return {}

    def pinger(self, host: str, port: int) -> Callable[[], object]:
        raise NotImplementedError

    def operations(self) -> dict[str, int]:
        return {}

    def stop(self) -> None:
        pass


@dataclass(frozen=True)
class Blocking:
    """`Network`, awaited."""

    network: Network
    runner: asyncio.Runner

    def link(self, instance: str, server: Nearby, delay_ms: int) -> int:
        return self.runner.run(self.network.link(instance, server, delay_ms))

    def delay(self, service: str, ms: int) -> None:
        self.runner.run(self.network.delay(service, ms))

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
