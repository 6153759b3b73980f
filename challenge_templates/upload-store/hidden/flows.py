"""Uploads that go on whatever happens meanwhile, and what has to be there of them afterwards."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import taken
from crucible.check import History, Lab
from crucible.evidence import Op

from .files import (
    Announced,
    File,
    announcing,
    begun,
    complete,
    completing,
    gone,
    known,
    last,
    put_of,
    read_until_known,
    replacing,
    sending,
)

AT_ONCE, READ_TRIES = 8, 10


@dataclass(frozen=True, slots=True)
class Flow:
    """An upload to make: of a new file, or of a version that replaces the one that is there."""

    label: str
    new: File
    file: str = ""
    """The one to be replaced."""
    old: File | None = None


@dataclass(frozen=True, slots=True)
class Meant:
    """What was uploaded, by the label of its flow."""

    sha256: str
    old: str
    """The digest of what it replaces; empty where it replaces nothing."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one upload, by what is known of it."""

    acknowledged: bool
    lost: str
    """What is wrong, in words; empty where nothing is."""
    open: bool
    shown: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """How far a client came with one."""

    flow: Flow
    file: str
    sent: bool
    """Whether all bytes were taken."""
    completes: tuple[Op, ...] = ()


async def run(lab: Lab, flow: Flow, turn: int) -> Made | None:
    """As a client does that tries nothing twice."""
    made = await hold(lab, flow, turn)
    return await finish(lab, made, turn) if made is not None and made.sent else made


async def hold(lab: Lab, flow: Flow, turn: int) -> Made | None:
    """Up to `complete`, which is not asked for; None where nothing can have come of it."""
    note(lab, Meant(flow.new.content.sha256(), flow.old.content.sha256() if flow.old else ""), flow.label)
    target = in_turn(lab, turn)
    upload = await _begin(lab, flow, target)
    if upload is None:
        return Made(flow, flow.file, sent=False) if flow.old else None
    put = replace(sending(target, upload.put, flow.new.content, f"{flow.label}/put"), timeout_s=10.0)
    if not taken(await lab.transfer(put)):
        return Made(flow, upload.file, sent=False) if flow.old else None
    return Made(flow, upload.file, sent=True)


async def finish(lab: Lab, made: Made, turn: int) -> Made:
    """Ask for `complete`, once: half of them the replica that has had the bytes."""
    flow = made.flow
    call = completing(in_turn(lab, turn + turn // 2), made.file, flow.new.user, f"{flow.label}/complete")
    return replace(made, completes=(await lab.call(call),))


async def _begin(lab: Lab, flow: Flow, target: str) -> Announced | None:
    if not flow.file:
        return begun(await lab.call(announcing(target, flow.new, f"{flow.label}/announce")))
    op = await lab.call(replacing(target, flow.file, flow.new, f"{flow.label}/announce"))
    put = put_of(op)
    return Announced(flow.file, put) if taken(op) and put is not None else None


async def run_all(lab: Lab, flows: Sequence[Flow], gap_s: float) -> list[Made]:
    """A flow every `gap_s` seconds, to the end of all; those of which something may have to be there."""

    async def later(index: int, flow: Flow) -> Made | None:
        await lab.sleep(index * gap_s)
        return await run(lab, flow, index)

    found = await asyncio.gather(*(later(index, flow) for index, flow in enumerate(flows)))
    return [made for made in found if made is not None]


async def settle(lab: Lab, every: Sequence[Made]) -> None:
    """Ask again for what has no answer, and read everything."""

    async def one(index: int, made: Made) -> None:
        flow = made.flow
        if made.completes and not any(map(known, made.completes)):
            await complete(lab, made.file, flow.new.user, flow.label, index)
        await read_until_known(lab, made.file, flow.new.user, f"{flow.label}/read", index, READ_TRIES)

    for start in range(0, len(every), AT_ONCE):
        await asyncio.gather(*(one(index, made) for index, made in enumerate(every[start : start + AT_ONCE], start)))


def fates(history: History, prefix: str) -> list[Fate]:
    """Of every upload under this label."""
    return [
        fate for label, meant in noted(history, Meant).items()
        if label.startswith(f"{prefix}/") and (fate := _fate(history, label, meant)) is not None
    ]  # fmt: skip


def _fate(history: History, label: str, meant: Meant) -> Fate | None:
    completes, read = history.named(f"{label}/complete"), last(history.named(f"{label}/read"))
    done = [op for op in completes if taken(op)]
    if read is None:
        return Fate(True, "", True, tuple(done)) if done else None
    shown = (*done[:1], read)
    digest = read.moved.sha256 if read.status == 200 and read.moved is not None else ""
    maybe = any(not known(op) for op in completes)
    if done:
        right = {meant.sha256}
    elif maybe:
        right = {meant.sha256, meant.old}
    else:
        right = {meant.old}
    if not known(read):
        return Fate(bool(done), "", True, shown)
    if digest and digest in right:
        return Fate(bool(done), "", False, shown)
    if not meant.old and not done:
        return Fate(False, "", False, shown)
    if gone(read):
        what = "is gone" if done else "lost the version that it had, though the new one was never completed"
    elif digest == meant.old and done:
        what = "has its old version again"
    else:
        what = "has other bytes than were stored"
    return Fate(bool(done) or bool(meant.old), what, False, shown)
