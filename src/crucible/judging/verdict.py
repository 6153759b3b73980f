"""Evidence, manifest and suite -> `Verdict`: a pure function, so that it can be repeated anywhere, at any time.

Of the whole grade, an error outranks everything: while the grader itself is broken, nothing it says is charged to
the learner. Then a failed gate, then anything inconclusive among the gates; the profile counts last, and only if the
learner chose it. A measured check that fails is no failure of the grade, but its axes have no position, so a profile
that limits one of them is inconclusive.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

from crucible.check import Check, Finding, Measure, Outcome, Suite
from crucible.evidence import Evidence
from crucible.judging import blocks, contact, findings, tradeoffs
from crucible.judging.blocks import Knee
from crucible.judging.tradeoffs import Fit, Gates, Judgement
from crucible.planning.manifest import Manifest, Profile
from crucible.planning.prices import Prices

SCHEMA: Literal[1] = 1


class GradeOutcome(StrEnum):
    """Of a whole grade."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_STARTED = "not_started"
    """An untouched starter: welcomed, never a pass."""
    ERROR = "error"


_EXIT_CODES = {
    GradeOutcome.PASSED: 0,
    GradeOutcome.FAILED: 1,
    GradeOutcome.NOT_STARTED: 1,
    GradeOutcome.ERROR: 3,
    GradeOutcome.INCONCLUSIVE: 4,
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A check with what was found; all that a report needs to know of the suite."""

    id: str
    slug: str
    promise: str
    hint: str
    gate: bool
    finding: Finding

    @property
    def name(self) -> str:
        return f"{self.id} {self.slug}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A learner's guess on one axis."""

    axis: str
    predicted: float
    measured: Measure | None

    @property
    def met(self) -> bool | None:
        """Whether what was measured is within a fifth of it (or of its interval); None where nothing was measured."""
        if self.measured is None:
            return None
        room = 0.2 * abs(self.predicted)
        return self.measured.low - room <= self.predicted <= self.measured.high + room


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a run. Written as `result.json`."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    schema: Literal[1]
    crucible: str
    """Version that recorded the evidence."""
    challenge: str
    suite: str
    """SHA-256 of the challenge's hidden files when the evidence was recorded."""
    seed: int
    mode: Literal["quick", "full"]
    profile: str
    profile_chosen: bool
    outcome: GradeOutcome
    gates: GradeOutcome
    """The outcome if no profile counted: what no business may be indifferent to."""
    headline: str
    """The verdict in one line; may quote the solution, so escape it."""
    checks: tuple[CheckResult, ...]
    fits: tuple[Fit, ...]
    """How it suits each profile that was looked at, the run's own first; empty where nothing was judged."""
    knee: Knee | None
    """Which rate it holds, where a full grade looked for it."""
    predictions: tuple[Prediction, ...]
    """What `crucible.yaml` predicted, beside what was measured."""

    @property
    def fit(self) -> Fit | None:
        """How it suits the run's profile."""
        return self.fits[0] if self.fits else None

    @property
    def positions(self) -> tuple[Measure, ...]:
        """Where the design stands, per axis that was measured, for the run's profile."""
        return self.fits[0].positions if self.fits else ()

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self.outcome]


def judge(evidence: Evidence, manifest: Manifest, suite: Suite, prices: Prices) -> Verdict:
    """The verdict on a run. Never raises for anything in the evidence or in the suite's judges."""
    nothing = contact.missed(evidence)
    if nothing is not None:
        checks = tuple(_result(check, Finding(Outcome.NOT_RUN, nothing.reason)) for check in suite.checks)
        outcome = GradeOutcome.NOT_STARTED if nothing.untouched else GradeOutcome.FAILED
        return _verdict(evidence, outcome, outcome, f"{tradeoffs.words(outcome)}: {nothing.what}", checks, ())
    checks = _checks(evidence, suite)
    fits = _fits(evidence, checks, manifest, suite, prices)
    gates, said = _of_gates(evidence, suite, checks)
    outcome, headline = _conclude(gates, said, evidence, fits[0])
    return _verdict(evidence, outcome, gates, headline, checks, fits, _knee(evidence, manifest))


