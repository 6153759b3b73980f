"""Blocks of load on a running lab, and what each of them cost."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from crucible.evidence import LoadBlock
from crucible.judging import blocks
from crucible.lab import meter
from crucible.lab.accounting import cpu_s
from crucible.lab.lab import RunningLab
from crucible.load.runner import Load, Sent
from crucible.planning.plan import LoadLimit

STEP = 1.25
AGAIN = 5
"""Further blocks, where a limit lies between those that were sent."""
TRIES = 2
"""How often a rate of the ramp must not be held until it counts."""
RAMP_S, MOST_RATE = 2.0, 8_000.0


class Offer:
    """Sends blocks to one lab."""

    def __init__(self, lab: RunningLab, load: Load, cores: int) -> None:
        self._lab = lab
        self._load = load
        self._cores = cores
        self._prepared = 0

    async def at(self, rate: float, count: int, seconds: float, limits: Sequence[LoadLimit] = ()) -> list[LoadBlock]:
        """`count` blocks at one rate; more of them, once, where one of `limits` lies between those that were sent."""
        sent = await self._unspoiled(rate, count, seconds)
        found = {measure.axis: measure for measure in blocks.measures(sent, rate)}
        due = [(found[it.axis], it.at_most) for it in limits if it.rate == rate and it.axis in found]
        if any(measure.low <= at_most < measure.high for measure, at_most in due):
            sent += await self._unspoiled(rate, AGAIN, seconds)
        return sent

    async def _unspoiled(self, rate: float, count: int, seconds: float) -> list[LoadBlock]:
        """`count` blocks, and at most as many more in place of those that were spoiled."""
        sent: list[LoadBlock] = []
        wanted, more = count, count
        while wanted:
            await self._prepare(rate, wanted, seconds)
            batch = [await self._send(rate, index) for index in range(wanted)]
            sent += batch
            wanted = min(more, sum(block.spoiled is not None for block in batch))
            more -= wanted
        return sent

    async def ramp(self, rate: float, p99_ms: float) -> list[LoadBlock]:
        """Rising rates: doubled while they are held, then in steps of 1.25 from the last that was."""
        sent: list[LoadBlock] = []
        low, high = rate, MOST_RATE
        while low * 2 <= MOST_RATE:
            if not await self._held(low * 2, p99_ms, sent):
                high = low * 2
                break
            low *= 2
        while low * STEP < high and await self._held(low * STEP, p99_ms, sent):
            low *= STEP
        return sent

    async def _held(self, rate: float, p99_ms: float, sent: list[LoadBlock]) -> bool:
        await self._prepare(rate, TRIES, RAMP_S)
        for index in range(TRIES):
            sent.append(await self._send(rate, index))
            if blocks.holds(sent[-1], p99_ms):
                return True
        return False

    async def _prepare(self, rate: float, count: int, seconds: float) -> None:
        """Blocks that were not sent before: a request that is safe to repeat would do nothing the second time."""
        first, self._prepared = self._prepared, self._prepared + count
        numbers = range(first, self._prepared)
        await self._load.prepare([(rate, seconds, f"{self._lab.plan.seed}/{rate:g}/{number}") for number in numbers])

    async def _send(self, rate: float, index: int) -> LoadBlock:
        helpers = (self._load.pid, self._load.pacer_pid)
        before, echoed_s = await meter.read(self._lab, *helpers), cpu_s(self._load.pacer_pid)
        sent = await self._load.send(index)
        echoed_s = cpu_s(self._load.pacer_pid) - echoed_s
        return self._block(rate, sent, echoed_s, before, await meter.read(self._lab, *helpers))

    def _block(
        self, rate: float, sent: Sent, echoed_s: float, before: meter.Reading, after: meter.Reading
    ) -> LoadBlock:
        machine_s = max(1e-9, after.machine_s - before.machine_s)
        seconds = machine_s / self._cores
        processes = meter.since(after.process_cpu_s, before.process_cpu_s)
        services = meter.since(after.service_cpu_s, before.service_cpu_s)
        steal = round((after.stolen_s - before.stolen_s) / machine_s, 4)
        network_cpu = round((after.network_cpu_s - before.network_cpu_s) / seconds, 4)
        ours = sum(processes.values()) + sum(services.values())
        foreign = after.busy_s - before.busy_s - ours - (after.grader_cpu_s - before.grader_cpu_s)
        if any(server.pid is None for server in self._lab.servers.values()):
            foreign = 0.0  # what such a server uses is not accounted, and cannot be told from others'
        pace_us = round(1e6 * max(0.0, echoed_s) / sent.echoes, 3) if sent.echoes else 0.0
        return LoadBlock(
            rate=rate,
            replicas=self._lab.plan.replicas,
            started_ns=sent.started_ns - self._lab.begun_ns,
            ended_ns=sent.ended_ns - self._lab.begun_ns,
            outcomes=sent.outcomes,
            latency_us=sent.latency_us,
            unanswered_us=sent.unanswered_us,
            timeout_us=int(self._load.timeout_s * 1e6),
            lag_us=sent.lag_us,
            apart_us=sent.apart_us,
            process_cpu_s=processes,
            service_cpu_s=services,
            round_trips=meter.whole(after.round_trips, before.round_trips),
            bytes_exchanged=meter.whole(after.bytes_exchanged, before.bytes_exchanged),
            memory_bytes=dict(after.memory_bytes),
            steal=steal,
            network_cpu=network_cpu,
            foreign=round(max(0.0, foreign) / machine_s, 4),
            pace_us=pace_us,
            spoiled=blocks.spoiled(
                steal=steal,
                lag_us=sent.lag_us,
                network_cpu=network_cpu,
                pace_us=pace_us,
                used=ours / seconds,
                cores=self._cores,
            ),
        )


@asynccontextmanager
async def generator(lab: RunningLab, loadfile: Path, cores: int) -> AsyncIterator[Offer]:
    """The load's processes while the block is open. Raises a CrucibleError where the load file fails."""
    urls = [running.url for running in lab.web.values()]
    log, ways = lab.logs / "load.log", list(lab.backing.ways)
    load = await Load.start(loadfile, urls, lab.folder, log, shared=bool(lab.servers), ports=ways)
    try:
        yield Offer(lab, load, cores)
    finally:
        load.stop()
