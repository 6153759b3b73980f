"""UP-9: uploads that come to nothing, files that are replaced or deleted, services that go away; then all is weighed.

What the stores hold in the end is judged in left.py.
"""

import asyncio
from dataclasses import dataclass, replace
from random import Random

from crucible.authoring.asking import in_turn, segment
from crucible.authoring.facts import note
from crucible.authoring.outcomes import refused, taken
from crucible.check import Content, Lab, Transfer

from .deletion import OUTLIVED
from .files import (
    RECLAIMED_S,
    THERE,
    TTL_S,
    File,
    announce,
    announcing,
    complete,
    deleting,
    draw,
    listed,
    new_file,
    new_user,
    put_of,
    quota,
    read,
    read_until_known,
    replace_with,
    replacing,
    sending,
    store,
    stored,
    told,
)
from .left import (
    EVERY_S,
    HEAVIES,
    HEAVY,
    KEPT,
    MB,
    ROOM_FACTOR,
    Alive,
    Alone,
    Left,
    Reclaimed,
    Room,
    nothing_else,
)

ORPHANS, LIVING = "orphans", "living"
VERSIONS, CUT = 3, 12
LARGE = 14 * MB
"""Larger than what clients of S3 send at once: of such a file, parts are left."""
FLOWS, HELD, GAP_S = 16, 4, 0.1
OUT_S, SEEN_S = 1.6, 2.0
"""For how long a service is away, and for how long after that a list may still have what was deleted."""
REDIRECT_S = 60.0
"""For which an address works that was given out before DELETE, at most."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a redirect led before its file was deleted, and when that was."""

    url: str
    deleted_ns: int


async def orphans(lab: Lab, rng: Random) -> None:
    await _clear(lab)
    user = new_user(rng, LIVING)
    kept = [new_file(rng, user, MB) for _ in range(KEPT)]
    before = await lab.stored()
    ids = await asyncio.gather(*(store(lab, file, f"{LIVING}/{index}", index) for index, file in enumerate(kept)))
    if any(it is None for it in ids):
        return
    living = {it: file for it, file in zip(ids, kept, strict=True) if it is not None}
    after = await lab.stored()
    grew = {name: max(0, it.bytes - before[name].bytes) for name, it in after.items() if name in before}
    alone = Alone(sum(it.items for it in after.values()), KEPT, grew)
    note(lab, alone)
    for number in range(VERSIONS):
        for index, (it, file) in enumerate(living.items()):
            new = File(user, file.name, draw(rng, MB))
            if await replace_with(lab, it, new, f"{LIVING}/{index}-{number}", index):
                living[it] = new
    reclaim = await _heavy(lab, rng)
    rooms = await _abandon(lab, rng)
    deleted = await _delete(lab, rng, new_user(rng, ORPHANS))
    for service in lab.services:
        await _outage(lab, rng, service)
    over_ns = lab.now_ns()
    await _until_reclaimed(lab, living, alone, over_ns, reclaim)
    await _look(lab, user, living)
    await _ask_for_room(lab, rng, rooms, over_ns)
    if lab.mode == "full":
        await _outlived(lab, deleted)


async def _clear(lab: Lab) -> None:
    """Delete what earlier scenarios of this lab left living."""
    users = {
        op.request.headers["X-User"]
        for scenario in ("contact", "twice", "replacing", "bulk", "contents", "private", "unfinished", "patience",
                         "quotas", "deletion", "bad-input", "outage", "strikes")
        for op in lab.recorded(scenario) if segment(op.request.headers.get("X-User")) is not None
    }  # fmt: skip
    for user in sorted(users):
        for it in await listed(lab, user, f"{ORPHANS}/clear") or []:
            await told(lab, deleting(in_turn(lab, 0), it, user, f"{ORPHANS}/clear"))


