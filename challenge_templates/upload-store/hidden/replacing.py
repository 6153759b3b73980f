"""UP-3: a file that is replaced again and again, and readers of it, some of them slow."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import failed, inconclusive, passed, taken
from crucible.check import Finding, History, Lab
from crucible.evidence import Op
from crucible.oracles.files import Read, Version, impossible

from .files import THERE, File, new_file, new_user, read, replace_with, store

REPLACED, READS = "replaced", "reads"
TIMES = {"quick": 16, "full": 50}
READERS = 20
SLOW_PER_S, PAUSE_S = 1_500_000, 0.25
ENOUGH_SEEN = 5
"""Versions that readers have to have met, or nothing was shown."""


@dataclass(frozen=True, slots=True)
class Written:
    """A version by its number: the first one is stored before anybody reads."""

    sha256: str


async def replacing_race(lab: Lab, rng: Random) -> None:
    user = new_user(rng, REPLACED)
    file = _version(rng, user)
    stored = await store(lab, file, f"{REPLACED}/0")
    if stored is None:
        return
    note(lab, Written(file.content.sha256()), "0")
    over = asyncio.Event()

    async def reader(number: int) -> None:
        slow, round_ = number % 2 == 1, 0
        await lab.sleep(0.05 * number)
        while not over.is_set():
            target = in_turn(lab, number // 2 + round_)
            label = f"{READS}/{number}-{round_}"
            await read(lab, target, stored, user, label, takes_per_s=SLOW_PER_S if slow else None)
            round_ += 1
            await lab.sleep(PAUSE_S)

    readers = [asyncio.create_task(reader(number)) for number in range(READERS)]
    try:
        for number in range(1, TIMES[lab.mode] + 1):
            new = _version(rng, user, file.name)
            note(lab, Written(new.content.sha256()), str(number))
            await replace_with(lab, stored, new, f"{REPLACED}/{number}", number)
            await lab.sleep(0.05)
        over.set()
        await asyncio.gather(*readers)
    finally:
        for task in readers:
            task.cancel()


def _version(rng: Random, user: str, name: str = "") -> File:
    return new_file(rng, user, rng.randrange(1_000_000, 2_000_000), name)


def versions(history: History) -> list[Version]:
    """What was asked for, each with when. What was refused for certain is no version."""
    found = []
    for number, it in noted(history, Written).items():
        asked = history.named(f"{REPLACED}/{number}/complete")
        if not asked:
            continue
        done = [op for op in asked if taken(op)]
        if done:
            found.append(Version(it.sha256, asked[0].sent_ns, done[0].received_ns))
        elif any(op.status is None or op.status >= 500 for op in asked):
            found.append(Version(it.sha256, asked[0].sent_ns))
    return found


def judge_replacing(history: History) -> Finding:
    known = versions(history)
    ops, reads, broken = _reads(history)
    counted = {"versions": len(known), "whole reads": len(reads), "reads that broke off": broken}
    bad = impossible(reads, known)
    if bad:
        by_read = dict(zip(map(id, reads), ops, strict=True))
        shown = [by_read[id(it.read)] for it in bad]
        what = f"a read {bad[0].what}" + (f"; {len(bad)} of {len(reads)} reads were impossible" if len(bad) > 1 else "")
        return failed(what, *shown, counted=counted)
    met = len({read.digest for read in reads})
    if met < ENOUGH_SEEN or len(known) < TIMES["quick"] // 2:
        return inconclusive(f"readers met only {met} of {len(known)} versions", counted=counted)
    if broken > len(reads):
        return inconclusive(f"{broken} of {broken + len(reads)} reads broke off", counted=counted)
    return passed(
        f"{len(reads)} reads during {len(known) - 1} replacements each brought a version that was current then, whole",
        counted=counted,
    )


def _reads(history: History) -> tuple[list[Op], list[Read], int]:
    """By their last answers; each begins where it was first asked for. A read without a whole answer shows nothing."""
    firsts = {op.name: op for op in history.named(READS) if not op.name.endswith(THERE)}
    lasts = {op.name.removesuffix(f"/{THERE}"): op for op in history.named(READS) if op.name.endswith(THERE)}
    ops: list[Op] = []
    found: list[Read] = []
    broken = 0
    for label, first in firsts.items():
        op = lasts.get(label, first)
        if op.status == 200 and op.moved is not None:
            ops.append(op)
            found.append(Read(op.moved.sha256, first.sent_ns, op.received_ns))
        elif op.status == 404 and op is first:
            ops.append(op)
            found.append(Read(None, first.sent_ns, op.received_ns))
        else:
            broken += 1
    return ops, found, broken
