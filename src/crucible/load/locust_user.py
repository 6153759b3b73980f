"""The open-model Locust user: one for each process, which sends what is due, when it is due.

Importing Locust changes the standard library (gevent); only the load's own process, or `locust` itself, imports this.
By hand a challenge's `hidden/load.py` is an ordinary locustfile: `locust -f hidden/load.py --host http://127.0.0.1:8000`.
"""

import gc
import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gevent
from gevent.pool import Pool
from geventhttpclient import HTTPClient
from hdrh.histogram import HdrHistogram
from locust import User, constant, events, task

from crucible.load.schedule import arrivals
from crucible.load.timer import Timer

UNKNOWN = "unknown"
LONGEST_US, DIGITS = 60_000_000, 3
MOST_AT_ONCE = 4_000
"""Requests under way, beyond which one that is due counts as unanswered at once."""
WARM = 16
"""Connections to each replica that are open before a block begins."""
SETTING_UP = 32
"""Requests at once while what a block needs is put in place."""
SET_UP_WITHIN_S = 45.0
IN_FORCE_S = 1.0
"""How long what was put in place may take until it holds on every replica."""
AHEAD_NS = 100_000_000
ECHO, ECHO_S = b"x" * 200, 0.005
"""What the pacer is sent, and how often: about as much, and as often, as a design is asked something."""


@dataclass(frozen=True, slots=True)
class Send:
    """One request of the load."""

    method: str
    path: str
    body: Any = None
    target: int = 0
    """Which replica, by its index."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further ones, such as `Idempotency-Key`."""
    everywhere: bool = False
    """Whether it configures: then it goes to every replica of a design that has no store to share it in."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A block that can be sent without computing anything."""

    seconds: float
    due: Sequence[int]
    sends: Sequence[Send]
    bodies: Sequence[bytes]


def _histogram() -> HdrHistogram:
    return HdrHistogram(1, LONGEST_US, DIGITS)


