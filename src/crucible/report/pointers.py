"""What can be pointed at in the learner's own files, for whoever shows annotations beside them. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import TypeAdapter

from crucible.errors import CrucibleError, Fault
from crucible.evidence import Evidence
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import GradeOutcome, Verdict, causes_first
from crucible.judging.words import interval, number
from crucible.report.circumstances import MISHAPS
from crucible.report.text import plain

MOST = 300
"""Characters of a sentence."""

LineOf = Callable[[tuple[str, ...]], int | None]
"""The line of crucible.yaml on which the value under these keys stands; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """One annotation, on a line of `crucible.yaml` or on none."""

    level: Literal["error", "warning", "notice"]
    title: str
    message: str
    line: int | None = None


_ADAPTER = TypeAdapter(tuple[Pointer, ...])


def to_json(pointers: Sequence[Pointer]) -> bytes:
    return _ADAPTER.dump_json(tuple(pointers), indent=1)


def from_json(data: bytes) -> tuple[Pointer, ...]:
    """Raises ValueError for what is none."""
    return _ADAPTER.validate_json(data)


def of_grade(verdict: Verdict, evidence: Evidence, line: LineOf) -> tuple[Pointer, ...]:
    """The worst first: gates that failed, processes that died, a profile that is missed, predictions, idle services."""
    if verdict.outcome is GradeOutcome.NOT_STARTED:
        return ()
    found = (
        *_gates(verdict),
        *_deaths(evidence, line),
        *_profile(verdict, line),
        *_predictions(verdict, line),
        *_idle(evidence, line),
    )
    return tuple(map(_plain, found))


def of_error(error: CrucibleError) -> Pointer:
    """What kept a solution from being graded."""
    at = re.search(r"crucible\.yaml:(\d+)$", error.where)
    whose = "" if error.fault is Fault.LEARNER else " This is not your fault."
    message = f"{plain(error.what, MOST)}. What to do: {plain(error.fix, MOST)}.{whose}"
    return _plain(Pointer("error", "Crucible could not grade this", message, int(at[1]) if at else None))


def _plain(pointer: Pointer) -> Pointer:
    """With nothing in its words that could be more than words."""
    return replace(pointer, title=plain(pointer.title, MOST), message=plain(pointer.message, 2 * MOST + 100))


def _gates(verdict: Verdict) -> Iterator[Pointer]:
    for check in causes_first(verdict.checks):
        if check.gate and check.failed:
            yield Pointer("error", check.name, f"{plain(check.finding.what, MOST)}. {plain(check.question, MOST)}")


def _deaths(evidence: Evidence, line: LineOf) -> Iterator[Pointer]:
    """A process type once, with its first end."""
    events = sorted((it for seen in evidence.own.recordings for it in seen.events), key=lambda it: it.at_ns)
    told: set[str] = set()
    for event in events:
        name = event.subject.partition(".")[0]
        if event.kind in MISHAPS and name in evidence.process_types and name not in told:
            told.add(name)
            what = f"{plain(event.subject, 40)} {plain(MISHAPS[event.kind](event.detail), MOST)}"
            yield Pointer("error", "A process of yours ended", what, line(("processes", name, "command")))


def _profile(verdict: Verdict, line: LineOf) -> Iterator[Pointer]:
    fit = verdict.fit
    if fit is not None and verdict.profile_chosen and fit.result is Judgement.DOES_NOT:
        yield Pointer("error", f"The design does not fit {fit.profile}", fit.because, line(("profile",)))


def _predictions(verdict: Verdict, line: LineOf) -> Iterator[Pointer]:
    for guess in verdict.predictions:
        if guess.measured is not None and guess.met is False:
            what = f"{number(guess.predicted)} was predicted, and {interval(guess.measured)} was measured"
            yield Pointer("notice", f"Prediction of {guess.axis}", what, line(("predictions", guess.axis)))


def _idle(evidence: Evidence, line: LineOf) -> Iterator[Pointer]:
    used = {it.service for it in evidence.own.traffic if it.round_trips > 0}
    for index, service in enumerate(evidence.own.services):
        if service.name not in used:
            what = f"{service.name} was started, and nothing was asked of it: does the design need it?"
            yield Pointer("notice", "A service without traffic", what, line(("services", str(index))))
