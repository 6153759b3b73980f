"""Where a design stands on the challenge's axes, and whether a business can live with that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crucible.check import Measure
from crucible.evidence import LATENCIES, Part
from crucible.judging import blocks
from crucible.judging.cost import Bill, monthly
from crucible.judging.flips import would_fit, would_not_fit
from crucible.judging.limits import Judgement as Judgement
from crucible.judging.limits import LimitResult, judge_limit
from crucible.planning.manifest import LATENCY, Axis, Manifest, Profile
from crucible.planning.prices import Prices

WEB = "web"
OF_LOAD = frozenset(
    {
        "latency_p50_ms", LATENCY, "cpu_s_per_1000", "store_cpu_s_per_1000", "total_cpu_s_per_1000",
        "round_trips_per_request", "bytes_per_request", "memory_mb", "monthly_cost_usd",
    }
)  # fmt: skip
"""The axes that only blocks of load say anything of."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks say of a design with one number of replicas."""

    measures: tuple[Measure, ...] = ()
    open_axes: Mapping[str, str] = field(default_factory=dict)
    """Axes on which the design may stand worse than was measured, each with the reason."""
    failed: str = ""
    """The first gate that failed, in words."""
    open: str = ""
    """The first gate that has no answer, in words."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What every profile is judged by."""

    manifest: Manifest
    prices: Prices
    process_types: tuple[str, ...]
    """Of the design; likewise the next."""
    declares: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a profile can live with the design."""

    profile: str
    result: Judgement
    because: str
    """The limits that exclude it, or why it is open."""
    flips_at: str
    """The value of a limit, or the rate, at which the result would be another, or why none would do; empty where
    nothing can be said."""
    limits: tuple[LimitResult, ...]
    positions: tuple[Measure, ...]
    """At the profile's rate and number of replicas."""
    bill: Bill | None


def fit(profile: Profile, part: Part, checked: Checked, terms: Terms, knee: blocks.Knee | None) -> Fit:
    """Judge a profile on the part of a run that had its number of replicas. `knee`: which rate was held in it."""
    found, bill = _positions(profile, part, checked, terms)
    taken = {measure.axis: measure for measure in found}
    axes = {axis.id: axis for axis in terms.manifest.axes}
    why = _doubts(part, profile, checked, taken)
    limits = tuple(
        judge_limit(axes[name], limit, taken.get(name), why.get(name, "")) for name, limit in profile.limits.items()
    )
    result, because = _result(limits, checked)
    if checked.failed:
        flips = "nothing would make it fit while a gate fails"
    elif result is Judgement.DOES_NOT:
        flips = would_fit(profile, limits, terms.manifest, part.load)
    else:
        flips = would_not_fit(limits, axes, knee, profile.rate) if result is Judgement.FITS else ""
    return Fit(profile.id, result, because, flips, limits, found, bill)


def _doubts(part: Part, profile: Profile, checked: Checked, taken: Mapping[str, Measure]) -> dict[str, str]:
    """By axis: why it has no position, or none that is sure."""
    doubts = dict(checked.open_axes)
    if (none := blocks.why_none(part.load, profile.rate)) is not None:
        doubts |= dict.fromkeys(OF_LOAD - taken.keys(), none)
    if (foreign := blocks.foreign(part.load, profile.rate)) is not None:
        doubts |= dict.fromkeys(taken.keys() & LATENCIES, foreign)
    return doubts


def not_run(profile: str, because: str) -> Fit:
    """A profile of which nothing was seen."""
    return Fit(profile, Judgement.INCONCLUSIVE, because, "", (), (), None)


def _positions(profile: Profile, part: Part, checked: Checked, terms: Terms) -> tuple[tuple[Measure, ...], Bill | None]:
    """The design's position on each of the manifest's axes that was measured, in the manifest's order, and its bill.

    On an open axis what was counted was so at least; a time or a size may be wrong either way, and is none.
    """
    manifest = terms.manifest
    uncounted = {axis.id for axis in manifest.axes if axis.steadiness != "counted"}
    seen = [it for it in checked.measures if it.axis not in checked.open_axes or it.axis not in uncounted]
    known = [*seen, *counted(part, terms.process_types), *blocks.measures(part.load, profile.rate)]
    paid = monthly(part, profile.rate, manifest.kept, terms.declares, known, terms.prices, manifest.larger)
    bill, further = (paid[0], (paid[1],)) if paid is not None else (None, ())
    by_axis: dict[str, list[Measure]] = {}
    for measure in (*known, *further):
        if measure.samples > 0:
            by_axis.setdefault(measure.axis, []).append(measure)
    found = [_worst(axis, by_axis[axis.id]) for axis in manifest.axes if axis.id in by_axis]
    return tuple(_opened(it) if it.axis in checked.open_axes else it for it in found), bill


def _opened(measure: Measure) -> Measure:
    """As the least that there is."""
    return measure if measure.beyond else replace(measure, open=True)


def _result(limits: Sequence[LimitResult], checked: Checked) -> tuple[Judgement, str]:
    """What comes of a profile's limits and of the gates, and why."""
    if checked.failed:
        return Judgement.DOES_NOT, f"no business accepts a failed gate: {checked.failed}"
    for judgement in (Judgement.DOES_NOT, Judgement.INCONCLUSIVE):
        if reasons := [limit.because for limit in limits if limit.result is judgement]:
            return judgement, "; ".join(reasons)
    if checked.open:
        return Judgement.INCONCLUSIVE, f"a gate is open: {checked.open}"
    return Judgement.FITS, _all_hold(len(limits))


def counted(part: Part, process_types: Sequence[str]) -> tuple[Measure, ...]:
    """What is seen of a design from outside, whatever the challenge is and however many requests there were."""
    services = {traffic.service for traffic in part.traffic if traffic.round_trips > 0}
    return (
        _exact("backing_services", len(services), 1),
        _exact("process_types", len(process_types), 1),
        _exact("moving_parts", len(services) + len(process_types), 1),
    )


def web_requests(part: Part) -> int:
    """How many requests the grader sent to the processes that answer HTTP, with its scenarios and its load."""
    sent = sum(op.target.partition(".")[0] == WEB for recording in part.recordings for op in recording.ops)
    return sent + sum(block.requests for block in (*part.load, *part.ramp))


def _all_hold(count: int) -> str:
    if count == 0:
        return "it sets no limits"
    return "its one limit holds" if count == 1 else f"all of its {count} limits hold"


def _worst(axis: Axis, measures: Sequence[Measure]) -> Measure:
    """The worst of several measures of one axis, side by side, with the samples of the one with the worst value. Where
    one of the others may be worse than it was seen to be, so may this."""
    sign = 1 if axis.better == "lower" else -1
    worst = max if sign > 0 else min
    chosen = max(measures, key=lambda measure: (sign * measure.value, measure.beyond))
    return Measure(
        axis.id,
        chosen.value,
        worst(measure.low for measure in measures),
        worst(measure.high for measure in measures),
        chosen.samples,
        chosen.beyond,
        not chosen.beyond and any(measure.beyond or measure.open for measure in measures),
    )


def _exact(axis: str, value: float, samples: int) -> Measure:
    return Measure(axis, float(value), float(value), float(value), samples)
