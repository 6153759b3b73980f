"""Keys that are used once: what equal batches of them leave behind."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import failed, inconclusive, passed, taken
from crucible.check import Call, Finding, History, Lab, Measure
from crucible.evidence import Op

from .requests import LONG_MS, allowed, check, fresh, limit, put_limit

ONCE = "once"
BATCHES = ("first", "second", "third")
ONCE_MS = 500
FORGOTTEN_S = 2 * ONCE_MS / 1000 + 10
WORKERS = 12
MOST = {"quick": 1_000, "full": 5_000}
BATCH_S = {"quick": 4.0, "full": 15.0}
FEWEST = 200
"""Keys in a batch below which what they leave is too little to be told from anything else."""
FEWEST_TO_WEIGH = 2_000
"""Keys in a batch below which a heap that warms up weighs more than they do."""
FLOOR = {"store": 64_000, "process": 400_000}
"""Bytes by which a subject may grow for any reason: pages, a heap that warms up."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What each store and each type of process held at one moment, in bytes."""

    of: dict[str, int]


def batch(name: str) -> str:
    return f"{ONCE}/{name}"


def long_key(rng: Random) -> str:
    """As long as a key may be, so that one that is kept weighs something."""
    return (fresh(rng, ONCE) * 6)[:128]


async def as_many_as_it_takes(lab: Lab, calls: Sequence[Call], within_s: float) -> list[Op]:
    """Make the calls, `WORKERS` at a time, as far as they get in that time: no more than a design can take.

    A slow one has three times as long to make `FEWEST`.
    """
    begun_ns, waiting, done = lab.now_ns(), iter(calls), []

    async def work(calls: Iterator[Call]) -> None:
        for call in calls:
            done.append(await lab.call(call))
            spent_s = (lab.now_ns() - begun_ns) / 1e9
            if spent_s > within_s and (len(done) >= 2 * FEWEST or spent_s > 3 * within_s):
                return

    await asyncio.gather(*(work(waiting) for _ in range(WORKERS)))
    return done


async def set_once(lab: Lab, keys: Sequence[str], within_s: float) -> list[str]:
    """The keys whose limit was taken everywhere."""
    places = lab.replicas[:1] if lab.services else lab.replicas
    puts = [limit(place, key, 5, ONCE_MS, ONCE) for key in keys for place in places]
    if len(places) == 1:  # any replica may be told
        puts = [limit(in_turn(lab, i), key, 5, ONCE_MS, ONCE) for i, key in enumerate(keys)]
    told: dict[str, int] = {}
    for op in await as_many_as_it_takes(lab, puts, within_s):
        key = op.request.path.rsplit("/", 1)[1]
        told[key] = told.get(key, 0) + taken(op)
    return [key for key in keys if told.get(key) == len(places)]


