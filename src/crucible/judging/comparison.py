"""Designs graded by turns on one machine -> what differs between them, beyond what one differs from itself. Pure.

The first design is the base. What a request costs and takes is seen in many short visits, twice as many of the base as
of each other design, and compared as `shift` says; a difference counts if its interval leaves 1 out and it is larger
than what the base's two series of visits may differ by. What scenarios measure is seen in two grades of each design,
which must lie far apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from statistics import median
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from crucible.check import Measure
from crucible.errors import CrucibleError, Fault
from crucible.evidence import first_problem
from crucible.judging import shift
from crucible.judging.shift import Ratio
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import GradeOutcome, Verdict, causes_first
from crucible.judging.words import number
from crucible.planning.manifest import APART, Axis, Manifest

SCHEMA: Literal[1] = 1
ERROR, FLOOR_ERROR = 0.002, 0.05
"""How often the interval of a difference may miss the truth, and that of what the base differs from itself."""
LEAST = {"counted": 1.01, "cpu": 1.05, "noisy": 1.1}
"""By steadiness: a factor of visits, or a smaller one, that nobody has to know of."""
APART_MS = 2.0
"""How far apart latencies of two grades each must be, besides `APART`: what one round trip takes in the lab."""


class Change(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    NOISE = "within_noise"
    UNKNOWN = "unknown"
    """It was not measured on both sides."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """One axis, on two designs."""

    axis: str
    base: float | None
    other: float | None
    ratio: Ratio | None
    """`other` over `base`; None where one of them is nought, or where only the two grades of each can be compared."""
    noise: Ratio | None
    """The base over itself, in the same run."""
    change: Change


@dataclass(frozen=True, slots=True)
class Suitability:
    """Whether a profile can live with a design."""

    result: Judgement
    because: str


@dataclass(frozen=True, slots=True)
class Design:
    """One of the designs, as its own grades judge it."""

    name: str
    outcome: GradeOutcome
    headline: str
    failed: tuple[str, ...]
    """The gates that failed, by name."""
    stands: dict[str, Suitability]
    """By profile."""


@dataclass(frozen=True, slots=True)
class Against:
    """A design, compared with the base."""

    design: Design
    rows: tuple[Contrast, ...]
    """In the order of the challenge's axes, of those that were measured on one of the two."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Written as `comparison.json`."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    schema: Literal[1]
    crucible: str
    challenge: str
    suite: str
    """SHA-256 of the challenge's hidden files."""
    profile: str
    """For which the designs were compared: with its number of replicas, at its rate."""
    seed: int
    machine: str
    rounds: int
    base: Design
    others: tuple[Against, ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of one design."""

    name: str
    verdicts: tuple[Verdict, ...]
    """A whole grade, and after it further ones of what measures anything."""
    visits: tuple[Mapping[str, float], ...]
    """For each visit, its value on each axis of the load."""
    again: tuple[Mapping[str, float], ...] = ()
    """Of the base: the visits that stand for another design that is the same."""


def against(base: Observed, other: Observed, manifest: Manifest) -> Against:
    """Compare a design with the base, axis by axis."""
    rows = [_row(axis, base, other) for axis in manifest.axes]
    return Against(design(other), tuple(row for row in rows if row is not None))


def design(seen: Observed) -> Design:
    """What the whole grade of a design says of it."""
    whole = seen.verdicts[0]
    failed = tuple(it.name for it in causes_first(whole.checks) if it.gate and it.failed)
    stands = {fit.profile: Suitability(fit.result, fit.because) for fit in whole.fits}
    return Design(seen.name, whole.outcome, whole.headline, failed, stands)


def _row(axis: Axis, base: Observed, other: Observed) -> Contrast | None:
    one, again, two = _values(axis, base.visits), _values(axis, base.again), _values(axis, other.visits)
    if one or two:
        return _of_visits(axis, one, again, two)
    return _of_grades(axis, _positions(axis, base.verdicts), _positions(axis, other.verdicts))


def _values(axis: Axis, visits: Sequence[Mapping[str, float]]) -> list[float]:
    return [visit[axis.id] for visit in visits if axis.id in visit]


def _of_visits(axis: Axis, one: list[float], again: list[float], two: list[float]) -> Contrast:
    both = one + again
    middle, other = median(both) if both else None, median(two) if two else None
    if middle is None or other is None:
        return Contrast(axis.id, middle, other, None, None, Change.UNKNOWN)
    factor, noise = shift.ratio(two, both, ERROR), shift.ratio(again, one, FLOOR_ERROR)
    if factor is None or noise is None:
        change = Change.UNKNOWN if min(*both, *two) > 0 else _of_nought(axis, both, two)
        return Contrast(axis.id, middle, other, None, None, change)
    most = max(noise.high, 1 / noise.low, LEAST[axis.steadiness])
    apart = not factor.low <= 1 <= factor.high and max(factor.value, 1 / factor.value) > most
    return Contrast(axis.id, middle, other, factor, noise, _direction(axis, middle, other) if apart else Change.NOISE)


def _of_nought(axis: Axis, base: Sequence[float], other: Sequence[float]) -> Change:
    """Where some values are nought there is no factor; all values of one side must lie beyond those of the other."""
    if max(base) < min(other) or max(other) < min(base):
        return _direction(axis, median(base), median(other))
    return Change.NOISE


def _positions(axis: Axis, verdicts: Sequence[Verdict]) -> list[Measure]:
    """The position in each grade that has one, and saw enough of it."""
    found = [measure for verdict in verdicts for measure in verdict.positions if measure.axis == axis.id]
    return [measure for measure in found if not measure.open]


def _of_grades(axis: Axis, one: list[Measure], two: list[Measure]) -> Contrast | None:
    if not one and not two:
        return None
    base, other = (median(seen.value for seen in grades) if grades else None for grades in (one, two))
    if base is None or other is None:
        return Contrast(axis.id, base, other, None, None, Change.UNKNOWN)
    (low, high), (other_low, other_high) = (
        (min(seen.low for seen in grades), max(seen.high for seen in grades)) for grades in (one, two)
    )
    gap = (high, other_low) if other_low > high else (other_high, low) if low > other_high else None
    exact = low == high and other_low == other_high and axis.steadiness == "counted"
    far = gap is not None and (exact or _far(axis, *gap))
    return Contrast(axis.id, base, other, None, None, _direction(axis, base, other) if far else Change.NOISE)


def _far(axis: Axis, near: float, beyond: float) -> bool:
    if axis.unit == "ms" and beyond - near < APART_MS:
        return False
    return near <= 0 or beyond / near >= APART[axis.steadiness]


def _direction(axis: Axis, base: float, other: float) -> Change:
    return Change.BETTER if (other < base) == (axis.better == "lower") else Change.WORSE


def advice(other: Against, base: Design, profile: str) -> str:
    """The one decision that the numbers point at, in a sentence; empty where nothing differs."""
    new = [gate for gate in other.design.failed if gate not in base.failed]
    if new:
        return f"Mend this first, since no business accepts it: {new[0]} failed, and did not before."
    before, now = base.stands.get(profile), other.design.stands.get(profile)
    if before is not None and now is not None and before.result is not now.result:
        if now.result is Judgement.DOES_NOT:
            return f"{profile} is lost: {now.because}. Take that back, or choose another profile."
        if now.result is Judgement.FITS:
            return f"{profile} is won. What is left to decide is whether the rest is worth it."
    better = [row for row in other.rows if row.change is Change.BETTER]
    worse = [row for row in other.rows if row.change is Change.WORSE]
    if better and worse:
        return f"Is {_largest(better)} worth {_largest(worse)}, for {profile}?"
    if worse:
        return f"Is anything gained that is not measured here? Otherwise take it back: {_largest(worse)}."
    if better:
        return f"Keep it: {_largest(better)}, and nothing that was measured is worse."
    mended = [gate for gate in base.failed if gate not in other.design.failed]
    return f"Keep it: {mended[0]} no longer fails." if mended else ""


def _largest(rows: Sequence[Contrast]) -> str:
    """The row with the largest factor, in words."""

    def factor(row: Contrast) -> float:
        if row.base and row.other:
            return max(row.other / row.base, row.base / row.other)
        return float("inf")

    row = max(rows, key=factor)
    assert row.base is not None
    assert row.other is not None
    return f"{row.axis} from {number(row.base)} to {number(row.other)}"


@cache
def _adapter() -> TypeAdapter[Comparison]:
    return TypeAdapter(Comparison)


def json_schema() -> dict[str, object]:
    """The JSON schema of `comparison.json`."""
    return _adapter().json_schema()


def to_json(comparison: Comparison) -> bytes:
    return _adapter().dump_json(comparison, indent=1)


def from_json(data: bytes, where: str) -> Comparison:
    """Read `comparison.json`. Raises a CrucibleError where it is none."""
    try:
        return _adapter().validate_json(data)
    except ValidationError as error:
        raise CrucibleError(
            f"not a comparison of schema {SCHEMA}: {first_problem(error)}",
            where=where, fix="give the comparison.json that `crucible compare` wrote", fault=Fault.LEARNER,
        ) from error  # fmt: skip
