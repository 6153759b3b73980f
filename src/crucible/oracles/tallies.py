"""Whether counts and sums are those of the events that were taken in: what is missing, and what was counted twice.

A tally shows no ids. But where each value is a number of its own, a count and a sum that are both right mean the right
events, and what is left over of a wrong sum is the value of the event that is missing or doubled. An event of which
nobody knows whether it was taken in may be in a tally, or not.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

MOST_DOUBTFUL = 24
"""Events in doubt of one bucket up to which every subset of them is tried; beyond that a tally between the least and
the most that they can make of it stays open."""
MOST_IN_PAIRS = 4_000
"""Events of one bucket up to which two missing, two doubled, or one of each are looked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that was sent."""

    id: str
    bucket: int
    """Where it counts, such as its minute."""
    value: int
    sure: bool = True
    """Whether it was certainly taken in; else nobody knows."""


@dataclass(frozen=True, slots=True)
class Tally:
    count: int = 0
    sum: int = 0


NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A bucket that is wrong, whatever became of the events in doubt."""

    bucket: int
    due: Tally
    """Of the events that were certainly taken in."""
    seen: Tally
    lost: tuple[str, ...] = ()
    """Ids of events that are missing, where what is left over names them."""
    doubled: tuple[str, ...] = ()
    """Ids of events that were counted twice, likewise."""
    fewest_lost: int = 0
    """How many are missing at least."""
    fewest_doubled: int = 0
    """How many were counted too often at least."""

    @property
    def off_by(self) -> int:
        """What the sum is too large by."""
        return self.seen.sum - self.due.sum


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was seen, held against what was sent."""

    wrong: tuple[Mismatch, ...] = ()
    """In the order of buckets."""
    open: tuple[int, ...] = ()
    """Buckets with so many events in doubt that it cannot be told."""
    counted: int = 0
    """Events that are certainly in, in buckets that are right."""

    @property
    def right(self) -> bool:
        return not self.wrong and not self.open

    @property
    def lost(self) -> int:
        return sum(wrong.fewest_lost for wrong in self.wrong)

    @property
    def doubled(self) -> int:
        return sum(wrong.fewest_doubled for wrong in self.wrong)


@dataclass(slots=True)
class _Bucket:
    sure: list[Entry] = field(default_factory=list)
    doubtful: list[Entry] = field(default_factory=list)


def reconcile(entries: Iterable[Entry], seen: Mapping[int, Tally]) -> Reconciled:
    """Hold tallies by bucket against the events that were sent. Buckets that nobody sent to have to be empty."""
    buckets: dict[int, _Bucket] = defaultdict(_Bucket)
    for entry in entries:
        bucket = buckets[entry.bucket]
        (bucket.sure if entry.sure else bucket.doubtful).append(entry)
    wrong: list[Mismatch] = []
    unclear: list[int] = []
    counted = 0
    for name in sorted({*buckets, *seen}):
        bucket, tally = buckets[name], seen.get(name, NOTHING)
        due = Tally(len(bucket.sure), sum(entry.value for entry in bucket.sure))
        left = Tally(tally.count - due.count, tally.sum - due.sum)
        possible = _explained(left, [entry.value for entry in bucket.doubtful])
        if possible is False:
            wrong.append(_mismatch(name, bucket, due, tally))
        elif possible is None:
            unclear.append(name)
        else:
            counted += due.count
    return Reconciled(tuple(wrong), tuple(unclear), counted)


def _explained(left: Tally, doubtful: Sequence[int]) -> bool | None:
    """Whether some of these values, as many as are too many, add up to what is left over; None where it is possible,
    and there are too many of them to say. Half of the subsets meet the other half (Horowitz and Sahni, 1974)."""
    if not doubtful or not left.count:
        return left == NOTHING if not left.count else False
    if not 0 < left.count <= len(doubtful):
        return False
    ordered = sorted(doubtful)
    if not sum(ordered[: left.count]) <= left.sum <= sum(ordered[-left.count :]):
        return False
    if len(ordered) > MOST_DOUBTFUL:
        return None
    half = len(ordered) // 2
    one, other = _subsets(ordered[:half]), _subsets(ordered[half:])
    return any((left.count - count, left.sum - total) in other for count, total in one)


def _subsets(values: Sequence[int]) -> set[tuple[int, int]]:
    """The number and the sum of each subset."""
    found = {(0, 0)}
    for value in values:
        found |= {(count + 1, total + value) for count, total in found}
    return found


def _mismatch(name: int, bucket: _Bucket, due: Tally, seen: Tally) -> Mismatch:
    left = Tally(seen.count - due.count, seen.sum - due.sum)
    lost, doubled = _named(left, bucket)
    return Mismatch(
        name, due, seen, lost, doubled,
        fewest_lost=max(len(lost), -left.count, 0),
        fewest_doubled=max(len(doubled), left.count - len(bucket.doubtful), 0),
    )  # fmt: skip


def _named(left: Tally, bucket: _Bucket) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fewest events, two at most, that explain what is left over: (missing, doubled); of the events in doubt each
    may be in, where they are few."""
    doubtful = bucket.doubtful if len(bucket.doubtful) <= MOST_DOUBTFUL // 2 else []
    within = [
        Tally(left.count - size, left.sum - sum(entry.value for entry in chosen))
        for size in range(len(doubtful) + 1) for chosen in combinations(doubtful, size)
    ]  # fmt: skip
    ids = {entry.value: entry.id for entry in bucket.sure}
    for rest in within:
        if rest.count == -1 and -rest.sum in ids:
            return (ids[-rest.sum],), ()
        if rest.count == 1 and rest.sum in ids:
            return (), (ids[rest.sum],)
    for rest in within if len(ids) <= MOST_IN_PAIRS else ():
        for value, one in ids.items():
            if rest.count == 0 and value + rest.sum in ids and rest.sum:
                return (one,), (ids[value + rest.sum],)
            if rest.count == -2 and ids.get(-rest.sum - value, one) != one:
                return (one, ids[-rest.sum - value]), ()
            if rest.count == 2 and rest.sum - value in ids:
                return (), (one, ids[rest.sum - value])
    return (), ()
