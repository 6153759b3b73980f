"""A verdict with what a report needs: all that is known once a grade is over."""

from dataclasses import dataclass

from crucible.evidence import Evidence
from crucible.judging.previous import Before
from crucible.judging.references import References
from crucible.judging.verdict import Verdict
from crucible.planning.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Graded:
    """A grade that is over."""

    verdict: Verdict
    evidence: Evidence
    manifest: Manifest
    references: References
    """What the report compares the design with."""
    before: Before | None = None
    """An earlier grade, that the summary tells the changes to."""
