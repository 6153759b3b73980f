"""What stores and processes hold when further batches of keys have been forgotten, and what that says. Pure.

A heap moves by itself. So each of several batches counts, by the least that is held in a spell after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from crucible.authoring.facts import fact, noted
from crucible.check import History

FURTHER = ("third", "fourth", "fifth", "sixth", "seventh")
ENOUGH = 3
"""Further batches on which anything may rest."""
ALIKE = 2
"""By what factor the growth of a heap may differ among the last batches where it is what equal ones leave behind."""
FEWEST = 200
"""Keys in a batch below which what they leave is too little to be told from anything else."""
FLOOR = {"store": 64_000, "process": 400_000}
"""Bytes by which a subject may grow for any reason: pages, a heap that warms up."""
FLOOR_PER_KEY = {"store": 64, "process": 400}
"""Likewise for each key of a larger batch."""
SETTLED, HALVES = "settled", ("early", "late")
"""The spell before the further batches, and the halves of a spell."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What each store and each type of process held at one moment, or at least in a spell, in bytes."""

    of: dict[str, int]


@dataclass(frozen=True, slots=True)
class Held:
    """What each subject held at least, in bytes, in the two halves of a spell in which one key was asked for."""

    early: dict[str, int]
    late: dict[str, int]


@dataclass(frozen=True, slots=True)
class Larger:
    """How many keys each of the further batches had."""

    size: int


@dataclass(frozen=True, slots=True)
class Further:
    """What a store, or the processes of one type, grew by with each of the further batches, in bytes."""

    is_store: bool
    size: int
    """Keys in each of them."""
    steps: tuple[int, ...]
    drifts: tuple[int, ...]
    """In half of each spell, in which as many checks asked for one key as a batch has keys. So a batch and a spell have
    three times as many checks."""

    @property
    def floor(self) -> int:
        """What it may grow by with a batch for any reason."""
        kind = "store" if self.is_store else "process"
        return max(FLOOR[kind], FLOOR_PER_KEY[kind] * self.size)

    @property
    def quiet(self) -> bool:
        """Whether nothing grew with the last batch."""
        return self.steps[-1] < self.floor

    @property
    def last(self) -> tuple[int, ...]:
        """The last steps; none where they are too few, or of too few keys."""
        return self.steps[-ENOUGH:] if len(self.steps) >= ENOUGH and self.size >= FEWEST else ()

    @property
    def keeps(self) -> bool:
        """Whether the last batches left something behind that checks of one key do not. A heap has to have grown with
        every batch, and in the end about as much with each: none that warms up, or jumps, does that."""
        least = max(self.floor, 4 * median(self.drifts))
        if self.is_store or not self.last:
            return bool(self.last) and min(self.last) >= least
        steady = len(self.steps) > ENOUGH and max(self.last) <= ALIKE * min(self.last)
        return steady and min(self.steps) >= least

    @property
    def forgets(self) -> bool:
        """Whether more of the batches left nothing behind than something, or no more than checks of one key do in every
        spell. A heap that shrank gave back what is older, and shows nothing."""
        least = max(self.floor, 4 * min(self.drifts))
        grew = sum(step >= least for step in self.steps)
        stayed = sum(step < least and (self.is_store or step > -least) for step in self.steps)
        return bool(self.last) and stayed >= 2 and stayed > grew


def further(services: Sequence[str], size: int, held: Sequence[Held]) -> dict[str, Further]:
    """By subject, of those that were weighed in every spell."""
    subjects = set.intersection(*(set(half) for one in held for half in (one.early, one.late))) if held else set()
    return {
        subject: Further(
            subject in services,
            size,
            tuple(later.late[subject] - earlier.late[subject] for earlier, later in pairwise(held)),
            tuple(one.late[subject] - one.early[subject] for one in held),
        )
        for subject in sorted(subjects)
    }


def looked_again(history: History) -> dict[str, Further]:
    """By subject: what was seen of the further batches."""
    weighed, larger = noted(history, Weighed), fact(history, Larger)
    spells = [[weighed.get(f"{name}/{half}") for half in HALVES] for name in (SETTLED, *FURTHER)]
    held = [Held(early.of, late.of) for early, late in spells if early is not None and late is not None]
    return further(history.services, larger.size, held) if larger is not None else {}


def says(subject: str, seen: Further) -> str:
    *earlier, last = (f"{step // 1000:,} kB" for step in seen.last)
    return f"{subject} grew by {', '.join(earlier)} and {last} with batches of {seen.size:,} keys that were used once"
