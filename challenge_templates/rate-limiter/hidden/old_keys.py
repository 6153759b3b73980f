"""Keys that are used once: what equal batches of them leave behind, after the time for which they may be kept.

A second batch that leaves no more behind, when its windows are over, than the first shows that the first was forgotten.
Where a store or the processes grew all the same, or a heap moved by as much by itself, more and larger batches follow,
with so much asked for one key in between that a heap collects its garbage: its least weight is what it holds on to.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import at_half_pace, in_turn
from crucible.authoring.facts import fact, note, noted
from crucible.authoring.outcomes import failed, inconclusive, not_run, passed, taken
from crucible.check import Call, Finding, History, Lab, Measure

from .further import (
    FEWEST,
    FLOOR,
    FURTHER,
    HALVES,
    SETTLED,
    Held,
    Larger,
    Weighed,
    further,
    looked_again,
    says,
)
from .requests import LONG_MS, allowed, check, fresh, limit, put_limit

ONCE = "once"
MOMENTS = BEFORE, USED, FIRST, WAITED, SECOND = "before", "used", "first", "waited", "second"
"""When all is weighed: before the first batch; right after it; when its windows are over; when it may be kept no
longer; when the windows of the second batch are over."""
ONCE_MS = 500
OVER_S = 2 * ONCE_MS / 1000
"""After the last use of a key, the steady refill of a window is over, too."""
FORGETS = "forgets_within_s"
FORGETS_S = 10
"""What who declares nothing is held to, as the manifest says."""
MOST_WAITED_S = {"quick": 10, "full": 30}
"""For longer a grade does not wait."""
MOST = {"quick": 1_000, "full": 5_000}
BATCH_S = {"quick": 4.0, "full": 15.0}
MOST_AGAIN, AGAIN_S = 2_000, 4.0
"""Of further batches."""
FEWEST_TO_WEIGH = 2_000
"""Keys in a batch below which a heap that warms up weighs more than they do."""
WEIGHED_EVERY_S = 0.5
BRIEFLY_S = OVER_S + 1.0
"""After a further batch, when its windows are over."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a key may be kept when its window is over, and for how long this grade would wait."""

    declared_s: int
    most_s: int

    @property
    def waits(self) -> bool:
        return self.declared_s <= self.most_s

    @property
    def forgotten_s(self) -> float:
        """After the last use of a key."""
        return OVER_S + self.declared_s


def batch(name: str) -> str:
    return f"{ONCE}/{name}"


def long_key(rng: Random) -> str:
    """As long as a key may be, so that one that is kept weighs something."""
    return (fresh(rng, ONCE) * 6)[:128]


async def set_once(lab: Lab, keys: Sequence[str], within_s: float, batches: int) -> list[str]:
    """The keys whose limit was taken everywhere; in three times as long, where so many batches would be too small."""
    places = lab.replicas[:1] if lab.services else lab.replicas
    puts = [limit(place, key, 5, ONCE_MS, ONCE) for key in keys for place in places]
    if len(places) == 1:  # any replica may be told
        puts = [limit(in_turn(lab, i), key, 5, ONCE_MS, ONCE) for i, key in enumerate(keys)]
    told: dict[str, int] = {}
    for op in await at_half_pace(lab, puts, within_s=within_s, fewest=batches * FEWEST * len(places)):
        key = op.request.path.rsplit("/", 1)[1]
        told[key] = told.get(key, 0) + taken(op)
    return [key for key in keys if told.get(key) == len(places)]


async def use_once(lab: Lab, name: str, keys: Sequence[str], within_s: float, fewest: int = FEWEST) -> int:
    """Use a batch, as far as one gets in that time; a later one as far as the first got, to compare the two."""
    calls = [check(in_turn(lab, i), key, batch(name)) for i, key in enumerate(keys)]
    return len(await at_half_pace(lab, calls, within_s=within_s, fewest=fewest))


async def weigh(lab: Lab, when: str) -> Weighed:
    found = Weighed(dict(await lab.footprint()))
    note(lab, found, when)
    return found


