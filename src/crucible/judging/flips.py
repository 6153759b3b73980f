"""At which limit, or rate, a profile's word on a design would be another. Pure."""

from collections.abc import Mapping, Sequence

from crucible.evidence import LoadBlock
from crucible.judging import blocks
from crucible.judging.limits import Judgement, LimitResult, bound_of
from crucible.judging.words import number
from crucible.planning.manifest import LATENCY, Axis, Limit, Manifest, Profile


def would_fit(profile: Profile, limits: Sequence[LimitResult], manifest: Manifest, load: Sequence[LoadBlock]) -> str:
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
        f"{bound_of(loosest)[0]} on {limit.axis}"
        for limit, need in zip(missed, needed, strict=True)
        if need is not None and (loosest := _loosest(limit.axis, need, profile, manifest)) is not None
    ]
    if too_loose:
        never = f"no limit that a business here has would admit it: the loosest is {' and '.join(too_loose)}"
        return f"{never}; it would fit {at_rate}" if at_rate else never
    wanted = [f"{limit.axis} of {bound_of(need)[0]}" for limit, need in zip(missed, needed, strict=True) if need]
    return f"it {would} fit with a limit on {' and '.join(wanted)}{at_rate and f', or {at_rate}'}"


def _needed(missed: LimitResult, limit: Limit) -> Limit | None:
    """The limit that the design would keep; None where that is not known."""
    measure = missed.measure
    if measure is None or measure.beyond or measure.open:
        return None
    return Limit(at_most=measure.high) if limit.at_most is not None else Limit(at_least=measure.low)


def _loosest(axis: str, need: Limit, profile: Profile, manifest: Manifest) -> Limit | None:
    """The loosest limit that another profile has on the axis, where even that is tighter than `need`."""
    _, value, sign = bound_of(need)
    others = [other.limits[axis] for other in manifest.profiles if other.id != profile.id and axis in other.limits]
    alike = [limit for limit in others if bound_of(limit)[2] == sign]
    loosest = max(alike, key=lambda limit: sign * bound_of(limit)[1], default=None)
    return loosest if loosest is not None and sign * (value - bound_of(loosest)[1]) > 0 else None


def would_not_fit(
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
