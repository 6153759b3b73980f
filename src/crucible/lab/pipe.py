"""One end of a proxied connection: what arrives leaves at the other a delay later, in order, or as a fault has it."""

import asyncio
import math
import socket
import struct
import time
from collections import deque
from typing import cast

from crucible.lab.link import Link, LinkFault

HIGH_WATER = 1 << 20
"""Bytes that may be on their way in one direction of a connection before its sender is made to wait."""


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
        self._dialling = False
        self._spoiled = False
        """Whether bytes of it were dropped, so that it cannot go on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.from_client:
            self._open()
        else:
            self.link.passed_on += 1
            if raw is not None and raw.family != socket.AF_UNIX:
                self.link.ports.add(raw.getsockname()[1])

    def _open(self) -> None:
        link = self.link
        link.connections += 1
        link.open_now += 1
        link.peak_connections = max(link.peak_connections, link.open_now)
        link.ends.add(self)
        fault = link.under("close", "cap")
        if fault is not None and (fault.kind == "close" or link.open_now > fault.most):
            fault.did["connections_turned_away"] += 1
            self._turn_away(fault.kind)
            return
        if fault := link.under("drop", "hold"):
            fault.did["connections_stalled"] += 1
            self._spoiled = fault.kind == "drop"
            return
        self._dial_later()

    def _turn_away(self, kind: str) -> None:
        self._ended = self.finished = True
        if kind == "close" and self.transport is not None:
            self.transport.close()
        else:
            self.reset()

    def _dial_later(self) -> None:
        self._dialling = True
        # A handshake takes a round trip of its own before the first byte can leave.
        asyncio.get_running_loop().call_later(2 * self.link.delay_s, lambda: asyncio.ensure_future(self._dial()))

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
        if fault := self._dropping():
            fault.did["bytes_dropped"] += len(data)
            return
        if not self.from_client and (fault := link.under("cut_replies")):
            self._cut(fault)
            return
        self._queued += len(data)
        self._regulate()
        if self.peer is None:
            self._waiting.append(data)
        else:
            self._send_later(data)

    def _dropping(self) -> LinkFault | None:
        """The fault that takes what has just arrived, if one does."""
        fault = self.link.under("drop") if self.from_client else self.link.under("drop", "half_open")
        if fault is not None:
            self._spoiled = True
            if self.peer is not None:
                self.peer._spoiled = True
        return fault

    def _cut(self, fault: LinkFault) -> None:
        """Reset the client in place of the reply that has just arrived, and only the first part of it counts."""
        client = self.peer
        if client is not None and client.transport is not None and not client.transport.is_closing():
            fault.did["requests_cut"] += 1
            client.reset()

    def healed(self) -> None:
        """The fault is over: go on where nothing was lost, end where something was. Called for the client's end."""
        if self._spoiled:
            self.reset()
        elif self.peer is None and self._dialling is False:
            self._dial_later()
        else:
            for pipe in (self, self.peer):
                if pipe is not None and pipe._queue:
                    pipe._wake_when_due()

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
        if fault := self.link.under("hold"):
            fault.did["chunks_held"] += 1
            return
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
        if self._dropping():
            return self.peer is not None  # until it heals; whom the service never saw may go
        self._finish()
        return True  # the other direction may still be talking

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self.from_client:
            self.link.open_now -= 1
            self.link.ends.discard(self)
        else:
            self.link.passed_on -= 1
        if exc is None and not self.link.under("hold"):
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
