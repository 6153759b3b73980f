"""The lab network as the grader sees it: every way from an instance to a service leads through a proxy of ours."""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crucible.check import NetworkFault
from crucible.errors import CrucibleError, Fault
from crucible.evidence import Traffic
from crucible.lab.strangers import Ways
from crucible.processes.child import Child
from crucible.services.base import Server, Upstream

PROBE = "grader"
"""The instance name of the grader's own link, which measures the delay and is left out of the traffic."""
PINGS = 15


class Network:
    """The proxy process. Calls are answered in order; each takes well under a millisecond."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._turn = asyncio.Lock()

    @classmethod
    def start(cls, folder: Path, log: Path) -> "Network":
        child = Child.start(
            [sys.executable, "-P", "-m", "crucible.lab.proxy"],
            cwd=folder, log=log,
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": ""},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return cls(child)

    @property
    def pid(self) -> int:
        return self._child.pid

    async def _ask(self, **request: Any) -> dict[str, Any]:
        async with self._turn:
            asking = asyncio.ensure_future(asyncio.to_thread(self._ask_now, request))
            try:
                return await asyncio.shield(asking)
            except asyncio.CancelledError:
                with suppress(CrucibleError):
                    await asking  # or the next command would take this one's answer for its own
                raise

    def _ask_now(self, request: dict[str, Any]) -> dict[str, Any]:
        pipe_in, pipe_out = self._child.popen.stdin, self._child.popen.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        try:
            pipe_in.write(json.dumps(request).encode() + b"\n")
            pipe_in.flush()
            answer: dict[str, Any] = json.loads(pipe_out.readline())
        except (OSError, ValueError) as error:
            raise CrucibleError(
                "the lab network's process has ended", where="crucible.lab.proxy",
                fix="grade again, and report it with logs/network.log", fault=Fault.CRUCIBLE,
            ) from error  # fmt: skip
        return answer

    async def link(self, instance: str, server: Server, delay_ms: int) -> int:
        """A way from `instance` to `server`, `delay_ms` long each way; returns its port on 127.0.0.1."""
        upstream: Upstream = server.upstream
        answer = await self._ask(
            do="link", name=f"{server.name}/{instance}", service=server.name, upstream=asdict(upstream),
            delay_ms=delay_ms,
        )  # fmt: skip
        return int(answer["port"])

    async def delay(self, service: str, ms: int, instance: str | None = None) -> None:
        """Put `service` `ms` milliseconds away, each way, for every instance or for one alone; what is on its way keeps
        its order."""
        await self._ask(do="delay", service=service, delay_ms=ms, instance=instance)

    async def strike(self, service: str, kind: NetworkFault, most: int = 0) -> None:
        """Put every way to `service` under a fault; one at a time for each service."""
        await self._ask(do="strike", service=service, kind=kind, most=most)

    async def heal(self, service: str) -> dict[str, int]:
        """End the fault of `service`; what it did to the solution, by name of counter: the proof that it landed."""
        did: Counter[str] = Counter()
        for name, counters in (await self._ask(do="heal", service=service)).items():
            if name != f"{service}/{PROBE}":
                did.update(counters)
        return dict(did)

    async def reset(self, service: str) -> int:
        """Reset every living connection to `service`; how many there were."""
        return int((await self._ask(do="reset", service=service))["connections_reset"])

    async def ways(self, service: str) -> Ways:
        """The connections that were made to `service`, the grader's own through its link included."""
        answer = await self._ask(do="ways", service=service)
        return Ways(frozenset(answer["ports"]), int(answer["open"]))

    async def traffic(self) -> tuple[Traffic, ...]:
        """What every process type exchanged with every service since the start."""
        totals: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for name, counters in (await self._ask(do="count")).items():
            service, instance = name.split("/", 1)
            if instance != PROBE:
                for counter, value in counters.items():
                    totals[(instance.rsplit(".", 1)[0], service)][counter] += value
        return tuple(Traffic(process, service, **counts) for (process, service), counts in sorted(totals.items()))

    async def received(self) -> dict[str, int]:
        """Bytes that each instance has had from all services together since the start."""
        found: Counter[str] = Counter()
        for name, counters in (await self._ask(do="count")).items():
            found[name.split("/", 1)[1]] += counters["bytes_from_service"]
        del found[PROBE]
        return dict(found)

    def stop(self) -> None:
        self._child.kill()
        for pipe in (self._child.popen.stdin, self._child.popen.stdout):
            if pipe is not None:
                pipe.close()


def less(now: tuple[Traffic, ...], before: tuple[Traffic, ...]) -> tuple[Traffic, ...]:
    """The traffic since `before`. Connections, and their peak, are `now`'s: pools open them before any request."""
    earlier = {(t.process, t.service): t for t in before}

    def since(t: Traffic) -> Traffic:
        old = earlier.get((t.process, t.service))
        if old is None:
            return t
        return Traffic(
            t.process, t.service, t.connections, t.peak_connections, t.round_trips - old.round_trips,
            t.bytes_to_service - old.bytes_to_service, t.bytes_from_service - old.bytes_from_service,
        )  # fmt: skip

    return tuple(since(t) for t in now)


def added_ms(server: Server, ping: Callable[[], object]) -> float:
    """What the network adds to a round trip with `server`, in ms: the median ping through it less a direct one."""
    return (_median_ping(ping) - _median_ping(server.pinger("", 0))) * 1000


def _median_ping(ping: Callable[[], object]) -> float:
    def once() -> float:
        begun = time.perf_counter()
        ping()
        return time.perf_counter() - begun

    return statistics.median(once() for _ in range(PINGS))
