"""Where a design stands on the challenge's axes, and whether a business can live with that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    void: frozenset[str] = frozenset()
    """Axes without a position: a check that would have measured them did not see enough to say."""
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
    """The value of a limit, or the rate, at which the result would be another; empty where nothing can be said."""
    limits: tuple[LimitResult, ...]
    positions: tuple[Measure, ...]
    """At the profile's rate and number of replicas."""
    bill: Bill | None


def fit(profile: Profile, part: Part, checked: Checked, terms: Terms, knee: blocks.Knee | None) -> Fit:
    """Judge a profile on the part of a run that had its number of replicas. `knee`: which rate was held in it."""
    found, bill = _positions(profile, part, checked, terms)
    taken = {measure.axis: measure for measure in found}
    axes = {axis.id: axis for axis in terms.manifest.axes}
    why = blocks.why_none(part.load, profile.rate)
    limits = tuple(_judge_limit(axes[name], limit, taken.get(name), why) for name, limit in profile.limits.items())
    result, because = _result(limits, checked)
    flips = _flips(result, limits, axes, knee, profile.rate)
    if result is Judgement.DOES_NOT and (rate := _rate_that_fits(profile, limits, part.load)) is not None:
        flips += f", or at a rate of {number(rate)}/s"
    return Fit(profile.id, result, because, flips, limits, found, bill)


def not_run(profile: str, because: str) -> Fit:
    """A profile of which nothing was seen."""
    return Fit(profile, Judgement.INCONCLUSIVE, because, "", (), (), None)


def _positions(profile: Profile, part: Part, checked: Checked, terms: Terms) -> tuple[tuple[Measure, ...], Bill | None]:
    """The design's position on each of the manifest's axes that was measured, in the manifest's order, and its bill."""
    manifest = terms.manifest
    known = [*checked.measures, *counted(part, terms.process_types), *blocks.measures(part.load, profile.rate)]
    paid = monthly(part, profile.rate, manifest.kept, known, terms.prices)
    bill, further = (paid[0], (paid[1],)) if paid is not None else (None, ())
    by_axis: dict[str, list[Measure]] = {}
    for measure in (*known, *further):
        if measure.samples > 0 and measure.axis not in checked.void:
            by_axis.setdefault(measure.axis, []).append(measure)
    return tuple(_worst(axis, by_axis[axis.id]) for axis in manifest.axes if axis.id in by_axis), bill


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


def _judge_limit(axis: Axis, limit: Limit, measure: Measure | None, why: str | None) -> LimitResult:
    if limit.at_most is not None:
        words, bound, sign = f"at most {number(limit.at_most)}", limit.at_most, 1
    else:
        assert limit.at_least is not None
        words, bound, sign = f"at least {number(limit.at_least)}", limit.at_least, -1
    if measure is None:
        reason = f": {why}" if why is not None and axis.id in OF_LOAD else ""
        return LimitResult(axis.id, words, None, Judgement.INCONCLUSIVE, f"{axis.id} was not measured{reason}", None)
    past = [sign * (side - bound) > 0 for side in (measure.low, measure.high)]
    seen = f"{axis.id} was {interval(measure)}"
    margin = _margin(bound, measure, sign)
    if all(past):
        because = f"{seen}, and this profile needs {words}"
        return LimitResult(axis.id, words, measure, Judgement.DOES_NOT, because, margin)
    if any(past):
        because = f"{seen}, on both sides of the limit of {words}"
        return LimitResult(axis.id, words, measure, Judgement.INCONCLUSIVE, because, margin)
    return LimitResult(axis.id, words, measure, Judgement.FITS, f"{seen}, within {words}", margin)


def _margin(bound: float, measure: Measure, sign: int) -> float | None:
    """By what factor the worst side may grow (or, where it is a least value, shrink) until the limit is met."""
    worst = max(measure.low, measure.high) if sign > 0 else min(measure.low, measure.high)
    over, under = (bound, worst) if sign > 0 else (worst, bound)
    return over / under if under > 0 and over >= 0 else None


def _flips(
    result: Judgement, limits: Sequence[LimitResult], axes: Mapping[str, Axis], knee: blocks.Knee | None, rate: float
) -> str:
    """At which value of a limit, or which rate, the result would be another; empty where nothing can be said."""

    def worst(limit: LimitResult) -> str:
        assert limit.measure is not None
        side = limit.measure.high if axes[limit.axis].better == "lower" else limit.measure.low
        return number(side)

    if result is Judgement.DOES_NOT:
        missed = [limit for limit in limits if limit.result is Judgement.DOES_NOT]
        parts = [f"{it.axis} of {_bound_word(it)} {worst(it)}" for it in missed]
        return f"it would fit with a limit on {' and '.join(parts)}" if parts else ""
    if result is Judgement.FITS:
        tight = sorted((it for it in limits if it.margin is not None), key=lambda it: it.margin or 0.0)
        parts = [f"with {tight[0].axis} limited to less than {worst(tight[0])}"] if tight else []
        if tight and axes[tight[0].axis].better == "higher":
            parts = [f"with more than {worst(tight[0])} of {tight[0].axis} asked for"]
        if knee is not None and knee.failed is not None and knee.held >= rate:
            parts.append(f"beyond a rate between {number(knee.held)}/s and {number(knee.failed)}/s")
        return f"it would no longer fit {', or '.join(parts)}" if parts else ""
    return ""


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


def _bound_word(limit: LimitResult) -> str:
    return limit.limit.rsplit(" ", 1)[0]


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
