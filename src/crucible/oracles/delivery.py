"""Whether what was accepted was done: lost, doubled, phantom, late, out of order.

An item was sent and accepted somewhere between two moments, and an effect took place at one. So an item is only said to
have come before another where its answer was there before the other was sent.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise


class Owes(Enum):
    """How many effects an item must have."""

    ONE = "one"
    NONE = "none"
    """It was refused, or taken back."""
    AT_MOST_ONE = "at most one"
    """Whether it was accepted was never learnt, or either would be right."""


@dataclass(frozen=True, slots=True)
class Item:
    """What the solution was asked to do once. Moments in ns."""

    id: str
    sent_ns: int
    accepted_ns: int
    """When the answer was there."""
    owes: Owes = Owes.ONE
    due_ns: int = 0
    """From when on it is to be done, where that is later than its acceptance."""


@dataclass(frozen=True, slots=True)
class Effect:
    """That it was done, at one moment in ns."""

    id: str
    at_ns: int
    told: bool = True
    """Whether who did it was told so: who was not may have to try again."""


@dataclass(frozen=True, slots=True)
class Double:
    """An effect too many, of an item that already had one."""

    id: str
    at_ns: int
    justified: bool
    """Whether the one before it was not told, or something was cut between the two."""


@dataclass(frozen=True, slots=True)
class Account:
    """What became of a number of items, each in the order of time."""

    lost: tuple[Item, ...]
    """Those that owe an effect and have none."""
    doubled: tuple[Double, ...]
    phantoms: tuple[Effect, ...]
    """Effects of what nobody asked for, or of what was refused."""
    done: dict[str, int]
    """When each item had its first effect, by its id."""


def account(items: Iterable[Item], effects: Iterable[Effect], cuts: Collection[int] = ()) -> Account:
    """Hold what was done against what was owed.

    `cuts`: moments in ns at which a process or a connection of the solution was cut.
    """
    owed = {item.id: item for item in items}
    by_id: dict[str, list[Effect]] = defaultdict(list)
    for effect in sorted(effects, key=lambda it: it.at_ns):
        by_id[effect.id].append(effect)
    asked = {name: them for name, them in by_id.items() if name in owed and owed[name].owes is not Owes.NONE}
    phantoms = [effect for name, them in by_id.items() if name not in asked for effect in them]
    doubled = [double for them in asked.values() for double in _doubles(them, sorted(cuts))]
    lost = [item for item in owed.values() if item.owes is Owes.ONE and item.id not in asked]
    return Account(
        lost=tuple(sorted(lost, key=lambda it: it.sent_ns)),
        doubled=tuple(sorted(doubled, key=lambda it: it.at_ns)),
        phantoms=tuple(sorted(phantoms, key=lambda it: it.at_ns)),
        done={name: them[0].at_ns for name, them in asked.items()},
    )


def _doubles(effects: Sequence[Effect], cuts: Sequence[int]) -> list[Double]:
    found = []
    for before, after in pairwise(effects):
        cut = bisect_right(cuts, after.at_ns) > bisect_right(cuts, before.at_ns - 1)
        found.append(Double(after.id, after.at_ns, not before.told or cut))
    return found


def waits_ns(items: Iterable[Item], done: dict[str, int]) -> dict[str, int]:
    """How long each item that was done had to wait since it was asked for, or since it was due, in ns; 0 at least.

    Not since it was accepted: who answers late would have had nobody wait.
    """
    found = {item.id: done[item.id] - max(item.sent_ns, item.due_ns) for item in items if item.id in done}
    return {name: max(0, wait) for name, wait in found.items()}


def late(items: Iterable[Item], done: dict[str, int], within_ns: int, since_ns: int = 0) -> list[Item]:
    """Those that were done, but more than `within_ns` after they were accepted or due, or after `since_ns` (the moment
    that the last fault was over)."""
    return [
        item for item in items
        if item.id in done and done[item.id] > max(item.accepted_ns, item.due_ns, since_ns) + within_ns
    ]  # fmt: skip


def early(items: Iterable[Item], done: dict[str, int]) -> list[Item]:
    """Those that were done before they were due."""
    return [item for item in items if item.id in done and done[item.id] < item.due_ns]


def overtaken(items: Iterable[Item], done: dict[str, int]) -> list[Item]:
    """Those that were done after one that was sent when they had already been accepted: out of order, where the order
    was promised. In the order of acceptance."""
    there = [item for item in items if item.id in done]
    later = sorted(there, key=lambda it: it.sent_ns, reverse=True)
    found, position, soonest = [], 0, None
    for item in sorted(there, key=lambda it: it.accepted_ns, reverse=True):
        while position < len(later) and later[position].sent_ns > item.accepted_ns:
            at = done[later[position].id]
            soonest = at if soonest is None else min(soonest, at)
            position += 1
        if soonest is not None and soonest < done[item.id]:
            found.append(item)
    return found[::-1]