async def _abandon(lab: Lab, rng: Random) -> list[tuple[str, str]]:
    """Uploads that come to nothing, each in a way of its own; every user of them had room for exactly that."""
    rooms = []
    for index in range(CUT):
        user, label = new_user(rng, "room"), f"{ORPHANS}/cut-{index}"
        size = LARGE if index % 8 in (1, 3) else MB
        await told(lab, quota(in_turn(lab, 0), user, size, "quota-set"))
        file = new_file(rng, user, size)
        upload = await announce(lab, file, label, index)
        if upload is None:
            continue
        put = sending(in_turn(lab, index), upload.put, file.content, f"{label}/put")
        if index % 4 == 1:
            await lab.transfer(replace(put, cut_at=rng.randrange(size // 2, size)))
        elif index % 4 == 2:
            await lab.transfer(put)  # whole, and never completed
        elif index % 4 == 3:
            await lab.transfer(replace(put, sends=Content(file.content.seed + 1, size)))
            await complete(lab, upload.file, user, label)
        rooms.append((user, label))
    return rooms


async def _delete(lab: Lab, rng: Random, user: str) -> list[Address]:
    """Files that are deleted, with their puts used again; and where redirects led that were given out before."""
    found = []
    for index in range(6):
        file, label = new_file(rng, user, MB), f"{ORPHANS}/deleted-{index}"
        upload = await stored(lab, file, label, index)
        if upload is None:
            continue
        put = sending(in_turn(lab, index), upload.put, file.content, f"{label}/put")
        if index % 2:
            await lab.transfer(put)
            await lab.transfer(replace(put, sends=Content(file.content.seed + 1, MB)))
        if index == 5:
            await _replace_half(lab, rng, upload.file, file, label)
        seen = await read(lab, in_turn(lab, index), upload.file, user, f"{label}/read")
        await told(lab, deleting(in_turn(lab, index), upload.file, user, f"{label}/delete"))
        if index % 2:
            await lab.transfer(put)
        if seen.name.endswith(THERE) and seen.status == 200:
            found.append(Address(seen.request.path, lab.now_ns()))
    return found


async def _replace_half(lab: Lab, rng: Random, file: str, old: File, label: str) -> None:
    """A version that is under way when the file is deleted."""
    new = File(old.user, old.name, draw(rng, MB))
    put = put_of(await told(lab, replacing(in_turn(lab, 0), file, new, f"{label}/version")))
    if put is not None:
        await lab.transfer(sending(in_turn(lab, 0), put, new.content, f"{label}/put-version"))


async def _outage(lab: Lab, rng: Random, service: str) -> None:
    """Uploads, replacements and deletions go on while a service goes away, and comes back."""
    label, user = f"{ORPHANS}/out-{service}", new_user(rng, ORPHANS)
    before = [new_file(rng, user, MB // 2) for _ in range(4)]
    ids = await asyncio.gather(*(store(lab, file, f"{label}/before-{i}", i) for i, file in enumerate(before)))
    flows = [_flow(lab, new_file(rng, user, MB // 2), f"{label}/{index}", index) for index in range(FLOWS)]

    async def deletions() -> None:
        for index, it in enumerate(ids):
            await lab.sleep(GAP_S * 3)
            if it is not None:
                await lab.call(deleting(in_turn(lab, index), it, user, f"{label}/delete-{index}"))

    held = [await _put(lab, new_file(rng, user, MB // 2), f"{label}/held-{index}", index) for index in range(HELD)]

    async def completions() -> None:
        """Of what was sent whole before."""
        for index, it in enumerate(held):
            await lab.sleep(GAP_S * 4)
            if it is not None:
                await complete(lab, it, user, f"{label}/held-{index}", index)

    going = asyncio.gather(*flows, deletions(), completions())
    try:
        await lab.sleep(GAP_S * 3)
        async with lab.fault(service, "refuse"):
            await lab.sleep(OUT_S)
        await going
    finally:
        going.cancel()
    await lab.sleep(SEEN_S)
    for index, it in enumerate(await listed(lab, user, f"{label}/all") or []):
        note(lab, Alive("", True), f"{label}/listed-{index}")
        await read_until_known(lab, it, user, f"{label}/listed-{index}/read", index, tries=8)
        await told(lab, deleting(in_turn(lab, index), it, user, f"{label}/clear"))


async def _flow(lab: Lab, file: File, label: str, index: int) -> None:
    await lab.sleep(index * GAP_S)
    it = await _put(lab, file, label, index)
    if it is not None:
        await complete(lab, it, file.user, label, index + 1)


async def _put(lab: Lab, file: File, label: str, index: int) -> str | None:
    """Announce and send, and no more; the file's id, where that was taken."""
    upload = await announce(lab, file, label, index)
    if upload is None:
        return None
    put = replace(sending(in_turn(lab, index), upload.put, file.content, f"{label}/put"), timeout_s=8.0)
    return upload.file if taken(await lab.transfer(put)) else None


async def _heavy(lab: Lab, rng: Random) -> int:
    """Delete so much that nothing else outweighs it; when that was answered."""
    user = new_user(rng, ORPHANS)
    files = [new_file(rng, user, HEAVY) for _ in range(HEAVIES)]
    ids = await asyncio.gather(*(store(lab, file, f"{ORPHANS}/heavy-{i}", i) for i, file in enumerate(files)))
    for index, it in enumerate(ids):
        if it is not None:
            await told(lab, deleting(in_turn(lab, index), it, user, f"{ORPHANS}/heavy-{index}/delete"))
    return lab.now_ns()


async def _until_reclaimed(lab: Lab, living: dict[str, File], alone: Alone, over_ns: int, deleted_ns: int) -> None:
    """Weigh everything again and again until it is little enough, and until the promised time at the latest."""
    size = sum(file.content.size for file in living.values())
    end_s, heavy_gone = TTL_S[lab.mode] + RECLAIMED_S, False
    while True:
        after_s = (lab.now_ns() - over_ns) / 1e9
        held = await lab.stored()
        by_store = {name: it.bytes for name, it in held.items()}
        left = Left(by_store, sum(it.items for it in held.values()), size, len(living), after_s)
        note(lab, left)
        if not heavy_gone and left.bytes < size * ROOM_FACTOR + HEAVIES * HEAVY / 2:
            heavy_gone = True
            note(lab, Reclaimed((lab.now_ns() - deleted_ns) / 1e9))
        if after_s >= end_s or (len(held) == len(lab.services) and nothing_else(left) and left.items <= alone.items):
            return
        await lab.sleep(min(EVERY_S, max(0.2, end_s - after_s)))


async def _outlived(lab: Lab, deleted: list[Address]) -> None:
    """Whether old addresses lead nowhere any more, when their time is over."""
    for index, it in enumerate(deleted):
        await lab.sleep(max(0.0, REDIRECT_S + 1 - (lab.now_ns() - it.deleted_ns) / 1e9))
        await lab.transfer(Transfer(in_turn(lab, index), "GET", it.url, f"{OUTLIVED}/{index}"))


async def _look(lab: Lab, user: str, living: dict[str, File]) -> None:
    """What lives is listed and readable, and the other way round."""
    ids = await listed(lab, user, f"{LIVING}/all")
    for index, (it, file) in enumerate(living.items()):
        note(lab, Alive(file.content.sha256(), ids is None or it in ids), f"{LIVING}/{index}")
        await read_until_known(lab, it, user, f"{LIVING}/{index}/read", index)
    for index, it in enumerate(ids or []):
        if it not in living:
            note(lab, Alive("", True), f"{LIVING}/other-{index}")
            await read_until_known(lab, it, user, f"{LIVING}/other-{index}/read", index)


async def _ask_for_room(lab: Lab, rng: Random, rooms: list[tuple[str, str]], over_ns: int) -> None:
    """Of every quota that is to be free again; again until it is, and until the promised time at the latest."""
    waiting = rooms
    while True:
        last_time = (lab.now_ns() - over_ns) / 1e9 >= TTL_S[lab.mode] + RECLAIMED_S
        asked, waiting = waiting, []
        for index, (owner, label) in enumerate(asked):
            note(lab, Room(), label)
            op = await told(lab, announcing(in_turn(lab, index), new_file(rng, owner, MB), f"{label}/room"))
            if refused(op):
                waiting.append((owner, label))
        if last_time or not waiting:
            return
        await lab.sleep(min(EVERY_S, max(0.1, TTL_S[lab.mode] + RECLAIMED_S - (lab.now_ns() - over_ns) / 1e9)))
