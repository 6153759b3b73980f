"""A lab without a network or processes, in virtual time: scenarios run against solutions made up in memory.

A call takes 1 ms to the solution, the service's distance to the service and back, and 1 ms home. Whatever is killed,
crashed or cut off meanwhile loses what was on its way, as it would for real.
"""

import asyncio
import hashlib
import json
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from crucible.check import Call, Content, Mode, NetworkFault, Sink, Stored, Transfer
from crucible.evidence import FaultEvent, Moved, Op, Request, Result

MS = 1_000_000
BYTES_PER_S = 200_000_000
"""Of a body, in either direction."""
EMPTY = hashlib.sha256().hexdigest()
NO_HEADERS: Mapping[str, str] = {}
NO_PROMISES: Mapping[str, str] = {}
EPOCH_NS = 1_790_000_000_123 * MS
"""Of the wall clock when virtual time begins."""


class _Jumps(selectors.SelectSelector):
    """In place of waiting for a timer, lets the loop's clock jump to it."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 0.0
        selector = _Jumps()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def in_virtual_time(work: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:

        async def run() -> None:
            await work()

        runner.run(run())


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """What is answered while a store is under a fault."""

    status: int | None
    """None: nothing."""
    reply: JsonValue
    after_ms: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A request with a body that is no JSON, or whose answer has one, as it reaches a solution."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: Content | None
    """What came of the body."""
    whole: bool
    """Whether that is all that Content-Length said; then an answer is waited for."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What it is answered: bytes of `content` from `start` on, up to `end` or its last."""

    status: int
    content: Content | None = None
    start: int = 0
    end: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reply: JsonValue = None


class MadeUp:
    """A solution made up in memory. Moments are nanoseconds of virtual time.

    Override `answer`, and of the others what the scenarios at hand do to it.
    """

    hold_ms: float = 0.0
    """How long the answer that `answer` has just given is held back."""
    sent_headers: Mapping[str, str] = NO_HEADERS
    """Those that the scenario chose, of the request that `answer` is asked for."""

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        """Status and reply of a request that reaches `target`. Raises SystemExit where that ends the process."""
        raise NotImplementedError

    def move(self, at_ns: int, target: str, sent: Sent) -> Brought:
        """The answer to a transfer, when all that comes of its body has come."""
        raise NotImplementedError

    def stored(self, now_ns: int) -> dict[str, Stored]:
        """As `Lab.stored`."""
        return {}

    def headers(self, target: str, method: str, path: str, reply: JsonValue) -> dict[str, str]:
        """Those of the answer with this reply, by name in lower case."""
        return {}

    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        """Likewise while its store is under `fault`, one of `check.NetworkFault`."""
        return LateAnswer(503, {}, 1)

    def store_crashed(self, service: str) -> None:
        """It lost what it held in `service`, where that is no durable one."""

    def processes_asked_to_end(self, targets: Sequence[str]) -> None:
        """These processes may write down what they hold."""

    def processes_crashed(self, targets: Sequence[str]) -> None:
        """These processes lost what they held."""

    def footprint(self, now_ns: int) -> dict[str, int]:
        """As `Lab.footprint`."""
        return {}


