"""The services of one lab: started, measured, and reached by a way of each instance's own."""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

from crucible import services
from crucible.errors import CrucibleError
from crucible.evidence import ServiceFacts
from crucible.lab import strangers
from crucible.lab.network import PROBE, Network, added_ms
from crucible.lab.strangers import Watch
from crucible.planning.plan import Plan
from crucible.services import SERVICES, Server, Source
from crucible.services.base import Terms


class Backing:
    """What backs the solution of one plan. Grows while the lab boots."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """`folder`: where servers keep what they hold, each in a folder of its own."""
        self.servers: dict[str, Server] = {}
        self.probes: dict[str, int] = {}
        """The port of the grader's own way to each service."""
        self.ways: dict[int, str] = {}
        """The service that each port leads to which an instance was given."""
        self.watches: list[Watch] = []
        """Over who comes past the network."""
        self.facts: dict[str, ServiceFacts] = {}
        self._plan = plan
        self._folder = folder

    def delay_ms(self, service: str) -> int:
        """How far away `service` usually is, each way."""
        return self._plan.network_ms * SERVICES[service].far

    async def start(self, name: str, source: Source, network: Network) -> None:
        """Start a server, and measure the way to it. Raises a CrucibleError where there is none then."""
        manifest = self._plan.solution.manifest
        terms = Terms(name in manifest.durable, manifest.consumer_timeout_s)
        starting = asyncio.ensure_future(asyncio.to_thread(services.start, name, source, self._folder / name, terms))
        try:
            server = self.servers[name] = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(CrucibleError):
                self.servers[name] = await starting
            raise
        port = self.probes[name] = await network.link(PROBE, server, self.delay_ms(name))
        ping = await asyncio.to_thread(server.pinger, "127.0.0.1", port)
        added = await asyncio.to_thread(added_ms, server, ping)
        by_port = await asyncio.to_thread(strangers.sees_ports, server, await network.ways(name))
        del ping  # and with it its connection
        self.watches.append(Watch(server, by_port, partial(network.ways, name)))
        self.facts[name] = ServiceFacts(name, source.words, server.version, self.delay_ms(name), round(added, 3))

    async def environment(self, instance: str, network: Network) -> dict[str, str]:
        """What an instance is given to reach each service, by ways of its own."""
        found: dict[str, str] = {}
        for server in self.servers.values():
            port = await network.link(instance, server, self.delay_ms(server.name))
            self.ways[port] = server.name
            found |= server.environment("127.0.0.1", port)
        return found

    def stop(self) -> None:
        """End every server. Never raises."""
        for server in self.servers.values():
            with suppress(Exception):  # whatever one server says, the others are stopped as well
                services.stop(server)
