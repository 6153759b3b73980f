"""What a scenario holds in its hands: the `check.Lab` of one recording."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from pydantic import JsonValue

from crucible.check import Call, Mode, NetworkFault, Sink, Stored, Transfer
from crucible.errors import CrucibleError
from crucible.evidence import FaultEvent, Op, Problem, Recording, Request, Result
from crucible.lab import transfers, untrusted
from crucible.lab.client import Reply
from crucible.lab.connection import encode
from crucible.lab.faults import Faults
from crucible.lab.lab import RunningLab

SHOWN_BODY = 2048
"""Bytes of a request's body that evidence keeps as they are."""


class Observer:
    """Implements `check.Lab` for one scenario, and keeps its recording."""

    def __init__(self, lab: RunningLab, scenario: str, phase: str) -> None:
        self._lab = lab
        self._scenario = scenario
        self._phase = phase
        self._started = lab.now_ns()
        self._ops: list[Op] = []
        self._events: list[FaultEvent] = []
        self._facts: dict[str, JsonValue] = {}
        self._late_s: list[float] = []
        self._faults = Faults(lab, self.happened)
        self.budget: asyncio.Timeout | None = None
        """How long the scenario may take. The start of a process has a deadline of its own, which is no part of it."""
        self.not_back: CrucibleError | None = None
        """How the solution did not come back when the scenario started it again."""

    @property
    def replicas(self) -> tuple[str, ...]:
        return tuple(self._lab.web)

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(self._lab.servers)

    def simulated(self, service: str) -> bool:
        return service in self._lab.servers and self._lab.servers[service].source.stands_in

    @property
    def mode(self) -> Mode:
        return self._lab.plan.mode

    @property
    def declares(self) -> Mapping[str, str]:
        return self._lab.plan.solution.declares

    def now_ns(self) -> int:
        return self._lab.now_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    async def call(self, call: Call) -> Op:
        running = self._lab.web[call.target]
        body = call.raw
        if body is None and call.body is not None:
            body = json.dumps(call.body).encode()
        sent = encode(
            call.method, running.port, call.path, body, call.content_type, headers=call.headers
        )  # fmt: skip
        reply = await self._lab.client.request(running.host, running.port, sent, call.timeout_s)
        request = Request(call.method, call.path, _shown(call, body), dict(call.headers))
        op = _op(call, request, reply, self._lab, json_reply=call.json_reply)
        self._ops.append(op)
        return op

    async def burst(self, calls: Sequence[Call]) -> list[Op]:
        for target in {call.target for call in calls}:
            running = self._lab.web[target]
            number = sum(call.target == target for call in calls)
            await self._lab.client.warm(running.host, running.port, number, 5.0)
        return list(await asyncio.gather(*(self.call(call) for call in calls)))

    async def paced(self, calls: Sequence[Call], gap_s: float) -> list[Op]:
        loop = asyncio.get_running_loop()
        begun = loop.time()

        async def at(moment: float, call: Call) -> Op:
            await self._sleep_until(moment)
            return await self.call(call)

        return list(await asyncio.gather(*(at(begun + i * gap_s, call) for i, call in enumerate(calls))))

    async def transfer(self, transfer: Transfer) -> Op:
        place = transfers.address(transfer.url, self._lab.web[transfer.target].url)
        there = self._lab.who_listens(place.port) if place is not None else None
        head = transfers.head(transfer, place) if place is not None else None
        moved = None
        if place is None or there is None:
            reply = _not_sent("its address leads neither to the solution nor to a service of its own")
        elif head is None:
            reply = _not_sent("a header that it is to be sent with is none")
        else:
            done = await transfers.transfer(transfer, place, head)
            reply, moved = done.reply, done.moved
            if moved.first_byte_ns is not None:
                moved = replace(moved, first_byte_ns=moved.first_byte_ns - self._lab.begun_ns)
        op = _op(transfer, _moving(transfer), reply, self._lab, json_reply=False)
        if moved is not None and there is not None:
            op = replace(op, target=there, headers=dict(reply.headers), moved=moved)
        self._ops.append(op)
        return op

    async def configure(self, call: Call) -> list[Op]:
        targets = (call.target,) if self._lab.servers else self.replicas
        return list(await asyncio.gather(*(self.call(replace(call, target=target)) for target in targets)))

    @property
    def instances(self) -> tuple[str, ...]:
        return tuple(self._lab.instances)

    @property
    def in_flight(self) -> int:
        return self._lab.client.in_flight

    def slow(
        self, ms: int, service: str | None = None, *, instance: str | None = None
    ) -> AbstractAsyncContextManager[None]:
        return self._faults.slow(ms, service, instance)

    def fault(self, service: str, kind: NetworkFault, *, most: int = 0) -> AbstractAsyncContextManager[None]:
        return self._faults.network(service, kind, most)

    async def reset(self, service: str) -> None:
        await self._faults.reset(service)

    async def crash(self, service: str, down_s: float = 0.5) -> None:
        await self._faults.crash(service, down_s)

    async def kill(self, *instances: str) -> None:
        await self._faults.kill(instances)

    async def start(self, *instances: str) -> None:
        begun, end = asyncio.get_running_loop().time(), self.budget.when() if self.budget is not None else None
        if self.budget is not None and end is not None:
            self.budget.reschedule(None)
        try:
            await self._faults.start(instances)
        except CrucibleError as error:
            self.not_back = error
            raise
        finally:
            if self.budget is not None and end is not None:
                self.budget.reschedule(end + asyncio.get_running_loop().time() - begun)

    async def terminate(self, instance: str, grace_s: float = 10.0) -> None:
        await self._faults.terminate(instance, grace_s)

    def paused(self, *instances: str) -> AbstractAsyncContextManager[None]:
        return self._faults.paused(instances)

    @property
    def sink(self) -> Sink:
        return self._faults.sink

    async def footprint(self) -> dict[str, int]:
        return await self._lab.tally.footprint()

    async def stored(self) -> dict[str, Stored]:
        return await self._lab.tally.stored()

    async def on_disk(self) -> dict[str, int]:
        return {name: await asyncio.to_thread(it.on_disk) for name, it in self._lab.instances.items()}

    async def received(self) -> dict[str, int]:
        return await self._lab.network.received()

    async def exchanged(self) -> dict[str, int]:
        return await self._lab.exchanged()

    def recorded(self, scenario: str) -> tuple[Op, ...]:
        return self._lab.recorded.get(scenario, ())

    def note(self, name: str, value: JsonValue) -> None:
        self._facts[name] = value

    def give_up(self, why: str) -> None:
        self._lab.given_up = self._lab.given_up or why

    async def sleep(self, seconds: float) -> None:
        await self._sleep_until(asyncio.get_running_loop().time() + seconds)

    async def _sleep_until(self, moment: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(moment - loop.time())
        self._late_s.append(max(0.0, loop.time() - moment))

    def happened(self, event: FaultEvent) -> None:
        """Record something that the grader did, or that it saw happen."""
        self._events.append(event)

    def recording(self, problem: Problem | None) -> Recording:
        return Recording(
            scenario=self._scenario,
            phase=self._phase,
            started_ns=self._started,
            ended_ns=self.now_ns(),
            ops=tuple(sorted(self._ops, key=lambda op: op.sent_ns)),
            events=tuple(self._events),
            facts=self._facts,
            problem=problem,
            lag_ms=round(_percentile(self._late_s, 0.99) * 1000, 3),
        )


def _percentile(values: list[float], share: float) -> float:
    """The smallest value that at least that share do not exceed (nearest rank); 0 of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0


def _op(asked: Call | Transfer, request: Request, reply: Reply, lab: RunningLab, *, json_reply: bool) -> Op:
    known = classify(reply, json_reply, lab.may_keep)
    return Op(
        client=asked.client,
        name=asked.name,
        target=asked.target,
        request=request,
        result=known.result,
        status=reply.status,
        reply=known.content,
        error=known.error,
        sent_ns=reply.sent_ns - lab.begun_ns,
        received_ns=reply.received_ns - lab.begun_ns,
        headers=untrusted.telling(reply.headers, is_json=known.content is not None),
    )


def _not_sent(why: str) -> Reply:
    now = time.monotonic_ns()
    return Reply(None, b"", why, now, now, never_sent=True)


def _moving(transfer: Transfer) -> Request:
    said = transfer.sends
    body = f"{said.size} bytes, of the seed {said.seed}" if said is not None else None
    headers = {name: value for name, value in transfer.headers.items() if untrusted.can_be_kept([name, value])}
    return Request(transfer.method, untrusted.text(transfer.url), body, headers)


def _shown(call: Call, body: bytes | None) -> JsonValue:
    if call.raw is not None or (body is not None and len(body) > SHOWN_BODY) or not untrusted.can_be_kept(call.body):
        start = (body or b"")[:60].decode("utf-8", "replace")
        return f"{len(body or b'')} bytes of {call.content_type}: {start}"
    return call.body


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an operation from its reply."""

    result: Result
    content: JsonValue = None
    """The reply's JSON."""
    error: str | None = None
    """Why there is nothing definite."""


def classify(reply: Reply, json_reply: bool, may_keep: Callable[[int], bool]) -> Known:
    """As `Result` says. `json_reply`: whether the contract promises JSON with a 2xx; `may_keep` says whether a reply of
    so many bytes still fits into what the run keeps."""
    if reply.status is None:
        return Known(Result.REFUSED if reply.never_sent else Result.UNKNOWN, error=reply.error)
    if reply.status >= 500:
        return Known(Result.UNKNOWN, untrusted.parse(reply.body), f"answered {reply.status}")
    if reply.status >= 400:
        return Known(Result.REFUSED, untrusted.parse(reply.body))
    if reply.body and not may_keep(len(reply.body)):
        return Known(Result.UNKNOWN, error="the replies of this run are larger than the grader keeps")
    content = untrusted.parse(reply.body)
    if content is None and json_reply and reply.status < 300:
        start = reply.body[:60].decode("utf-8", "replace")
        return Known(Result.UNKNOWN, error=f"answered {reply.status} with a body that is not JSON: {start!r}")
    return Known(Result.OK, content)
