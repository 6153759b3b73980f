"""Whether a solution reaches a service past the lab network: the connections that the service saw are held against
those that the proxies made.

By client port, where the service sees the proxies' own; by their number elsewhere (Unix sockets; containers behind
another proxy), where what a solution has just dropped may linger, so that only a lasting surplus counts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from crucible.services import Server

FEWEST, SHARE = 5, 0.8
"""Samples, and the share of them with more connections than were passed on, that make a lasting surplus."""
RETRY_S = 0.2


@dataclass(frozen=True)
class Ways:
    """The connections that the proxies of one service made."""

    ports: frozenset[int]
    """The local port of every one since the start; none for Unix sockets."""
    open_now: int


@dataclass
class Watch:
    """Over one service."""

    server: Server
    by_port: bool
    ways: Callable[[], Awaitable[Ways]]
    """Asks the network."""
    samples: int = 0
    surplus: int = 0
    unknown: set[int] = field(default_factory=set)

    async def look(self) -> None:
        """Take a sample. A service that does not answer now is not looked at."""
        seen = await asyncio.to_thread(_clients, self.server)
        if seen is None:
            return
        made = await self.ways()
        self.samples += 1
        if self.by_port and not set(seen) <= made.ports:
            await asyncio.sleep(RETRY_S)  # one that is being made is known to its service first
            self.unknown |= set(seen) - (await self.ways()).ports
        elif not self.by_port:
            self.surplus += len(seen) > made.open_now

    @property
    def finding(self) -> str | None:
        """What was seen of it, in a sentence."""
        name = self.server.name
        if self.unknown:
            ports = ", ".join(map(str, sorted(self.unknown)[:5]))
            return f"{len(self.unknown)} connections to {name} came past the lab network (client ports {ports})"
        if self.samples >= FEWEST and self.surplus >= SHARE * self.samples:
            share = f"{self.surplus} of {self.samples} samples"
            return f"in {share} {name} had more connections than came through the lab network"
        return None


def sees_ports(server: Server, made: Ways) -> bool:
    """Whether the service sees the proxies' own ports, of which one is connected now."""
    return bool(set(_clients(server) or ()) & made.ports)


def _clients(server: Server) -> list[int] | None:
    try:
        return server.clients()
    except Exception:  # each client library has its own errors; a server that is down has no clients to look at
        return None
