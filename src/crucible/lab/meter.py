"""What design, services and machine have used so far; the difference of two readings is what a block of load cost."""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from crucible.lab.accounting import cpu_s
from crucible.lab.lab import RunningLab

WEB = "web"


@dataclass(frozen=True, slots=True)
class Reading:
    """Totals since some moment in the past, but for memory."""

    process_cpu_s: Mapping[str, float]
    service_cpu_s: Mapping[str, float]
    round_trips: Mapping[str, int]
    """Of the web processes, by service."""
    bytes_exchanged: Mapping[str, int]
    memory_bytes: Mapping[str, int]
    network_cpu_s: float
    grader_cpu_s: float
    """Of the grader itself, the lab network, and the helpers that were named."""
    machine_s: float
    """CPU seconds that the machine had, over all cores."""
    stolen_s: float
    """Of those, what the hypervisor gave to others."""
    busy_s: float
    """Of those, what programs used."""


async def read(lab: RunningLab, *helpers: int) -> Reading:
    """Takes some milliseconds. `helpers`: pids of further processes of the grader."""
    traffic = await lab.network.traffic()
    await asyncio.to_thread(lab.tally.accounts.sample)
    cpu: dict[str, dict[str, float]] = {"process": {}, "service": {}}
    for subject, total in lab.tally.accounts.totals().items():
        cpu[total.kind][subject] = total.cpu_s
    trips, exchanged = Counter[str](), Counter[str]()
    for way in traffic:
        if way.process == WEB:
            trips[way.service] += way.round_trips
            exchanged[way.service] += way.bytes_to_service + way.bytes_from_service
    network, machine = _cpu_s(lab.network.pid), psutil.cpu_times()
    return Reading(
        cpu["process"], cpu["service"], trips, exchanged, lab.tally.accounts.everything(),
        network, network + sum(map(_cpu_s, (os.getpid(), *helpers))), sum(machine), getattr(machine, "steal", 0.0),
        machine.user + machine.nice + machine.system,
    )  # fmt: skip


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return cpu_s(pid, times.user + times.system)


def since(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """What was added to each total."""
    return {name: round(max(0.0, total - before.get(name, 0.0)), 6) for name, total in now.items()}


def whole(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """Likewise, of what is counted."""
    return {name: int(added) for name, added in since(now, before).items()}
