"""One check at a time: its history out of the recordings, its judge's word, and what that word is worth."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from pydantic import JsonValue

from crucible.authoring.deaths import in_short, left_unanswered
from crucible.check import Check, Finding, History, Mode, Outcome, Suite
from crucible.errors import place_in_suite
from crucible.evidence import Evidence, Part, Problem, Recording

MOST_EXAMPLES = 3
_TELLS_OF_AN_END = re.compile(r"ended the process|\bprocess \S+ ended")


def on_axes(check: Check, finding: Finding, axes: Sequence[str]) -> Finding:
    """The finding; an ERROR where it measures what is no axis of the challenge, and would be dropped."""
    for measure in finding.measures:
        if measure.axis not in axes:
            close = get_close_matches(measure.axis, axes, n=1)
            hint = f"; is `{close[0]}` meant?" if close else ""
            what = f"the judge of {check.id} measures `{measure.axis}`, which is no axis of the manifest{hint}"
            return Finding(Outcome.ERROR, f"{what}: the author's fault")
    return finding


def find(check: Check, suite: Suite, evidence: Evidence, part: Part) -> Finding:
    """What is to be said of `check` in one part of the run. A judge that raises is an ERROR, and its author's."""
    if check.id not in part.checks:
        return Finding(Outcome.NOT_RUN, "it was not asked for")
    recordings = {recording.scenario: recording for recording in part.recordings}
    due = due_scenarios(check, suite, evidence.mode)
    if not due:
        return Finding(Outcome.NOT_RUN, "only a full grade runs it")
    missing = [name for name in due if name not in recordings]
    if missing and not (part.given_up and len(missing) < len(due)):
        return _unrun(missing, part)
    seen = [recordings[name] for name in check.scenarios if name in recordings]
    for recording in seen:
        if recording.problem is not None and recording.problem.kind == "author":
            what = f"the scenario `{recording.scenario}` broke: {recording.problem.what}: the author's fault"
            return Finding(Outcome.ERROR, what)
    if clash := _clash(seen):
        return Finding(Outcome.ERROR, f"{clash}: the author's fault")
    told = history(seen, evidence, part)
    finding = _weigh(_with_deaths(_ask(check, told), told), seen)
    if missing and finding.outcome is not Outcome.FAIL:  # what was seen may convict, no more
        return _unrun(missing, part)
    return finding


def _clash(seen: Sequence[Recording]) -> str | None:
    """The fact that two scenarios of one check noted otherwise: its judge would see one of the two."""
    noted: dict[str, tuple[str, JsonValue]] = {}
    for recording in seen:
        for name, value in recording.facts.items():
            scenario, other = noted.setdefault(name, (recording.scenario, value))
            if other != value:
                return f"the scenarios `{scenario}` and `{recording.scenario}` noted the fact `{name}` differently"
    return None


def due_scenarios(check: Check, suite: Suite, mode: Mode) -> tuple[str, ...]:
    """The scenarios that the check rests on in this mode."""
    modes = {scenario.id: scenario.modes for scenario in suite.scenarios}
    return tuple(name for name in check.scenarios if mode in modes[name])


def history(recordings: Sequence[Recording], evidence: Evidence, part: Part) -> History:
    """The recordings as one: operations in the order of sending, events in the order of time."""
    facts: dict[str, JsonValue] = {}
    for recording in recordings:
        facts |= recording.facts
    return History(
        ops=tuple(sorted((op for recording in recordings for op in recording.ops), key=lambda op: op.sent_ns)),
        events=tuple(
            sorted((event for recording in recordings for event in recording.events), key=lambda event: event.at_ns)
        ),
        facts=facts,
        attempts=part.attempts_of([recording.scenario for recording in recordings]),
        replicas=part.replicas,
        services=tuple(service.name for service in part.services),
        declares=dict(evidence.declares),
        problems=tuple(recording.problem for recording in recordings if recording.problem is not None),
        lag_ms=max((recording.lag_ms for recording in recordings), default=0.0),
    )


def _ask(check: Check, seen: History) -> Finding:
    """The judge's finding, or an ERROR that says how the judge went wrong."""
    try:
        finding = check.judge(seen)
        complaint = _complaint(finding)
    except Exception as error:  # the judge is the author's code, and any failure in it is theirs
        complaint = f"raised {type(error).__name__}{place_in_suite(error)}: {error}"
    if complaint is not None:
        return Finding(Outcome.ERROR, f"the judge of {check.id} {complaint}: the author's fault")
    return replace(finding, examples=finding.examples[:MOST_EXAMPLES])


def _complaint(finding: object) -> str | None:
    """What makes a judge's answer unusable."""
    if not isinstance(finding, Finding):
        return f"returned {type(finding).__name__}, not a Finding"
    if finding.outcome is Outcome.PASS and not finding.evidence:
        return "passed without saying how much it looked at"
    numbers = [side for measure in finding.measures for side in (measure.value, measure.low, measure.high)]
    if not all(math.isfinite(value) for value in (*numbers, *finding.evidence.values())):
        return "returned a number that is not finite"
    return None


def _with_deaths(finding: Finding, seen: History) -> Finding:
    """A failure, and what could not be judged, with the processes that ended by themselves meanwhile and did not come
    back. What such an end left without an answer the design made impossible: that is a failure, and the end its cause.
    """
    ended = in_short(seen)
    told = _TELLS_OF_AN_END.search(finding.what)
    if finding.outcome not in (Outcome.FAIL, Outcome.INCONCLUSIVE) or not ended or told:
        return finding
    if left_unanswered(seen):
        cut = finding.outcome is Outcome.INCONCLUSIVE  # what was measured of it saw too little
        least = tuple(replace(it, open=it.open or (cut and not it.beyond)) for it in finding.measures)
        return replace(finding, outcome=Outcome.FAIL, what=f"{ended}: {finding.what}", measures=least)
    return replace(finding, what=f"{finding.what}; {ended}")


def _weigh(finding: Finding, seen: Sequence[Recording]) -> Finding:
    """A pass that rests on an incomplete recording is inconclusive; everything else stands. Where the solution did not
    come back once a scenario had begun, nothing that rests on that scenario was kept."""
    cut = [(recording.scenario, recording.problem) for recording in seen if recording.problem is not None]
    gone = [recording for recording in seen if recording.problem is not None and recording.problem.kind == "stopped"]
    weighed = (Outcome.PASS, Outcome.INCONCLUSIVE) if gone else (Outcome.PASS,)
    if finding.outcome not in weighed or not cut:
        return finding
    reasons = "; ".join(_cut_short(scenario, problem) for scenario, problem in cut)
    outcome = Outcome.FAIL if any(recording.ops for recording in gone) else Outcome.INCONCLUSIVE
    return replace(finding, outcome=outcome, what=f"{reasons}. Until then: {finding.what}")


def _cut_short(scenario: str, problem: Problem) -> str:
    kind = "ran out of its budget" if problem.kind == "budget" else "was stopped"
    return f"the scenario `{scenario}` {kind}: {problem.what}"


def _unrun(missing: Sequence[str], part: Part) -> Finding:
    names = ", ".join(f"`{name}`" for name in missing)
    stopped = [it.problem.what for it in part.recordings if it.problem is not None and it.problem.kind == "stopped"]
    why = part.given_up or next(iter(stopped), "")
    return Finding(Outcome.NOT_RUN, f"the scenario {names} did not run" + (f": {why}" if why else ""))
