"""A design beside the challenge's references: where they differ by more than noise, or another machine, can explain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crucible.check import Measure
from crucible.judging.graded import Graded
from crucible.judging.limits import Judgement
from crucible.judging.references import NONE, YOURS, References, ranking
from crucible.judging.tradeoffs import Fit
from crucible.judging.verdict import GradeOutcome, Verdict
from crucible.planning.manifest import Axis, Manifest

APART = {"counted": 1.1, "cpu": 1.5, "noisy": 2.5}
"""How many times as much is a difference, by the axis's steadiness: the references were graded elsewhere, and what a
machine does to a latency is none of the design's."""
LEAST_SHARE = 0.02
"""Shares that differ by less are alike."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An axis on which a design and a reference stand apart."""

    axis: Axis
    yours: Measure
    theirs: Measure

    @property
    def better(self) -> bool:
        """Whether the design stands better than the reference."""
        return (self.yours.value < self.theirs.value) == (self.axis.better == "lower")


@dataclass(frozen=True, slots=True)
class Opposed:
    """What a choice buys and what it costs, against one reference: what a business may ask for comes first."""

    reference: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Missed:
    """A profile that excludes the design, and who keeps what it asks for."""

    profile: str
    excluded_by: tuple[str, ...]
    """Axes."""
    keeper: str | None
    """The best of the references that fit."""
    pays: tuple[Difference, ...]
    """What the keeper is worse in than the design."""


def opposed(verdict: Verdict, manifest: Manifest, references: References) -> tuple[Opposed, ...]:
    """Against each reference, for the run's own profile."""
    if verdict.fit is None:
        return ()
    return tuple(
        Opposed(name, _differences(verdict.positions, stand.positions, manifest))
        for name, stand in references.of(verdict.profile).items()
    )


def missed(graded: Graded) -> tuple[Missed, ...]:
    """Of the profiles that were looked at, those whose limits alone exclude the design; none where no reference was
    published to hold it against."""
    if graded.verdict.gates is GradeOutcome.FAILED or graded.references == NONE:
        return ()
    return tuple(found for fit in graded.verdict.fits if (found := _missed(fit, graded)) is not None)


def _missed(fit: Fit, graded: Graded) -> Missed | None:
    past = tuple(limit.axis for limit in fit.limits if limit.result is Judgement.DOES_NOT)
    if fit.result is not Judgement.DOES_NOT or not past:
        return None
    fitting = [it.name for it in ranking(fit, graded.references, graded.manifest) if it.name != YOURS]
    if not fitting:
        return Missed(fit.profile, past, None, ())
    theirs = graded.references.of(fit.profile)[fitting[0]].positions
    found = _differences(fit.positions, theirs, graded.manifest)
    return Missed(fit.profile, past, fitting[0], tuple(it for it in found if it.better))


def _differences(yours: Sequence[Measure], theirs: Sequence[Measure], manifest: Manifest) -> tuple[Difference, ...]:
    mine, others = _known(yours), _known(theirs)
    asked_for = {axis for profile in manifest.profiles for axis in profile.limits}
    axes = [axis for axis in manifest.axes if axis.id in mine.keys() & others.keys()]
    return tuple(
        Difference(axis, mine[axis.id], others[axis.id])
        for axis in sorted(axes, key=lambda axis: axis.id not in asked_for)
        if _apart(mine[axis.id], others[axis.id], axis)
    )


def _known(positions: Sequence[Measure]) -> Mapping[str, Measure]:
    return {measure.axis: measure for measure in positions if not measure.open}


def _apart(one: Measure, other: Measure, axis: Axis) -> bool:
    """Whether the intervals do not touch, and one is so many times the other."""
    if one.low <= other.high and other.low <= one.high:
        return False
    low, high = sorted((abs(one.value), abs(other.value)))
    if axis.unit == "share" and high - low < LEAST_SHARE:
        return False
    return high > APART[axis.steadiness] * low
