"""Where a design stands on the challenge's axes, and whether a business can live with that."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from crucible.check import Measure
from crucible.evidence import Evidence, Result
from crucible.manifest import Axis, Limit, Manifest, Profile

WEB = "web"
ENOUGH_FOR_CPU = 200
"""Requests below which CPU time says more about starting up than about requests."""
ANSWERED = 0.95
"""Share of requests that must have had a definite answer before anything per request counts: an error costs no work."""


class Judgement(StrEnum):
    FITS = "fits"
    DOES_NOT = "does_not"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class LimitResult:
    """One limit of a profile, judged."""

    axis: str
    limit: str
    """In words: `at most 1.02`."""
    measure: Measure | None
    result: Judgement
    because: str


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a profile can live with the design. `because` is one sentence; the limits say the rest."""

    profile: str
    result: Judgement
    because: str
    limits: tuple[LimitResult, ...]


def positions(
    evidence: Evidence, measures: Iterable[Measure], manifest: Manifest, void: Collection[str] = ()
) -> tuple[Measure, ...]:
    """The design's position on each of the manifest's axes that was measured, in the manifest's order.

    `measures` are the checks'; what the run counted is added here. An axis in `void` has no position: a check that
    would have measured it did not see enough to say.
    """
    by_axis: dict[str, list[Measure]] = {}
    for measure in (*measures, *counted(evidence)):
        if measure.samples > 0 and measure.axis not in void:
            by_axis.setdefault(measure.axis, []).append(measure)
    return tuple(_worst(axis, by_axis[axis.id]) for axis in manifest.axes if axis.id in by_axis)


def counted(evidence: Evidence) -> tuple[Measure, ...]:
    """What the run itself counted, whatever the challenge is."""
    services = {traffic.service for traffic in evidence.traffic if traffic.round_trips > 0}
    measures = [
        _exact("backing_services", len(services), 1),
        _exact("moving_parts", len(services) + len(evidence.process_types), 1),
    ]
    requests = web_requests(evidence)
    if not requests or _answered(evidence) < ANSWERED:
        return tuple(measures)
    trips = sum(traffic.round_trips for traffic in evidence.traffic if traffic.process == WEB)
    measures.append(_exact("round_trips_per_check", trips / requests, requests))
    if requests >= ENOUGH_FOR_CPU:
        used = {usage.subject: usage.cpu_s for usage in evidence.usage if usage.kind == "process"}
        if set(evidence.process_types) <= set(used):
            measures.append(_exact("cpu_s_per_1000", sum(used.values()) / requests * 1000, requests))
        stores = {usage.subject: usage.cpu_s for usage in evidence.usage if usage.kind == "service"}
        if {service.name for service in evidence.services} <= set(stores):
            measures.append(_exact("store_cpu_s_per_1000", sum(stores.values()) / requests * 1000, requests))
    return tuple(measures)


def web_requests(evidence: Evidence) -> int:
    """How many requests the grader sent to the processes that answer HTTP."""
    return sum(op.target.partition(".")[0] == WEB for recording in evidence.recordings for op in recording.ops)


def fit(profile: Profile, replicas: int, measures: Iterable[Measure], manifest: Manifest) -> Fit:
    """Judge each of the profile's limits on `measures`, taken with so many replicas of the web process."""
    if profile.replicas != replicas:
        because = f"the run had {replicas} replicas, and this profile has {profile.replicas}"
        return Fit(profile.id, Judgement.INCONCLUSIVE, because, ())
    taken = {measure.axis: measure for measure in measures}
    axes = {axis.id: axis for axis in manifest.axes}
    limits = tuple(_judge_limit(axes[name], limit, taken.get(name)) for name, limit in profile.limits.items())
    for result in (Judgement.DOES_NOT, Judgement.INCONCLUSIVE):
        if reasons := [limit.because for limit in limits if limit.result is result]:
            return Fit(profile.id, result, "; ".join(reasons), limits)
    return Fit(profile.id, Judgement.FITS, _all_hold(len(limits)), limits)


def _judge_limit(axis: Axis, limit: Limit, measure: Measure | None) -> LimitResult:
    if limit.at_most is not None:
        words, bound, sign = f"at most {number(limit.at_most)}", limit.at_most, 1
    else:
        assert limit.at_least is not None
        words, bound, sign = f"at least {number(limit.at_least)}", limit.at_least, -1
    if measure is None:
        return LimitResult(axis.id, words, None, Judgement.INCONCLUSIVE, f"{axis.id} was not measured")
    past = [sign * (side - bound) > 0 for side in (measure.low, measure.high)]
    seen = f"{axis.id} was {interval(measure)}"
    if all(past):
        return LimitResult(axis.id, words, measure, Judgement.DOES_NOT, f"{seen}, and this profile needs {words}")
    if any(past):
        return LimitResult(
            axis.id, words, measure, Judgement.INCONCLUSIVE, f"{seen}, on both sides of the limit of {words}"
        )
    return LimitResult(axis.id, words, measure, Judgement.FITS, f"{seen}, within {words}")


def number(value: float) -> str:
    """A number as a reader wants it: `1,204`, `0.31`, `2`; four significant digits where it is not whole."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if 0.001 <= abs(value) < 1 else f"{value:.4g}"


def interval(measure: Measure) -> str:
    """`1.94 (1.9 to 2)`, or the value alone where the interval is a point."""
    if measure.low == measure.high:
        return number(measure.value)
    return f"{number(measure.value)} ({number(measure.low)} to {number(measure.high)})"


def _all_hold(count: int) -> str:
    if count == 0:
        return "it sets no limits"
    return "its one limit holds" if count == 1 else f"all of its {count} limits hold"


def _worst(axis: Axis, measures: Sequence[Measure]) -> Measure:
    """The worst of several measures of one axis, side by side, with the samples of the one with the worst value."""
    worst = max if axis.better == "lower" else min
    chosen = worst(measures, key=lambda measure: measure.value)
    return Measure(
        axis.id,
        chosen.value,
        worst(measure.low for measure in measures),
        worst(measure.high for measure in measures),
        chosen.samples,
    )


def _exact(axis: str, value: float, samples: int) -> Measure:
    return Measure(axis, float(value), float(value), float(value), samples)


def _answered(evidence: Evidence) -> float:
    """Share of the requests outside fault scenarios whose effect is known."""
    results = [op.result for recording in evidence.recordings if recording.phase != "fault" for op in recording.ops]
    return sum(result is not Result.UNKNOWN for result in results) / len(results) if results else 0.0
