"""UP-6: a quota is never exceeded for certain, and nothing is refused for which there was certainly room."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import failed, inconclusive, passed, refused, taken
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .files import (
    File,
    announcing,
    deleting,
    draw,
    known,
    last,
    new_file,
    new_user,
    quota,
    replace_with,
    store,
    told,
)
from .left import Room
from .outage import too_many

QUOTA, RACES, DEFAULT = "quota", "quota-race", "quota-default"
SLOT, SLOTS, AT_ONCE = 100_000, 3, 20
RACED = {"quick": 3, "full": 8}
WIDE_MS = 15
FREED_S = 2.0
"""After a deletion, the room is free again."""
LARGEST, WHOLE_GB = 25_000_000, 40
SURELY_FULL = 44
"""Announcements of 25 MB, of which not all can be within 1 GB, or 1 GiB."""


@dataclass(frozen=True, slots=True)
class Race:
    """Announcements of one slot each, all at once, for the last one, by label."""

    room: int


@dataclass(frozen=True, slots=True)
class Step:
    """One announcement, by label, and whether there was certainly room for it, or certainly none."""

    what: str
    room: bool


async def quota_race(lab: Lab, rng: Random) -> None:
    """Twenty uploads for the last slot, on all replicas."""
    async with lab.slow(WIDE_MS):
        for index in range(RACED[lab.mode]):
            user, label = new_user(rng, RACES), f"{RACES}/{index}"
            if not taken(await told(lab, quota(in_turn(lab, 0), user, SLOTS * SLOT, "quota-set"))):
                continue
            begun = [
                await lab.call(announcing(in_turn(lab, turn), new_file(rng, user, SLOT), f"{label}/before"))
                for turn in range(SLOTS - 1)
            ]
            if not all(map(taken, begun)):
                continue
            note(lab, Race(1), label)
            await lab.burst(
                [announcing(in_turn(lab, turn), new_file(rng, user, SLOT), f"{label}/last") for turn in range(AT_ONCE)]
            )


async def quotas(lab: Lab, rng: Random) -> None:
    await asyncio.gather(_steps(lab, rng), _default(lab, rng))


async def _steps(lab: Lab, rng: Random) -> None:
    """A replacement costs the difference; a deletion gives all back."""
    user = new_user(rng, QUOTA)
    if not taken(await told(lab, quota(in_turn(lab, 0), user, 1_000_000, "quota-set"))):
        return
    file = new_file(rng, user, 600_000)
    stored = await store(lab, file, f"{QUOTA}/first")
    if stored is None:
        return
    larger = File(user, file.name, draw(rng, 700_000))
    await _replace(lab, stored, larger, "a replacement of 600 kB by 700 kB, with 400 kB free,", "grow")
    await _announce(lab, new_file(rng, user, 300_001), "an upload of 300,001 bytes, with 300,000 free,", "over", False)
    small = new_file(rng, user, 300_000)
    note(lab, Step("an upload of 300 kB, with 300 kB free,", True), f"{QUOTA}/fits")
    second = await store(lab, small, f"{QUOTA}/fits", 1)
    if second is None:
        return
    await _announce(lab, new_file(rng, user, 1), "one byte more, with all room taken,", "full", False)
    await _replace(lab, second, File(user, small.name, draw(rng, 100_000)), "a replacement by a smaller one", "shrink")
    into = "an upload into the room that"
    await _announce(lab, new_file(rng, user, 200_000), f"{into} a smaller version left", "left", True)
    await told(lab, deleting(in_turn(lab, 0), stored, user, f"{QUOTA}/delete"))
    await lab.sleep(FREED_S)
    await _announce(lab, new_file(rng, user, 700_000), f"{into} a deletion left", "freed", True)
    await _announce(lab, new_file(rng, user, 1), "one byte more, with all room taken again,", "full-again", False)


async def _announce(lab: Lab, file: File, what: str, slug: str, room: bool) -> None:
    note(lab, Step(what, room), f"{QUOTA}/{slug}")
    await told(lab, announcing(in_turn(lab, len(slug)), file, f"{QUOTA}/{slug}/announce"))


async def _replace(lab: Lab, stored: str, new: File, what: str, slug: str) -> None:
    note(lab, Step(what, True), f"{QUOTA}/{slug}")
    await replace_with(lab, stored, new, f"{QUOTA}/{slug}", len(slug))


async def _default(lab: Lab, rng: Random) -> None:
    """Who has no quota yet has 1 GB: forty announcements of 25 MB fit, and four more do not, however one counts."""
    user = new_user(rng, DEFAULT)
    calls = [
        announcing(in_turn(lab, index), new_file(rng, user, LARGEST), f"{DEFAULT}/{index}")
        for index in range(SURELY_FULL)
    ]
    for start in range(0, len(calls), 8):
        await asyncio.gather(*(lab.call(call) for call in calls[start : start + 8]))


def judge_quotas(history: History) -> Finding:
    wrong = [*_raced(history), *_stepped(history), *_defaulted(history), *too_many(history), *_taken(history)]
    races, steps = noted(history, Race), noted(history, Step)
    answered = sum(any(map(known, history.named(f"{label}/announce"))) for label in steps)
    freed = len(noted(history, Room))
    counted = {"races for the last slot": len(races), "steps with known room": answered, "uploads that lapsed": freed}
    if wrong:
        what = "; ".join(what for what, _ in wrong[:2])
        return failed(what, *(op for _, ops in wrong[:1] for op in ops), counted=counted)
    if not races or answered < len(steps) or len(steps) < 7 or not freed:
        return inconclusive("not all announcements had an answer", counted=counted)
    return passed(
        f"in {len(races)} races of {AT_ONCE} uploads for the last slot one got it, {answered} others were taken or "
        f"refused as there was room, and {freed} that came to nothing gave it back", counted=counted,
    )  # fmt: skip


def _raced(history: History) -> list[tuple[str, tuple[Op, ...]]]:
    wrong = []
    for label, race in noted(history, Race).items():
        ops = history.named(f"{label}/last")
        got, unknown = tuple(filter(taken, ops)), [op for op in ops if not known(op)]
        if len(got) > race.room:
            wrong.append((f"{len(got)} of {len(ops)} uploads that came at once got the last slot of a quota", got))
        elif not got and not unknown:
            wrong.append((f"none of {len(ops)} uploads that came at once got the last slot of a quota", ops[:3]))
    return wrong


def _stepped(history: History) -> list[tuple[str, tuple[Op, ...]]]:
    wrong: list[tuple[str, tuple[Op, ...]]] = []
    for label, step in noted(history, Step).items():
        ops = history.named(f"{label}/announce")
        no = [op for op in ops if refused(op)]
        if step.room and no:
            wrong.append((f"{step.what} was refused ({no[0].status})", (no[0],)))
        if not step.room and any(map(taken, ops)) and all(map(known, ops)):
            wrong.append((f"{step.what} was taken", (ops[-1],)))
    return wrong


def _defaulted(history: History) -> list[tuple[str, tuple[Op, ...]]]:
    ops = history.named(DEFAULT)
    got = [op for op in ops if taken(op)]
    if len(got) == len(ops) == SURELY_FULL:
        return [(f"{len(got)} uploads of 25 MB were taken of a user who has 1 GB", (ops[-1],))]
    no = [op for op in ops if refused(op)]
    if len(got) < WHOLE_GB and len(got) + len(no) == len(ops):
        return [(f"only {len(got)} uploads of 25 MB were taken of a user who has 1 GB", (no[0],))]
    return []


def _taken(history: History) -> list[tuple[str, tuple[Op, ...]]]:
    rooms = noted(history, Room)
    asked = [last(history.named(f"{label}/room")) for label in rooms]
    full = [op for op in asked if op is not None and refused(op)]
    if not full:
        return []
    return [(f"{len(full)} of {len(rooms)} quotas were still taken by uploads that came to nothing", tuple(full))]
