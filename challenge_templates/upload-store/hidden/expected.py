"""What an answer was to be, noted by the scenario under the operation's label, and held against what came."""

from collections.abc import Sequence
from dataclasses import dataclass

from crucible.authoring.facts import noted
from crucible.check import History
from crucible.evidence import Op

from .files import last


@dataclass(frozen=True, slots=True)
class Bytes:
    """Content that is to come."""

    what: str
    """Which, in words: what was asked for."""
    status: int
    sha256: str
    size: int
    content_range: str = ""
    """As the header is to say it; empty where there is to be none."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer by its status alone."""

    what: str
    statuses: list[int]
    """Which are right; none where any 4xx is."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of all that was expected of one kind."""

    right: int
    wrong: tuple[tuple[str, Op], ...]
    """What was wrong, in words, and the answer that shows it."""
    open: int
    """Without an answer that says anything."""


def compared(history: History, prefix: str) -> Compared:
    """Every expectation under this label against the last answer that it had."""
    right, unanswered = 0, 0
    wrong: list[tuple[str, Op]] = []
    for label, expected in (noted(history, Bytes) | noted(history, Told)).items():
        if label.split("/")[0] != prefix:
            continue
        op = last(history.named(label))
        if op is None or op.status is None:
            unanswered += 1
        elif complaint := wrong_of(expected, op):
            wrong.append((complaint, op))
        else:
            right += 1
    return Compared(right, tuple(wrong), unanswered)


def wrong_of(expected: Bytes | Told, op: Op) -> str:
    """What is wrong with an answer, in words; empty where nothing is."""
    if isinstance(expected, Told):
        right = op.status in expected.statuses if expected.statuses else 400 <= (op.status or 0) < 500
        return "" if right else f"{expected.what} was answered with {op.status}"
    if op.status != expected.status:
        return f"{expected.what} was answered with {op.status}, not {expected.status}"
    assert op.moved is not None
    if op.moved.received != expected.size:
        return f"{expected.what} brought {op.moved.received:,} bytes, not {expected.size:,}"
    if op.moved.sha256 != expected.sha256:
        return f"{expected.what} brought {expected.size:,} other bytes than those that were stored"
    length = op.headers.get("content-length", str(expected.size))
    if length != str(expected.size):
        return f"{expected.what} said Content-Length {length} and brought {expected.size:,} bytes"
    said = op.headers.get("content-range", "").lower().replace(" ", "")
    if expected.content_range and said != expected.content_range.replace(" ", ""):
        return f"{expected.what} said Content-Range {op.headers.get('content-range', 'nothing')!r}"
    return ""


def in_all(wrong: Sequence[tuple[str, Op]], were: str = "answers were wrong") -> str:
    """The first of what was wrong, and how many there were."""
    first, number = wrong[0][0], len(wrong)
    return first if number == 1 else f"{first}; in all {number} {were}"
