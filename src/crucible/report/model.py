"""What both renderings show, decided once: rows, timelines, tables. Strings here are still unescaped."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crucible.check import Outcome
from crucible.evidence import Evidence, Op
from crucible.judging import contact
from crucible.judging.references import YOURS, Ranked, References, ranking
from crucible.judging.tradeoffs import Judgement, interval, number
from crucible.judging.tradeoffs import words as words  # for the templates, too
from crucible.judging.verdict import CheckResult, GradeOutcome, Prediction, Verdict
from crucible.planning.manifest import Manifest
from crucible.report.text import compact, plain

MOST_ROWS = 10
MOST_DETAILS = 20
MOST_LINES = 40
MOST_REFERENCES = 8
FITS = {Judgement.FITS: "fits", Judgement.DOES_NOT: "does not fit", Judgement.INCONCLUSIVE: "open"}
SIDES = {Judgement.FITS: "within", Judgement.DOES_NOT: "past it", Judgement.INCONCLUSIVE: "open"}
_WORST_FIRST = (Outcome.ERROR, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.NOT_RUN, Outcome.PASS)


@dataclass(frozen=True, slots=True)
class Row:
    """A check in the table: what it is, how it came out, and one sentence."""

    name: str
    kind: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, slots=True)
class Step:
    """An operation of a timeline."""

    moment: str
    """Since the first one, such as `12.3 ms`; equally wide in all steps of a timeline."""
    target: str
    asked: str
    answered: str


@dataclass(frozen=True, slots=True)
class Detail:
    """A check that needs explaining."""

    name: str
    outcome: Outcome
    promise: str
    what: str
    steps: tuple[Step, ...]
    hint: str
    again: str
    """The command that repeats it."""


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


def rows(verdict: Verdict) -> tuple[Row, ...]:
    """At most ten checks, the worst ones, in the suite's order."""
    worst = sorted(verdict.checks, key=lambda check: _WORST_FIRST.index(check.finding.outcome))[:MOST_ROWS]
    return tuple(
        Row(check.name, "gate" if check.gate else "measure", check.finding.outcome, _sentence(check))
        for check in verdict.checks
        if check in worst
    )


def left_out(verdict: Verdict) -> tuple[str, ...]:
    """The checks that `rows` has no room for, in words."""
    shown = {row.name for row in rows(verdict)}
    return tuple(f"{check.name}: {words(check.finding.outcome)}" for check in verdict.checks if check.name not in shown)


def details(verdict: Verdict) -> tuple[Detail, ...]:
    """The checks that failed, broke or came to no conclusion."""
    explained = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR)
    found = [check for check in verdict.checks if check.finding.outcome in explained][:MOST_DETAILS]
    return tuple(
        Detail(
            check.name,
            check.finding.outcome,
            check.promise,
            check.finding.what,
            timeline(check.finding.examples),
            check.hint if check.finding.outcome is not Outcome.ERROR else "",
            replay_one(verdict, check.id),
        )
        for check in found
    )


def first_requests(verdict: Verdict, evidence: Evidence) -> tuple[Step, ...]:
    """The contact's first three requests, where nothing else could be graded because of them."""
    if verdict.outcome is not GradeOutcome.FAILED or verdict.fit is not None:
        return ()
    return timeline(contact.requests(evidence)[:3])


def timeline(ops: Sequence[Op]) -> tuple[Step, ...]:
    """At most three operations, timed in ms from the first."""
    if not ops:
        return ()
    chosen = sorted(ops[:3], key=lambda op: op.sent_ns)
    moments = [f"{(op.sent_ns - chosen[0].sent_ns) / 1e6:,.1f} ms" for op in chosen]
    width = max(len(moment) for moment in moments)
    return tuple(_step(op, moment.rjust(width)) for op, moment in zip(chosen, moments, strict=True))


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
                seen=interval(measure) if measure else "not measured",
                unit=axis.unit if axis else "",
                samples=f"{measure.samples:,}" if measure else "–",
                limit=limit.limit if limit else "–",
                result=SIDES[limit.result] if limit else "–",
            )
        )
    return tuple(table)


def businesses(verdict: Verdict, manifest: Manifest, references: References) -> tuple[Business, ...]:
    """Each profile that was looked at, the run's own first."""
    stories = {profile.id: profile.story for profile in manifest.profiles}
    return tuple(
        Business(
            fit.profile,
            stories.get(fit.profile, ""),
            FITS[fit.result],
            fit.because,
            fit.flips_at,
            _rank(ranking(fit, references, manifest), fit.result is Judgement.FITS),
        )
        for fit in verdict.fits[:MOST_LINES]
    )


