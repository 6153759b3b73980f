"""What the grader does to a running solution and its services, each recorded with the proof that it landed."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

from pydantic import JsonValue

from crucible.check import NetworkFault, SinkFault
from crucible.evidence import Attempt, FaultEvent
from crucible.lab.instance import Running
from crucible.lab.lab import RunningLab
from crucible.lab.sink import SinkServer
from crucible.processes.child import holder

PROBE_S = 0.25


class Faults:
    """Faults on behalf of one scenario; `happened` keeps each as an event."""

    def __init__(self, lab: RunningLab, happened: Callable[[FaultEvent], None]) -> None:
        self._lab = lab
        self._happened = happened
        self.sink = _ScenarioSink(self, lab)

    def record(self, kind: str, subject: str, begun_ns: int, **detail: JsonValue) -> None:
        self._happened(FaultEvent(kind, subject, begun_ns, self._lab.now_ns(), detail))

    @asynccontextmanager
    async def slow(self, ms: int, service: str | None, instance: str | None) -> AsyncIterator[None]:
        names, begun = [service] if service else list(self._lab.servers), self._lab.now_ns()
        alone: dict[str, JsonValue] = {"for": instance} if instance else {}
        try:
            for name in names:
                await self._lab.network.delay(name, ms, instance)
            yield
        finally:
            for name in names:
                await self._lab.network.delay(name, self._lab.backing.delay_ms(name), instance)
                self.record("slow", name, begun, ms_each_way=ms, **alone)

    @asynccontextmanager
    async def network(self, service: str, kind: NetworkFault, most: int) -> AsyncIterator[None]:
        begun, in_flight, seen = self._lab.now_ns(), self._lab.client.in_flight, ""
        try:
            await self._lab.network.strike(service, kind, most)
            seen = await asyncio.to_thread(try_to_connect, self._lab.backing.probes[service])
            yield
        finally:
            did = await self._lab.network.heal(service)
            self.record(kind, service, begun, a_connect_met=seen, requests_in_flight=in_flight, **did)

    async def reset(self, service: str) -> None:
        begun, in_flight = self._lab.now_ns(), self._lab.client.in_flight
        number = await self._lab.network.reset(service)
        self.record("reset", service, begun, connections_reset=number, requests_in_flight=in_flight)

    async def crash(self, service: str, down_s: float) -> None:
        """While it is down its port refuses connections, as a crashed server's does."""
        begun, in_flight = self._lab.now_ns(), self._lab.client.in_flight
        server = self._lab.servers[service]
        counts = await asyncio.to_thread(server.operations)
        await asyncio.to_thread(server.crash)
        self._lab.tally.keep_counts(service, counts)
        gone = self._lab.now_ns()
        try:
            await self._lab.network.strike(service, "refuse")
            await asyncio.sleep(down_s)
            await asyncio.to_thread(server.restart)
        finally:
            did = await self._lab.network.heal(service)
        self.record("crash", service, begun, gone_after_ms=(gone - begun) / 1e6, requests_in_flight=in_flight, **did)

    async def kill(self, instances: tuple[str, ...]) -> None:
        begun, in_flight, victims = self._lab.now_ns(), self._lab.client.in_flight, self._chosen(instances)
        await self._lab.supervisor.let_lie(instances)
        for running in victims:
            running.strike()
        killed = await asyncio.gather(*(asyncio.to_thread(running.kill) for running in victims))
        for running, number in zip(victims, killed, strict=True):
            self.record("kill", running.name, begun, further_processes=number, requests_in_flight=in_flight,
                         status=running.ended)  # fmt: skip

    async def start(self, instances: tuple[str, ...]) -> None:
        begun, chosen = self._lab.now_ns(), self._chosen(instances)
        await self._lab.start(chosen)
        for running in chosen:
            self.record("start", running.name, begun)

    async def terminate(self, instance: str, grace_s: float) -> None:
        begun, in_flight, running = self._lab.now_ns(), self._lab.client.in_flight, self._chosen((instance,))[0]
        await self._lab.supervisor.let_lie([instance])
        status, killed = await asyncio.to_thread(running.terminate, grace_s)
        self.record("terminate", instance, begun, status=status, killed_after_grace=killed,
                     requests_in_flight=in_flight)  # fmt: skip

    @asynccontextmanager
    async def paused(self, instances: tuple[str, ...]) -> AsyncIterator[None]:
        begun, in_flight, chosen = self._lab.now_ns(), self._lab.client.in_flight, self._chosen(instances)
        stopped: dict[str, int] = {}
        try:
            for running in chosen:
                stopped[running.name] = await asyncio.to_thread(_stop, running)
            yield
        finally:
            for running in chosen:
                await asyncio.to_thread(running.signal_all, signal.SIGCONT)
                self.record("pause", running.name, begun, processes=stopped.get(running.name, 0),
                             requests_in_flight=in_flight)  # fmt: skip

    def _chosen(self, instances: tuple[str, ...]) -> list[Running]:
        return [self._lab.instances[name] for name in instances]


class _ScenarioSink:
    """Implements `check.Sink` for one scenario."""

    def __init__(self, faults: Faults, lab: RunningLab) -> None:
        self._faults = faults
        self._lab = lab

    @property
    def _sink(self) -> SinkServer:
        assert self._lab.sink is not None, "the challenge's manifest has no `sink: true`"
        return self._lab.sink

    @property
    def attempts(self) -> Sequence[Attempt]:
        return self._sink.attempts

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._sink.port}"

    def reject(self, recipient: str) -> None:
        self._sink.ledger.rejected.add(recipient)

    @asynccontextmanager
    async def fault(self, channel: str, fault: SinkFault) -> AsyncIterator[None]:
        begun, before = self._lab.now_ns(), len(self._sink.attempts)
        self._sink.set_fault(channel, fault)
        try:
            yield
        finally:
            self._sink.heal(channel)
            hit = sum(it.path.split("/")[1] == channel for it in self._sink.attempts[before:])
            self._faults.record("sink", channel, begun, calls=hit, **asdict(fault))

    async def next_call(self, channel: str | None = None) -> Attempt:
        return await self._sink.next_call(channel)

    async def caller(self, attempt: Attempt) -> str | None:
        port = self._sink.port_of(attempt)
        return await asyncio.to_thread(self._instance_at, port) if port is not None else None

    def _instance_at(self, port: int) -> str | None:
        process = holder(port)
        if process is None:
            return None
        return next((name for name, running in self._lab.instances.items() if running.owns(process)), None)


def _stop(running: Running) -> int:
    """Stop every process of its tree, those that were forked meanwhile included; how many there were."""
    before, reached = -1, 0
    while reached != before:
        before, reached = reached, running.signal_all(signal.SIGSTOP)
    return reached


def try_to_connect(port: int) -> str:
    """What a client that connects to `port` now, and waits a moment, meets."""
    begun = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PROBE_S) as connection:
            connection.settimeout(max(0.01, PROBE_S - (time.monotonic() - begun)))
            return "a closed connection" if connection.recv(1) == b"" else "data"
    except ConnectionRefusedError:
        return "a refusal"
    except ConnectionResetError:
        return "a reset"
    except TimeoutError:
        return "silence"
    except OSError as error:
        return error.strerror or "an error"