class MemoryLab:
    """Implements `check.Lab`, but for a sink and stopped processes; a reset of connections meets none. A transfer leads
    to its target, and so has to be by a path."""

    mode: Mode = "quick"
    declares: Mapping[str, str] = NO_PROMISES

    @property
    def sink(self) -> Sink:
        raise NotImplementedError

    def __init__(self, solution: MadeUp, replicas: int = 2, services: tuple[str, ...] = ("redis",)) -> None:
        self.solution = solution
        self.services = services
        self.replicas = tuple(f"web.{i}" for i in range(replicas))
        self.instances = self.replicas
        self.ops: list[Op] = []
        self.facts: dict[str, JsonValue] = {}
        self.events: list[FaultEvent] = []
        self.services_ms = 1
        self.near_since_ns = 0
        self.given_up = ""
        self.in_flight = 0
        self._fault = ""
        self._far: dict[str, int] = {}
        self._dead: set[str] = set()
        self._lives: dict[str, int] = dict.fromkeys(self.replicas, 0)

    def simulated(self, service: str) -> bool:
        return False

    def now_ns(self) -> int:
        loop = asyncio.get_running_loop()
        return int(loop.time() * 1e9)

    def wall_ns(self) -> int:
        return EPOCH_NS + self.now_ns()

    async def call(self, call: Call) -> Op:
        return await self._do(call, 0)

    async def burst(self, calls: Sequence[Call]) -> list[Op]:
        """Twelve at a time get through every 4 ms."""
        return list(await asyncio.gather(*(self._do(call, i // 12 * 4) for i, call in enumerate(calls))))

    async def paced(self, calls: Sequence[Call], gap_s: float) -> list[Op]:
        async def later(i: int, call: Call) -> Op:
            await asyncio.sleep(i * gap_s)
            return await self.call(call)

        return list(await asyncio.gather(*(later(i, call) for i, call in enumerate(calls))))

    async def configure(self, call: Call) -> list[Op]:
        targets = (call.target,) if self.services else self.replicas
        return [await self.call(replace(call, target=target)) for target in targets]

    @asynccontextmanager
    async def slow(self, ms: int, service: str | None = None, *, instance: str | None = None) -> AsyncIterator[None]:
        if instance is not None:
            self._far[instance] = ms
            yield
            del self._far[instance]
            return
        self.services_ms = ms
        yield
        self.services_ms, self.near_since_ns = 1, self.now_ns()

    @asynccontextmanager
    async def fault(self, service: str, kind: NetworkFault, *, most: int = 0) -> AsyncIterator[None]:
        self._fault = kind
        yield
        self._fault = ""

    async def reset(self, service: str) -> None:
        """A solution in memory has no connections to lose."""

    async def crash(self, service: str, down_s: float = 0.5) -> None:
        self._fault = "refuse"
        self.solution.store_crashed(service)
        await asyncio.sleep(down_s)
        self._fault = ""

    async def kill(self, *instances: str) -> None:
        self._dead.update(instances)
        for name in instances:
            self._lives[name] += 1
        self.solution.processes_crashed(instances)

    async def start(self, *instances: str) -> None:
        await asyncio.sleep(0.3)
        self._dead.difference_update(instances)

    async def terminate(self, instance: str, grace_s: float = 10.0) -> None:
        self.solution.processes_asked_to_end([instance])
        await self.kill(instance)

    @asynccontextmanager
    async def paused(self, *instances: str) -> AsyncIterator[None]:
        raise NotImplementedError
        yield

    async def footprint(self) -> dict[str, int]:
        return self.solution.footprint(self.now_ns())

    async def transfer(self, transfer: Transfer) -> Op:
        sent_ns, life = self.now_ns(), self._lives[transfer.target]
        length = 0 if transfer.sends is None else transfer.sends.size
        came = length if transfer.cut_at is None else min(length, transfer.cut_at)
        await asyncio.sleep((1 + self._way(transfer.target)) / 1000 + came / (transfer.sends_per_s or BYTES_PER_S))
        whole = came == length if transfer.length is None else came == transfer.length
        content = Content(transfer.sends.seed, came) if transfer.sends is not None else None
        request = Sent(transfer.method, transfer.url, transfer.headers, content, whole)
        brought, error = None, "connection closed before any reply"
        if transfer.target in self._dead:
            error = "connection refused"
        elif self._lives[transfer.target] == life and not (self._fault and self.services):
            brought = self.solution.move(self.now_ns(), transfer.target, request)
            error = "the client went away" if not whole else ""
        return await self._moved(transfer, brought if whole else None, came, sent_ns, error)

    async def _moved(self, transfer: Transfer, brought: Brought | None, came: int, sent_ns: int, error: str) -> Op:
        start, end = (brought.start, brought.end) if brought is not None else (0, 0)
        content = brought.content if brought is not None else None
        size = (content.size if end is None else end) - start if content is not None else 0
        taken = size if transfer.leaves_at is None else min(size, transfer.leaves_at)
        begun_ns = self.now_ns()
        await asyncio.sleep(taken / (transfer.takes_per_s or BYTES_PER_S) + (1 + self._way(transfer.target)) / 1000)
        digest = content.sha256(start, start + taken) if content is not None else EMPTY
        moved = Moved(came, taken, digest, brought is not None and taken == size, begun_ns if taken else None)
        status = brought.status if brought is not None and taken == size else None
        asked = Call(transfer.target, transfer.method, transfer.url, None, transfer.name, headers=transfer.headers)
        one = recorded(
            asked, status, brought.reply if brought is not None else None, error=error or None, sent_ns=sent_ns,
            received_ns=self.now_ns(), headers=brought.headers if brought is not None else {},
        )  # fmt: skip
        self.ops.append(replace(one, moved=moved))
        return self.ops[-1]

    async def stored(self) -> dict[str, Stored]:
        return self.solution.stored(self.now_ns())

    async def on_disk(self) -> dict[str, int]:
        return dict.fromkeys(self.instances, 0)

    async def received(self) -> dict[str, int]:
        return dict.fromkeys(self.instances, 0)

    async def exchanged(self) -> dict[str, int]:
        return dict.fromkeys(self.services, 0)

    def recorded(self, scenario: str) -> tuple[Op, ...]:
        return ()

    def note(self, name: str, value: JsonValue) -> None:
        self.facts[name] = value

    def give_up(self, why: str) -> None:
        self.given_up = why

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _do(self, call: Call, delay_ms: float) -> Op:
        text = call.raw.decode("utf-8", "replace") if call.raw is not None else json.dumps(call.body)
        asked = (call.target, call.method, call.path, text)
        sent, life = self.now_ns(), self._lives[call.target]
        status, reply, error = None, None, None
        self.in_flight += 1
        if call.target in self._dead:
            error = "connection refused"
        else:
            await asyncio.sleep((1 + delay_ms + self._way(call.target)) / 1000)
            if self._lives[call.target] != life:
                error = "connection closed before any reply"
            elif self._fault and self.services:
                late = self.solution.without_store(self.now_ns(), *asked, fault=self._fault)
                status, reply = late.status, late.reply
                await asyncio.sleep(min(late.after_ms / 1000, call.timeout_s))
                error = f"no answer within {call.timeout_s:g} s" if status is None else None
            else:
                try:
                    self.solution.sent_headers = call.headers
                    status, reply = self.solution.answer(self.now_ns(), *asked)
                    hold_ms, self.solution.hold_ms = self.solution.hold_ms, 0.0
                    await asyncio.sleep(hold_ms / 1000)
                except SystemExit:
                    self._dead.add(call.target)
                    self.events.append(FaultEvent("died", call.target, self.now_ns()))
            await asyncio.sleep((1 + self._way(call.target)) / 1000)
            if self._lives[call.target] != life or (status is None and error is None):
                status, reply, error = None, None, "connection closed before any reply"
        self.in_flight -= 1
        headers = self.solution.headers(call.target, call.method, call.path, reply) if status is not None else {}
        op = recorded(
            call, status, reply, error=error, sent_ns=sent, received_ns=self.now_ns(), headers=headers
        )  # fmt: skip
        self.ops.append(op)
        return op

    def _way(self, target: str) -> int:
        """Milliseconds to the service, where that is worth modelling: 1 ms is part of every call's own."""
        far = self._far.get(target, self.services_ms)
        return far if far > 1 and self.services else 0


def recorded(
    call: Call, status: int | None, reply: JsonValue, *, error: str | None, sent_ns: int, received_ns: int,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Op:  # fmt: skip
    """What evidence says of a call that was answered with `status`, or not at all."""
    if status is None:
        result = Result.REFUSED if error == "connection refused" else Result.UNKNOWN
    else:
        result = Result.UNKNOWN if status >= 500 else Result.OK if status < 400 else Result.REFUSED
        error = f"answered {status}" if status >= 500 else None
    request = Request(call.method, call.path, "words" if call.raw is not None else call.body, dict(call.headers))
    return Op(
        "grader", call.name, call.target, request, result, status, reply, error, sent_ns, received_ns, dict(headers)
    )  # fmt: skip
