"""What was answered to those who sent: which events are certainly in, which may be, and which are not."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from crucible.authoring.facts import fact
from crucible.check import History
from crucible.evidence import Op, Result
from crucible.oracles.tallies import Entry, Reconciled, Tally, reconcile

from .events import Cohort

READ = "read"


class Said(Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def said(op: Op) -> Said:
    """What an answer to a POST says of all of its events."""
    if op.result is Result.OK and op.field("accepted", int) is not None and op.field("duplicate", int) is not None:
        return Said.YES
    if op.result is Result.REFUSED and op.status not in (409, 425):
        return Said.NO
    return Said.UNKNOWN


def accepted(op: Op) -> bool:
    return said(op) is Said.YES


def settled(op: Op) -> bool:
    """Whether it need not be sent again: a 4xx says no for good, but that it was too much, or in progress."""
    return said(op) is Said.YES or (said(op) is Said.NO and op.status not in (None, 429))


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent of a cohort, by the label of its operations; noted under that."""

    cohort: Cohort
    spans: tuple[tuple[int, int], ...] = ()
    """Of each batch the first event, and how many; an operation is called `LABEL/PLACE` by its place in this list."""
    single: bool = False
    """Whether a batch of one was sent as an object."""

    def span(self, op: Op) -> tuple[int, int] | None:
        """Which of the cohort's events an operation sent: the first, and how many."""
        place = place_of(op)
        return self.spans[place] if place is not None and place < len(self.spans) else None

    def first(self, ops: Iterable[Op]) -> list[Op]:
        """Of what was sent under its label, all but what was sent again; where every batch was meant to be as large."""
        batches = -(-self.cohort.number // self.spans[0][1]) if self.spans else 0
        return [op for op in ops if (place := place_of(op)) is not None and place < batches]

    def ids(self, op: Op) -> set[str]:
        """Of what an operation sent."""
        start, size = self.span(op) or (0, 0)
        return {self.cohort.id(index) for index in range(start, start + size)}


@dataclass
class Books:
    """A cohort by what is known of its events."""

    cohort: Cohort
    yes: set[int] = field(default_factory=set)
    maybe: set[int] = field(default_factory=set)
    first_yes_ns: dict[int, int] = field(default_factory=dict)
    """When an event was first acknowledged."""

    @cached_property
    def due(self) -> dict[int, Tally]:
        """What its certain events come to, by minute."""
        counts, sums = Counter[int](), Counter[int]()
        for index in self.yes:
            minute = self.cohort.minute(index)
            counts[minute] += 1
            sums[minute] += self.cohort.value(index)
        return {minute: Tally(count, sums[minute]) for minute, count in counts.items()}

    def entries(self, doubtful: Iterable[int] = ()) -> Iterator[Entry]:
        """Those that are certainly in, but for the `doubtful`, and those that may be."""
        unsure = {*doubtful} & self.yes
        yield from self.cohort.entries(sorted(self.yes - unsure))
        yield from self.cohort.entries(sorted(self.maybe | unsure), sure=False)

    def against(self, seen: Mapping[int, Tally], doubtful: Iterable[int] = ()) -> Reconciled:
        """What was read, held against what is known."""
        if seen == self.due:
            return Reconciled(counted=len(self.yes))
        return reconcile(self.entries(doubtful), seen)

    def most_within(self, span_ns: int) -> int:
        """The most events that were acknowledged in any time as long as this."""
        moments = sorted(self.first_yes_ns.values())
        return max((bisect_right(moments, at_ns + span_ns) - place for place, at_ns in enumerate(moments)), default=0)

    def acknowledged_between(self, begin_ns: int, end_ns: int) -> set[int]:
        return {index for index, yes_ns in self.first_yes_ns.items() if begin_ns <= yes_ns <= end_ns}


def open_books(sent: Sent, ops: Iterable[Op]) -> Books:
    """From what was asked under one label: a batch that was sent again is in if it was ever acknowledged."""
    books = Books(sent.cohort)
    for op in ops:
        start, size = sent.span(op) or (0, 0)
        answer, indexes = said(op), range(start, start + size)
        if answer is Said.YES:
            books.yes.update(indexes)
            for index in indexes:
                books.first_yes_ns[index] = min(op.received_ns, books.first_yes_ns.get(index, op.received_ns))
        elif answer is Said.UNKNOWN:
            books.maybe.update(indexes)
    books.maybe -= books.yes
    return books


def place_of(op: Op) -> int | None:
    """Which of the batches of its label an operation sent; None where it sent none."""
    last = op.name.rsplit("/", 1)[-1]
    return int(last) if op.request.method == "POST" and last.isdigit() else None


def books_of(history: History, label: str) -> Books | None:
    """Of what was sent under a label; None where nothing was."""
    sent = fact(history, Sent, label)
    return None if sent is None else open_books(sent, history.named(label))


def readings(history: History, label: str) -> dict[str, list[Op]]:
    """What each replica said of a cohort, in the order of asking."""
    found: dict[str, list[Op]] = defaultdict(list)
    for op in history.named(f"{label}/{READ}"):
        found[op.target].append(op)
    return dict(found)
