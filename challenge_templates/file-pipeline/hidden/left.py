"""FP-11: jobs that are deleted, cut, refused and killed leave nothing behind."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, refused
from crucible.check import Content, Finding, History, Lab, Measure

from .jobs import POST, WITHIN_S, Begun, Job, delete, id_of, new_job, run, submitting
from .tables import Table

LEFT, LIVING = "left", "living"
MB = 1_000_000
LIVE, LIVE_SIZE = 2, 4 * MB
DELETED, DELETED_SIZE, FAILING = 6, 3 * MB, 2
LARGE = 14 * MB
"""More than what clients of S3 send at once: of such a file, parts are left."""
EVERY_S, ALONE_S = 2.0, 8.0
FACTOR, ROOM = 1.05, 5 * MB
ITEMS_BESIDE = 2
TOO_LARGE = 220_000_000
EARLIER = (
    "contact", "exact", "chunks", "dribbled", "watched", "retries", "bad", "callbacks", "cancel", "heavy", "arrivals",
    "kills", "strikes", "killer", "bad-input",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """What there was: bytes by store, objects and rows of content, bytes on the disks of all processes."""

    by_store: dict[str, int]
    items: int
    on_disk: int

    @property
    def bytes(self) -> int:
        return sum(self.by_store.values())


@dataclass(frozen=True, slots=True)
class Alone:
    """With the living jobs and nothing else; and by how much each store had grown with them."""

    held: Held
    grew: dict[str, int]
    size: int


@dataclass(frozen=True, slots=True)
class Left:
    """In the end, so many seconds after the last of it."""

    held: Held
    after_s: float


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """When it was gone, in seconds."""

    after_s: float


async def left(lab: Lab, rng: Random) -> None:
    await _clear(lab)
    before = await _settled(lab, WITHIN_S)
    living = [new_job(lab, rng, f"{LIVING}/{i}", Table(rng.getrandbits(32), LIVE_SIZE)) for i in range(LIVE)]
    begun = await asyncio.gather(*(run(lab, job, WITHIN_S, i) for i, job in enumerate(living)))
    if not all(begun):
        return
    alone = await _settled(lab, ALONE_S)
    grew = {name: max(0, size - before.by_store.get(name, 0)) for name, size in alone.by_store.items()}
    note(lab, Alone(alone, grew, LIVE * LIVE_SIZE))
    await _come_to_nothing(lab, rng)
    await _done_and_deleted(lab, rng)
    over_ns = lab.now_ns()
    while True:
        after_s = (lab.now_ns() - over_ns) / 1e9
        held = await _held(lab)
        note(lab, Left(held, after_s))
        if not too_much(held, alone) and held.items <= alone.items and held.bytes <= alone.bytes + MB:
            note(lab, Reclaimed(after_s))
            return
        if after_s > WITHIN_S:
            return
        await lab.sleep(EVERY_S)


def too_much(held: Held, alone: Held) -> bool:
    return held.bytes > FACTOR * alone.bytes + ROOM or held.on_disk > alone.on_disk + ROOM


async def _held(lab: Lab) -> Held:
    stores, disks = await lab.stored(), await lab.on_disk()
    return Held(
        {name: it.bytes for name, it in stores.items()}, sum(it.items for it in stores.values()), sum(disks.values())
    )  # fmt: skip


async def _settled(lab: Lab, within_s: float) -> Held:
    """When what is not needed any more is gone, or stays."""
    end_ns, last = lab.now_ns() + within_s * 1e9, await _held(lab)
    while lab.now_ns() < end_ns:
        await lab.sleep(EVERY_S)
        now = await _held(lab)
        if now.items >= last.items and now.bytes >= last.bytes - MB // 10:
            return now
        last = now
    return last


async def _clear(lab: Lab) -> None:
    """Delete what earlier scenarios of this lab left living."""
    ids = {
        it for scenario in EARLIER for op in lab.recorded(scenario)
        if op.name.endswith(f"/{POST}") and (it := id_of(op)) is not None
    }  # fmt: skip
    waiting = asyncio.Semaphore(8)

    async def one(it: str, index: int) -> None:
        async with waiting:
            await delete(lab, Begun(Job(f"{LEFT}/clear", Table(0, 1000), "", ""), it), index)

    await asyncio.gather(*(one(it, index) for index, it in enumerate(sorted(ids))))


async def _done_and_deleted(lab: Lab, rng: Random) -> None:
    async def one(index: int) -> None:
        failing = index >= DELETED
        file = Table(rng.getrandbits(32), DELETED_SIZE, opened=failing)
        begun = await run(lab, new_job(lab, rng, f"{LEFT}/deleted-{index}", file), WITHIN_S, index)
        if begun is not None:
            await delete(lab, begun, index)

    await asyncio.gather(*(one(index) for index in range(DELETED + FAILING)))


async def _come_to_nothing(lab: Lab, rng: Random) -> None:
    """Uploads that are cut, that are too large, and whose process is killed; nobody sends them again."""
    for index in range(3):
        job = new_job(lab, rng, f"{LEFT}/cut-{index}", Table(rng.getrandbits(32), LARGE))
        sending = submitting(lab, job, in_turn(lab, index))
        await lab.transfer(replace(sending, cut_at=rng.randrange(LARGE // 2, LARGE - 100_000)))
    huge = new_job(lab, rng, f"{LEFT}/huge", Table(rng.getrandbits(32), LARGE))
    sending = submitting(lab, huge, in_turn(lab, 0))
    await lab.transfer(replace(sending, sends=Content(1, TOO_LARGE), cut_at=LARGE))
    killed = new_job(lab, rng, f"{LEFT}/killed", Table(rng.getrandbits(32), LARGE))
    going = asyncio.create_task(lab.transfer(replace(submitting(lab, killed, lab.replicas[0]), sends_per_s=LARGE)))
    try:
        await lab.sleep(0.7)
        await lab.kill(lab.replicas[0])
        await lab.start(lab.replicas[0])
        op = await going
    finally:
        going.cancel()
    if (it := id_of(op)) is not None:  # it was faster
        await delete(lab, Begun(killed, it))


def judge_left(history: History) -> Finding:
    alone, held, reclaimed = fact(history, Alone), fact(history, Left), fact(history, Reclaimed)
    if alone is None or held is None:
        return inconclusive("the jobs that were to live did not end, or the stores could not be weighed")
    counted: dict[str, float] = {
        "kB in all stores": held.held.bytes // 1000, "objects and rows of content": held.held.items,
        "kB on disks": held.held.on_disk // 1000,
    }  # fmt: skip
    measures = [*_measures(alone, reclaimed, held)]
    if words := _wrong(alone.held, held):
        return failed(words, counted=counted, measures=measures)
    unreadable = [op for op in history.named(LEFT) if op.name.endswith(f"deleted-0/{POST}") and refused(op)]
    if unreadable:
        return inconclusive("the files that were to be deleted were refused", counted=counted, measures=measures)
    return passed(
        f"{held.after_s:.0f} s after the last deletion, the stores held {held.held.bytes / MB:.1f} MB, as the "
        f"{LIVE} jobs that live explain", counted=counted, measures=measures,
    )  # fmt: skip


def _wrong(alone: Held, held: Left) -> str:
    now, when = held.held, f"{held.after_s:.0f} s after the last deletion,"
    if now.on_disk > alone.on_disk + ROOM:
        more = (now.on_disk - alone.on_disk) / MB
        return f"{when} there were {more:.1f} MB more on the disks of the processes than before"
    if now.bytes > FACTOR * alone.bytes + ROOM:
        worst = max(now.by_store, key=lambda name: now.by_store[name] - alone.by_store.get(name, 0))
        return (
            f"{when} the stores (most of it {worst}) held {now.bytes / MB:.1f} MB, when it was "
            f"{alone.bytes / MB:.1f} MB with the living jobs alone"
        )
    if now.items > alone.items + ITEMS_BESIDE:
        return f"{when} there were {now.items} objects or rows of content, when the living jobs alone had {alone.items}"
    return ""


def _measures(alone: Alone, reclaimed: Reclaimed | None, held: Left) -> Iterable[Measure]:
    stored = sum(alone.grew.values()) / alone.size
    yield exactly("stored_bytes_per_byte", stored, LIVE)
    yield exactly("kept_ratio", min(1.0, stored), LIVE)
    for name in ("postgres", "s3", "redis"):
        if name in alone.grew:
            yield exactly(f"stored_{name}", alone.grew[name] / alone.size, LIVE)
    if reclaimed is not None:
        value = reclaimed.after_s
        yield Measure("reclaim_s", value, max(0.0, value - EVERY_S), value, DELETED)
    else:
        yield Measure("reclaim_s", held.after_s, held.after_s, held.after_s, DELETED, beyond=True)
