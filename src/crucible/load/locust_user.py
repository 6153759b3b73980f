"""The open-model Locust user: one for each process, which sends what is due, when it is due.

Importing Locust changes the standard library (gevent); only the load's own process, or `locust` itself, imports this.
By hand a challenge's `hidden/load.py` is an ordinary locustfile: `locust -f hidden/load.py --host http://127.0.0.1:8000`.
"""

import gc
import logging
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, ClassVar
from urllib.parse import quote

import gevent
from gevent.pool import Pool
from locust import User, constant, events, task

from crucible.content import Content
from crucible.load.asking import MOST_AT_ONCE, Replicas, encoded
from crucible.load.block import (
    UNKNOWN,
    Answer,
    Asks,
    Block,
    Came,
    Course,
    KeptFields,
    Later,
    Move,
    MovedAnswer,
    Prepared,
    Send,
    kept,
)
from crucible.load.schedule import arrivals
from crucible.load.timer import Timer

__all__ = [
    "UNKNOWN", "Asks", "Block", "Came", "Content", "Course", "KeptFields", "Later", "Move", "OpenModelUser", "Prepared",
    "Send",
]  # fmt: skip

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
LEGAL_IN_A_PATH = "/?#[]@!$&'()*+,;=:%"


class OpenModelUser(User):
    """A challenge derives from it, and says what is sent and what the answers mean.

    What is sent may depend on earlier answers, but never on when they come: a request with `keep="id"` keeps that field
    of its answer, and a function in place of a request is called when it is due, with what was kept by then:

        def _read(index: int, kept: KeptFields) -> Send:
            ids = kept["id"]
            return Send("GET", f"/things/{ids[index % len(ids)]}" if ids else "/things/none", label="/things/ID")

        creates = [Send("POST", "/things", {"n": n}, n % replicas, keep="id") for n in range(100)]
        return creates, [partial(_read, index) for index in range(number)]

    What it returns is sent at once, whether or not an answer was there; the time that it takes counts as lateness of
    the generator's own. Ids are the solution's words: an author's function gets texts and numbers only, and what no
    path may hold is encoded.
    """

    abstract = True
    wait_time = constant(0)
    timeout_s: ClassVar[float] = 2.0
    """A request that has no answer by then counts as unanswered."""

    def prepare(
        self, rng: Random, rate: float, replicas: int, number: int
    ) -> tuple[Sequence[Send | Course], Sequence[Send | Course | Later]]:
        """What has to be in place beforehand, and the `number` requests of a block, in the order of sending; those may
        be functions, as said above, or courses of several requests."""
        raise NotImplementedError

    def outcome(self, status: int, reply: Any) -> str:
        """What an answer below 500 is called; `UNKNOWN` where it says nothing."""
        raise NotImplementedError

    def on_start(self) -> None:
        self._replicas = Replicas([], self.timeout_s)
        self._in_place: set[tuple[str, str, int, bytes]] = set()
        self._put: dict[str, list[str]] = defaultdict(list)
        """What was kept of what was put in place."""
        self._blocks = 0
        self._pacer: socket.socket | None = None
        self.shared = False
        self.connect([self.host or "http://127.0.0.1:8000"])

    def connect(self, urls: Sequence[str], *, shared: bool = False, ports: Sequence[int] = ()) -> None:
        """The replicas to send to, whether they share a store, so that one of them is enough to configure all, and the
        ports of services that they may send a client to."""
        self._replicas.close()
        self._replicas, self.shared = Replicas(urls, self.timeout_s, ports), shared

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
        before: list[Send | Course] = []
        for rate, seconds, seed in blocks:
            due = arrivals(rate, seconds, seed, part=part, parts=parts)
            own = seed if parts == 1 else f"{seed}/{part}"  # each worker asks for things of its own
            first, sends = self.prepare(Random(f"load/{own}"), rate, len(self._replicas), len(due))
            before += first
            prepared.append(
                Prepared(seconds, due, sends, [encoded(send) if isinstance(send, Send) else b"" for send in sends])
            )
        waiting: list[tuple[Send, bytes]] = []
        courses = [it for it in before if isinstance(it, Course)]
        for send in (it for it in before if isinstance(it, Send)):
            body = encoded(send)
            for target in range(len(self._replicas)) if send.everywhere and not self.shared else (send.target,):
                if (one := (send.method, send.path, target, body)) not in self._in_place:
                    self._in_place.add(one)
                    waiting.append((replace(send, target=target), body))
        if waiting or courses:
            pool = Pool(SETTING_UP)
            with gevent.Timeout(SET_UP_WITHIN_S, False):  # who hangs is asked no more; the blocks will show it
                for send, body in waiting:
                    pool.spawn(self._ask, send, body, self._put)
                running = [pool.spawn(course.run, self) for course in courses]
                pool.join()
            pool.kill()
            if failed := next((it.exception for it in running if isinstance(it.exception, Exception)), None):
                raise failed
            gevent.sleep(IN_FORCE_S)
        return prepared

    def block(self, prepared: Prepared) -> Block:
        """Send one block: each request at its moment, whatever has become of the earlier ones."""
        warm = [Send("GET", "/healthz", target=index) for index in range(len(self._replicas))]
        gevent.joinall([gevent.spawn(self._ask, send, b"", self._put) for send in warm * WARM])
        gc.collect()
        gc.freeze()
        start = time.monotonic_ns() + AHEAD_NS
        block, seen = Block(start), defaultdict(list, {name: list(values) for name, values in self._put.items()})
        under_way: set[gevent.Greenlet] = set()
        echoing = gevent.spawn(self._echo, block)
        with Timer() as timer:
            for offset, send, body in zip(prepared.due, prepared.sends, prepared.bodies, strict=True):
                if block.failure is not None:
                    raise block.failure
                due_ns = start + offset
                timer.sleep_until(due_ns)
                if len(under_way) >= MOST_AT_ONCE:
                    apart = send.apart if isinstance(send, Course) else ""
                    block.note(due_ns, due_ns, due_ns + self._timeout_ns, UNKNOWN, apart)
                    continue
                if isinstance(send, Course):
                    greenlet = gevent.spawn(self._course, block, due_ns, send)
                else:
                    if not isinstance(send, Send):
                        send = _made(send, seen)
                        body = encoded(send)
                    greenlet = gevent.spawn(self._one, block, due_ns, send, body, seen)
                under_way.add(greenlet)
                greenlet.rawlink(under_way.discard)
            timer.sleep_until(start + int(prepared.seconds * 1e9))
        block.ended_ns = time.monotonic_ns()
        gevent.kill(echoing)
        gevent.joinall(list(under_way), timeout=2 * self.timeout_s)
        gevent.killall(list(under_way))
        gc.unfreeze()
        if block.failure is not None:
            raise block.failure
        return block

    @property
    def _timeout_ns(self) -> int:
        return int(self.timeout_s * 1e9)

    def _one(self, block: Block, due_ns: int, send: Send, body: bytes, seen: dict[str, list[str]]) -> None:
        sent_ns, outcome = time.monotonic_ns(), UNKNOWN
        answer: Answer | None = None
        with gevent.Timeout(self.timeout_s, False):
            answer = self._ask(send, body, seen)
        done_ns = time.monotonic_ns()
        if answer is not None and answer.status < 500:
            try:
                outcome = self.outcome(answer.status, answer.reply)
            except Exception as error:  # the challenge's own; `block` raises it
                block.failure = error
        block.note(due_ns, sent_ns, done_ns, outcome)
        name = send.label or send.path.split("?")[0]
        self._tell(send.method, name, outcome, done_ns - due_ns, answer.size if answer is not None else 0)

    def _course(self, block: Block, due_ns: int, course: Course) -> None:
        sent_ns, came = time.monotonic_ns(), Came(UNKNOWN)
        with gevent.Timeout(self.timeout_s, False):
            try:
                came = course.run(self)
            except gevent.Timeout:
                raise
            except Exception as error:  # the challenge's own; `block` raises it
                block.failure = error
        lost_ns = due_ns + self._timeout_ns if course.apart and came.outcome == UNKNOWN else None
        done_ns = came.at_ns or lost_ns or time.monotonic_ns()
        block.note(due_ns, sent_ns, done_ns, came.outcome, course.apart)
        self._tell("course", course.label or course.apart, came.outcome, done_ns - due_ns, 0)

    def _tell(self, kind: str, name: str, outcome: str, took_ns: int, size: int) -> None:
        """Locust's statistics, by hand; the grader's own counts are enough, and cost less."""
        if self.environment.runner is not None:
            self.environment.events.request.fire(
                request_type=kind, name=f"{name}: {outcome}", context={},
                response_time=took_ns / 1e6, response_length=size,
                exception=ConnectionError("no answer that counts") if outcome == UNKNOWN else None,
            )  # fmt: skip

    def ask(self, send: Send) -> Answer | None:
        """Of a course."""
        return self._replicas.ask(send, encoded(send))

    def move(self, move: Move) -> MovedAnswer | None:
        """Of a course."""
        return self._replicas.move(move)

    def _ask(self, send: Send, body: bytes, seen: dict[str, list[str]]) -> Answer | None:
        """The answer, of which `seen` is given what is to be kept."""
        answer = self._replicas.ask(send, body)
        if answer is not None and (value := kept(send, answer.status, answer.reply)) is not None:
            seen[send.keep].append(value)
        return answer

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


def _made(later: Later, seen: KeptFields) -> Send:
    """The request that is due now; what a solution named may hold anything, and a path may not."""
    send = later(seen)
    return replace(send, path=quote(send.path, safe=LEGAL_IN_A_PATH))


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
