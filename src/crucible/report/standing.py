"""Where the design stands: on its axes, for each business, and beside the references. Strings here are still
unescaped."""

from collections.abc import Sequence
from dataclasses import dataclass

from crucible.evidence import LATENCIES, Evidence
from crucible.judging import blocks
from crucible.judging.graded import Graded
from crucible.judging.references import YOURS, Ranked, ranking
from crucible.judging.tradeoffs import Fit, Judgement
from crucible.judging.verdict import Prediction, Verdict
from crucible.judging.words import interval, number
from crucible.planning.manifest import Manifest
from crucible.report.model import MOST_LINES

MOST_REFERENCES = 8
FITS = {Judgement.FITS: "fits", Judgement.DOES_NOT: "does not fit", Judgement.INCONCLUSIVE: "open"}
SIDES = {Judgement.FITS: "within", Judgement.DOES_NOT: "past it", Judgement.INCONCLUSIVE: "open"}


@dataclass(frozen=True, slots=True)
class Position:
    axis: str
    title: str
    seen: str
    unit: str
    samples: str
    limit: str
    result: str


@dataclass(frozen=True, slots=True)
class Business:
    """A profile, and whether it can live with the design."""

    profile: str
    story: str
    result: str
    because: str
    flips_at: str
    rank: str
    """The design's place among those that fit, or which of the references fit."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A prediction, beside what was measured."""

    axis: str
    predicted: str
    measured: str
    result: str


@dataclass(frozen=True, slots=True)
class Beside:
    """An axis on which the references stand somewhere, too."""

    axis: str
    unit: str
    yours: str
    theirs: tuple[str, ...]
    """In the order of `references`."""


@dataclass(frozen=True, slots=True)
class Point:
    """A design in the picture: its place between 0 and 1 on both axes, and the values it stands for."""

    name: str
    x: float
    y: float
    values: tuple[str, str]


def positions(verdict: Verdict, manifest: Manifest) -> tuple[Position, ...]:
    """The measures, then the profile's limits on what was not measured."""
    axes = {axis.id: axis for axis in manifest.axes}
    limits = {limit.axis: limit for limit in verdict.fit.limits} if verdict.fit else {}
    measured = {measure.axis: measure for measure in verdict.positions}
    table = []
    for name in (*measured, *(name for name in limits if name not in measured)):
        axis, measure, limit = axes.get(name), measured.get(name), limits.get(name)
        table.append(
            Position(
                axis=name,
                title=axis.title if axis else "",
                seen=interval(measure, axis.better if axis else "lower") if measure else "not measured",
                unit=axis.unit if axis else "",
                samples=f"{measure.samples:,}" if measure else "–",
                limit=limit.limit if limit else "–",
                result=SIDES[limit.result] if limit else "–",
            )
        )
    return tuple(table)


def footnotes(fit: Fit, evidence: Evidence, manifest: Manifest, *, limited: bool = False) -> tuple[str, ...]:
    """What has to be known to read some of a profile's measures, or (`limited`) of those that it limits."""
    profile = manifest.profile(fit.profile)
    shown = fit.positions
    if limited:
        shown = tuple(measure for measure in shown if measure.axis in {limit.axis for limit in fit.limits})
    part = evidence.part(profile.replicas) if profile is not None else None
    foreign = blocks.foreign(part.load, profile.rate) if profile is not None and part is not None else None
    slow = [measure.axis for measure in shown if measure.axis in LATENCIES]
    notes = [f"{' and '.join(slow)} from 0 on: {foreign}"] if foreign is not None and slow else []
    if unsure := [measure.axis for measure in shown if measure.open]:
        why = "a check that measures it did not see enough, or was not run, so it may be worse"
        notes.append(f"{', '.join(unsure[:MOST_LINES])}: {why}")
    return tuple(notes)


def businesses(graded: Graded) -> tuple[Business, ...]:
    """Each profile that was looked at, the run's own first."""
    stories = {profile.id: profile.story for profile in graded.manifest.profiles}
    return tuple(
        Business(
            fit.profile,
            stories.get(fit.profile, ""),
            FITS[fit.result],
            fit.because,
            fit.flips_at,
            _rank(ranking(fit, graded.references, graded.manifest), fit.result is Judgement.FITS),
        )
        for fit in graded.verdict.fits[:MOST_LINES]
    )