@cache
def _adapter() -> TypeAdapter[Verdict]:
    return TypeAdapter(Verdict)


def json_schema() -> dict[str, object]:
    """The JSON schema of `result.json`."""
    return _adapter().json_schema()


def to_json(verdict: Verdict) -> bytes:
    return _adapter().dump_json(verdict, indent=1)


def from_json(data: bytes) -> Verdict:
    """Read a `result.json`. Raises ValueError where it is none."""
    return _adapter().validate_json(data)


def _checks(evidence: Evidence, suite: Suite) -> tuple[CheckResult, ...]:
    return tuple(_result(check, findings.find(check, suite, evidence)) for check in suite.checks)


def _fits(
    evidence: Evidence, checks: Sequence[CheckResult], manifest: Manifest, suite: Suite, prices: Prices
) -> tuple[Fit, ...]:
    """The run's own profile first. A quick grade looks at no other, and a full one at those that it has a part for.

    `checks`: what was found with the run's own number of replicas.
    """
    own = manifest.profile(evidence.profile)
    if own is None:
        unknown = Profile(evidence.profile, "", evidence.replicas, 0, {})
        return (tradeoffs.not_run(unknown, f"the challenge has no profile {evidence.profile}"),)
    others = manifest.profiles if evidence.mode == "full" else ()
    found = {evidence.replicas: checks}
    fits = []
    for profile in (own, *(profile for profile in others if profile is not own)):
        seen = evidence.with_replicas(profile.replicas)
        if seen is None:
            because = f"the run had {evidence.replicas} replicas, and this profile has {profile.replicas}"
            fits.append(tradeoffs.not_run(profile, because))
            continue
        if profile.replicas not in found:
            found[profile.replicas] = _checks(seen, suite)
        fits.append(_fit(profile, seen, found[profile.replicas], manifest, suite, prices))
    return tuple(fits)


def _fit(
    profile: Profile, seen: Evidence, checks: Sequence[CheckResult], manifest: Manifest, suite: Suite, prices: Prices
) -> Fit:
    measures, void = _measures(checks)
    found, bill = tradeoffs.positions(seen, measures, manifest, profile.rate, prices, void)
    gates = [check for check in checks if check.gate]
    failed = [check for check in gates if check.finding.outcome is Outcome.FAIL]
    open_ = [check for check in gates if _unsettled(check, seen, suite)]
    state = Gates(_first_of(failed) if failed else "", _first_of(open_) if open_ else "")
    return tradeoffs.fit(profile, seen, found, bill, state, manifest)


def _knee(evidence: Evidence, manifest: Manifest) -> Knee | None:
    profile = manifest.profile(evidence.profile)
    return blocks.knee(evidence.load, evidence.ramp, tradeoffs.knee_p99_ms(profile)) if profile is not None else None


def _measures(checks: Iterable[CheckResult]) -> tuple[list[Measure], set[str]]:
    """What the checks measured, and the axes of which they did not see enough to say anything."""
    measures: list[Measure] = []
    void: set[str] = set()
    for check in checks:
        measured = check.finding.outcome in (Outcome.PASS, Outcome.NOT_RUN)  # what was not run measured nothing
        counts = measured or (check.gate and check.finding.outcome is Outcome.FAIL)
        if counts:
            measures += check.finding.measures
        else:
            void |= {measure.axis for measure in check.finding.measures}
    return measures, void


