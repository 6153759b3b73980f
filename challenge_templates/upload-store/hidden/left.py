"""UP-9: what the stores hold when all is over, and what the living files explain of it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from crucible.authoring.facts import fact, noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed
from crucible.check import Finding, History, Measure
from crucible.evidence import Op

from .files import known, last

MB = 1_000_000
KEPT = 4
"""Files that live on."""
ROOM_FACTOR, ROOM = 1.1, 5 * MB
ITEMS_BESIDE = 2
"""Objects or rows of content that need no file to explain them."""
EVERY_S = 3.0
"""Between two looks."""
HEAVY, HEAVIES = 10 * MB, 10
"""Files that are deleted, whose bytes outweigh all that else is left behind meanwhile."""
WEIGHED = ("postgres", "s3", "redis")
"""Stores whose bytes are an axis of their own, by which they are paid for."""


@dataclass(frozen=True, slots=True)
class Alone:
    """What the stores held of these files when nothing else had happened to them."""

    items: int
    files: int
    by_store: dict[str, int]
    """Bytes by which each store grew with them."""


@dataclass(frozen=True, slots=True)
class Left:
    """What the stores held in the end, and after how many seconds."""

    by_store: dict[str, int]
    """The bytes of each."""
    items: int
    living_bytes: int
    living: int
    after_s: float

    @property
    def bytes(self) -> int:
        return sum(self.by_store.values())

    @property
    def worst(self) -> str:
        """The store that holds most."""
        return max(self.by_store, key=self.by_store.__getitem__, default="none")


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """How long the bytes of deleted files were still there, in seconds from the deletion."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Alive:
    """A file that is stored, by label."""

    sha256: str
    listed: bool


@dataclass(frozen=True, slots=True)
class Room:
    """That a quota was to be free again, by the label of the upload that had taken it."""


def too_much(left: Left) -> bool:
    return left.bytes > ROOM_FACTOR * left.living_bytes + ROOM


def nothing_else(left: Left) -> bool:
    """Whether it is about what the living files are."""
    return left.bytes <= ROOM_FACTOR * left.living_bytes + MB // 2


def judge_orphans(history: History) -> Finding:
    left, alone, alive = fact(history, Left), fact(history, Alone), noted(history, Alive)
    if left is None or alone is None:
        return inconclusive("the files that were to live could not be stored, or the stores could not be weighed")
    counted: dict[str, float] = {
        "living files": left.living, "kB in all stores": left.bytes // 1000, "objects and rows of content": left.items,
    }  # fmt: skip
    measures = [*_measures(left, alone, fact(history, Reclaimed))]
    wrong = [*_weighed(left, alone), *_alive(history, alive)]
    if wrong:
        what = "; ".join(what for what, _ in wrong[:2])
        return failed(what, *(op for _, ops in wrong[:1] for op in ops), counted=counted, measures=measures)
    if len(alive) < KEPT:
        return inconclusive("not all of it was seen", counted=counted, measures=measures)
    return passed(
        f"{left.after_s:.0f} s after the last of it, the stores held {left.bytes / MB:.1f} MB for {left.living} files "
        "of 1 MB, all of which can be read", counted=counted, measures=measures,
    )  # fmt: skip


def _measures(left: Left, alone: Alone, reclaimed: Reclaimed | None) -> Iterable[Measure]:
    yield exactly("bytes_per_file", left.bytes / left.living, left.living)
    for name in WEIGHED:
        if name in alone.by_store:
            yield exactly(f"bytes_per_file_{name}", _each(name, left, alone), left.living)
    if reclaimed is not None:
        yield Measure(
            "reclaim_s", reclaimed.after_s, max(0.0, reclaimed.after_s - EVERY_S), reclaimed.after_s, HEAVIES
        )  # fmt: skip
    else:
        yield Measure("reclaim_s", left.after_s, left.after_s, left.after_s, HEAVIES, beyond=True)


def _each(name: str, left: Left, alone: Alone) -> float:
    """Bytes for each living file: what the store holds in the end, or, where that is little beside them, so that
    empty tables would count, what it grew by when they came."""
    held = left.by_store.get(name, 0)
    return held / left.living if 2 * held > left.living_bytes else alone.by_store[name] / alone.files


def _weighed(left: Left, alone: Alone) -> list[tuple[str, tuple[Op, ...]]]:
    if too_much(left):
        most = (ROOM_FACTOR * left.living_bytes + ROOM) / MB
        return [(
            f"{left.after_s:.0f} s after the last of it, the stores (most of it {left.worst}) held "
            f"{left.bytes / MB:.1f} MB for {left.living_bytes / MB:.1f} MB of living files, when at most {most:.1f} MB "
            "could be", (),
        )]  # fmt: skip
    each = max(1.0, alone.items / alone.files)
    most_items = round(each * left.living) + ITEMS_BESIDE
    if left.items > most_items:
        return [(
            f"{left.after_s:.0f} s after the last of it, there were {left.items} objects or rows of content for "
            f"{left.living} files, each of which has {each:.0f}", (),
        )]  # fmt: skip
    return []


def _alive(history: History, alive: dict[str, Alive]) -> list[tuple[str, tuple[Op, ...]]]:
    wrong: list[tuple[str, tuple[Op, ...]]] = []
    for label, it in alive.items():
        op = last(history.named(f"{label}/read"))
        if op is None or not known(op):
            continue
        if it.sha256 and (op.status != 200 or op.moved is None or op.moved.sha256 != it.sha256):
            wrong.append((f"a file that was stored could no longer be read ({op.status})", (op,)))
        elif it.sha256 and not it.listed:
            wrong.append(("a file that can be read is not in the list", (op,)))
        elif not it.sha256 and op.status != 200:
            wrong.append((f"a file in the list cannot be read ({op.status})", (op,)))
    return wrong
