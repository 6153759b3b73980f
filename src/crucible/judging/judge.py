"""Evidence, manifest and suite -> `Verdict`: a pure function, so that it can be repeated anywhere, at any time.

Of the whole grade, an error outranks everything: while the grader itself is broken, nothing it says is charged to
the learner. Then a failed gate, then anything inconclusive among the gates; the profile counts last, and only if the
learner chose it. A gate is a measure for a design that declares what the check's `unless` names.

What was measured counts whatever its check says: a measured check that fails is no failure of the grade, and its loss
is the design's position. Where a check did not see all, its axes are open (`open_axes`): no profile fits on what is
missing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from crucible.check import Check, Finding, Outcome, Suite
from crucible.evidence import Evidence, Part
from crucible.judging import blocks, contact, findings, tradeoffs
from crucible.judging.blocks import Knee
from crucible.judging.open_axes import open_axes
from crucible.judging.tradeoffs import Checked, Fit, Judgement, Terms
from crucible.judging.verdict import SCHEMA, CheckResult, GradeOutcome, Prediction, Verdict, causes_first
from crucible.judging.words import words
from crucible.planning.manifest import Manifest, Profile
from crucible.planning.prices import Prices


@dataclass(frozen=True, slots=True)
class _Case:
    """What there is to judge, and by what."""

    evidence: Evidence
    manifest: Manifest
    suite: Suite
    prices: Prices


@dataclass(frozen=True, slots=True)
class _Conclusion:
    outcome: GradeOutcome
    gates: GradeOutcome
    """The outcome if no profile counted."""
    headline: str


@dataclass(frozen=True, slots=True)
class _Judged:
    """A profile, judged, and which rate was held with the latency that it needs."""

    fit: Fit
    knee: Knee | None = None


def judge(evidence: Evidence, manifest: Manifest, suite: Suite, prices: Prices) -> Verdict:
    """The verdict on a run. Never raises for anything in the evidence or in the suite's judges."""
    nothing = contact.missed(evidence)
    if nothing is not None:
        unrun = tuple(
            _result(check, Finding(Outcome.NOT_RUN, nothing.reason), evidence.declares) for check in suite.checks
        )
        outcome = GradeOutcome.NOT_STARTED if nothing.untouched else GradeOutcome.FAILED
        return _verdict(evidence, _Conclusion(outcome, outcome, f"{words(outcome)}: {nothing.what}"), unrun, ())
    case = _Case(evidence, manifest, suite, prices)
    checks = _checks(case, evidence.own)
    judged = _profiles(case, checks)
    gates, said = _of_gates(case, checks)
    return _verdict(evidence, _conclude(gates, said, evidence, judged[0].fit), checks, judged)


def settled(evidence: Evidence, manifest: Manifest, suite: Suite, told: Collection[str] = ()) -> list[CheckResult]:
    """Of a run that goes on: the checks, but for those that were `told` already, all of whose scenarios have been seen.
    What is seen later may still tell against them, so the verdict goes by everything."""
    if contact.missed(evidence) is not None:
        return []
    part = evidence.own
    recorded = {recording.scenario for recording in part.recordings}
    due = {check.id: set(findings.due_scenarios(check, suite, evidence.mode)) for check in suite.checks}
    wanted = [it for it in suite.checks if it.id in part.checks and it.id not in told and due[it.id]]
    return [_judged(check, evidence, manifest, suite, part) for check in wanted if due[check.id] <= recorded]


def _judged(check: Check, evidence: Evidence, manifest: Manifest, suite: Suite, part: Part) -> CheckResult:
    finding = findings.find(check, suite, evidence, part)
    return _result(check, findings.on_axes(check, finding, [axis.id for axis in manifest.axes]), evidence.declares)


def _checks(case: _Case, part: Part) -> tuple[CheckResult, ...]:
    return tuple(_judged(check, case.evidence, case.manifest, case.suite, part) for check in case.suite.checks)


