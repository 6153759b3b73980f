"""The axes on which a design may stand worse than was seen, and why. Pure.

What was measured counts whatever its check says, so a failed one leaves nothing open. But a check that came to no
conclusion, broke, was cut short or never ran has not seen all: what was counted on its axes, by whomever, is the least
that there is. It may miss a limit and keeps none.
"""

from collections.abc import Iterable

from crucible.check import Check, Mode, Outcome, Suite
from crucible.evidence import Part
from crucible.judging import findings
from crucible.judging.verdict import CheckResult

_WAS = {
    Outcome.NOT_RUN: "was not run",
    Outcome.INCONCLUSIVE: "came to no conclusion",
    Outcome.ERROR: "broke",
}


def open_axes(results: Iterable[CheckResult], suite: Suite, part: Part, mode: Mode) -> dict[str, str]:
    """By axis: which check leaves it open, and how."""
    checks = {check.id: check for check in suite.checks}
    found: dict[str, str] = {}
    for result in results:
        for axis in _left_open(result, checks[result.id], suite, mode, _is_cut(checks[result.id], part)):
            how = _WAS.get(result.finding.outcome, "was cut short")
            found.setdefault(axis, f"{result.name} {how}")
    return found


def _left_open(result: CheckResult, check: Check, suite: Suite, mode: Mode, cut: bool) -> set[str]:
    """The axes of which this check should have said more. What only a full grade runs is not missed in a quick one."""
    outcome, measured = result.finding.outcome, {measure.axis for measure in result.finding.measures}
    if outcome is Outcome.NOT_RUN:
        return set(check.axes) - measured if findings.due_scenarios(check, suite, mode) else set()
    return set(check.axes) | measured if cut or outcome in _WAS else set()


def _is_cut(check: Check, part: Part) -> bool:
    """Whether a scenario that it rests on did not come to its end."""
    return any(recording.problem is not None for recording in part.recordings if recording.scenario in check.scenarios)