async def old_keys(lab: Lab, rng: Random) -> None:
    """All batches have their limits before their first footprint, because a limit may stay. While the first batch grows
    old, as many checks ask for one key: what grows then is not what keys leave behind."""
    most, within_s, busy = MOST[lab.mode], BATCH_S[lab.mode], fresh(rng, "busy")
    patience = Patience(int(lab.declares.get(FORGETS, FORGETS_S)), MOST_WAITED_S[lab.mode])
    note(lab, patience)
    if not patience.waits:
        await weigh_one_batch(lab, rng)
        return
    await put_limit(lab, limit(lab.replicas[0], busy, 5, LONG_MS, batch("busy")))
    keys = await set_once(lab, [long_key(rng) for _ in range(2 * most)], within_s, batches=2)
    await lab.sleep(1.0)
    weighed = {BEFORE: await weigh(lab, BEFORE)}
    size = await use_once(lab, "first", keys[: len(keys) // 2], within_s)
    begun = lab.now_ns()
    weighed[USED] = await weigh(lab, USED)
    await lab.sleep(OVER_S)
    weighed[FIRST] = await weigh(lab, FIRST)
    idle = [check(in_turn(lab, i), busy, batch("busy")) for i in range(size)]
    await lab.paced(idle, (0.95 * patience.forgotten_s - OVER_S) / max(1, size))
    await lab.sleep(max(0.0, patience.forgotten_s - (lab.now_ns() - begun) / 1e9))
    weighed[WAITED] = await weigh(lab, WAITED)
    await use_once(lab, "second", keys[size : 2 * size], within_s, fewest=size)
    await lab.sleep(OVER_S)
    weighed[SECOND] = await weigh(lab, SECOND)
    if any(growth.conspicuous for growth in growths(lab.services, weighed)):
        await look_again(lab, rng, busy, patience.forgotten_s)


async def weigh_one_batch(lab: Lab, rng: Random) -> None:
    """Nothing is waited for, so there is time for a batch that is large enough to be weighed."""
    most = max(MOST[lab.mode], FEWEST_TO_WEIGH)
    keys = await set_once(lab, [long_key(rng) for _ in range(most)], BATCH_S["full"], batches=1)
    await lab.sleep(1.0)
    await weigh(lab, BEFORE)
    await use_once(lab, "first", keys, BATCH_S["full"])
    await weigh(lab, USED)


async def look_again(lab: Lab, rng: Random, busy: str, forgotten_s: float) -> None:
    """Further batches, until enough of them agree of each subject, in what it holds when they have been forgotten."""
    number = len(FURTHER)
    keys = await set_once(lab, [long_key(rng) for _ in range(number * MOST_AGAIN)], number * AGAIN_S, batches=number)
    size, spell_s = len(keys) // number, max(forgotten_s, 2 * AGAIN_S)
    note(lab, Larger(size))
    idle = [check(in_turn(lab, i), busy, batch("busy")) for i in range(2 * size)]
    warming = at_half_pace(lab, idle * 3, within_s=spell_s)
    held = [await settle(lab, warming, spell_s)]
    note_held(lab, SETTLED, held[-1])
    for i, name in enumerate(FURTHER):
        await use_once(lab, name, keys[i * size : (i + 1) * size], AGAIN_S, fewest=size)
        held.append(await grow_old(lab, idle, spell_s, held[-1]))
        note_held(lab, name, held[-1])
        if all(one.keeps or one.forgets for one in further(lab.services, size, held).values()):
            return


async def grow_old(lab: Lab, idle: Sequence[Call], spell_s: float, before: Held) -> Held:
    """What is held of a batch that may have been forgotten. Where nothing grew by what counts as growth, there is
    nothing to wait for: what is held at least does not become more with time."""
    first = round(len(idle) * BRIEFLY_S / spell_s)
    gap_s = spell_s / max(1, len(idle))
    held = await settle(lab, lab.paced(idle[:first], gap_s), BRIEFLY_S)
    if all(one.quiet for one in further(lab.services, len(idle) // 2, [before, held]).values()):
        return held
    return await settle(lab, lab.paced(idle[first:], gap_s), spell_s - BRIEFLY_S)


async def settle(lab: Lab, asking: Awaitable[object], spell_s: float) -> Held:
    """Let one key be asked for, for so long, and see the least that each subject holds in each half of it."""
    halves: list[dict[str, int]] = []

    async def watch() -> None:
        for _ in HALVES:
            found: list[dict[str, int]] = []
            end_ns = lab.now_ns() + int(spell_s / 2 * 1e9)
            while not found or lab.now_ns() < end_ns:
                found.append(await lab.footprint())
                await lab.sleep(WEIGHED_EVERY_S)
            halves.append({subject: min(one[subject] for one in found if subject in one) for subject in found[-1]})

    await asyncio.gather(asking, watch())
    return Held(*halves)


def note_held(lab: Lab, name: str, held: Held) -> None:
    for half, least in zip(HALVES, (held.early, held.late), strict=True):
        note(lab, Weighed(least), f"{name}/{half}")


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

    @property
    def conspicuous(self) -> bool:
        """Whether more batches have to tell: a store grew about as much with the second as with the first; a heap moved
        by as much as it may by itself, in which it also gives back what it no longer needs."""
        if self.is_store:
            floor = FLOOR["store"]
            return self.first >= floor and self.second >= floor and self.second > self.first / 2
        return max(abs(self.waiting), abs(self.second - self.waiting)) >= FLOOR["process"]


def growths(services: Sequence[str], weighed: Mapping[str, Weighed]) -> list[Growth]:
    """Of every subject that was weighed each time."""
    moments = [weighed[when].of if when in weighed else {} for when in MOMENTS]
    subjects = set.intersection(*(set(one) for one in moments))
    return [
        Growth(subject, subject in services, first - before, waited - first, second - first)
        for subject in sorted(subjects)
        for before, _, first, waited, second in [[one[subject] for one in moments]]
    ]


def per_key(history: History) -> list[Measure]:
    """What stores and processes grew by with the first batch; at least, less what processes grew by while as many
    checks asked for one key."""
    weighed, used = noted(history, Weighed), sum(map(allowed, history.named(batch("first"))))
    if used < FEWEST_TO_WEIGH or BEFORE not in weighed or USED not in weighed:
        return []
    before, after = weighed[BEFORE].of, weighed[USED].of
    grew = {subject: max(0, after[subject] - before[subject]) for subject in before.keys() & after.keys()}
    if set(history.services) - grew.keys():
        return []
    drift = sum(max(0, it.waiting) for it in growths(history.services, weighed) if not it.is_store) / used
    high = sum(grew.values()) / used
    return [Measure("bytes_per_key", high, max(0.0, high - drift), high, used)]


def judge_old_keys(history: History) -> Finding:
    """Each store and process type by itself, so that the noise of one does not hide what another keeps."""
    measures, patience = per_key(history), fact(history, Patience)
    if patience is not None and not patience.waits:
        what = (
            f"it declares that it may keep a key for {patience.declared_s:,} s, and this grade waits for "
            f"{patience.most_s} s at most; the bill counts what is kept until then"
        )
        return not_run(what, measures=measures)
    ops = {name: history.named(batch(name)) for name in ("first", "second")}
    let = {name: sum(map(allowed, own)) for name, own in ops.items()}
    found, again = growths(history.services, noted(history, Weighed)), looked_again(history)
    counted: dict[str, float] = {"one-shot keys in the first batch": let["first"], "in the second": let["second"]}
    for growth in found:
        counted[f"kB that {growth.subject} grew by, first"] = growth.first // 1000
        counted[f"kB that {growth.subject} grew by, second"] = growth.second // 1000
    conspicuous = [growth.subject for growth in found if growth.conspicuous]
    kept = [subject for subject in conspicuous if subject in again and again[subject].keeps]
    size = len(ops["first"])
    equal = size >= FEWEST and all(let[name] >= 0.95 * size for name in ops)
    if kept and patience is not None:
        what = "; ".join(says(subject, again[subject]) for subject in kept)
        what += f", more than {patience.forgotten_s:.0f} s after the last use of those before"
        shown = list(filter(allowed, history.named(ONCE)))[-1:]
        return failed(what, *shown, counted=counted, measures=measures)
    unsure = [subject for subject in conspicuous if subject not in again or not again[subject].forgets]
    if unsure:
        what = f"{unsure[0]} grew now and shrank then, so that it could not be told what keys leave behind"
        return inconclusive(what, counted=counted, measures=measures)
    if set(history.services) - {growth.subject for growth in found} or not found or not equal or patience is None:
        what = "the batches were not equal, too small, not let through, or not measured before and after"
        return inconclusive(what, counted=counted, measures=measures)
    what = f"a second batch of {let['second']} one-shot keys took no more room than the first had left behind"
    if conspicuous:
        what = f"in the end {' and '.join(conspicuous)} took no more room for one-shot keys than was there before"
    return passed(what, counted=counted, measures=measures)
