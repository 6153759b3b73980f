"""What a design costs a month: floors of services, machines for its own processes, what it keeps, what it asks. Pure.

    cost = tiers of the services used + max(instances, ceil(rate * CPU s per request / 0.6 / vCPUs)) machines
         + bytes kept * price + requests * price

A tier or machine is the smallest that holds 1.3 times the memory, and the connections at their peak. At most 60 % of a
machine are planned for: beyond that, waiting times grow without bound (Kingman 1961). Where the largest tier of a
service is too small for its CPU time or its memory, as many of it are paid for as would be needed if the work could be
spread over them; what is full first is said. Utilisation = rate * demand (Denning and Buzen 1978).
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

from crucible.check import Measure
from crucible.evidence import LoadBlock, Part
from crucible.judging.blocks import cpu_s_per_answer, good_at
from crucible.planning.manifest import Kept
from crucible.planning.prices import Prices, ServicePrices, Size, Tier

AXIS = "monthly_cost_usd"
ROOM, PLANNED = 1.3, 0.6
SECONDS_A_MONTH = 730 * 3600
GB = 1e9


S = TypeVar("S", bound=Size)


@dataclass(frozen=True, slots=True)
class Charge:
    """One line of the bill, in US dollars a month."""

    what: str
    usd: float
    why: str
    """How it came about, in words."""


@dataclass(frozen=True, slots=True)
class Full:
    """A service of which one server is not enough from some rate on."""

    service: str
    rate: float
    """Requests per second."""
    why: str
    """What is full, in words."""


@dataclass(frozen=True, slots=True)
class Larger:
    """The same bill for many times the load, all else as it was measured."""

    times: float
    rate: float
    usd: float
    lines: tuple[Charge, ...]
    full: Full | None
    """The service that is full first, where that is so below this rate."""

    @property
    def words(self) -> str:
        said = f"at {self.times:g} times that {self.usd:,.0f} USD a month, if the work could be spread"
        if self.full is None:
            return f"{said}; no single service would be full"
        return f"{said}; first {self.full.service} would be full, from {self.full.rate:,.0f}/s on ({self.full.why})"


@dataclass(frozen=True, slots=True)
class Bill:
    """What a month costs, line by line."""

    rate: float
    replicas: int
    lines: tuple[Charge, ...]
    prices: str
    """Which price list it is by, and until when its prices were seen."""
    larger: Larger | None = None

    @property
    def usd(self) -> float:
        return sum(line.usd for line in self.lines)


def monthly(
    part: Part, rate: float, kept: Kept | None, declares: Mapping[str, str], measures: Iterable[Measure],
    prices: Prices, times: float | None = None,
) -> tuple[Bill, Measure] | None:  # fmt: skip
    """The bill at `rate` requests per second, all month, with its interval; None where the load was not measured. And,
    where that is asked for, at so many `times` the rate, with as many times as much that is kept."""
    good = [block for block in good_at(rate, part.load) if block.answered]
    if not good:
        return None
    by_axis = {measure.axis: measure for measure in measures}
    items = kept.most(rate, declares) if kept is not None else 0.0
    stored = items * by_axis[kept.axis].value if kept is not None and kept.axis in by_axis else 0.0
    held = None
    if kept is not None and kept.memory:
        held = items * by_axis[kept.memory].value if kept.memory in by_axis else 0.0
    each = None
    if kept is not None and kept.each:
        each = {name: items * by_axis[axis].value for name, axis in kept.each.items() if axis in by_axis}
    asked = sum(len(recording.ops) for recording in part.recordings)
    asked += sum(block.requests for block in (*part.load, *part.ramp))
    run = _Run(part, rate, stored, held, asked, each)
    bills = [_bill(run, [block], prices) for block in good]
    bill = _bill(run, good, prices)
    totals = [one.usd for one in (*bills, bill)]
    if times is not None:
        bill = replace(bill, larger=_larger(run, times, good, prices))
    return bill, Measure(AXIS, bill.usd, min(totals), max(totals), sum(block.answered for block in good))


@dataclass(frozen=True, slots=True)
class _Run:
    """What the bill is reckoned from, besides blocks and prices."""

    part: Part
    rate: float
    stored: float
    """Bytes that are kept at any time."""
    held: float | None
    """Bytes that services keep that have nothing but memory; None where these share in what all keep."""
    asked: int
    """Requests in the whole run."""
    each: Mapping[str, float] | None = None
    """Bytes that each service keeps, where that is seen."""


def _larger(run: _Run, times: float, blocks: Sequence[LoadBlock], prices: Prices) -> Larger:
    held = None if run.held is None else run.held * times
    each = None if run.each is None else {name: size * times for name, size in run.each.items()}
    more = replace(run, rate=run.rate * times, stored=run.stored * times, held=held, each=each)
    bill = _bill(more, blocks, prices)
    demands = [(name, _cpu_s(name, blocks)) for name in sorted({it.service for it in run.part.traffic})]
    limits = [
        Full(
            name, PLANNED * tier.vcpus / cpu_s, f"{cpu_s * 1e6:,.0f} us of CPU time a request, of {tier.vcpus:g} cores"
        )
        for name, cpu_s in demands
        if cpu_s > 0 and (tier := _largest(prices.services.get(name))) is not None and tier.vcpus is not None
    ]
    first = min(limits, key=lambda full: full.rate, default=None)
    full = first if first is not None and first.rate < more.rate else None
    return Larger(times, more.rate, bill.usd, bill.lines, full)


def _largest(service: ServicePrices | None) -> Tier | None:
    return service.tiers[-1] if service is not None and service.tiers else None


def _cpu_s(name: str, blocks: Sequence[LoadBlock]) -> float:
    """CPU seconds of a service per request; 0 where they are not known."""
    return median(cpu_s_per_answer(block, [block.service_cpu_s.get(name, 0.0)]) for block in blocks)


def _bill(run: _Run, blocks: Sequence[LoadBlock], prices: Prices) -> Bill:
    used = {traffic.service for traffic in run.part.traffic if traffic.round_trips > 0}
    lines = [_machines(run, 0.0 if used else run.stored, blocks, prices)]
    for name in sorted(used):
        service = prices.services.get(name)
        if service is None:
            lines.append(Charge(name, 0.0, "the price list does not have it"))
        else:
            lines += _service(name, service, run, _share(name, service, run, used, prices), blocks)
    return Bill(run.rate, run.part.replicas, tuple(lines), f"prices of {prices.region}, seen by {prices.seen_by}")


def _share(name: str, service: ServicePrices, run: _Run, used: Collection[str], prices: Prices) -> float:
    """The bytes that a service keeps: its own, where they are seen, or its part of what all of its kind keep."""
    if run.each is not None:
        return run.each.get(name, 0.0)
    if run.held is None:
        return run.stored / len(used)
    disks = [name for name in used if name in prices.services and prices.services[name].storage is not None]
    others = len(used) - len(disks)
    return run.held / others if service.storage is None else run.stored / len(disks)


def _machines(run: _Run, stored: float, blocks: Sequence[LoadBlock], prices: Prices) -> Charge:
    instances = {usage.subject: usage.instances for usage in run.part.usage if usage.kind == "process"}
    number = max(1, sum(instances.values()))
    names = sorted(blocks[0].process_cpu_s)
    memory = median(sum(block.memory_bytes.get(name, 0) for name in names) for block in blocks) / number
    machine = _smallest(prices.machines, memory + stored / number)
    cpu_s = median(cpu_s_per_answer(block, block.process_cpu_s.values()) for block in blocks)
    needed = max(number, math.ceil(run.rate * cpu_s / PLANNED / machine.vcpus))
    why = (
        f"{needed} x {machine.name} ({machine.vcpus:g} vCPU, {machine.memory_gb:g} GB): {number} instances of "
        f"{memory / 1e6:.0f} MB; {run.rate:g}/s take {run.rate * cpu_s:.2f} cores"
    )
    return Charge("machines", needed * machine.usd_per_month, why)


def _service(name: str, service: ServicePrices, run: _Run, stored: float, blocks: Sequence[LoadBlock]) -> list[Charge]:
    memory = median(block.memory_bytes.get(name, 0) for block in blocks)
    in_memory = stored if service.storage is None else 0.0
    connections = sum(it.peak_connections for it in run.part.traffic if it.service == name)
    busy = run.rate * _cpu_s(name, blocks) / PLANNED
    lines = []
    enough = [
        tier for tier in service.tiers
        if tier.connections >= connections and (tier.vcpus is None or tier.vcpus >= busy)
    ]  # fmt: skip
    if service.tiers:
        tier = _smallest(enough or service.tiers[-1:], memory + in_memory)
        number = _servers(tier, busy, memory + in_memory)
        why = f"{tier.name} ({tier.memory_gb:g} GB): {memory / 1e6:.0f} MB of memory, {connections} connections"
        if in_memory or number > 1:
            why = f"{number} x {why}, {PLANNED * busy:.2f} cores, {in_memory / GB:.3g} GB are kept in memory"
        lines.append(Charge(name, number * tier.usd_per_month, why))
    if service.storage is not None:
        paid = max(0.0, stored / GB - service.storage.included_gb)
        usd = paid * service.storage.usd_per_gb_month
        lines.append(Charge(f"{name} storage", usd, f"{stored / GB:.3g} GB are kept"))
    return [*lines, *_requests(name, service, run)]


def _requests(name: str, service: ServicePrices, run: _Run) -> Iterable[Charge]:
    """Operations that are paid by number, as many for each request as there were in the whole run."""
    for operation, count in _operations(run.part, name).items():
        price = service.requests.get(operation)
        if price is not None and run.asked:
            number = count / run.asked * run.rate * SECONDS_A_MONTH / 1e6
            yield Charge(f"{name} {operation}", number * price.usd_per_million, f"{number:.3g} million a month")


def _operations(part: Part, name: str) -> Mapping[str, int]:
    return next((it.operations for it in part.usage if it.kind == "service" and it.subject == name), {})


def _servers(tier: Tier, busy: float, memory: float) -> int:
    """How many of the largest that there is are needed, if one is not enough."""
    by_cpu = busy / tier.vcpus if tier.vcpus else 0.0
    return max(1, math.ceil(by_cpu), math.ceil(ROOM * memory / (tier.memory_gb * GB)))


def _smallest(sizes: Sequence[S], memory: float) -> S:
    """The first (cheapest) that holds so many bytes with room to spare; the last where none does."""
    return next((size for size in sizes if size.memory_gb * GB >= ROOM * memory), sizes[-1])
