"""What is said of a run: the records, to and from JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

from crucible.check import Finding, Measure, Outcome
from crucible.judging.blocks import Knee
from crucible.judging.tradeoffs import Fit

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
    """Of this design: what it declares may have made a measure of a gate."""
    finding: Finding
    explained_by: tuple[str, ...] = ()
    """Ids of checks whose failure explains this one's."""

    @property
    def name(self) -> str:
        return f"{self.id} {self.slug}"

    @property
    def failed(self) -> bool:
        return self.finding.outcome is Outcome.FAIL

    @property
    def unsettled(self) -> bool:
        """Whether it is worth explaining, and another grade."""
        return self.finding.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR)

    @property
    def question(self) -> str:
        """What the learner is asked: the finding's own question, else the check's."""
        return self.finding.question or self.hint


def causes(check: CheckResult, among: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """The failed checks whose failure explains this one's."""
    return tuple(it for it in among if it.failed and it.id in check.explained_by and it.id != check.id)


def causes_first(checks: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """In the suite's order, but for those that another one's failure explains: they come last."""
    return tuple(sorted(checks, key=lambda check: check.failed and bool(causes(check, checks))))


@dataclass(frozen=True, slots=True)
class Prediction:
    """A learner's guess on one axis."""

    axis: str
    predicted: float
    measured: Measure | None

    @property
    def met(self) -> bool | None:
        """Whether what was measured is within a fifth of it (or of its interval); None where that is not known."""
        if self.measured is None or self.measured.beyond or self.measured.open:
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
