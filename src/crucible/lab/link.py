"""One instance's way to one service: its listener, its counters, and the fault that it is under.

Used inside the proxy's process only. Faults act on connections that exist and on those that are tried meanwhile; `heal`
ends them and says what they did, which is the proof that they landed.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

KINDS = frozenset({
    "refuse",  # nothing listens: a connect is refused, and live connections are reset
    "close",  # a connection is taken and closed at once, as by a balancer with nothing behind it
    "drop",  # a hung peer: everything is read, nothing is passed on; healing resets what lost bytes
    "hold",  # a hung peer that wakes: nothing is passed on until healing, then all of it is
    "half_open",  # requests arrive, replies are lost; healing resets what lost bytes
    "cut_replies",  # a connection is reset in place of the service's next reply, so after its request was passed on
    "no_accept",  # a connect is never answered: the queue of connections is full
    "cap",  # no more than `most` connections at a time; one too many is reset
})  # fmt: skip
"""What can be wrong with a way, from the grader's side of it."""


class ClientEnd(Protocol):
    """The client's end of a connection, as far as a fault acts on it."""

    def reset(self) -> None:
        """End the connection at once, with a reset."""

    def healed(self) -> None:
        """The fault is over: go on, or end where something was lost."""


@dataclass
class LinkFault:
    """What is wrong with a way just now."""

    kind: str
    most: int = 0
    did: Counter[str] = field(default_factory=Counter)
    """What it has done so far, by name of counter."""


@dataclass
class Link:
    service: str
    upstream: dict[str, Any]
    delay_s: float
    connections: int = 0
    open_now: int = 0
    peak_connections: int = 0
    round_trips: int = 0
    bytes_to_service: int = 0
    bytes_from_service: int = 0
    ends: set[ClientEnd] = field(default_factory=set)
    """Of the living connections."""
    ports: set[int] = field(default_factory=set)
    """The local port of every connection that was made to the service; none for a Unix socket."""
    passed_on: int = 0
    """Connections to the service that are open now."""
    fault: LinkFault | None = None
    port: int = 0
    _server: asyncio.Server | None = None
    _place: socket.socket | None = None
    """Bound, never listening: keeps the port while nothing listens, or an outgoing connection could be given it."""
    _full: list[socket.socket] = field(default_factory=list)

    def counters(self) -> dict[str, int]:
        names = ("connections", "peak_connections", "round_trips", "bytes_to_service", "bytes_from_service")
        return {name: getattr(self, name) for name in names}

    async def listen(self, accept: Callable[[], asyncio.Protocol]) -> None:
        """Listen on 127.0.0.1, on the same port each time."""
        if self._place is None:
            self._place = _bound(0)
            self.port = self._place.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(accept, sock=_bound(self.port), backlog=1024)

    def under(self, *kinds: str) -> LinkFault | None:
        """The fault, where it is one of these kinds."""
        return self.fault if self.fault is not None and self.fault.kind in kinds else None

    async def strike(self, kind: str, most: int) -> None:
        """Begin a fault; one at a time."""
        self.fault = fault = LinkFault(kind, most)
        if kind in ("refuse", "no_accept"):
            await self._stop_listening()
        if kind == "no_accept":
            self._full = _full_queue(self.port)
        if kind in ("refuse", "close"):
            fault.did["connections_reset"] = self.reset_all()
        if kind in ("drop", "hold"):
            fault.did["connections_stalled"] = len(self.ends)

    async def heal(self, accept: Callable[[], asyncio.Protocol]) -> dict[str, int]:
        """End the fault; returns what it did."""
        fault, self.fault = self.fault, None
        if fault is None:
            return {}
        for sock in self._full:
            sock.close()
        self._full = []
        if fault.kind in ("refuse", "no_accept"):
            await self.listen(accept)
        for end in list(self.ends):
            end.healed()
        return dict(fault.did)

    def reset_all(self) -> int:
        """Reset every living connection; returns how many there were."""
        ends = list(self.ends)
        for end in ends:
            end.reset()
        return len(ends)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0.005)  # the loop closes the socket after this


def _bound(port: int) -> socket.socket:
    """A socket on `port` of 127.0.0.1 (a free one if 0) that others of ours may share."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _full_queue(port: int) -> list[socket.socket]:
    """A listener that accepts nobody, and connections that fill its queue: further SYNs are dropped (listen(2))."""
    listener = _bound(port)
    listener.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    return [listener, *fillers]
