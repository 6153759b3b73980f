"""Judges reads of a file that is replaced meanwhile: each has to show a version that was current at some instant of it.

A read may take long, and be led elsewhere, so nothing is said of the order of reads among each other. A replacement
happens at an instant between being asked for and being answered; one without an answer may happen then, later, or
never. Times are integers in nanoseconds of one monotonic clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crucible.oracles.windows import NEVER_NS


@dataclass(frozen=True, slots=True)
class Version:
    """What a file becomes, and when. Raises ValueError where that is no interval."""

    digest: str | None
    """Of its bytes; None where there is to be no file."""
    asked_ns: int
    answered_ns: int = NEVER_NS
    """`NEVER_NS` where it is not known whether it happened."""

    def __post_init__(self) -> None:
        if not 0 <= self.asked_ns <= self.answered_ns:
            raise ValueError(f"not an interval: [{self.asked_ns}, {self.answered_ns}]")


@dataclass(frozen=True, slots=True)
class Read:
    """What a read showed, and the closed interval in which it was asked for and came."""

    digest: str | None
    asked_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Impossible:
    """A read that no version explains."""

    read: Read
    what: str
    """What it showed, as the end of a sentence that begins with "a read"."""


def replaced_ns(version: Version, versions: Iterable[Version]) -> int:
    """The first moment at which it is certain that `version` is no longer current; `NEVER_NS` where there is none.

    Only what was asked for after its answer certainly comes after it.
    """
    later = (it.answered_ns for it in versions if it is not version and it.asked_ns > version.answered_ns)
    return min(later, default=NEVER_NS)


def impossible(reads: Iterable[Read], versions: Sequence[Version], first: str | None = None) -> list[Impossible]:
    """The reads that show no version that was current at an instant of theirs. `first`: what was there before any."""
    every = [Version(first, 0, 0), *versions]
    until = [(it, replaced_ns(it, every)) for it in every]
    found = []
    for read in reads:
        own = [(it, end_ns) for it, end_ns in until if it.digest == read.digest]
        if any(it.asked_ns <= read.ended_ns and read.asked_ns <= end_ns for it, end_ns in own):
            continue
        found.append(Impossible(read, _words(read, own)))
    return found


def _words(read: Read, own: Sequence[tuple[Version, int]]) -> str:
    what = "nothing" if read.digest is None else "a version"
    if not own:
        return "found nothing, while there was always something" if read.digest is None else "brought no version whole"
    past = [end_ns for _, end_ns in own if end_ns < read.asked_ns]
    if past:
        return f"brought {what} that had been replaced {(read.asked_ns - max(past)) / 1e6:,.0f} ms before"
    return f"brought {what} before it was completed"
