"""How the run went, in words, from the evidence alone: what the network saw, what processes took, how quiet the machine
was. Strings here are still unescaped."""

import signal
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from statistics import median

from pydantic import JsonValue

from crucible.authoring.deaths import printed_last
from crucible.check import Measure
from crucible.evidence import Evidence, FaultEvent
from crucible.judging import blocks
from crucible.judging.tradeoffs import WEB, web_requests
from crucible.judging.words import interval, number
from crucible.planning.manifest import Manifest
from crucible.report.model import MOST_LINES, MOST_ROWS
from crucible.report.text import plain


@dataclass(frozen=True, slots=True)
class Used:
    """What a process type or service took under load."""

    subject: str
    cpu: str
    """CPU seconds per 1,000 answered requests: median (lowest to highest)."""
    memory: str


@dataclass(frozen=True, slots=True)
class Edge:
    """What a process type exchanged with a service."""

    process: str
    service: str
    peak: str
    round_trips: str
    per_request: str
    bytes_out: str
    bytes_in: str


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the proxies saw; nothing here is declared."""

    requests: str
    processes: tuple[tuple[str, int], ...]
    """Process types with their number."""
    edges: tuple[Edge, ...]
    silent: tuple[str, ...]
    """Services that the design uses and never spoke to."""


def used(evidence: Evidence, profile: str, manifest: Manifest) -> tuple[Used, ...]:
    """What each process type and service took, at the profile's rate."""
    found = manifest.profile(profile)
    good = [it for it in blocks.good_at(found.rate, evidence.own.load) if it.answered] if found is not None else []
    subjects = [(name, "process") for name in (good[0].process_cpu_s if good else ())]
    subjects += [(name, "service") for name in (good[0].service_cpu_s if good else ())]
    rows = []
    for name, kind in subjects[:MOST_LINES]:
        spent = attrgetter("process_cpu_s" if kind == "process" else "service_cpu_s")
        each = [1000 * blocks.cpu_s_per_answer(it, [spent(it).get(name, 0.0)]) for it in good]
        memory = median(it.memory_bytes.get(name, 0) for it in good)
        cpu = Measure("", median(each), min(each), max(each), len(each))
        rows.append(Used(name, f"{interval(cpu)} s", f"{memory / 1e6:,.0f} MB"))
    return tuple(rows)


def noise(evidence: Evidence) -> tuple[str, ...]:
    """How quiet the machine was while load was offered."""
    load = [block for part in evidence.parts for block in part.load]
    if not load:
        return ()
    bad = [it for it in load if it.spoiled is not None]
    lag = max(blocks.percentile(it.lag_us, 99) for it in load) / 1000
    lines = [
        f"{len(load)} blocks of load, {len(bad)} of them spoiled by the machine, of which only the counts are used",
        f"the generator sent requests at most {lag:.1f} ms late (99th percentile of a block)",
        f"at most {max(it.steal for it in load):.1%} of the machine's time went to others, and the lab network used at "
        f"most {max(it.network_cpu for it in load):.0%} of a core",
    ]
    if paces := [it.pace_us for it in load if it.pace_us]:
        lines.append(
            f"the same work took between {min(paces):.0f} and {max(paces):.0f} us of CPU time, which is told as if it "
            f"had always been {blocks.REFERENCE_PACE_US:.0f}"
        )
    foreign = max(it.foreign for it in load)
    if foreign > blocks.MOST_FOREIGN:
        lines.append(f"other programs took up to {foreign:.0%} of it: without them latencies would have been shorter")
    return (*lines, *dict.fromkeys(f"spoiled: {it.spoiled}" for it in bad))[:MOST_ROWS]


def architecture(evidence: Evidence) -> Architecture:
    own = evidence.own
    requests = web_requests(own)
    edges = tuple(
        Edge(
            process=traffic.process,
            service=traffic.service,
            peak=f"{traffic.peak_connections:,}",
            round_trips=f"{traffic.round_trips:,}",
            per_request=f"{traffic.round_trips / requests:.2f}" if requests else "–",
            bytes_out=_bytes(traffic.bytes_to_service),
            bytes_in=_bytes(traffic.bytes_from_service),
        )
        for traffic in own.traffic[:MOST_LINES]
        if traffic.round_trips > 0
    )
    instances = {it.subject: it.instances for it in own.usage if it.kind == "process"}
    processes = tuple(
        (name, own.replicas if name == WEB else instances.get(name, 1)) for name in evidence.process_types
    )
    spoken = {edge.service for edge in edges}
    silent = tuple(service.name for service in own.services if service.name not in spoken)
    return Architecture(f"{requests:,}", processes[:MOST_LINES], edges, silent[:MOST_LINES])


def mishaps(evidence: Evidence) -> tuple[str, ...]:
    """One sentence for each way in which a process ended, or was ended, without the grader testing anything by it, and
    what it had printed when that happened for the last time."""
    events = {(it.kind, it.subject, it.at_ns): it for recording in evidence.own.recordings for it in recording.events}
    ways: dict[str, list[FaultEvent]] = defaultdict(list)
    for event in events.values():
        if event.kind in MISHAPS:
            ways[f"{plain(event.subject, 40)} {MISHAPS[event.kind](event.detail)}"].append(event)
    return tuple(
        f"{what}{f' ({len(ends)} times)' if len(ends) > 1 else ''}{printed_last(ends[-1])}"
        for what, ends in ways.items()
    )[:MOST_LINES]


def network(evidence: Evidence) -> tuple[str, ...]:
    """One sentence per service: where it came from, and how far away it was."""
    return tuple(
        f"{service.name} {service.version}, {service.source}: {number(service.asked_ms)} ms each way asked for, "
        + (
            "what was added was not measured"
            if service.added_ms is None
            else f"{service.added_ms:.2f} ms per round trip added"
        )
        for service in evidence.own.services[:MOST_LINES]
    )


def timings(evidence: Evidence) -> str:
    steps = [f"{plain(it.step, 60)} {it.seconds:.1f} s" for it in evidence.timings[:MOST_LINES]]
    return " · ".join([*steps, f"together {sum(it.seconds for it in evidence.timings):.1f} s"])


def machine(evidence: Evidence) -> str:
    about = evidence.machine
    return f"{about.words}, {about.memory_bytes / 2**30:.1f} GiB, {about.system}"


def _how_it_died(detail: Mapping[str, JsonValue]) -> str:
    status = detail.get("status")
    if not isinstance(status, int) or status >= 0:
        return f"ended by itself with status {status}"
    if status == -signal.SIGKILL:
        return "was ended by SIGKILL, and not by the grader: a machine that is out of memory does that"
    name = next((it.name for it in signal.Signals if it == -status), f"signal {-status}")
    return f"was ended by {name}, and not by the grader"


def _how_it_grew(detail: Mapping[str, JsonValue]) -> str:
    held, most = (_mebibytes(detail.get(name)) for name in ("held_bytes", "limit_bytes"))
    return f"held {held} of memory, and may hold {most}: the grader ended it"


def _how_it_multiplied(detail: Mapping[str, JsonValue]) -> str:
    return f"had {detail.get('processes')} processes, and may have {detail.get('most')}: the grader ended it"


MISHAPS: dict[str, Callable[[Mapping[str, JsonValue]], str]] = {
    "died": _how_it_died,
    "out_of_memory": _how_it_grew,
    "too_many_processes": _how_it_multiplied,
}


def _mebibytes(value: JsonValue) -> str:
    return f"{value >> 20:,} MiB" if isinstance(value, int) else "an unknown amount"


def _bytes(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:,.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:,.1f} MB"