@dataclass
class Block:
    """What came of one block; as JSON, what `evidence.LoadBlock` says of it."""

    started_ns: int
    ended_ns: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latency: HdrHistogram = field(default_factory=_histogram)
    unanswered: HdrHistogram = field(default_factory=_histogram)
    lag: HdrHistogram = field(default_factory=_histogram)
    echoes: int = 0

    def note(self, due_ns: int, sent_ns: int, done_ns: int, outcome: str) -> None:
        """Count one request, from the moment that it was due."""
        latency = self.unanswered if outcome == UNKNOWN else self.latency
        latency.record_value(min(LONGEST_US, max(1, (done_ns - due_ns) // 1000)))
        self.lag.record_value(min(LONGEST_US, max(1, (sent_ns - due_ns) // 1000)))
        self.outcomes[outcome] += 1

    def as_json(self) -> dict[str, Any]:
        return {
            "started_ns": self.started_ns, "ended_ns": self.ended_ns, "outcomes": dict(self.outcomes),
            "latency_us": _counts(self.latency), "unanswered_us": _counts(self.unanswered), "lag_us": _counts(self.lag),
            "echoes": self.echoes,
        }  # fmt: skip


def _counts(histogram: HdrHistogram) -> list[tuple[int, int]]:
    return [(int(it.value_iterated_to), int(it.count_at_value_iterated_to)) for it in histogram.get_recorded_iterator()]


class OpenModelUser(User):
    """A challenge derives from it, and says what is sent and what the answers mean."""

    abstract = True
    wait_time = constant(0)
    timeout_s: ClassVar[float] = 2.0
    """A request that has no answer by then counts as unanswered."""

    def prepare(self, rng: Random, rate: float, replicas: int, number: int) -> tuple[Sequence[Send], Sequence[Send]]:
        """What has to be in place beforehand, and the `number` requests of a block, in the order of sending."""
        raise NotImplementedError

    def outcome(self, status: int, reply: Any) -> str:
        """What an answer below 500 is called; `UNKNOWN` where it says nothing."""
        raise NotImplementedError

    def on_start(self) -> None:
        self._clients: list[HTTPClient] = []
        self._in_place: set[tuple[str, str, int, bytes]] = set()
        self._blocks = 0
        self._pacer: socket.socket | None = None
        self.shared = False
        self.connect([self.host or "http://127.0.0.1:8000"])

    def connect(self, urls: Sequence[str], *, shared: bool = False) -> None:
        """The replicas to send to, and whether they share a store, so that one of them is enough to configure all."""
        for client in self._clients:
            client.close()
        self._clients, self.shared = [_client(url, self.timeout_s) for url in urls], shared

    def keep_pace(self, port: int) -> None:
        """From now on have a pacer on this port echo while blocks are sent."""
        self._pacer = socket.create_connection(("127.0.0.1", port), timeout=self.timeout_s)
        self._pacer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _echo(self, block: Block) -> None:
        """Send and hear something every few milliseconds, until killed."""
        while self._pacer is not None:
            gevent.sleep(ECHO_S)
            self._pacer.sendall(ECHO)
            if not self._pacer.recv(len(ECHO)):
                return
            block.echoes += 1

    def put_in_place(self, blocks: Sequence[tuple[float, float, str]], part: int = 0, parts: int = 1) -> list[Prepared]:
        """Compute blocks of (requests per second, seconds, seed), and put in place what they need."""
        prepared: list[Prepared] = []
        before: list[Send] = []
        for rate, seconds, seed in blocks:
            due = arrivals(rate, seconds, seed, part=part, parts=parts)
            first, sends = self.prepare(Random(f"load/{seed}"), rate, len(self._clients), len(due))
            before += first
            prepared.append(Prepared(seconds, due, sends, [_body(send) for send in sends]))
        waiting = []
        for send in before:
            body = _body(send)
            for target in range(len(self._clients)) if send.everywhere and not self.shared else (send.target,):
                if (one := (send.method, send.path, target, body)) not in self._in_place:
                    self._in_place.add(one)
                    waiting.append((Send(send.method, send.path, target=target, headers=send.headers), body))
        if waiting:
            pool = Pool(SETTING_UP)
            with gevent.Timeout(
                SET_UP_WITHIN_S, False
            ):  # a design that hangs is asked no more; its blocks will show it
                for send, body in waiting:
                    pool.spawn(self._request, send, body)
                pool.join()
            pool.kill()
            gevent.sleep(IN_FORCE_S)
        return prepared

    def block(self, prepared: Prepared) -> Block:
        """Send one block: each request at its moment, whatever has become of the earlier ones."""
        warm = [Send("GET", "/healthz", target=index) for index in range(len(self._clients))]
        gevent.joinall([gevent.spawn(self._request, send, b"") for send in warm * WARM])
        gc.collect()
        gc.freeze()
        start = time.monotonic_ns() + AHEAD_NS
        block = Block(start)
        under_way: set[gevent.Greenlet] = set()
        echoing = gevent.spawn(self._echo, block)
        with Timer() as timer:
            for offset, send, body in zip(prepared.due, prepared.sends, prepared.bodies, strict=True):
                due_ns = start + offset
                timer.sleep_until(due_ns)
                if len(under_way) >= MOST_AT_ONCE:
                    block.note(due_ns, due_ns, due_ns + self._timeout_ns, UNKNOWN)
                    continue
                greenlet = gevent.spawn(self._one, block, due_ns, send, body)
                under_way.add(greenlet)
                greenlet.rawlink(under_way.discard)
            timer.sleep_until(start + int(prepared.seconds * 1e9))
        block.ended_ns = time.monotonic_ns()
        gevent.kill(echoing)
        gevent.joinall(list(under_way), timeout=2 * self.timeout_s)
        gevent.killall(list(under_way))
        gc.unfreeze()
        return block

    @property
    def _timeout_ns(self) -> int:
        return int(self.timeout_s * 1e9)

    def _one(self, block: Block, due_ns: int, send: Send, body: bytes) -> None:
        sent_ns, outcome, size = time.monotonic_ns(), UNKNOWN, 0
        with gevent.Timeout(self.timeout_s, False):
            outcome, size = self._request(send, body)
        done_ns = time.monotonic_ns()
        block.note(due_ns, sent_ns, done_ns, outcome)
        if self.environment.runner is not None:  # by hand; the grader's own counts are enough, and cost less
            self.environment.events.request.fire(
                request_type=send.method, name=f"{send.path.split('?')[0]}: {outcome}", context={},
                response_time=(done_ns - due_ns) / 1e6, response_length=size,
                exception=ConnectionError("no answer that counts") if outcome == UNKNOWN else None,
            )  # fmt: skip

    def _request(self, send: Send, body: bytes) -> tuple[str, int]:
        """The outcome, and the size of the reply. Never raises for anything the other side does."""
        headers = {**send.headers, "Content-Type": "application/json"} if body else dict(send.headers)
        try:
            response = self._clients[send.target].request(send.method, send.path, body=body, headers=headers)
            content = response.read()
        except gevent.Timeout:
            raise
        except Exception:  # each way in which a peer can fail has an exception of its own in this client
            return UNKNOWN, 0
        status = int(response.status_code)
        if status >= 500:
            return UNKNOWN, len(content)
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError):
            reply = None
        return self.outcome(status, reply), len(content)

    @task
    def go_on(self) -> None:
        """By hand: block after block, until Locust is stopped."""
        options = self.environment.parsed_options
        if not self._blocks:
            self.connect(options.replicas.split(",") if options.replicas else [self.host or "http://127.0.0.1:8000"])
        part, self._blocks = max(0, getattr(self.environment.runner, "worker_index", 0)), self._blocks + 1
        wanted = (options.rate, options.block, f"{options.seed}/{self._blocks}")
        block = self.block(*self.put_in_place([wanted], part % options.parts, options.parts))
        logging.getLogger(__name__).info(
            "block %d: %d requests, sent %.2f ms late (median), %.2f ms (99th percentile)", self._blocks,
            block.lag.get_total_count(), block.lag.get_value_at_percentile(50) / 1e3,
            block.lag.get_value_at_percentile(99) / 1e3,
        )  # fmt: skip


def _body(send: Send) -> bytes:
    return b"" if send.body is None else json.dumps(send.body).encode()


def _client(url: str, timeout_s: float) -> HTTPClient:
    parts = urlsplit(url)
    name = parts.hostname or "127.0.0.1"
    return HTTPClient(
        name, parts.port or 80, concurrency=MOST_AT_ONCE, connection_timeout=timeout_s, network_timeout=timeout_s,
        disable_ipv6=":" not in name,
    )  # fmt: skip


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:
    parser.add_argument("--rate", type=float, default=50.0, help="Requests per second, over all workers.")
    parser.add_argument("--block", type=float, default=5.0, help="Seconds that are scheduled at a time.")
    parser.add_argument("--seed", type=str, default="1", help="Chooses arrivals and keys.")
    parser.add_argument(
        "--replicas", type=str, default="", help="URLs of the replicas, with commas; else --host alone."
    )
    parser.add_argument(
        "--parts", type=int, default=1, help="Number of workers, each with one user, of which each sends its part."
    )
