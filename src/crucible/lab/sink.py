"""The grader's own provider, which solutions deliver to: a server in the grader's process, with one ledger."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

import httptools
from pydantic import JsonValue

from crucible.check import SinkFault
from crucible.evidence import Attempt
from crucible.lab import untrusted
from crucible.lab.ledger import CALM, Decision, Ledger

LARGEST = 64 << 10
"""Bytes of a request, after which its connection is dropped."""
MOST_KEPT = 200_000
"""Attempts that a run keeps; a solution that floods the sink is told 429 from there on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call, as it arrived."""

    channel: str
    path: str
    key: str | None
    """Its `Idempotency-Key`."""
    body: JsonValue
    peer: int
    """The client's port."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A call that has been decided and not answered."""

    number: int
    channel: str
    key: str | None


class SinkServer:
    """A server on 127.0.0.1 with one ledger."""

    def __init__(self, seed: int, now_ns: Callable[[], int], *, callbacks: bool = False) -> None:
        self.ledger = Ledger(seed, callbacks)
        self.port = 0
        self.keeping = 0
        """How many want the attempts to be kept: outside of scenarios nobody does."""
        self.attempts: list[Attempt] = []
        self._now_ns = now_ns
        self._server: asyncio.Server | None = None
        self._calls: set[_Call] = set()
        self._ports: dict[int, int] = {}
        """The port that a kept attempt came from, by its number."""
        self._waiting: list[tuple[str | None, asyncio.Future[Attempt]]] = []

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Call(self), "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def set_fault(self, channel: str, fault: SinkFault) -> None:
        """Put a channel under a fault, in place of the one before."""
        self.ledger.faults[channel] = fault

    def heal(self, channel: str) -> None:
        """End it; who was kept waiting is told 503."""
        self.ledger.faults.pop(channel, None)
        for call in list(self._calls):
            call.give_up(channel)

    async def next_call(self, channel: str | None = None) -> Attempt:
        """The next call that is made (of `channel`), as soon as it is decided and before it is answered."""
        future: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()
        self._waiting.append((channel, future))
        return await future

    def port_of(self, attempt: Attempt) -> int | None:
        """The client's port of a kept attempt, by which its process can be found."""
        return self._ports.get(attempt.number)

    def decide(self, asked: Asked) -> Decision:
        """What a call comes to; too many in all come to nothing."""
        if len(self.attempts) >= MOST_KEPT:
            return Decision(429, effect=False, why="too many calls in all", retry_after_s=60)
        return self.ledger.decide(asked.channel, asked.key, asked.body, time.monotonic_ns())

    def decided(self, asked: Asked, decision: Decision) -> int:
        """Keep an attempt; its number, or -1 where nobody wants it."""
        number = len(self.attempts) if self.keeping and len(self.attempts) < MOST_KEPT else -1
        attempt = Attempt(
            number, asked.path, asked.key, asked.body, self._now_ns(), decision.status, decision.effect, decision.why,
            answered_ns=None,
        )  # fmt: skip
        if number >= 0:
            self.attempts.append(attempt)
            self._ports[number] = asked.peer
        for wanted, future in self._waiting:
            if not future.done() and wanted in (None, asked.channel):
                future.set_result(attempt)
        self._waiting = [(wanted, future) for wanted, future in self._waiting if not future.done()]
        return number

    def answered(self, number: int, status: int) -> None:
        """The answer has been handed over to the attempt's connection."""
        if number >= 0:
            self.attempts[number] = replace(self.attempts[number], status=status, answered_ns=self._now_ns())

    def joined(self, call: "_Call") -> None:
        self._calls.add(call)

    def left(self, call: "_Call") -> None:
        self._calls.discard(call)

    def close(self) -> None:
        """Listen no more and drop every connection; safe to call twice."""
        if self._server is not None:
            self._server.close()
        for call in list(self._calls):
            call.drop()


class _Call(asyncio.Protocol):
    """A connection, and the one call that is under way on it."""

    def __init__(self, sink: SinkServer) -> None:
        self._sink = sink
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._reset()
        self._under_way: _UnderWay | None = None
        self._timer: asyncio.TimerHandle | None = None

    def _reset(self) -> None:
        self._path, self._key, self._body, self._size = b"", None, bytearray(), 0

    _path: bytes
    _key: str | None
    _body: bytearray
    _size: int

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's; uvloop's has no asyncio base class
        self._sink.joined(self)

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        try:
            if self._size > LARGEST:
                raise httptools.HttpParserError("too large")
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.drop()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"idempotency-key":
            self._key = value.decode("latin-1")[:300]
        elif name.lower() == b"expect" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._transport is not None
        if self._under_way is not None:
            self.drop()  # a second request before the first one's answer
            return
        path = self._path.decode("latin-1").split("?")[0]
        channel, _, rest = path.strip("/").partition("/")
        peer = self._transport.get_extra_info("peername")[1]
        asked = Asked(channel, path, self._key, untrusted.parse(bytes(self._body)), peer)
        self._reset()
        if self._parser.get_method() != b"POST" or (rest != "send" and not self._sink.ledger.callbacks):
            self._reply(404, None)
            return
        decision = self._sink.decide(asked)
        self._under_way = _UnderWay(self._sink.decided(asked, decision), channel, asked.key)
        self._sink.ledger.begin(asked.key)
        if decision.status is not None:
            delay = self._sink.ledger.faults.get(channel, CALM).delay_ms / 1000
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay, self._finish, decision.status, decision.retry_after_s)

    def _finish(self, status: int, retry_after_s: int | None) -> None:
        assert self._under_way is not None
        call = self._under_way
        self._under_way = self._timer = None
        self._sink.ledger.end(call.key)
        if self._reply(status, retry_after_s):
            self._sink.answered(call.number, status)

    def _reply(self, status: int, retry_after_s: int | None) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        hint = f"Retry-After: {retry_after_s}\r\n" if retry_after_s is not None else ""
        goes_on = self._parser.should_keep_alive()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n{hint}"
            f"Connection: {'keep-alive' if goes_on else 'close'}\r\nContent-Length: 2\r\n\r\n"
        )
        self._transport.write(head.encode() + b"{}")
        if not goes_on:
            self._transport.close()
        return True

    def give_up(self, channel: str) -> None:
        """End the wait of a call that was hung, of this channel."""
        if self._under_way is not None and self._under_way.channel == channel and self._timer is None:
            self._finish(503, None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._under_way is not None:
            self._sink.ledger.end(self._under_way.key)
            self._under_way = None
        self._sink.left(self)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
