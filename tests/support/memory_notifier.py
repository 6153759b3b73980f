"""A lab in virtual time with a sink, against notification services made up in memory.

The sink decides with the real ledger. A service keeps its notifications in a store that survives crashes of processes,
and has two workers; each way in which one can be wrong has a name.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from pydantic import JsonValue

from crucible.authoring.memory_lab import EPOCH_NS, MadeUp, MemoryLab, recorded
from crucible.check import Call, SinkFault
from crucible.evidence import Attempt, FaultEvent, Op
from crucible.lab.ledger import CALM, Ledger

CHANNELS = ("email", "sms", "push")
LEASE_NS, POLL_S = 4_000_000_000, 0.2
FULL_JITTER = "draws its pauses between nothing and a bound that grows"
IN_PROGRESS = "says 409, in progress, to a key that it is just writing down"
TOO_EARLY = "says 425 to it"
"""No flaws, all three."""
BUSY = "asks who comes in a burst to come again"
"""No flaw: a design that does it all in the request can do no other."""


class MemorySink:
    """Implements `check.Sink`."""

    def __init__(self, lab: "NotifierLab") -> None:
        self._lab = lab
        self.ledger = Ledger(7)
        self.attempts: list[Attempt] = []
        self._callers: dict[int, str] = {}
        self._healed: dict[str, asyncio.Event] = {}
        self._waiting: list[tuple[str | None, asyncio.Future[Attempt]]] = []
        self.url = "http://127.0.0.1:9"

    def reject(self, recipient: str) -> None:
        self.ledger.rejected.add(recipient)

    @asynccontextmanager
    async def fault(self, channel: str, fault: SinkFault) -> AsyncIterator[None]:
        self.ledger.faults[channel] = fault
        self._healed[channel] = asyncio.Event()
        try:
            yield
        finally:
            self.ledger.faults.pop(channel, None)
            self._healed.pop(channel).set()

    async def next_call(self, channel: str | None = None) -> Attempt:
        future: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()
        self._waiting.append((channel, future))
        return await future

    async def caller(self, attempt: Attempt) -> str | None:
        return self._callers.get(attempt.number)

    async def send(self, caller: str, channel: str, key: str | None, body: JsonValue) -> tuple[int, float]:
        """Status and `Retry-After` of a call; cancelled, nobody hears of its answer."""
        now = self._lab.now_ns()
        said = self.ledger.decide(channel, key, body, now)
        number = len(self.attempts)
        self._callers[number] = caller
        attempt = Attempt(number, f"/{channel}/send", key, body, now, said.status, said.effect, said.why, None)
        self.attempts.append(attempt)
        for wanted, future in self._waiting:
            if not future.done() and wanted in (None, channel):
                future.set_result(attempt)
        self.ledger.begin(key)
        try:
            if said.status is None:
                await self._healed[channel].wait()
            else:
                await asyncio.sleep(self.ledger.faults.get(channel, CALM).delay_ms / 1000)
        finally:
            self.ledger.end(key)
        status = said.status or 503
        self.attempts[number] = Attempt(
            number, f"/{channel}/send", key, body, now, status, said.effect, said.why, self._lab.now_ns()
        )
        return status, float(said.retry_after_s or 0)


@dataclass
class Kept:
    id: str
    key: str
    user: str
    channel: str
    body: JsonValue
    high: bool
    due_ns: int
    state: str = "queued"
    attempts: int = 0
    leased_until_ns: int = 0


@dataclass
class Notifier:
    """An outbox with two workers, as it should be; `flaw` names what is wrong with it."""

    lab: "NotifierLab"
    flaw: str = ""
    kept: dict[str, Kept] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)
    unwanted: set[tuple[str, str]] = field(default_factory=set)
    resumes_ns: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: dict[tuple[str, str], str] = field(default_factory=dict)
    """What a replica remembers, where it answers from its own memory."""
    cached: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    heads: dict[str, asyncio.Lock] = field(default_factory=lambda: {channel: asyncio.Lock() for channel in CHANNELS})
    shared: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))

    remembered: set[str] = field(default_factory=set)
    """What was cancelled, where only the workers' memory says so."""
    writing: set[str] = field(default_factory=set)
    lots: Random = field(default_factory=lambda: Random(5))

    @property
    def waiting(self) -> tuple[str, ...]:
        """States of what is still to be delivered."""
        return ("queued", "failed") if self.flaw == "failed after every try" else ("queued",)

    async def accept(self, target: str, key: str, body: dict[str, Any]) -> tuple[int, JsonValue]:
        right = key and body.get("channel") in CHANNELS and isinstance(body.get("user"), str) and "template" in body
        if not right and self.flaw != "accepts anything":
            return 400, {}
        known = self.by_key.get(str(body) if self.flaw == "equal messages collapse" else key)
        if self.flaw == "looks, then inserts":
            await asyncio.sleep(self.lab.services_ms * 2 / 1000)
        if known is None and self.flaw in (IN_PROGRESS, TOO_EARLY):
            if key in self.writing:
                return (409 if self.flaw == IN_PROGRESS else 425), {}
            self.writing.add(key)
            await asyncio.sleep(0.02)
            self.writing.discard(key)
        if known is not None:
            return 202, {"id": known, "state": self.kept[known].state}
        number = f"n{len(self.kept)}"
        due = self._moment(body.get("send_after"))
        user, channel, high = str(body.get("user")), str(body.get("channel")), body.get("priority") == "high"
        one = Kept(number, key, user, channel, body, high, due)
        if self._opted_out(target, one.user, one.channel) and self.flaw != "publishes before it looks":
            one.state = "suppressed"
        self.kept[number] = one
        self.by_key[str(body) if self.flaw == "equal messages collapse" else key] = number
        self.seen[target, number] = one.state
        state = one.state
        if self.flaw == "publishes before it looks" and (one.user, one.channel) in self.unwanted:
            state = "suppressed"
        return 202, {"id": number, "state": state}

    def _moment(self, value: object) -> int:
        if not isinstance(value, str):
            return 0
        at = int(datetime.fromisoformat(value).timestamp() * 1e9) - EPOCH_NS
        return at - 700_000_000 if self.flaw == "early" else at

    def _opted_out(self, target: str, user: str, channel: str) -> bool:
        if self.flaw == "opt-out cached":
            return self.cached.setdefault((target, user, channel), (user, channel) in self.unwanted)
        return (user, channel) in self.unwanted

    async def answer(self, target: str, call: Call) -> tuple[int, JsonValue]:
        """Any request."""
        parts = call.path.strip("/").split("/")
        if call.raw is not None or (call.body is not None and not isinstance(call.body, dict)):
            return (202, {"id": "x"}) if self.flaw == "accepts anything" else (400, {})
        if call.path == "/healthz":
            return 200, {}
        if self.flaw == BUSY and call.name == "burst":
            return 503, {}
        if parts[1:] == ["notifications"] and call.method == "POST" and isinstance(call.body, dict):
            return await self.accept(target, call.headers.get("Idempotency-Key", ""), call.body)
        if parts[1] == "users" and isinstance(call.body, dict):
            for channel, wanted in call.body.items():
                (self.unwanted.discard if wanted else self.unwanted.add)((parts[2], channel))
            return 200, call.body
        one = self.kept.get(parts[-1])
        if one is None:
            return 404, {}
        if call.method == "DELETE":
            if one.state == "queued" and one.attempts == 0:
                one.state = "cancelled" if self.flaw not in ("cancels nothing", "cancelled in memory") else "queued"
                if self.flaw == "cancelled in memory":
                    self.remembered.add(one.id)
                return 200, {}
            return 409, {}
        state = one.state
        if self.flaw == "state from the replica":
            state = self.seen.get((target, one.id), one.state)
        return 200, {"id": one.id, "state": state, "attempts": one.attempts}

    async def work(self, worker: str) -> None:
        """One worker, until it is killed."""
        busy: set[asyncio.Task[None]] = set()
        try:
            while True:
                await self.lab.running(worker)
                for channel in CHANNELS:
                    for one in self._claim(channel, 16 - sum(it.get_name() == channel for it in busy)):
                        task = asyncio.create_task(self._deliver(worker, one), name=channel)
                        busy.add(task)
                        task.add_done_callback(busy.discard)
                await asyncio.sleep(POLL_S)
        finally:
            for task in busy:
                task.cancel()

    def _claim(self, channel: str, number: int) -> list[Kept]:
        now = self.lab.now_ns()
        if self.lab.away or self.flaw == "delivers nothing":
            return []
        due = [
            it for it in self.kept.values()
            if it.state in self.waiting and it.channel == channel and it.due_ns <= now and it.leased_until_ns < now
        ]  # fmt: skip
        due = [it for it in due if it.id not in self.remembered]
        if self.flaw == "looks every five seconds":
            due = [it for it in due if it.due_ns <= now // 5_000_000_000 * 5_000_000_000]
        due.sort(key=lambda it: (not it.high and self.flaw != "one line for all", it.due_ns))
        claimed = []
        for one in due[: max(0, number)]:
            blind = self.flaw in ("opt-out cached", "publishes before it looks")
            if (one.user, one.channel) in self.unwanted and not blind:
                one.state = "suppressed"
                continue
            one.leased_until_ns, one.attempts = now + LEASE_NS, one.attempts + 1
            claimed.append(one)
        return claimed

    async def _deliver(self, worker: str, one: Kept) -> None:
        if self.flaw in ("acknowledges before it sends", "sent before the call"):
            one.state = "sent"
        await self._turn(worker, one.channel)
        await self.lab.running(worker)
        key: str | None = one.id
        if self.flaw == "a new key for every attempt":
            key = f"{one.id}/{one.attempts}"
        elif self.flaw == "a key of the worker's own":
            key = f"{one.id}/{worker}"
        body: JsonValue = {"to": one.user, "body": "hello", "ref": one.id}
        if self.flaw in ("one pool for all channels", "poison at the head"):
            async with self.shared if self.flaw == "one pool for all channels" else self.heads[one.channel]:
                status, wait_s = await self._call(worker, one, key, body)
        else:
            status, wait_s = await self._call(worker, one, key, body)
        await self.lab.running(worker)
        while self.lab.away:
            await asyncio.sleep(0.1)
        self._finish(worker, one, status, wait_s)

    async def _call(self, worker: str, one: Kept, key: str | None, body: JsonValue) -> tuple[int, float]:
        sink = self.lab.memory_sink
        for tries in range(40 if self.flaw == "retries at once" else 8 if self.flaw == "poison at the head" else 1):
            if tries and self.flaw == "poison at the head":
                await asyncio.sleep(0.5)
            try:
                status, wait_s = await asyncio.wait_for(sink.send(worker, one.channel, key, body), 2.5)
            except TimeoutError:
                return 0, 0.0
            if status == 200:
                break
        return status, wait_s

    async def _turn(self, worker: str, channel: str) -> None:
        """Forty a second, and not before the provider wants to hear from this worker again."""
        while True:
            now = self.lab.now_ns()
            mine = max(now, self.resumes_ns.get((worker, channel), 0))
            self.resumes_ns[worker, channel] = mine + 25_000_000
            await asyncio.sleep((mine - now) / 1e9)
            return

    def _finish(self, worker: str, one: Kept, status: int, wait_s: float) -> None:
        if one.state not in self.waiting and self.flaw != "sent before the call":
            return
        one.leased_until_ns = 0
        if status == 200:
            one.state = "sent"
        elif (status, self.flaw) == (400, "queued for ever"):
            one.state, one.due_ns = "queued", 1 << 62
        elif (status, self.flaw) == (429, "drops on 429") or (status == 400 and self.flaw != "retries for ever"):
            one.state = "failed"
        else:
            one.state = "queued"
            if status == 429:
                at = self.lab.now_ns() + int((wait_s + 0.1) * 1e9)
                self.resumes_ns[worker, one.channel] = max(self.resumes_ns[worker, one.channel], at)
            pause = 0.25 if self.flaw == "retries for ever" else min(8.0, 0.5 * 2 ** (one.attempts - 1))
            if self.flaw == "tries again too late":
                pause = one.attempts**4 + 15 + 20 * (one.attempts + 1)
            elif self.flaw == FULL_JITTER:
                pause = self.lots.uniform(0.05, pause)
            elif self.flaw == "failed after every try":
                one.state, pause = "failed", 1.0
            one.due_ns = self.lab.now_ns() + int(pause * 1e9)

    def crashed(self, names: Sequence[str]) -> None:
        if "worker.0" in names:
            self.remembered.clear()
        if self.flaw == "a list in memory" and "web.0" in names:
            for one in self.kept.values():
                if one.state == "queued":
                    one.state = "lost"


class NotifierLab(MemoryLab):
    """Two replicas and two workers."""

    def __init__(self, flaw: str = "", services: tuple[str, ...] = ("postgres",)) -> None:
        super().__init__(MadeUp(), 2, services)
        self.memory_sink = MemorySink(self)
        self.service = Notifier(self, flaw)
        self.workers = ("worker.0", "worker.1")
        self.instances = (*self.replicas, *self.workers)
        self._lives = dict.fromkeys(self.instances, 0)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped: dict[str, asyncio.Event] = {}
        self.away = False

    @property
    def sink(self) -> MemorySink:
        return self.memory_sink

    def begin(self) -> None:
        for name in self.workers:
            self._tasks[name] = asyncio.create_task(self.service.work(name))

    async def end(self) -> None:
        for task in self._tasks.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def running(self, worker: str) -> None:
        """Wait while this worker is paused."""
        if (stopped := self._stopped.get(worker)) is not None:
            await stopped.wait()

    async def kill(self, *instances: str) -> None:
        at = self.now_ns()
        for name in instances:
            self._lives[name] += 1
            self._dead.add(name)
            if (task := self._tasks.pop(name, None)) is not None:
                task.cancel()
        self.service.crashed(instances)
        self.events += [FaultEvent("kill", name, at, at) for name in instances]
        await asyncio.sleep(0)

    async def start(self, *instances: str) -> None:
        await asyncio.sleep(0.3)
        for name in instances:
            self._dead.discard(name)
            if name in self.workers:
                self._tasks[name] = asyncio.create_task(self.service.work(name))

    @asynccontextmanager
    async def paused(self, *instances: str) -> AsyncIterator[None]:
        for name in instances:
            self._stopped[name] = asyncio.Event()
        yield
        for name in instances:
            self._stopped.pop(name).set()

    async def crash(self, service: str, down_s: float = 0.5) -> None:
        self.away = True
        await asyncio.sleep(down_s)
        self.away = False

    @asynccontextmanager
    async def fault(self, service: str, kind: Any, *, most: int = 0) -> AsyncIterator[None]:
        self.away = True
        yield
        self.away = False

    async def reset(self, service: str) -> None:
        self.events.append(FaultEvent("reset", service, self.now_ns(), self.now_ns()))

    async def call(self, call: Call) -> Op:
        sent, life = self.now_ns(), self._lives[call.target]
        status: int | None = None
        reply: JsonValue = None
        error: str | None = None
        self.in_flight += 1
        if call.target in self._dead:
            error = "connection refused"
        else:
            await asyncio.sleep((1 + self.services_ms) / 1000)
            if self.away:
                status = 503
            else:
                status, reply = await self.service.answer(call.target, call)
            await asyncio.sleep((1 + self.services_ms) / 1000)
            if self._lives[call.target] != life:
                status, reply, error = None, None, "connection closed before any reply"
        self.in_flight -= 1
        op = recorded(call, status, reply, error=error, sent_ns=sent, received_ns=self.now_ns())
        self.ops.append(op)
        return op

    async def burst(self, calls: Sequence[Call]) -> list[Op]:
        return list(await asyncio.gather(*(self.call(call) for call in calls)))
