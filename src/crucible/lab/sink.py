"""The grader's own provider, which solutions deliver to: a ledger of effects, and faults by a programme.

A call is decided at one instant, when all of its request is there: whether it has an effect, and what it will be told.
What follows (the answer's delay, a connection that is cut) changes nothing of that. An `Idempotency-Key` makes a call
safe to repeat: the same key and body is one effect, and answered 200 again; another body is 422; a key whose first call
has not been answered yet is 409.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus

import httptools
from pydantic import JsonValue

from crucible.check import SinkFault
from crucible.evidence import Attempt
from crucible.lab import untrusted

LARGEST = 64 << 10
"""Bytes of a request, after which its connection is dropped."""
MOST_KEPT = 200_000
"""Attempts that a run keeps; a solution that floods the sink is told 429 from there on."""
PATIENCE = 4
"""Failures of one key after which it fails no more, so that a client that tries again comes to an end."""
CALM = SinkFault()
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What a call comes to."""

    status: int | None
    """None: nothing is said until the fault is over."""
    effect: bool
    why: str
    retry_after_s: int | None = None


@dataclass
class Ledger:
    """Decides, and remembers. Pure but for its own state: the time is given."""

    seed: int
    effects: dict[str, bytes] = field(default_factory=dict)
    """The digest of the body that took effect, by key."""
    rejected: set[str] = field(default_factory=set)
    """Recipients that are never delivered to."""
    faults: dict[str, SinkFault] = field(default_factory=dict)
    _in_flight: Counter[str] = field(default_factory=Counter)
    _failures: Counter[str] = field(default_factory=Counter)
    _recent: dict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))

    def decide(self, channel: str, key: str | None, body: JsonValue, now_ns: int) -> Decision:
        """What this call comes to, and what it changes."""
        fault, volume = self.faults.get(channel, CALM), self._volume(channel, now_ns)
        if not isinstance(body, dict) or not isinstance(body.get("to"), str):
            return Decision(400, effect=False, why="not a JSON object with `to`")
        if fault.hangs:
            return Decision(None, effect=False, why="hung")
        if fault.outage:
            return Decision(503, effect=False, why="outage")
        if volume > fault.most_per_s:
            return Decision(429, effect=False, why="too many calls", retry_after_s=1)
        if key is not None and self._in_flight[key]:
            return Decision(409, effect=False, why="its key is in flight")
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
        if key is not None and key in self.effects:
            same = self.effects[key] == digest
            return Decision(200 if same else 422, effect=False, why="repeated" if same else "its key had another body")
        if body["to"] in self.rejected:
            return Decision(400, effect=False, why="rejected for good")
        return self._by_chance(fault, volume, key, digest)

    def _by_chance(self, fault: SinkFault, volume: int, key: str | None, digest: bytes) -> Decision:
        name, share = key or digest.hex(), fault.errors * min(1.0, volume / fault.most_per_s)
        failures = self._failures[name]
        drawn = _uniform(self.seed, name, failures)
        fails = drawn < share and failures < PATIENCE
        self._failures[name] += fails
        if fails and drawn < share / 2:
            return Decision(500, effect=False, why="failed before the effect")
        if key is not None:
            self.effects[key] = digest
        if fails:
            return Decision(500, effect=True, why="failed after the effect")
        return Decision(200, effect=True, why="delivered")

    def begin(self, key: str | None) -> None:
        """The key's call is under way."""
        if key is not None:
            self._in_flight[key] += 1

    def end(self, key: str | None) -> None:
        """It has been answered, or cannot be any more."""
        if key is not None:
            self._in_flight[key] -= 1
            if not self._in_flight[key]:
                del self._in_flight[key]

    def _volume(self, channel: str, now_ns: int) -> int:
        """Calls of the last second, this one included."""
        recent = self._recent[channel]
        recent.append(now_ns)
        while recent[0] <= now_ns - SECOND_NS:
            recent.popleft()
        return len(recent)


def _uniform(seed: int, key: str, failures: int) -> float:
    """A number in [0, 1) that depends on nothing but these."""
    drawn = hashlib.sha256(f"{seed}/{key}/{failures}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64


class Sink:
    """A server on 127.0.0.1 with one ledger."""

    def __init__(self, seed: int, now_ns: Callable[[], int]) -> None:
        self.ledger = Ledger(seed)
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

    def decided(self, channel: str, key: str | None, body: JsonValue, decision: Decision, peer: int, path: str) -> int:
        """Keep an attempt; its number, or -1 where nobody wants it."""
        now = self._now_ns()
        number = len(self.attempts) if self.keeping and len(self.attempts) < MOST_KEPT else -1
        attempt = Attempt(number, path, key, body, now, decision.status, decision.effect, decision.why, None)
        if number >= 0:
            self.attempts.append(attempt)
            self._ports[number] = peer
        for wanted, future in self._waiting:
            if not future.done() and wanted in (None, channel):
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

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._reset()
        self._under_way: tuple[int, str, str | None] | None = None
        """Number, channel and key of a call that has been decided and not answered."""
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
        method, key, body = self._parser.get_method(), self._key, untrusted.parse(bytes(self._body))
        self._reset()
        if method != b"POST" or rest != "send":
            self._reply(404, None)
            return
        ledger = self._sink.ledger
        full = len(self._sink.attempts) >= MOST_KEPT
        flood = Decision(429, effect=False, why="too many calls in all", retry_after_s=60)
        decision = flood if full else ledger.decide(channel, key, body, time.monotonic_ns())
        peer = self._transport.get_extra_info("peername")[1]
        number = self._sink.decided(channel, key, body, decision, peer, path)
        ledger.begin(key)
        self._under_way = number, channel, key
        if decision.status is not None:
            delay = ledger.faults.get(channel, CALM).delay_ms / 1000
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay, self._finish, decision.status, decision.retry_after_s)

    def _finish(self, status: int, retry_after_s: int | None) -> None:
        assert self._under_way is not None
        number, _, key = self._under_way
        self._under_way = self._timer = None
        self._sink.ledger.end(key)
        if self._reply(status, retry_after_s):
            self._sink.answered(number, status)

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
        if self._under_way is not None and self._under_way[1] == channel and self._timer is None:
            self._finish(503, None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._under_way is not None:
            self._sink.ledger.end(self._under_way[2])
            self._under_way = None
        self._sink.left(self)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
