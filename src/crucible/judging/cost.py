"""What a design costs a month: floors of services, machines for its own processes, what it keeps, what it asks. Pure.

    cost = tiers of the services used + max(instances, ceil(rate * CPU s per request / 0.6 / vCPUs)) machines
         + bytes kept * price + requests * price

A tier or machine is the smallest that holds 1.3 times the memory, and the connections at their peak. At most 60 % of a
machine are planned for: beyond that, waiting times grow without bound (Kingman 1961).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from crucible.check import Measure
from crucible.evidence import LoadBlock, Part
from crucible.judging.blocks import cpu_s_per_answer, good_at
from crucible.planning.manifest import Kept
from crucible.planning.prices import Prices, ServicePrices, Size

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
class Bill:
    """What a month costs, line by line."""

    rate: float
    replicas: int
    lines: tuple[Charge, ...]
    prices: str
    """Which price list it is by, and until when its prices were seen."""

    @property
    def usd(self) -> float:
        return sum(line.usd for line in self.lines)


def monthly(
    part: Part, rate: float, kept: Kept | None, declares: Mapping[str, str], measures: Iterable[Measure], prices: Prices
) -> tuple[Bill, Measure] | None:
    """The bill at `rate` requests per second, all month, with its interval; None where the load was not measured."""
    good = [block for block in good_at(rate, part.load) if block.answered]
    if not good:
        return None
    by_axis = {measure.axis: measure for measure in measures}
    stored = 0.0
    if kept is not None and kept.axis in by_axis:
        stored = by_axis[kept.axis].value * kept.most(rate, declares)
    asked = sum(len(recording.ops) for recording in part.recordings)
    asked += sum(block.requests for block in (*part.load, *part.ramp))
    run = _Run(part, rate, stored, asked)
    bills = [_bill(run, [block], prices) for block in good]
    bill = _bill(run, good, prices)
    totals = [one.usd for one in (*bills, bill)]
    return bill, Measure(AXIS, bill.usd, min(totals), max(totals), sum(block.answered for block in good))


@dataclass(frozen=True, slots=True)
class _Run:
    """What the bill is reckoned from, besides blocks and prices."""

    part: Part
    rate: float
    stored: float
    """Bytes that are kept at any time."""
    asked: int
    """Requests in the whole run."""


def _bill(run: _Run, blocks: Sequence[LoadBlock], prices: Prices) -> Bill:
    used = {traffic.service for traffic in run.part.traffic if traffic.round_trips > 0}
    lines = [_machines(run, 0.0 if used else run.stored, blocks, prices)]
    for name in sorted(used):
        service = prices.services.get(name)
        if service is None:
            lines.append(Charge(name, 0.0, "the price list does not have it"))
        else:
            lines += _service(name, service, run, run.stored / len(used), blocks)
    return Bill(run.rate, run.part.replicas, tuple(lines), f"prices of {prices.region}, seen by {prices.seen_by}")


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
    lines = []
    enough = [tier for tier in service.tiers if tier.connections >= connections]
    if service.tiers:
        tier = _smallest(enough or service.tiers[-1:], memory + in_memory)
        why = f"{tier.name} ({tier.memory_gb:g} GB): {memory / 1e6:.0f} MB of memory, {connections} connections"
        lines.append(Charge(name, tier.usd_per_month, why))
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


def _smallest(sizes: Sequence[S], memory: float) -> S:
    """The first (cheapest) that holds so many bytes with room to spare; the last where none does."""
    return next((size for size in sizes if size.memory_gb * GB >= ROOM * memory), sizes[-1])
