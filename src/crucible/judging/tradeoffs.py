"""Where a design stands on the challenge's axes, and whether a business can live with that."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from crucible.check import Measure
from crucible.evidence import LoadBlock, Part
from crucible.judging import blocks
from crucible.judging.cost import Bill, monthly
from crucible.judging.words import interval, number
from crucible.planning.manifest import LATENCY, Axis, Limit, Manifest, Profile
from crucible.planning.prices import Prices

WEB = "web"
OF_LOAD = frozenset(
    {
        "latency_p50_ms", LATENCY, "cpu_s_per_1000", "store_cpu_s_per_1000", "total_cpu_s_per_1000",
        "round_trips_per_request", "bytes_per_request", "memory_mb", "monthly_cost_usd",
    }
)  # fmt: skip
"""The axes that only blocks of load say anything of."""


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
    margin: float | None
    """The factor between limit and measure: above 1 there is room, below 1 it is missed; None where there is none."""


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
    """Of the design."""


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
        _judge_limit(axes[name], limit, taken.get(name), why.get(name, "")) for name, limit in profile.limits.items()
    )
    result, because = _result(limits, checked)
    if checked.failed:
        flips = "nothing would make it fit while a gate fails"
    elif result is Judgement.DOES_NOT:
        flips = _would_fit(profile, limits, terms.manifest, part.load)
    else:
        flips = _would_not_fit(limits, axes, knee, profile.rate) if result is Judgement.FITS else ""
    return Fit(profile.id, result, because, flips, limits, found, bill)


def _doubts(part: Part, profile: Profile, checked: Checked, taken: Mapping[str, Measure]) -> dict[str, str]:
    """By axis: why it has no position, or none that is sure."""
    doubts = dict(checked.open_axes)
    if (none := blocks.why_none(part.load, profile.rate)) is not None:
        doubts |= dict.fromkeys(OF_LOAD - taken.keys(), none)
    if (foreign := blocks.foreign(part.load, profile.rate)) is not None:
        doubts |= dict.fromkeys(taken.keys() & blocks.LATENCIES, foreign)
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
    paid = monthly(part, profile.rate, manifest.kept, known, terms.prices)
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


def _judge_limit(axis: Axis, limit: Limit, measure: Measure | None, doubt: str) -> LimitResult:
    """`doubt`: why there is no measure, or none that is sure."""
    words, bound, sign = _bound(limit)
    reason = f": {doubt}" if doubt else ""
    if measure is None:
        because = f"{axis.id} was not measured{reason}"
        return LimitResult(axis.id, words, None, Judgement.INCONCLUSIVE, because, None)
    past = [sign * (side - bound) > 0 for side in _sides(axis, measure)]
    seen = f"{axis.id} was {interval(measure, axis.better)}"
    margin = _margin(bound, measure, sign)
    if all(past):
        because = f"{seen}, and this profile needs {words}"
        return LimitResult(axis.id, words, measure, Judgement.DOES_NOT, because, margin)
    if any(past):
        unbounded = measure.beyond or measure.open
        why = f", and whether it is {words} is open" if unbounded else f", on both sides of the limit of {words}"
        return LimitResult(axis.id, words, measure, Judgement.INCONCLUSIVE, f"{seen}{why}{reason}", margin)
    return LimitResult(axis.id, words, measure, Judgement.FITS, f"{seen}, within {words}", margin)


def _bound(limit: Limit) -> tuple[str, float, int]:
    """A limit in words, its value, and on which side of it (1 above, -1 below) it is missed."""
    if limit.at_most is not None:
        return f"at most {number(limit.at_most)}", limit.at_most, 1
    assert limit.at_least is not None
    return f"at least {number(limit.at_least)}", limit.at_least, -1


def _sides(axis: Axis, measure: Measure) -> tuple[float, float]:
    """Between which two values the true one lies."""
    worst = math.inf if axis.better == "lower" else -math.inf
    if measure.beyond:
        return math.nextafter(measure.value, worst), worst
    return (measure.value, worst) if measure.open else (measure.low, measure.high)


def _margin(bound: float, measure: Measure, sign: int) -> float | None:
    """By what factor the worst side may grow (or, where it is a least value, shrink) until the limit is met."""
    if measure.beyond or measure.open:
        return None
    worst = max(measure.low, measure.high) if sign > 0 else min(measure.low, measure.high)
    over, under = (bound, worst) if sign > 0 else (worst, bound)
    return over / under if under > 0 and over >= 0 else None


def _would_fit(profile: Profile, limits: Sequence[LimitResult], manifest: Manifest, load: Sequence[LoadBlock]) -> str:
    """With which limits, or at which rate, the profile would admit the design.

    A limit is said only if a business could mean it: another profile asks for no more, or none asks for this axis at
    all. What others limit too is what the challenge is about, and none of them would give up more of it than the one
    that asks for least: no `peak_ratio` of 5 where the loosest limit is 3.
    """
    missed = [limit for limit in limits if limit.result is Judgement.DOES_NOT]
    would = "would" if all(limit.result is not Judgement.INCONCLUSIVE for limit in limits) else "might"
    needed = [_needed(limit, profile.limits[limit.axis]) for limit in missed]
    rate = _rate_that_fits(profile, limits, load)
    at_rate = f"at a rate of {number(rate)}/s" if rate is not None else ""
    if None in needed:
        return ""
    too_loose = [
        f"{_bound(loosest)[0]} on {limit.axis}"
        for limit, need in zip(missed, needed, strict=True)
        if need is not None and (loosest := _loosest(limit.axis, need, profile, manifest)) is not None
    ]
    if too_loose:
        never = f"no limit that a business here has would admit it: the loosest is {' and '.join(too_loose)}"
        return f"{never}; it would fit {at_rate}" if at_rate else never
    wanted = [f"{limit.axis} of {_bound(need)[0]}" for limit, need in zip(missed, needed, strict=True) if need]
    return f"it {would} fit with a limit on {' and '.join(wanted)}{at_rate and f', or {at_rate}'}"


def _needed(missed: LimitResult, limit: Limit) -> Limit | None:
    """The limit that the design would keep; None where that is not known."""
    measure = missed.measure
    if measure is None or measure.beyond or measure.open:
        return None
    return Limit(at_most=measure.high) if limit.at_most is not None else Limit(at_least=measure.low)


def _loosest(axis: str, need: Limit, profile: Profile, manifest: Manifest) -> Limit | None:
    """The loosest limit that another profile has on the axis, where even that is tighter than `need`."""
    _, value, sign = _bound(need)
    others = [other.limits[axis] for other in manifest.profiles if other.id != profile.id and axis in other.limits]
    alike = [limit for limit in others if _bound(limit)[2] == sign]
    loosest = max(alike, key=lambda limit: sign * _bound(limit)[1], default=None)
    return loosest if loosest is not None and sign * (value - _bound(loosest)[1]) > 0 else None


def _would_not_fit(
    limits: Sequence[LimitResult], axes: Mapping[str, Axis], knee: blocks.Knee | None, rate: float
) -> str:
    """From which limit, or rate, on the profile would no longer admit the design."""
    tight = min((it for it in limits if it.margin is not None), key=lambda it: it.margin or 0.0, default=None)
    parts = []
    if tight is not None and tight.measure is not None:
        lower = axes[tight.axis].better == "lower"
        side = f"below {number(tight.measure.high)}" if lower else f"above {number(tight.measure.low)}"
        parts.append(f"with a limit on {tight.axis} {side}")
    if knee is not None and knee.failed is not None and knee.held >= rate:
        parts.append(f"beyond a rate between {number(knee.held)}/s and {number(knee.failed)}/s")
    return f"it would no longer fit {', or '.join(parts)}" if parts else ""


def _rate_that_fits(profile: Profile, limits: Sequence[LimitResult], load: Sequence[LoadBlock]) -> float | None:
    """The highest lower rate at which the latency held, where nothing else excludes the design."""
    if {limit.axis for limit in limits if limit.result is not Judgement.FITS} != {LATENCY}:
        return None
    limit = profile.limits[LATENCY]
    held = [
        rate
        for rate in {block.rate for block in load if block.rate < profile.rate}
        for measure in blocks.measures(load, rate)
        if measure.axis == LATENCY and limit.at_most is not None and measure.high <= limit.at_most
    ]
    return max(held, default=None)


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
