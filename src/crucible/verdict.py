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

from crucible import contact, judging, tradeoffs
from crucible.check import Check, Finding, Measure, Outcome, Suite
from crucible.evidence import Evidence
from crucible.manifest import Manifest
from crucible.tradeoffs import Fit, Judgement

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
    headline: str
    """The verdict in one line; may quote the solution, so escape it."""
    checks: tuple[CheckResult, ...]
    positions: tuple[Measure, ...]
    """Where the design stands, per axis that was measured."""
    fit: Fit | None
    """How it suits the run's profile; None where nothing was judged."""

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self.outcome]


def judge(evidence: Evidence, manifest: Manifest, suite: Suite) -> Verdict:
    """The verdict on a run. Never raises for anything in the evidence or in the suite's judges."""
    nothing = contact.missed(evidence)
    if nothing is not None:
        checks = tuple(_result(check, Finding(Outcome.NOT_RUN, nothing.reason)) for check in suite.checks)
        outcome = GradeOutcome.NOT_STARTED if nothing.untouched else GradeOutcome.FAILED
        return _verdict(evidence, outcome, f"{str(outcome).replace('_', ' ')}: {nothing.what}", checks, (), None)
    checks = tuple(_result(check, judging.find(check, suite, evidence)) for check in suite.checks)
    positions = _positions(checks, evidence, manifest)
    fit = _fit(evidence, manifest, positions)
    outcome, headline = _conclude(evidence, suite, checks, fit)
    return _verdict(evidence, outcome, headline, checks, positions, fit)


@cache
def _adapter() -> TypeAdapter[Verdict]:
    return TypeAdapter(Verdict)


def json_schema() -> dict[str, object]:
    """The JSON schema of `result.json`."""
    return _adapter().json_schema()


def to_json(verdict: Verdict) -> bytes:
    return _adapter().dump_json(verdict, indent=1)


def _positions(checks: Iterable[CheckResult], evidence: Evidence, manifest: Manifest) -> tuple[Measure, ...]:
    measures: list[Measure] = []
    void: set[str] = set()
    for check in checks:
        measured = check.finding.outcome in (Outcome.PASS, Outcome.NOT_RUN)  # what was not run measured nothing
        counts = measured or (check.gate and check.finding.outcome is Outcome.FAIL)
        if counts:
            measures += check.finding.measures
        else:
            void |= {measure.axis for measure in check.finding.measures}
    return tradeoffs.positions(evidence, measures, manifest, void)


def _fit(evidence: Evidence, manifest: Manifest, positions: Sequence[Measure]) -> Fit:
    profile = manifest.profile(evidence.profile)
    if profile is None:
        because = f"the challenge has no profile {evidence.profile}"
        return Fit(evidence.profile, Judgement.INCONCLUSIVE, because, ())
    return tradeoffs.fit(profile, evidence.replicas, positions, manifest)


def _conclude(evidence: Evidence, suite: Suite, checks: Sequence[CheckResult], fit: Fit) -> tuple[GradeOutcome, str]:
    """The outcome of the grade, and its headline."""
    errors = [check for check in checks if check.finding.outcome is Outcome.ERROR]
    if errors:
        return GradeOutcome.ERROR, f"error, and not yours: {_first_of(errors)}"
    gates = [check for check in checks if check.gate]
    if failed := [check for check in gates if check.finding.outcome is Outcome.FAIL]:
        return GradeOutcome.FAILED, f"failed: {_first_of(failed)}"
    if evidence.bypasses:
        return GradeOutcome.INCONCLUSIVE, f"inconclusive: {'; '.join(evidence.bypasses)}"
    unsettled = [check for check in gates if _unsettled(check, evidence, suite)]
    if unsettled:
        return GradeOutcome.INCONCLUSIVE, f"inconclusive: {_first_of(unsettled)}"
    passed = [check for check in checks if check.finding.outcome is Outcome.PASS]
    if not passed:
        return GradeOutcome.INCONCLUSIVE, "inconclusive: no check could be judged"
    gates_hold = _gates_hold(sum(check.gate for check in passed), sum(gate.id in evidence.checks for gate in gates))
    if not evidence.profile_chosen:
        return GradeOutcome.PASSED, f"passed: {gates_hold}"
    if fit.result is Judgement.FITS:
        return GradeOutcome.PASSED, f"passed: {gates_hold}, and the design fits {fit.profile}"
    if fit.result is Judgement.DOES_NOT:
        return GradeOutcome.FAILED, f"failed: {gates_hold}, but the design does not fit {fit.profile}: {fit.because}"
    return GradeOutcome.INCONCLUSIVE, f"inconclusive: {gates_hold}; as to fitting {fit.profile}, {fit.because}"


def _unsettled(check: CheckResult, evidence: Evidence, suite: Suite) -> bool:
    """Whether a gate that was asked for has no answer; a judge's own `not_run` is one, silence is none."""
    if check.finding.outcome is Outcome.NOT_RUN:
        recorded = {recording.scenario for recording in evidence.recordings}
        asked = next(it for it in suite.checks if it.id == check.id)
        due = judging.due_scenarios(asked, suite, evidence)
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
    headline: str,
    checks: tuple[CheckResult, ...],
    positions: tuple[Measure, ...],
    fit: Fit | None,
) -> Verdict:
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
        headline=headline,
        checks=checks,
        positions=positions,
        fit=fit,
    )
