"""The lab network's own process: TCP proxies that delay and count. `network.Network` starts and commands it.

One listener ("link") for each instance and service, so that traffic has an owner. Commands are JSON lines on standard
input, each answered by one JSON line; the end of standard input ends the process.
"""

import asyncio
import json
import math
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

HIGH_WATER = 1 << 20
"""Bytes that may be on their way in one direction of a connection before its sender is made to wait."""


@dataclass
class Link:
    """One instance's way to one service, with its counters."""

    service: str
    upstream: dict[str, Any]
    delay_s: float
    connections: int = 0
    open_now: int = 0
    peak_connections: int = 0
    round_trips: int = 0
    bytes_to_service: int = 0
    bytes_from_service: int = 0
    pipes: set["Pipe"] = field(default_factory=set)

    def counters(self) -> dict[str, int]:
        names = ("connections", "peak_connections", "round_trips", "bytes_to_service", "bytes_from_service")
        return {name: getattr(self, name) for name in names}


class Pipe(asyncio.Protocol):
    """One end of a proxied connection: what arrives here leaves at `peer` a delay later, in order."""

    def __init__(self, link: Link, peer: "Pipe | None") -> None:
        self.link = link
        self.peer = peer
        self.from_client = peer is None
        self.transport: asyncio.Transport | None = None
        self.asked = False
        """Whether the client spoke last: what it says after the service's answer has reached it begins a round trip."""
        self.finished = False
        """Whether all that arrives here has, and has left at `peer`, its end included."""
        self._queue: deque[tuple[float, bytes | None]] = deque()
        """With the moment at which each may leave; None is the end."""
        self._waiting: deque[bytes | None] = deque()
        self._queued = 0
        self._due = 0.0
        self._reading = True
        self._ended = False
        self._lost = False
        self._peer_is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.from_client:
            self._open()

    def _open(self) -> None:
        link = self.link
        link.connections += 1
        link.open_now += 1
        link.peak_connections = max(link.peak_connections, link.open_now)
        link.pipes.add(self)
        # A handshake takes a round trip of its own before the first byte can leave.
        asyncio.get_running_loop().call_later(2 * link.delay_s, lambda: asyncio.ensure_future(self._dial()))

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        upstream = self.link.upstream
        try:
            if upstream["path"]:
                _, pipe = await loop.create_unix_connection(lambda: Pipe(self.link, self), upstream["path"])
            else:
                _, pipe = await loop.create_connection(
                    lambda: Pipe(self.link, self), upstream["host"], upstream["port"]
                )
        except OSError:
            self.reset()
            return
        if self._lost and not self._waiting:
            pipe.reset()
            return
        self.peer = pipe
        while self._waiting:
            self._send_later(self._waiting.popleft())

    def data_received(self, data: bytes) -> None:
        link = self.link
        if self.from_client:
            link.bytes_to_service += len(data)
            if not self.asked:
                link.round_trips += 1
                self.asked = True
        else:
            link.bytes_from_service += len(data)
        self._queued += len(data)
        self._regulate()
        if self.peer is None:
            self._waiting.append(data)
        else:
            self._send_later(data)

    def _regulate(self) -> None:
        """Read on only while what is on its way is little and `peer` takes it."""
        may_read = self._queued <= HIGH_WATER and not self._peer_is_full
        if self.transport is None or self.transport.is_closing() or self._ended or may_read is self._reading:
            return
        self._reading = may_read
        if may_read:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _send_later(self, data: bytes | None) -> None:
        self._due = max(time.monotonic() + self.link.delay_s, self._due)
        self._queue.append((self._due, data))
        if len(self._queue) == 1:
            self._wake_when_due()

    def _wake_when_due(self) -> None:
        rest_ms = math.ceil((self._queue[0][0] - time.monotonic()) * 1000)
        asyncio.get_running_loop().call_later(max(0, rest_ms) / 1000, self._deliver_due)

    def _deliver_due(self) -> None:
        # uvloop counts whole milliseconds of a clock rounded down: on a busy loop a timer fires up to one too early.
        while self._queue and self._queue[0][0] <= time.monotonic():
            self._deliver(self._queue.popleft()[1])
        if self._queue:
            self._wake_when_due()

    def _deliver(self, data: bytes | None) -> None:
        peer = self.peer
        if peer is None or peer.transport is None or peer.transport.is_closing():
            return
        if data is None:
            self._end_at(peer, peer.transport)
            return
        peer.asked = False
        peer.transport.write(data)
        self._queued -= len(data)
        self._regulate()

    def _end_at(self, peer: "Pipe", target: asyncio.Transport) -> None:
        self.finished = True
        if self._lost or peer.finished or not target.can_write_eof():
            target.close()
            if self.transport is not None:
                self.transport.close()
        else:
            target.write_eof()

    def eof_received(self) -> bool:
        self._finish()
        return True  # the other direction may still be talking

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self.from_client:
            self.link.open_now -= 1
            self.link.pipes.discard(self)
        if exc is None:
            self._finish()
        elif self.peer is not None:
            self.peer.reset()
        else:
            self._waiting.clear()

    def _finish(self) -> None:
        if self._ended and not self._lost:
            return
        self._ended = True
        if self.peer is None:
            self._waiting.append(None)
        else:
            self._send_later(None)

    def pause_writing(self) -> None:
        self._tell_peer(full=True)

    def resume_writing(self) -> None:
        self._tell_peer(full=False)

    def _tell_peer(self, *, full: bool) -> None:
        if self.peer is not None:
            self.peer._peer_is_full = full
            self.peer._regulate()

    def reset(self) -> None:
        """End the connection at once, and with a reset where the network has such a thing (SO_LINGER of 0 s)."""
        if self.transport is None or self.transport.is_closing():
            return
        raw = self.transport.get_extra_info("socket")
        if raw is not None and raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Proxies:
    """Every link, by `service/instance`, and the commands that act on them."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    async def command(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"do": "link", "name": name, "service": service, "upstream": upstream, "delay_ms": delay_ms}:
                link = self._links[name] = Link(service, upstream, delay_ms / 1000)
                server = await asyncio.get_running_loop().create_server(
                    lambda: Pipe(link, None), "127.0.0.1", 0, backlog=1024
                )
                return {"port": server.sockets[0].getsockname()[1]}
            case {"do": "delay", "service": service, "delay_ms": delay_ms}:
                for link in self._links.values():
                    if link.service == service:
                        link.delay_s = delay_ms / 1000
                return {}
            case {"do": "count"}:
                return {name: link.counters() for name, link in self._links.items()}
            case _:
                return {"error": f"unknown command {request}"}


async def serve() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    proxies = Proxies()
    while line := await reader.readline():
        answer = await proxies.command(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve())
