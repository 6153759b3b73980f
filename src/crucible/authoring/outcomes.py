"""What a judge says: findings with their counters, and answers sorted by what is known of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from crucible.check import Finding, Measure, Outcome
from crucible.evidence import Op, Result

SHOWN = 3
"""Operations that a finding shows."""


def passed(what: str, *examples: Op, counted: Mapping[str, float], measures: Sequence[Measure] = ()) -> Finding:
    """A promise that was kept. `counted` says how much was looked at, and is never empty."""
    return _finding(Outcome.PASS, what, examples, counted, measures)


def failed(
    what: str,
    *examples: Op,
    counted: Mapping[str, float] | None = None,
    measures: Sequence[Measure] = (),
    question: str = "",
) -> Finding:
    """A promise that was broken; the first three `examples` are shown, in the order of time. `question` stands in for
    the check's hint, where that would point elsewhere."""
    return _finding(Outcome.FAIL, what, examples, counted, measures, question)


def inconclusive(
    what: str,
    *examples: Op,
    counted: Mapping[str, float] | None = None,
    measures: Sequence[Measure] = (),
    question: str = "",
) -> Finding:
    """Too little was seen to say: `what` was missing."""
    return _finding(Outcome.INCONCLUSIVE, what, examples, counted, measures, question)


def not_run(what: str, *, counted: Mapping[str, float] | None = None, measures: Sequence[Measure] = ()) -> Finding:
    """It could not be tried here, for the reason `what`."""
    return _finding(Outcome.NOT_RUN, what, (), counted, measures)


def _finding(
    outcome: Outcome,
    what: str,
    examples: Sequence[Op],
    counted: Mapping[str, float] | None,
    measures: Sequence[Measure],
    question: str = "",
) -> Finding:
    shown = tuple(sorted(examples[:SHOWN], key=lambda op: op.sent_ns))
    return Finding(outcome, what, shown, tuple(measures), dict(counted or {}), question)


def exactly(axis: str, value: float, samples: int) -> Measure:
    """A measure without an interval: a count, or what was seen once."""
    return Measure(axis, value, value, value, samples)


def worst(*findings: Finding) -> Finding:
    """Several findings of one promise as one: the worst outcome, with what was said and asked of it, and everybody's
    measures and counters."""
    outcome = max((finding.outcome for finding in findings), key=list(Outcome).index)
    said = [finding for finding in findings if finding.outcome is outcome]
    return Finding(
        outcome,
        "; ".join(finding.what for finding in said),
        said[0].examples,
        tuple(measure for finding in findings for measure in finding.measures),
        {name: value for finding in findings for name, value in finding.evidence.items()},
        next((finding.question for finding in said if finding.question), ""),
    )


def answered(op: Op) -> bool:
    """Whether there is an answer that says what became of it: 2xx or 4xx."""
    return op.result is Result.OK or (op.result is Result.REFUSED and op.status is not None)


def refused(op: Op) -> bool:
    """Whether it says no: any 4xx, but one that means later."""
    return op.status is not None and 400 <= op.status < 500 and op.status != 429


def taken(op: Op) -> bool:
    """Whether it was answered 2xx, whatever the body says."""
    return op.status is not None and 200 <= op.status < 300


@dataclass(frozen=True, slots=True)
class Settled:
    """Operations by what is known of their effect."""

    done: tuple[Op, ...]
    maybe: tuple[Op, ...]
    """Without a definite answer: each may have happened, then or later, or not."""
    not_done: tuple[Op, ...]


def settled(ops: Iterable[Op], done: Callable[[Op], bool] = taken) -> Settled:
    """Sort operations by their effect: `done` says of one that it certainly took place, by its status or its reply."""
    sure: list[Op] = []
    maybe: list[Op] = []
    refused: list[Op] = []
    for op in ops:
        (sure if done(op) else refused if op.result is Result.REFUSED else maybe).append(op)
    return Settled(tuple(sure), tuple(maybe), tuple(refused))


def why_none(ops: Iterable[Op], answers: Callable[[Op], bool] = answered) -> str:
    """What most of those without an answer were, in words; empty where all have one."""
    reasons = [op.error or f"status {op.status}" for op in ops if not answers(op)]
    return max(reasons, key=reasons.count, default="")


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)] if ordered else 0.0