def _profiles(case: _Case, checks: Sequence[CheckResult]) -> tuple[_Judged, ...]:
    """The run's own profile first. A quick grade looks at no other, and a full one at those that it has a part for.

    `checks`: what was found with the run's own number of replicas.
    """
    evidence, manifest = case.evidence, case.manifest
    own = manifest.profile(evidence.profile)
    if own is None:
        return (_Judged(tradeoffs.not_run(evidence.profile, f"the challenge has no profile {evidence.profile}")),)
    others = manifest.profiles if evidence.mode == "full" else ()
    found = {evidence.own.replicas: checks}
    judged = []
    for profile in (own, *(profile for profile in others if profile is not own)):
        part = evidence.part(profile.replicas)
        if part is None:
            because = evidence.own.given_up or (
                f"the run had {evidence.own.replicas} replicas, and this profile has {profile.replicas}"
            )
            judged.append(_Judged(tradeoffs.not_run(profile.id, because)))
            continue
        if part.given_up and not part.recordings:
            judged.append(_Judged(tradeoffs.not_run(profile.id, part.given_up)))
            continue
        if profile.replicas not in found:
            found[profile.replicas] = _checks(case, part)
        judged.append(_profile(profile, part, found[profile.replicas], case))
    return tuple(judged)


def _profile(profile: Profile, part: Part, checks: Sequence[CheckResult], case: _Case) -> _Judged:
    gates = [check for check in checks if check.gate]
    failed = [check for check in gates if check.failed]
    open_ = [check for check in gates if _unsettled(check, part, case)]
    say = _named if part is case.evidence.own else _first_of  # of the run's own part the checks say the rest
    checked = Checked(
        tuple(measure for check in checks for measure in check.finding.measures if not _broke(check)),
        open_axes(checks, case.suite, part, case.evidence.mode),
        say(causes_first(failed)) if failed else "",
        say(open_) if open_ else "",
    )
    knee = blocks.knee(part.load, part.ramp, profile.knee_p99_ms)
    terms = Terms(case.manifest, case.prices, case.evidence.process_types, case.evidence.declares)
    return _Judged(tradeoffs.fit(profile, part, checked, terms, knee), knee)


def _broke(check: CheckResult) -> bool:
    return check.finding.outcome is Outcome.ERROR


def _of_gates(case: _Case, checks: Sequence[CheckResult]) -> tuple[GradeOutcome, str]:
    """What comes of everything but the profile, and why."""
    errors = [check for check in checks if check.finding.outcome is Outcome.ERROR]
    if errors:
        return GradeOutcome.ERROR, _first_of(errors)
    if (broken := _broken_load(case.evidence)) is not None:
        return GradeOutcome.ERROR, broken
    gates = [check for check in checks if check.gate]
    asked = sum(gate.id in case.evidence.own.checks for gate in gates)
    if failed := [check for check in gates if check.failed]:
        return GradeOutcome.FAILED, _failures(causes_first(failed), asked)
    if (gone := _not_back(case.evidence.own)) is not None:
        return GradeOutcome.FAILED, gone
    if bypasses := case.evidence.bypasses:
        return GradeOutcome.INCONCLUSIVE, "; ".join(bypasses)
    unsettled = [check for check in gates if _unsettled(check, case.evidence.own, case)]
    if unsettled:
        return GradeOutcome.INCONCLUSIVE, _first_of(unsettled)
    if case.evidence.own.given_up:
        return GradeOutcome.INCONCLUSIVE, f"not everything was tried: {case.evidence.own.given_up}"
    if not any(check.finding.outcome in (Outcome.PASS, Outcome.FAIL) for check in checks):
        return GradeOutcome.INCONCLUSIVE, "no check could be judged"
    held = sum(check.gate and check.finding.outcome is Outcome.PASS for check in checks)
    return GradeOutcome.PASSED, _gates_hold(held, asked)


