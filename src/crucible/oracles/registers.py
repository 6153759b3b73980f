"""Judges whether reads and writes of one value could have happened one after the other, each at an instant of its own.

Every write must be of a value that no other write has. Then that is decided exactly, in the time that sorting takes:
the accesses of one value form a cluster, whose zone lies between the first end and the last beginning among them
(Gibbons and Korach, *Testing Shared Memories*, SIAM Journal on Computing 26(4), 1997). Times are integers in
nanoseconds of one monotonic clock; accesses that touch are at the same time.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from crucible.oracles.windows import NEVER_NS

BEFORE_NS = -1
"""When the first value was written."""


@dataclass(frozen=True, slots=True)
class Access:
    """A read or a write, and the closed interval in which it happened. Raises ValueError where that is none."""

    sent_ns: int
    received_ns: int
    value: Hashable
    """What was written, or what the read returned."""
    write: bool

    def __post_init__(self) -> None:
        if not 0 <= self.sent_ns <= self.received_ns:
            raise ValueError(f"not an interval: [{self.sent_ns}, {self.received_ns}]")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Why no order explains what was seen, and the accesses that show it."""

    what: str
    shown_by: tuple[Access, ...]


@dataclass(frozen=True, slots=True)
class _Zone:
    """Of one value: from the first end to the last beginning where `forward`, and else the other way round."""

    start_ns: int
    end_ns: int
    forward: bool
    members: tuple[Access, ...]


def anomaly(accesses: Iterable[Access], first: Hashable) -> Anomaly | None:
    """Why the accesses have no order; None where they have one. `first` is the value before any write.

    A read without an answer is left out by whoever calls. A write without one, which ends at `windows.NEVER_NS`, counts
    if its value was read. Raises ValueError where two writes have one value, or one has the first.
    """
    writes: dict[Hashable, Access] = {first: Access(0, 0, first, write=True)}
    reads: dict[Hashable, list[Access]] = {}
    for access in accesses:
        if not access.write:
            reads.setdefault(access.value, []).append(access)
        elif access.value in writes:
            raise ValueError(f"{access.value!r} was written twice")
        else:
            writes[access.value] = access
    for value, them in reads.items():
        if value not in writes:
            return Anomaly(f"{value!r} was read, and nobody wrote it", (them[0],))
        early = min(them, key=lambda it: it.received_ns)
        if value != first and early.received_ns < writes[value].sent_ns:
            return Anomaly(f"{value!r} was read before it was written", (early, writes[value]))
    seen = [write for value, write in writes.items() if value in reads or write.received_ns != NEVER_NS]
    return _clash([_zone(write, reads.get(write.value, []), started=write.value != first) for write in seen])


def _zone(write: Access, reads: Sequence[Access], *, started: bool) -> _Zone:
    members = (write, *reads)
    begin, end = (write.sent_ns, write.received_ns) if started else (BEFORE_NS, BEFORE_NS)
    first_end = min([end, *(it.received_ns for it in reads)])
    last_begin = max([begin, *(it.sent_ns for it in reads)])
    shown = members if started else tuple(reads)
    return _Zone(min(first_end, last_begin), max(first_end, last_begin), first_end < last_begin, shown)


def _clash(zones: Sequence[_Zone]) -> Anomaly | None:
    """Two forward zones that overlap, or a backward zone inside of a forward one."""
    forward = sorted((zone for zone in zones if zone.forward), key=lambda zone: zone.start_ns)
    for one, two in pairwise(forward):
        if two.start_ns < one.end_ns:
            return Anomaly("two values were each seen before and after the other", _ends(one) + _ends(two))
    index = 0
    for zone in sorted((zone for zone in zones if not zone.forward), key=lambda zone: zone.start_ns):
        while index < len(forward) and forward[index].end_ns <= zone.start_ns:
            index += 1
        if index < len(forward) and forward[index].start_ns < zone.start_ns and zone.end_ns < forward[index].end_ns:
            what = "a value came back after another one had been written in between"
            return Anomaly(what, _ends(forward[index]) + _ends(zone))
    return None


def _ends(zone: _Zone) -> tuple[Access, ...]:
    """Of a zone's accesses the first to end and the last to begin."""
    if not zone.members:
        return ()
    first = min(zone.members, key=lambda it: it.received_ns)
    last = max(zone.members, key=lambda it: it.sent_ns)
    return (first, last) if first is not last else (first,)
