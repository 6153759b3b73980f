"""The first requests of the contract: whether there is anything to judge at all."""

from collections import Counter
from dataclasses import dataclass

from crucible.evidence import Evidence, Op, Result

NOT_IMPLEMENTED = 501


@dataclass(frozen=True, slots=True)
class NoContact:
    """Why there is nothing to judge."""

    untouched: bool
    """Whether it looks like a starter: nothing but 501."""
    what: str
    """For the headline; quotes the solution."""
    reason: str
    """For each check."""


def requests(evidence: Evidence) -> tuple[Op, ...]:
    """The contact's requests of the contract; `/healthz` is none."""
    recordings = [recording for recording in evidence.own.recordings if recording.phase == "contact"]
    return tuple(op for recording in recordings for op in recording.ops if op.request.path != "/healthz")


def missed(evidence: Evidence) -> NoContact | None:
    """Why the first requests came to nothing; None where one did not, where none was made, or where the scenario itself
    broke."""
    problems = [recording.problem for recording in evidence.own.recordings if recording.phase == "contact"]
    ops = requests(evidence)
    broken = any(problem is not None and problem.kind == "author" for problem in problems)
    if broken or not ops or any(op.result is Result.OK for op in ops):
        return None
    if all(op.status == NOT_IMPLEMENTED for op in ops):
        what = "every request of the contract was answered 501, so there is nothing to grade yet"
        return NoContact(True, what, "there is nothing to grade yet")
    common, _ = Counter(_answer(op) for op in ops).most_common(1)[0]
    first = next(op for op in ops if _answer(op) == common)
    reason = f"no request of the contract {'was answered' if first.status is None else 'succeeded'}"
    what = f"{reason}: {first.request.method} {_short(first.request.path)} on {first.target} {common}"
    return NoContact(False, what, reason)


def _answer(op: Op) -> str:
    return f"answered {op.status}" if op.status is not None else op.error or "got no answer"


def _short(path: str) -> str:
    return path if len(path) <= 40 else path[:39] + "…"