def _conclude(gates: GradeOutcome, said: str, evidence: Evidence, fit: Fit) -> _Conclusion:
    """The outcome of the grade, and its headline: a profile that was chosen counts where every gate holds."""
    if gates is not GradeOutcome.PASSED or not evidence.profile_chosen:
        whose = "error, and not yours" if gates is GradeOutcome.ERROR else gates
        return _Conclusion(gates, gates, f"{whose}: {said}")
    if fit.result is Judgement.FITS:
        return _Conclusion(GradeOutcome.PASSED, gates, f"passed: {said}, and the design fits {fit.profile}")
    if fit.result is Judgement.DOES_NOT:
        headline = f"failed: {said}, but the design does not fit {fit.profile}: {fit.because}"
        return _Conclusion(GradeOutcome.FAILED, gates, headline)
    headline = f"inconclusive: {said}, but whether the design fits {fit.profile} is open: {fit.because}"
    return _Conclusion(GradeOutcome.INCONCLUSIVE, gates, headline)


def _broken_load(evidence: Evidence) -> str | None:
    """How the challenge's own load went wrong, where it did."""
    recordings = [recording for part in evidence.parts for recording in part.recordings]
    problems = [recording.problem for recording in recordings if recording.phase == "load"]
    return next((it.what for it in problems if it is not None and it.kind == "author"), None)


def _not_back(part: Part) -> str | None:
    """How the solution did not come back when it was started again, where it did not: no design may do without that."""
    problems = [recording.problem for recording in part.recordings if recording.problem is not None]
    return next((problem.what for problem in problems if problem.kind == "stopped"), None)


def _unsettled(check: CheckResult, part: Part, case: _Case) -> bool:
    """Whether a gate that was asked for has no answer; a judge's own `not_run` is one, silence is none."""
    if check.finding.outcome is Outcome.NOT_RUN:
        recorded = {recording.scenario for recording in part.recordings}
        asked = next(it for it in case.suite.checks if it.id == check.id)
        due = findings.due_scenarios(asked, case.suite, case.evidence.mode)
        return check.id in part.checks and not set(due) <= recorded
    return check.finding.outcome is Outcome.INCONCLUSIVE


def _gates_hold(held: int, asked: int) -> str:
    if held == 0:
        return "no gate was judged"
    if held < asked:
        return f"{held} of {asked} gates hold, and the others do not apply"
    return "the one gate holds" if held == 1 else f"all {held} gates hold"


def _failures(failed: Sequence[CheckResult], asked: int) -> str:
    """How many gates failed, and what is to be said of the first."""
    first = f"{failed[0].name}: {failed[0].finding.what}"
    return first if len(failed) == 1 else f"{len(failed)} of {asked} gates: {first}"


def _first_of(checks: Sequence[CheckResult]) -> str:
    return f"{checks[0].name}: {checks[0].finding.what}{_more(checks)}"


def _named(checks: Sequence[CheckResult]) -> str:
    return f"{checks[0].name}{_more(checks)}"


def _more(checks: Sequence[CheckResult]) -> str:
    return f" (and {len(checks) - 1} more)" if len(checks) > 1 else ""


def _result(check: Check, finding: Finding, declares: Mapping[str, str]) -> CheckResult:
    excused = any(declares.get(name) == value for name, value in check.unless.items())
    gate = check.gate and not excused
    return CheckResult(check.id, check.slug, check.promise, check.hint, gate, finding, check.explained_by)


def _verdict(
    evidence: Evidence, conclusion: _Conclusion, checks: tuple[CheckResult, ...], judged: Sequence[_Judged]
) -> Verdict:
    found = {measure.axis: measure for measure in (judged[0].fit.positions if judged else ())}
    return Verdict(
        schema=SCHEMA,
        crucible=evidence.crucible,
        challenge=evidence.challenge,
        suite=evidence.suite,
        seed=evidence.seed,
        mode=evidence.mode,
        profile=evidence.profile,
        profile_chosen=evidence.profile_chosen,
        outcome=conclusion.outcome,
        gates=conclusion.gates,
        headline=conclusion.headline,
        checks=checks,
        fits=tuple(one.fit for one in judged),
        knee=judged[0].knee if judged else None,
        predictions=tuple(Prediction(axis, value, found.get(axis)) for axis, value in evidence.predictions.items()),
    )