def _of_gates(evidence: Evidence, suite: Suite, checks: Sequence[CheckResult]) -> tuple[GradeOutcome, str]:
    """What comes of everything but the profile, and why."""
    errors = [check for check in checks if check.finding.outcome is Outcome.ERROR]
    if errors:
        return GradeOutcome.ERROR, _first_of(errors)
    if (broken := _broken_load(evidence)) is not None:
        return GradeOutcome.ERROR, broken
    gates = [check for check in checks if check.gate]
    if failed := [check for check in gates if check.finding.outcome is Outcome.FAIL]:
        return GradeOutcome.FAILED, _first_of(failed)
    if evidence.bypasses:
        return GradeOutcome.INCONCLUSIVE, "; ".join(evidence.bypasses)
    unsettled = [check for check in gates if _unsettled(check, evidence, suite)]
    if unsettled:
        return GradeOutcome.INCONCLUSIVE, _first_of(unsettled)
    passed = [check for check in checks if check.finding.outcome is Outcome.PASS]
    if not passed:
        return GradeOutcome.INCONCLUSIVE, "no check could be judged"
    held, asked = sum(check.gate for check in passed), sum(gate.id in evidence.checks for gate in gates)
    return GradeOutcome.PASSED, _gates_hold(held, asked)


def _conclude(gates: GradeOutcome, said: str, evidence: Evidence, fit: Fit) -> tuple[GradeOutcome, str]:
    """The outcome of the grade, and its headline: a profile that was chosen counts where every gate holds."""
    if gates is not GradeOutcome.PASSED or not evidence.profile_chosen:
        return gates, f"{'error, and not yours' if gates is GradeOutcome.ERROR else gates}: {said}"
    if fit.result is Judgement.FITS:
        return GradeOutcome.PASSED, f"passed: {said}, and the design fits {fit.profile}"
    if fit.result is Judgement.DOES_NOT:
        return GradeOutcome.FAILED, f"failed: {said}, but the design does not fit {fit.profile}: {fit.because}"
    return GradeOutcome.INCONCLUSIVE, f"inconclusive: {said}; as to fitting {fit.profile}, {fit.because}"


def _broken_load(evidence: Evidence) -> str | None:
    """How the challenge's own load went wrong, where it did."""
    recordings = [*evidence.recordings, *(recording for part in evidence.parts for recording in part.recordings)]
    problems = [recording.problem for recording in recordings if recording.phase == "load"]
    return next((it.what for it in problems if it is not None and it.kind == "author"), None)


def _unsettled(check: CheckResult, evidence: Evidence, suite: Suite) -> bool:
    """Whether a gate that was asked for has no answer; a judge's own `not_run` is one, silence is none."""
    if check.finding.outcome is Outcome.NOT_RUN:
        recorded = {recording.scenario for recording in evidence.recordings}
        asked = next(it for it in suite.checks if it.id == check.id)
        due = findings.due_scenarios(asked, suite, evidence)
        return check.id in evidence.checks and not set(due) <= recorded
    return check.finding.outcome is Outcome.INCONCLUSIVE


def _gates_hold(held: int, asked: int) -> str:
    if held == 0:
        return "no gate was judged"
    if held < asked:
        return f"{held} of {asked} gates hold, and the others do not apply"
    return "the one gate holds" if held == 1 else f"all {held} gates hold"


def _first_of(checks: Sequence[CheckResult]) -> str:
    first = f"{checks[0].name}: {checks[0].finding.what}"
    return first if len(checks) == 1 else f"{first} (and {len(checks) - 1} more)"


def _result(check: Check, finding: Finding) -> CheckResult:
    return CheckResult(check.id, check.slug, check.promise, check.hint, check.gate, finding)


def _verdict(
    evidence: Evidence,
    outcome: GradeOutcome,
    gates: GradeOutcome,
    headline: str,
    checks: tuple[CheckResult, ...],
    fits: tuple[Fit, ...],
    knee: Knee | None = None,
) -> Verdict:
    found = {measure.axis: measure for measure in (fits[0].positions if fits else ())}
    return Verdict(
        schema=SCHEMA,
        crucible=evidence.crucible,
        challenge=evidence.challenge,
        suite=evidence.suite,
        seed=evidence.seed,
        mode=evidence.mode,
        profile=evidence.profile,
        profile_chosen=evidence.profile_chosen,
        outcome=outcome,
        gates=gates,
        headline=headline,
        checks=checks,
        fits=fits,
        knee=knee,
        predictions=tuple(Prediction(axis, value, found.get(axis)) for axis, value in evidence.predictions.items()),
    )