def predictions(verdict: Verdict) -> tuple[Guess, ...]:
    """What crucible.yaml predicted, beside what was measured."""

    def result(it: Prediction) -> str:
        if it.measured is None or it.met is None:
            return "not measured"
        if it.met:
            return "about right"
        low, high = sorted((abs(it.predicted), abs(it.measured.value)))
        how = "higher" if it.measured.value > it.predicted else "lower"
        return f"{how} by a factor of {number(high / low)}" if low > 0 else how

    return tuple(
        Guess(it.axis, number(it.predicted), interval(it.measured) if it.measured else "–", result(it))
        for it in verdict.predictions[:MOST_LINES]
    )


def reference_names(verdict: Verdict, references: References) -> tuple[str, ...]:
    return tuple(references.of(verdict.profile))[:MOST_REFERENCES] if verdict.fit is not None else ()


def beside(verdict: Verdict, manifest: Manifest, references: References) -> tuple[Beside, ...]:
    """The design and the references, axis by axis, for the run's profile."""
    names = reference_names(verdict, references)
    stands = references.of(verdict.profile)
    theirs = {name: {measure.axis: measure for measure in stands[name].positions} for name in names}
    yours = {measure.axis: measure for measure in verdict.positions}
    return tuple(
        Beside(
            axis.id,
            axis.unit,
            interval(yours[axis.id]) if axis.id in yours else "–",
            tuple(number(them[axis.id].value) if axis.id in them else "–" for them in theirs.values()),
        )
        for axis in manifest.axes
        if any(axis.id in them for them in theirs.values())
    )


def picture(verdict: Verdict, manifest: Manifest, references: References) -> tuple[Point, ...]:
    """The design and the references on the challenge's two axes; nothing where fewer than two stand on both."""
    if manifest.chart is None:
        return ()
    stands = {name: references.of(verdict.profile)[name].positions for name in reference_names(verdict, references)}
    placed = []
    for name, found in {YOURS: verdict.positions, **stands}.items():
        values = {measure.axis: measure.value for measure in found}
        if all(axis in values for axis in manifest.chart):
            placed.append((name, [values[axis] for axis in manifest.chart]))
    if len(placed) < 2 or placed[0][0] != YOURS:
        return ()
    xs, ys = ([values[side] for _, values in placed] for side in (0, 1))
    return tuple(Point(name, _between(x, xs), _between(y, ys), (number(x), number(y))) for name, (x, y) in placed)


def knee(verdict: Verdict) -> str:
    """Which rate the design holds, in a sentence; empty where a quick grade did not look."""
    it = verdict.knee
    if it is None:
        return ""
    asked = f"with a 99th percentile of at most {number(it.p99_ms)} ms"
    if it.failed is None:
        return f"It held {number(it.held)} requests per second {asked}; how many more is open: {it.why}"
    return f"It held {number(it.held)} requests per second {asked}, and not {number(it.failed)}: there {it.why}"


def replay(verdict: Verdict) -> str:
    """The command that repeats what failed, or everything."""
    failed = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR)
    ids = [check.id for check in verdict.checks if check.finding.outcome in failed][:MOST_ROWS]
    command = ["crucible", "grade", *(word for name in ids for word in ("--check", name)), "--seed", str(verdict.seed)]
    if verdict.profile_chosen:
        command += ["--profile", verdict.profile]
    if verdict.mode == "full":
        command.append("--full")
    return shlex.join(command)


def replay_one(verdict: Verdict, name: str) -> str:
    """The command that repeats one check."""
    command = ["crucible", "grade", "--check", name, "--seed", str(verdict.seed), "--profile", verdict.profile]
    return shlex.join([*command, *(["--full"] if verdict.mode == "full" else [])])


def evidence_line(counters: Mapping[str, float]) -> str:
    """`145 requests in flight at once; 3 bursts`."""
    return "; ".join(f"{number(value)} {plain(name, 80)}" for name, value in list(counters.items())[:8])


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


def _sentence(check: CheckResult) -> str:
    finding = check.finding
    if finding.outcome is not Outcome.PASS:
        return plain(finding.what)
    return f"{plain(finding.what, 160).rstrip('.')} ({evidence_line(finding.evidence)})"


def _step(op: Op, moment: str) -> Step:
    body = "" if op.request.body is None else " " + plain(compact(op.request.body), 120)
    asked = f"{plain(op.request.method, 10)} {plain(op.request.path, 80)}{body}"
    reply = "" if op.reply is None else " " + plain(compact(op.reply), 160)
    answer = plain(op.error or "no answer", 160) if op.status is None else f"{op.status}{reply}"
    if op.status is not None and op.error:
        answer += f", {plain(op.error, 120)}"
    return Step(moment, plain(op.target, 20), asked, f"{answer} ({(op.received_ns - op.sent_ns) / 1e6:,.1f} ms)")
