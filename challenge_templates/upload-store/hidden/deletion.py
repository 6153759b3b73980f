"""UP-8 and UP-13: what is deleted is gone, what is alike stays, and a put that was used changes nothing more."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import fact, note, noted
from crucible.authoring.outcomes import failed, inconclusive, not_run, passed, refused, taken
from crucible.check import Content, Finding, History, Lab
from crucible.evidence import Op

from .expected import in_all
from .files import (
    SIMULATED,
    THERE,
    File,
    Put,
    Simulated,
    announcing,
    completing,
    deleting,
    file_of,
    known,
    last,
    listed,
    looking,
    new_file,
    new_user,
    note_simulated,
    put_of,
    quota,
    read,
    replacing,
    sending,
    store,
    stored,
    told,
)

OUTLIVED = "outlived"
"""What `orphans` asks of addresses whose time is over."""
DELETED, TWIN, SEALED = "deleted", "twin", "sealed"
WITHIN_S = 2.0
SIZE = 80_000
PAIRS = 4


@dataclass(frozen=True, slots=True)
class Deleted:
    """What is deleted, by label: when DELETE was answered."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class StillListed:
    """That the list still had it when that time was over, by label."""


@dataclass(frozen=True, slots=True)
class Stays:
    """What has to be there still, by label."""

    what: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A put that was used again, by label."""

    what: str
    sha256: str
    """Of what has to be there; empty where nothing may be."""


async def deletion(lab: Lab, rng: Random) -> None:
    note_simulated(lab)
    await asyncio.gather(*(_pair(lab, rng, index) for index in range(PAIRS)), _sealed(lab, rng), _dropped(lab, rng))


async def _pair(lab: Lab, rng: Random, index: int) -> None:
    """The same bytes of two users; one of them deletes his, after everybody has seen it."""
    one = new_file(rng, new_user(rng, DELETED), SIZE)
    other = File(new_user(rng, TWIN), one.name, one.content)
    label = f"{DELETED}/{index}"
    mine, twin = await store(lab, one, f"{label}/one", index), await store(lab, other, f"{label}/other", index + 1)
    if mine is None or twin is None:
        return
    for target in lab.replicas:
        await lab.call(looking(target, mine, one.user, f"{label}/before"))
        await read(lab, target, mine, one.user, f"{label}/before")
    await listed(lab, one.user, f"{label}/before", index)
    done = await told(lab, deleting(in_turn(lab, index), mine, one.user, f"{label}/delete"))
    if not taken(done):
        return
    note(lab, Deleted(done.received_ns), label)
    what = "a file with the same bytes as one that another user deleted"
    note(lab, Stays(what, one.content.sha256()), f"{label}/twin")
    await lab.sleep(WITHIN_S)
    for target in lab.replicas:
        await lab.call(looking(target, mine, one.user, f"{label}/after/look-{target}"))
        await read(lab, target, mine, one.user, f"{label}/after/read-{target}")
    there = await listed(lab, one.user, f"{label}/after", index)
    if there is not None and mine in there:
        note(lab, StillListed(), label)
    await told(lab, deleting(in_turn(lab, index + 1), mine, one.user, f"{label}/again"))
    await read(lab, in_turn(lab, index), twin, other.user, f"{label}/twin")


async def _sealed(lab: Lab, rng: Random) -> None:
    """The put, as it was given, after `complete` and after DELETE: with the same bytes, and with others."""
    for index in range(2):
        user, label = new_user(rng, SEALED), f"{SEALED}/{index}"
        file = new_file(rng, user, SIZE)
        await told(lab, quota(in_turn(lab, 0), user, 2 * SIZE, "quota-set"))
        upload = await stored(lab, file, label, index)
        if upload is None:
            continue
        other = Content(file.content.seed + 1, SIZE)
        again = (file.content, other) if index == 0 else (other, file.content)
        await _put_again(lab, upload.put, again, f"{label}/completed", index)
        note(lab, Sealed("the put was used again after `complete`", file.content.sha256()), f"{label}/completed")
        await _look(lab, upload.file, user, f"{label}/completed/seen")
        await told(lab, deleting(in_turn(lab, index), upload.file, user, f"{label}/delete"))
        await _put_again(lab, upload.put, again, f"{label}/deleted", index)
        note(lab, Sealed("the put was used again after DELETE", ""), f"{label}/deleted")
        await lab.sleep(WITHIN_S)
        await _look(lab, upload.file, user, f"{label}/deleted/seen")
        full = new_file(rng, user, 2 * SIZE)
        await told(lab, announcing(in_turn(lab, index), full, f"{label}/room"))


async def _put_again(lab: Lab, put: Put, contents: tuple[Content, ...], label: str, turn: int) -> None:
    for number, content in enumerate(contents):
        await lab.transfer(sending(in_turn(lab, turn), put, content, f"{label}/put-{number}"))


async def _look(lab: Lab, file: str, user: str, label: str) -> None:
    for target in lab.replicas:
        await lab.call(looking(target, file, user, f"{label}/look"))
        await read(lab, target, file, user, f"{label}/read-{target}")


async def _dropped(lab: Lab, rng: Random) -> None:
    """Deleted while a version is under way: that version's put and `complete` bring nothing back."""
    user, label = new_user(rng, SEALED), f"{SEALED}/under-way"
    file = new_file(rng, user, SIZE)
    mine = await store(lab, file, label)
    if mine is None:
        return
    new = File(user, file.name, Content(file.content.seed + 1, SIZE))
    op = await told(lab, replacing(in_turn(lab, 0), mine, new, f"{label}/announce"))
    put = put_of(op)
    if put is None or file_of(op) is None:
        return
    await lab.transfer(sending(in_turn(lab, 0), put, new.content, f"{label}/put"))
    if not taken(await told(lab, deleting(in_turn(lab, 0), mine, user, f"{label}/delete"))):
        return
    note(lab, Sealed("a version that was under way was completed after DELETE", ""), label)
    await lab.transfer(sending(in_turn(lab, 0), put, new.content, f"{label}/again"))
    await told(lab, completing(in_turn(lab, 0), mine, user, f"{label}/late"))
    await lab.sleep(WITHIN_S)
    await _look(lab, mine, user, f"{label}/seen")