def predictions(verdict: Verdict, manifest: Manifest) -> tuple[Guess, ...]:
    """What crucible.yaml predicted, beside what was measured."""
    better = {axis.id: axis.better for axis in manifest.axes}

    def result(guess: Prediction) -> str:
        if guess.measured is None or guess.met is None:
            return "not measured" if guess.measured is None else "open"
        if guess.met:
            return "about right"
        low, high = sorted((abs(guess.predicted), abs(guess.measured.value)))
        how = "higher" if guess.measured.value > guess.predicted else "lower"
        return f"{how} by a factor of {number(high / low)}" if low > 0 else how

    return tuple(
        Guess(
            guess.axis,
            number(guess.predicted),
            interval(guess.measured, better.get(guess.axis, "lower")) if guess.measured else "–",
            result(guess),
        )
        for guess in verdict.predictions[:MOST_LINES]
    )


def reference_names(graded: Graded) -> tuple[str, ...]:
    """The references that are shown beside the design."""
    if graded.verdict.fit is None:
        return ()
    return tuple(graded.references.of(graded.verdict.profile))[:MOST_REFERENCES]


def beside(graded: Graded) -> tuple[Beside, ...]:
    """The design and the references, axis by axis, for the run's profile."""
    names = reference_names(graded)
    stands = graded.references.of(graded.verdict.profile)
    theirs = {name: {measure.axis: measure for measure in stands[name].positions} for name in names}
    yours = {measure.axis: measure for measure in graded.verdict.positions}
    return tuple(
        Beside(
            axis.id,
            axis.unit,
            interval(yours[axis.id], axis.better) if axis.id in yours else "–",
            tuple(number(them[axis.id].value) if axis.id in them else "–" for them in theirs.values()),
        )
        for axis in graded.manifest.axes
        if any(axis.id in them for them in theirs.values())
    )


def picture(graded: Graded) -> tuple[Point, ...]:
    """The design and the references on the challenge's two axes; nothing where fewer than two stand on both."""
    chart, known = graded.manifest.chart, graded.references.of(graded.verdict.profile)
    if chart is None:
        return ()
    stands = {name: known[name].positions for name in reference_names(graded)}
    placed = []
    for name, found in {YOURS: graded.verdict.positions, **stands}.items():
        values = {measure.axis: measure.value for measure in found}
        if all(axis in values for axis in chart):
            placed.append((name, [values[axis] for axis in chart]))
    if len(placed) < 2 or placed[0][0] != YOURS:
        return ()
    xs, ys = ([values[side] for _, values in placed] for side in (0, 1))
    return tuple(Point(name, _between(x, xs), _between(y, ys), (number(x), number(y))) for name, (x, y) in placed)


def knee(verdict: Verdict) -> str:
    """Which rate the design holds, in a sentence; empty where a quick grade did not look."""
    bracket = verdict.knee
    if bracket is None:
        return ""
    asked = f"with a 99th percentile of at most {number(bracket.p99_ms)} ms"
    if bracket.failed is None:
        return f"It held {number(bracket.held)} requests per second {asked}; how many more is open: {bracket.why}"
    held = f"It held {number(bracket.held)} requests per second {asked}"
    return f"{held}, and not {number(bracket.failed)}: there {bracket.why}"


def _rank(ranked: Sequence[Ranked], fits: bool) -> str:
    names = [it.name for it in ranked[:MOST_REFERENCES]]
    if not fits:
        return f"of the references {', '.join(names)} {'fits' if len(names) == 1 else 'fit'}" if names else ""
    if len(ranked) < 2:
        return ""
    place = next(index for index, it in enumerate(ranked, 1) if it.name == YOURS)
    return f"place {place} of {len(ranked)} that fit: {', '.join(names)}"


def _between(value: float, among: Sequence[float]) -> float:
    """Where `value` lies between the least and the most, from 0.05 to 0.95."""
    low, high = min(among), max(among)
    return round(0.05 + 0.9 * (value - low) / (high - low), 3) if high > low else 0.5
