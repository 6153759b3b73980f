"""What was counted while a lab ran: traffic, usage, what is stored, and who came past the lab network."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping

from crucible.check import Stored
from crucible.evidence import Traffic, Usage
from crucible.lab import network
from crucible.lab.accounting import Accounts, Root
from crucible.lab.backing import Backing
from crucible.lab.instance import Running
from crucible.lab.network import Network

STRANGERS_S = 2.0


class Tally:
    """Of one run: `instances` and `backing` are the lab's own, and grow while it boots."""

    def __init__(self, instances: Mapping[str, Running], backing: Backing) -> None:
        self.accounts = Accounts(self._roots)
        self._instances = instances
        self._backing = backing
        self._traffic_before: tuple[Traffic, ...] = ()
        self._operations_before: dict[str, dict[str, int]] = {}
        self._operations_kept: dict[str, Counter[str]] = {}
        """Counts that a service has forgotten since, by crashing."""

    async def begin(self, ways: Network) -> None:
        """Count traffic, CPU and operations from here on."""
        self._traffic_before = await ways.traffic()
        await asyncio.to_thread(self.accounts.open)
        self._operations_before = await asyncio.to_thread(self._operations)

    async def traffic(self, ways: Network) -> tuple[Traffic, ...]:
        return network.less(await ways.traffic(), self._traffic_before)

    async def usage(self) -> tuple[Usage, ...]:
        operations = await asyncio.to_thread(self._operations)
        await asyncio.to_thread(self.accounts.sample)
        return tuple(
            Usage(
                subject, total.kind, total.instances, round(total.cpu_s, 3), total.peak_memory_bytes,
                _more(operations.get(subject, {}), self._operations_before.get(subject, {})),
            )
            for subject, total in self.accounts.totals().items()
        )  # fmt: skip

    async def footprint(self) -> dict[str, int]:
        """Bytes that each service stores for the solution, and that the processes of each type hold."""
        stored = {name: await asyncio.to_thread(server.footprint) for name, server in self._backing.servers.items()}
        held = await asyncio.to_thread(self.accounts.own)
        return {name: size for name, size in stored.items() if size is not None} | held

    async def stored(self) -> dict[str, Stored]:
        """What each service holds, where the solution lets anybody look."""
        found = {name: await asyncio.to_thread(server.stored) for name, server in self._backing.servers.items()}
        return {name: stored for name, stored in found.items() if stored is not None}

    def keep_counts(self, service: str, counts: Mapping[str, int]) -> None:
        """Keep what `service` has forgotten by crashing."""
        self._operations_kept.setdefault(service, Counter()).update(counts)

    async def watch_strangers(self) -> None:
        """Look from time to time for connections that came past the lab network, until cancelled."""
        while True:
            await asyncio.sleep(STRANGERS_S)
            for watch in self._backing.watches:
                await watch.look()

    @property
    def bypasses(self) -> tuple[str, ...]:
        """How the solution was seen to reach services past the lab network."""
        return tuple(finding for watch in self._backing.watches if (finding := watch.finding) is not None)

    def _operations(self) -> dict[str, dict[str, int]]:
        return {
            name: dict(Counter(server.operations()) + self._operations_kept.get(name, Counter()))
            for name, server in self._backing.servers.items()
        }

    def _roots(self) -> Iterator[Root]:
        for running in self._instances.values():
            if (pid := running.pid) is not None:
                yield Root(running.instance.type, "process", pid)
        for server in self._backing.servers.values():
            if server.pid is not None:
                yield Root(server.name, "service", server.pid)


def _more(now: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """What was counted since `before`, without what did not change."""
    return {name: count - before.get(name, 0) for name, count in now.items() if count > before.get(name, 0)}
