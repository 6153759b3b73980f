"""Judges how many units were granted in windows of time, from the intervals in which each was decided.

Nobody outside knows when a request was decided, only that it was between its sending and its answer. So a judge that
accuses of too much counts what lies certainly inside a window, and one that accuses of too little what lies possibly
inside it. Times and windows are integers in nanoseconds of one monotonic clock.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

NEVER_NS = 2**63 - 1
"""The `received_ns` of a claim without an answer: it may be decided at any time from its sending on."""


class Interval(Protocol):
    """Anything that was sent and answered, such as an `Op` or a `Claim`."""

    @property
    def sent_ns(self) -> int: ...

    @property
    def received_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """Units asked for, and the closed interval in which they were granted or refused, at one instant.

    Raises ValueError where it ends before it begins or asks for fewer than 0 units.
    """

    sent_ns: int
    received_ns: int
    units: int = 1

    def __post_init__(self) -> None:
        if self.received_ns < self.sent_ns or self.units < 0:
            raise ValueError(f"not a claim: {self.units} units in [{self.sent_ns}, {self.received_ns}]")


@dataclass(frozen=True, slots=True)
class Peak:
    """The fullest window: its units, where it starts, and the claims that lie in it, in the order of sending."""

    units: int
    start_ns: int
    members: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class LongRun:
    """Units granted in each of several adjoining windows, and in all of them together."""

    per_tile: tuple[int, ...]
    total: int


def peak_units(granted: Iterable[Claim], window_ns: int) -> Peak:
    """The most units certainly granted in any closed window [t, t + `window_ns`], the earliest one if several are.

    A claim counts where it was sent at t or later and answered at t + `window_ns` or earlier. Sound: whenever in its
    interval each claim was decided, at least that many units were granted in that window. A window that starts at the
    sending of its first member holds as much as any other, so n starts are enough: O(n log n), with a Fenwick tree
    over the answers. Without claims the peak is 0 units at 0. Raises ValueError where `window_ns` is below 1.
    """
    _require_window(window_ns)
    latest_first = sorted(granted, key=lambda claim: claim.sent_ns, reverse=True)
    ends = sorted({claim.received_ns for claim in latest_first})
    tree = [0] * (len(ends) + 1)
    best, start_ns = 0, 0
    for position, claim in enumerate(latest_first, start=1):
        node = bisect_left(ends, claim.received_ns) + 1
        while node < len(tree):
            tree[node] += claim.units
            node += node & -node
        if position < len(latest_first) and latest_first[position].sent_ns == claim.sent_ns:
            continue
        total, node = 0, bisect_right(ends, claim.sent_ns + window_ns)
        while node:
            total += tree[node]
            node &= node - 1
        if total and total >= best:
            best, start_ns = total, claim.sent_ns
    inside = (c for c in reversed(latest_first) if start_ns <= c.sent_ns and c.received_ns <= start_ns + window_ns)
    return Peak(best, start_ns, tuple(inside) if best else ())


def long_run(granted: Iterable[Claim], start_ns: int, window_ns: int, tiles: int) -> LongRun:
    """Units certainly granted in each of `tiles` windows laid end to end from `start_ns`, and in the whole span.

    A claim counts for a tile where its whole interval lies in it, and for the total where it lies in the span; one that
    crosses the border of two tiles counts for the total alone. Sound: each number is at most what was really granted
    there, and who grants at most N in any closed window grants at most N per tile and N times `tiles` in total. Raises
    ValueError where `window_ns` or `tiles` is below 1.
    """
    _require_window(window_ns)
    if tiles < 1:
        raise ValueError(f"a span of {tiles} windows")
    per_tile, total = [0] * tiles, 0
    for claim in granted:
        first = (claim.sent_ns - start_ns) // window_ns
        if first < 0 or claim.received_ns > start_ns + tiles * window_ns:
            continue
        total += claim.units
        tile = min(first, tiles - 1)  # the instant that ends the span belongs to its last tile
        if claim.received_ns <= start_ns + (tile + 1) * window_ns:
            per_tile[tile] += claim.units
    return LongRun(tuple(per_tile), total)


def wrong_refusals(
    refused: Sequence[Claim], possibly_granted: Sequence[Claim], limit: int, window_ns: int
) -> tuple[Claim, ...]:
    """The refusals that no limit of `limit` units per window explains, in their order.

    A refusal [s, r] of u units is wrong where fewer than 0.9 `limit` units, and at most `limit` - u, were possibly
    granted in [s - `window_ns`, r]. A claim without an answer belongs in `possibly_granted`, with `received_ns` =
    `NEVER_NS`. Sound: who refuses u units only where more than `limit` - u were granted in the window that ends at the
    decision is never named. O(n log n). Raises ValueError where `window_ns` or `limit` is below 1.
    """
    _require_window(window_ns)
    if limit < 1:
        raise ValueError(f"a limit of {limit} units")
    begun, ended = _running_units(possibly_granted, "sent_ns"), _running_units(possibly_granted, "received_ns")
    wrong = []
    for claim in refused:
        begun_by_then = begun.units[bisect_right(begun.times, claim.received_ns)]
        over_before = ended.units[bisect_left(ended.times, claim.sent_ns - window_ns)]
        possible = begun_by_then - over_before
        if possible < 0.9 * limit and possible + claim.units <= limit:
            wrong.append(claim)
    return tuple(wrong)


def most_in_flight(intervals: Iterable[Interval]) -> int:
    """The largest number of closed intervals [sent, received] that have an instant in common; 0 without any.

    Sound as seen from the sender: that many requests were on their way or being worked on at once. O(n log n); raises
    nothing.
    """
    changes = sorted(
        change for interval in intervals for change in ((interval.sent_ns, -1), (interval.received_ns, +1))
    )  # a sending sorts before an answer at the same instant, because the intervals are closed
    return max(accumulate(-change for _, change in changes), default=0)


@dataclass(frozen=True, slots=True)
class _Running:
    times: list[int]
    units: list[int]
    """`units[i]` is the sum over the `i` earliest times."""


def _running_units(claims: Iterable[Claim], end: str) -> _Running:
    pairs = sorted((int(getattr(claim, end)), claim.units) for claim in claims)
    return _Running([time for time, _ in pairs], [0, *accumulate(units for _, units in pairs)])


def _require_window(window_ns: int) -> None:
    if window_ns < 1:
        raise ValueError(f"a window of {window_ns} ns")
