"""One limit of a profile, judged on what was measured. Pure."""

import math
from dataclasses import dataclass
from enum import StrEnum

from crucible.check import Measure
from crucible.judging.words import interval, number
from crucible.planning.manifest import Axis, Limit


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


def judge_limit(axis: Axis, limit: Limit, measure: Measure | None, doubt: str) -> LimitResult:
    """`doubt`: why there is no measure, or none that is sure."""
    words, bound, sign = bound_of(limit)
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


def bound_of(limit: Limit) -> tuple[str, float, int]:
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
