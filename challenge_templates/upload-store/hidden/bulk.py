"""UP-10: many large files at once, up and down, by slow readers too; and what passes through the application then."""

import asyncio
from dataclasses import dataclass, replace
from random import Random

from crucible.authoring import deaths
from crucible.authoring.asking import in_turn
from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, taken
from crucible.check import Finding, History, Lab, Measure
from crucible.evidence import Op

from .files import (
    File,
    announce,
    complete,
    new_file,
    new_user,
    read,
    read_until_known,
    sending,
    sent,
    whole,
)

BULK = "bulk"
LARGEST = 25_000_000
AT_ONCE = {"quick": 12, "full": 20}
SLOW_S = {"quick": 4.0, "full": 8.0}
"""For how long slow readers go on before they go away."""
SLOW_PER_S = 400_000
UP_S, TRIES = 90.0, 6
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Up:
    """The uploads: how many bytes were stored, in how long, and how many bytes went to and fro meanwhile."""

    stored: int
    seconds: float
    through: int
    """Between clients and the application, and between that and the services."""


@dataclass(frozen=True, slots=True)
class Down:
    """Likewise the one file that was read at full speed."""

    bytes: int
    seconds: float


async def bulk(lab: Lab, rng: Random) -> None:
    """All of them on one replica, so that it alone has them in hand."""
    user, number = new_user(rng, BULK), AT_ONCE[lab.mode]
    files = [new_file(rng, user, LARGEST) for _ in range(number)]
    before, begun_ns = await _exchanged(lab), lab.now_ns()
    found = await asyncio.gather(*(_up(lab, file, f"{BULK}/{index}") for index, file in enumerate(files)))
    seconds, exchanged = (lab.now_ns() - begun_ns) / 1e9, await _exchanged(lab) - before
    done = [(file, it, op) for file, (it, op) in zip(files, found, strict=True) if it and op is not None]
    if done:
        sent = [(op.target in lab.replicas, op.moved.sent) for _, _, op in done if op.moved is not None]
        straight = sum(size for own, size in sent if not own)
        by_hand = sum(size for own, size in sent if own)
        note(lab, Up(len(done) * LARGEST, seconds, by_hand + max(0, exchanged - straight)))
        file, stored, _ = done[0]
        await _fast(lab, file, stored)
        leaves_at = int(SLOW_PER_S * SLOW_S[lab.mode])
        await asyncio.gather(*(
            read(lab, in_turn(lab, 0), it, user, f"{BULK}/slow-{index}", takes_per_s=SLOW_PER_S, leaves_at=leaves_at)
            for index, (_, it, _) in enumerate(done)
        ))  # fmt: skip


async def _fast(lab: Lab, file: File, stored: str) -> None:
    """One file, as fast as it goes; again where there is no answer."""
    op = await read_until_known(lab, stored, file.user, f"{BULK}/fast", 1)
    if whole(op, file.content):
        note(lab, Down(LARGEST, (op.received_ns - op.sent_ns) / 1e9))


async def _exchanged(lab: Lab) -> int:
    return sum((await lab.exchanged()).values())


async def _up(lab: Lab, file: File, label: str) -> tuple[str, Op | None]:
    """The file's id, empty where it was not stored, and how its bytes were sent."""
    upload = await announce(lab, file, label)
    if upload is None:
        return "", None
    put = sending(in_turn(lab, 0), upload.put, file.content, f"{label}/put")
    op = await sent(lab, replace(put, timeout_s=UP_S), tries=TRIES)  # who sheds load says so, and is asked again
    if not taken(op):
        return "", op
    done = taken(await complete(lab, upload.file, file.user, label))
    return (upload.file if done else ""), op


def judge_bulk(history: History) -> Finding:
    up, down = fact(history, Up), fact(history, Down)
    number = len({op.name.split("/")[1] for op in history.named(BULK) if op.name.endswith("/put")})
    stored = up.stored // LARGEST if up is not None else 0
    counted = {"files of 25 MB at once": number, "of them stored": stored}
    slow = sum(op.moved is not None and op.moved.received > MB for op in history.named(BULK) if "/slow-" in op.name)
    counted["slow readers at once"] = slow
    measures = list(_measures(up, down))
    if ended := deaths.untimely(history):
        event = ended[0]
        during = "were read by slow readers" if _reading(history, event.at_ns) else "were sent"
        what = f"while {number} files of 25 MB {during}, {deaths.briefly(event)}"
        return failed(what, counted=counted, measures=measures)
    failures = [op for op in history.named(BULK) if op.name.endswith(("/put", "/complete")) and not taken(op)]
    wrong = [op for op in failures if op.status is not None]
    if wrong and stored < number:
        what = (
            f"of {number} uploads of 25 MB at once, {number - stored} were refused again and again ({wrong[-1].status})"
        )
        return failed(what, *wrong, counted=counted, measures=measures)
    if stored < number or down is None:
        what = f"only {stored} of {number} files of 25 MB could be stored, and {'one' if down else 'none'} read back"
        return inconclusive(what, *failures[:2], counted=counted, measures=measures)
    if 2 * slow < number:
        what = f"only {slow} of {number} slow readers had something to read"
        return inconclusive(what, counted=counted, measures=measures)
    return passed(
        f"{number} files of 25 MB were stored at once and read by slow readers, and no process held too much",
        counted=counted, measures=measures,
    )  # fmt: skip


def _reading(history: History, at_ns: int) -> bool:
    return any(op.sent_ns <= at_ns for op in history.named(BULK) if "/slow-" in op.name)


def _measures(up: Up | None, down: Down | None) -> list[Measure]:
    found = []
    if up is not None:
        found.append(exactly("app_bytes_per_byte", up.through / up.stored, up.stored // LARGEST))
        found.append(exactly("upload_mb_per_s", up.stored / up.seconds / MB, up.stored // LARGEST))
    if down is not None:
        found.append(exactly("download_mb_per_s", down.bytes / down.seconds / MB, 1))
    return found