def judge_deletion(history: History) -> Finding:
    deleted, stays = noted(history, Deleted), noted(history, Stays)
    wrong: list[tuple[str, Op]] = []
    looks = 0
    for label, it in deleted.items():
        ops = [op for op in history.named(f"{label}/after") if op.name.split("/")[3].startswith(("look", "read"))]
        lasts = [op for op in ops if not any(other.name == f"{op.name}/{THERE}" for other in ops)]
        looks += sum(known(op) for op in lasts)
        for op in lasts:
            if taken(op):
                late_s = (op.sent_ns - it.at_ns) / 1e9
                wrong.append((f"a deleted file could still be seen on {op.target} {late_s:.1f} s later", op))
        if label in noted(history, StillListed):
            shown = history.named(f"{label}/after/list")
            wrong.append(("a deleted file was still in the list of its owner's files", shown[-1]))
        wrong += [
            (f"a second DELETE was answered with {op.status}", op) for op in history.named(f"{label}/again")
            if op.status is not None and not (taken(op) or 400 <= op.status < 500)
        ][:1]  # fmt: skip
        wrong += _missing_twin(history, f"{label}/twin", stays)
    wrong += [
        ("an address that was given out before DELETE still worked a minute later", op)
        for op in history.named(OUTLIVED) if taken(op)
    ]  # fmt: skip
    counted = {"files that were deleted": len(deleted), "looks for them": looks}
    if wrong:
        return failed(in_all(wrong, "answers were so"), *(op for _, op in wrong), counted=counted)
    if not deleted or looks < 2 * len(deleted):
        return inconclusive("what was deleted could not be looked for", counted=counted)
    return passed(
        f"{len(deleted)} files were gone {WITHIN_S:g} s after DELETE on every replica, and the same bytes of others "
        "stayed",
        counted=counted,
    )


def _missing_twin(history: History, label: str, stays: dict[str, Stays]) -> list[tuple[str, Op]]:
    op, it = last(history.named(label)), stays.get(label)
    if op is None or it is None or not known(op):
        return []
    if op.status != 200:
        return [(f"{it.what} was answered with {op.status}", op)]
    return [] if op.moved is not None and op.moved.sha256 == it.sha256 else [(f"{it.what} has other bytes now", op)]


def judge_sealed(history: History) -> Finding:
    if fact(history, Simulated) is not None:
        return not_run(SIMULATED)
    sealed = noted(history, Sealed)
    wrong: list[tuple[str, Op]] = []
    looks = 0
    for label, it in sealed.items():
        for op in history.named(f"{label}/seen"):
            if not known(op):
                continue
            looks += 1
            if complaint := _unsealed(it, op):
                wrong.append((f"{it.what}, and then {complaint}", op))
    for op in history.named(SEALED):
        if op.name.endswith("/room") and refused(op):
            wrong.append(("the put was used again after DELETE, and took room of the quota", op))
    counted = {"puts that were used again": len(sealed), "looks at what came of it": looks}
    if wrong:
        return failed(wrong[0][0], *(op for _, op in wrong), counted=counted)
    if len(sealed) < 5 or not looks:
        return inconclusive(f"only {len(sealed)} of 5 puts could be used again", counted=counted)
    return passed(f"{len(sealed)} puts that were used again changed nothing", counted=counted)


def _unsealed(it: Sealed, op: Op) -> str:
    if not it.sha256:
        return f"the deleted file could be seen ({op.status})" if taken(op) else ""
    if op.status is not None and op.status >= 400:
        return f"the file was answered with {op.status}"
    if op.status == 200 and op.moved is not None and op.moved.sha256 != it.sha256:
        return "the file had other bytes"
    digest = op.field("sha256", str)
    return "another digest was told" if digest is not None and digest.lower() != it.sha256 else ""