async def old_keys(lab: Lab, rng: Random) -> None:
    """All batches have their limits before their first footprint, because a limit may stay. While the first batch grows
    old, as many checks ask for one key: what grows then is not what keys leave behind."""
    most, within_s, busy = MOST[lab.mode], BATCH_S[lab.mode], fresh(rng, "busy")
    await put_limit(lab, limit(lab.replicas[0], busy, 5, LONG_MS, batch("busy")))
    keys = await set_once(lab, [long_key(rng) for _ in range(2 * most)], within_s)
    await lab.sleep(1.0)

    async def use(name: str, own: Sequence[str]) -> int:
        calls = [check(in_turn(lab, i), key, batch(name)) for i, key in enumerate(own)]
        return len(await as_many_as_it_takes(lab, calls, within_s))

    async def weigh(when: str) -> dict[str, int]:
        found = await lab.footprint()
        note(lab, Weighed(dict(found)), when)
        return found

    before = await weigh("before")
    size = await use("first", keys[: len(keys) // 2])
    first = await weigh("first")
    idle = [check(in_turn(lab, i), busy, batch("busy")) for i in range(size)]
    begun = lab.now_ns()
    await lab.paced(idle, 0.9 * FORGOTTEN_S / max(1, size))
    await lab.sleep(max(0.0, FORGOTTEN_S - (lab.now_ns() - begun) / 1e9))
    await weigh("waited")
    await use("second", keys[size : 2 * size])
    second = await weigh("second")
    if any(
        grows(subject in lab.services, first[subject] - before[subject], second[subject] - first[subject])
        for subject in before.keys() & first.keys() & second.keys()
    ):
        await lab.sleep(FORGOTTEN_S)
        await weigh("waited once more")
        more = await set_once(lab, [long_key(rng) for _ in range(size)], within_s)
        await weigh("set")
        await use("third", more)
        await weigh("third")


def grows(is_store: bool, first: int, *later: int) -> bool:
    """Whether each later batch left about as much as the first one did, in bytes, and more than happens by itself."""
    floor = FLOOR["store" if is_store else "process"]
    return first >= floor and all(it >= floor and it > first / 2 for it in later)


@dataclass(frozen=True, slots=True)
class Growth:
    """Of one store, or of the processes of one type, in bytes."""

    subject: str
    is_store: bool
    first: int
    waiting: int
    """While as many checks asked for a key that was there already."""
    second: int
    """From the first batch to the second, less what was forgotten meanwhile."""
    third: int | None
    """Likewise, and without what setting its limits took; only where the second was conspicuous."""

    @property
    def keeps(self) -> bool:
        """Whether every batch left about as much as the first, and more than such checks do by themselves."""
        if self.third is None:
            return False
        grew = grows(self.is_store, self.first, self.second, self.third)
        return grew and 2 * max(0, self.waiting) < min(self.second, self.third)

    @property
    def is_open(self) -> bool:
        """Whether only a third batch would tell."""
        return self.third is None and grows(self.is_store, self.first, self.second)

    def says(self, size: int) -> str:
        return (
            f"{self.subject} grew by {self.first // 1000} kB with {size} keys that were used once, and by "
            f"{self.second // 1000} kB with as many more"
        )


def growths(history: History) -> list[Growth]:
    weighed = noted(history, Weighed)

    def between(subject: str, one: str, other: str) -> int | None:
        begin, end = (weighed[when].of.get(subject) if when in weighed else None for when in (one, other))
        return end - begin if begin is not None and end is not None else None

    found = []
    for subject in sorted(weighed["before"].of) if "before" in weighed else ():
        first, waiting = between(subject, "before", "first"), between(subject, "first", "waited")
        second, third = between(subject, "first", "second"), between(subject, "set", "third")
        forgotten = between(subject, "second", "waited once more")
        if first is not None and waiting is not None and second is not None:
            net = third + forgotten if third is not None and forgotten is not None else None
            found.append(Growth(subject, subject in history.services, first, waiting, second, net))
    return found


def per_key(history: History, found: list[Growth]) -> list[Measure]:
    """What stores and processes grew by with the first batch; at least, less what processes grew by while as many
    checks asked for one key."""
    used = sum(map(allowed, history.named(batch("first"))))
    if used < FEWEST_TO_WEIGH or not found or set(history.services) - {it.subject for it in found}:
        return []
    high = sum(max(0, it.first) for it in found) / used
    drift = sum(max(0, it.waiting) for it in found if not it.is_store) / used
    return [Measure("bytes_per_key", high, max(0.0, high - drift), high, used)]


def judge_old_keys(history: History) -> Finding:
    """Each store and process type by itself, so that the noise of one does not hide what another keeps."""
    found = growths(history)
    measures = per_key(history, found)
    ops = {name: history.named(batch(name)) for name in BATCHES}
    let = {name: sum(map(allowed, own)) for name, own in ops.items()}
    counted: dict[str, float] = {"one-shot keys in the first batch": let["first"], "in the second": let["second"]}
    for growth in found:
        counted[f"kB that {growth.subject} grew by, first"] = growth.first // 1000
        counted[f"kB that {growth.subject} grew by, second"] = growth.second // 1000
    size = len(ops["first"])
    equal = size > 0 and all(let[name] >= 0.95 * size for name in ("first", "second")) and let["third"] <= size
    kept = [growth for growth in found if growth.keeps]
    if kept and equal:
        what = "; ".join(growth.says(size) for growth in kept)
        what += f", {FORGOTTEN_S:.0f} s after the last use of the first"
        return failed(what, *list(filter(allowed, ops["second"]))[:1], counted=counted, measures=measures)
    unseen = set(history.services) - {growth.subject for growth in found}
    if kept or any(growth.is_open for growth in found) or unseen or not found or not equal or size < FEWEST:
        what = "the batches were not equal, too small, not let through, or not measured before and after"
        return inconclusive(what, counted=counted, measures=measures)
    what = f"a second batch of {let['second']} one-shot keys took no more room than the first had left behind"
    return passed(what, counted=counted, measures=measures)
