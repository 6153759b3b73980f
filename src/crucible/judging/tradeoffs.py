"""Where a design stands on the challenge's axes, and whether a business can live with that."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from crucible.check import Measure
from crucible.evidence import Evidence, LoadBlock
from crucible.judging import blocks
from crucible.judging.cost import Bill, monthly
from crucible.planning.manifest import Axis, Limit, Manifest, Profile
from crucible.planning.prices import Prices

WEB = "web"
LATENCY = "latency_p99_ms"
OF_LOAD = frozenset(
    {
        "latency_p50_ms", LATENCY, "cpu_s_per_1000", "store_cpu_s_per_1000", "total_cpu_s_per_1000",
        "round_trips_per_check", "bytes_per_check", "memory_mb", "monthly_cost_usd",
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
class Gates:
    """The gates under a profile's number of replicas: the first that failed, and the first that is open, in words."""

    failed: str = ""
    open: str = ""


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


def positions(
    evidence: Evidence,
    measures: Iterable[Measure],
    manifest: Manifest,
    rate: float,
    prices: Prices,
    void: Collection[str] = (),
) -> tuple[tuple[Measure, ...], Bill | None]:
    """The design's position on each of the manifest's axes that was measured, in the manifest's order, and its bill.

    `measures` are the checks'; what the run counted, and the load at `rate`, are added here. An axis in `void` has no
    position: a check that would have measured it did not see enough to say.
    """
    known = [*measures, *counted(evidence), *blocks.measures(evidence.load, rate)]
    paid = monthly(evidence, rate, manifest.kept, known, prices)
    bill, further = (paid[0], (paid[1],)) if paid is not None else (None, ())
    by_axis: dict[str, list[Measure]] = {}
    for measure in (*known, *further):
        if measure.samples > 0 and measure.axis not in void:
            by_axis.setdefault(measure.axis, []).append(measure)
    return tuple(_worst(axis, by_axis[axis.id]) for axis in manifest.axes if axis.id in by_axis), bill


def counted(evidence: Evidence) -> tuple[Measure, ...]:
    """What is seen of a design from outside, whatever the challenge is and however many requests there were."""
    services = {traffic.service for traffic in evidence.traffic if traffic.round_trips > 0}
    return (
        _exact("backing_services", len(services), 1),
        _exact("process_types", len(evidence.process_types), 1),
        _exact("moving_parts", len(services) + len(evidence.process_types), 1),
    )


def web_requests(evidence: Evidence) -> int:
    """How many requests the grader sent to the processes that answer HTTP, with its scenarios and its load."""
    sent = sum(op.target.partition(".")[0] == WEB for recording in evidence.recordings for op in recording.ops)
    return sent + sum(block.requests for block in (*evidence.load, *evidence.ramp))


def knee_p99_ms(profile: Profile) -> float:
    """The latency with which a rate counts as held: the profile's own limit, where it has one."""
    limit = profile.limits.get(LATENCY)
    return limit.at_most if limit is not None and limit.at_most is not None else blocks.KNEE_P99_MS


def fit(
    profile: Profile,
    evidence: Evidence,
    found: Sequence[Measure],
    bill: Bill | None,
    gates: Gates,
    manifest: Manifest,
) -> Fit:
    """Judge each of the profile's limits on `found`, the positions of `evidence` at the profile's rate and replicas."""
    taken = {measure.axis: measure for measure in found}
    axes = {axis.id: axis for axis in manifest.axes}
    why = blocks.why_none(evidence.load, profile.rate)
    limits = tuple(_judge_limit(axes[name], limit, taken.get(name), why) for name, limit in profile.limits.items())
    result, because = Judgement.FITS, _all_hold(len(limits))
    if gates.failed:
        result, because = Judgement.DOES_NOT, f"no business accepts a failed gate: {gates.failed}"
    elif reasons := [limit.because for limit in limits if limit.result is Judgement.DOES_NOT]:
        result, because = Judgement.DOES_NOT, "; ".join(reasons)
    elif reasons := [limit.because for limit in limits if limit.result is Judgement.INCONCLUSIVE]:
        result, because = Judgement.INCONCLUSIVE, "; ".join(reasons)
    elif gates.open:
        result, because = Judgement.INCONCLUSIVE, f"a gate is open: {gates.open}"
    knee = blocks.knee(evidence.load, evidence.ramp, knee_p99_ms(profile))
    flips = _flips(result, limits, axes, knee, profile.rate)
    if result is Judgement.DOES_NOT and (rate := _rate_that_fits(profile, limits, evidence.load)) is not None:
        flips += f", or at a rate of {number(rate)}/s"
    return Fit(profile.id, result, because, flips, limits, tuple(found), bill)


def not_run(profile: Profile, because: str) -> Fit:
    """A profile of which nothing was seen."""
    return Fit(profile.id, Judgement.INCONCLUSIVE, because, "", (), (), None)


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


def words(value: str) -> str:
    """`not_run` as it is read: `not run`."""
    return str(value).replace("_", " ")


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
