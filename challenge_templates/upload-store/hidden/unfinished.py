"""UP-2 and UP-7: what is not complete is not there; and what is not what was announced can never be completed."""

import asyncio
from dataclasses import dataclass, replace
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import fact, note, noted
from crucible.authoring.outcomes import failed, inconclusive, not_run, passed, taken
from crucible.check import Content, Finding, History, Lab
from crucible.evidence import Op

from .expected import in_all
from .files import (
    SIMULATED,
    THERE,
    File,
    Simulated,
    announce,
    call,
    complete,
    completing,
    gone,
    looking,
    new_file,
    new_user,
    note_simulated,
    read,
    sending,
    sent,
    told,
)

UNFINISHED, TWICE = "unfinished", "twice"
SIZE, SENT_ONLY = 400_000, 40_000
AGAIN_S = 3.0
"""After which what was not there is asked for once more."""
TWICE_TIMES, AT_ONCE = {"quick": 24, "full": 60}, 6
MOST_LATER_S = 0.2
"""By which the bytes are sent again after `complete` was asked, at most."""
WIDE_MS = 15


@dataclass(frozen=True, slots=True)
class Hidden:
    """An upload of which nothing may be seen, by label."""

    how: str
    """What was done, as the beginning of a sentence."""
    check: str
    completes: bool = False
    """Whether it was whole, so that `complete` may be asked later and makes it visible."""


@dataclass(frozen=True, slots=True)
class Raced:
    """What was declared of a file whose bytes were sent twice, by label: digests."""

    declared: str
    other: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent of an upload of which nothing may be seen."""

    hidden: Hidden
    size: int
    """Declared."""
    more: int = 0
    """Bytes of the same seed that are sent beyond what was declared, or fewer."""
    other: bool = False
    """Whether the bytes are those of another seed."""
    cut_at: float | None = 1.0
    """The share of the bytes after which the client goes away; none where nothing is sent, 1 where all is."""
    own_digest: bool = False
    """Whether the digest that is declared is that of what is sent, and the size is not."""

    def content(self, file: File) -> Content:
        return Content(file.content.seed + self.other, file.content.size + self.more)


WAYS = {
    "nothing": Sent(Hidden("an upload of which no byte was sent", "UP-2"), SENT_ONLY, cut_at=None),
    "half": Sent(Hidden("an upload that was cut off at half of its bytes", "UP-2"), SIZE, cut_at=0.5),
    "one-short": Sent(Hidden("an upload that was cut off just before its end", "UP-2"), SIZE, cut_at=1 - 1 / SIZE),
    "others": Sent(Hidden("an upload of other bytes than those that were declared", "UP-2"), SENT_ONLY, other=True),
    "shorter": Sent(Hidden("an upload of fewer bytes than were declared", "UP-2"), SENT_ONLY, -1_000),
    "shorter-own": Sent(
        Hidden("an upload of fewer bytes than were declared, with their digest,", "UP-2"), SENT_ONLY, -1_000,
        own_digest=True,
    ),
    "longer": Sent(Hidden("an upload of more bytes than were declared", "UP-7"), SENT_ONLY, 50_000),
    "longer-own": Sent(
        Hidden("an upload of more bytes than were declared, with their digest,", "UP-7"), SENT_ONLY, 50_000,
        own_digest=True,
    ),
    "much-longer": Sent(
        Hidden("an upload of 20 times as many bytes as were declared", "UP-7"), SENT_ONLY, 19 * SENT_ONLY, other=True
    ),
}  # fmt: skip


async def unfinished(lab: Lab, rng: Random) -> None:
    """All ways side by side, one after the other each; then everything is looked at again."""
    note_simulated(lab)
    user = new_user(rng, UNFINISHED)
    files = {slug: new_file(rng, user, way.size) for slug, way in WAYS.items()}
    ids = dict(zip(WAYS, await asyncio.gather(*(_one(lab, slug, files[slug]) for slug in WAYS)), strict=True))
    before = await _before(lab, rng, user)
    await lab.sleep(AGAIN_S)
    for slug, file in ids.items():
        if file is not None:
            await _seen(lab, file, user, f"{UNFINISHED}/{slug}/later")
    if before is not None:
        await read(lab, in_turn(lab, 0), before, user, f"{UNFINISHED}/whole/read")


async def _one(lab: Lab, slug: str, file: File) -> str | None:
    way, label, turn = WAYS[slug], f"{UNFINISHED}/{slug}", list(WAYS).index(slug)
    content = way.content(file)
    upload = await announce(lab, file, label, turn, content if way.own_digest else None)
    if upload is None:
        return None
    note(lab, way.hidden, label)
    if way.cut_at is not None:
        cut_at = None if way.cut_at == 1 else int(way.cut_at * content.size)
        await lab.transfer(replace(sending(in_turn(lab, turn), upload.put, content, f"{label}/put"), cut_at=cut_at))
    await _seen(lab, upload.file, file.user, f"{label}/seen")
    await told(lab, completing(in_turn(lab, turn + 1), upload.file, file.user, f"{label}/complete"))
    await _seen(lab, upload.file, file.user, f"{label}/seen")
    return upload.file


async def _before(lab: Lab, rng: Random, user: str) -> str | None:
    """All bytes are there, and nothing is to be seen until it is completed."""
    file, label = new_file(rng, user, SENT_ONLY), f"{UNFINISHED}/whole"
    upload = await announce(lab, file, label)
    if upload is None:
        return None
    note(lab, Hidden("an upload that was sent whole, and not completed", "UP-2", completes=True), label)
    if not taken(await sent(lab, sending(in_turn(lab, 0), upload.put, file.content, f"{label}/put"))):
        return None
    await _seen(lab, upload.file, user, f"{label}/seen")
    done = await complete(lab, upload.file, user, label, 1)
    return upload.file if taken(done) else None


async def _seen(lab: Lab, file: str, user: str, label: str) -> None:
    for target in lab.replicas:
        await lab.call(looking(target, file, user, f"{label}/look"))
        await read(lab, target, file, user, f"{label}/read")
    await lab.call(call(lab.replicas[0], "GET", f"/v1/users/{user}/files", user, name=f"{label}/list"))


def judge_unfinished(history: History) -> Finding:
    return _judge(history, "UP-2", _raced(history))


def judge_sizes(history: History) -> Finding:
    return _judge(history, "UP-7", [])


def _judge(history: History, check: str, wrong: list[tuple[str, Op]]) -> Finding:
    if fact(history, Simulated) is not None:
        return not_run(SIMULATED)
    every = {label: it for label, it in noted(history, Hidden).items() if it.check == check}
    looks = 0
    for label, it in every.items():
        seen = [op for op in history.named(label) if op.name.endswith(("/look", "/read", f"/read/{THERE}"))]
        if it.completes:
            seen = [op for op in seen if f"{label}/seen/" in op.name]
        else:
            wrong += _completed(history, label, it)
        looks += sum(gone(op) for op in seen)
        wrong += [(f"{it.how} could be seen ({op.status})", op) for op in seen if _shows(op)][:1]
    counted = {"uploads of which nothing may be seen": len(every), "looks that found nothing": looks}
    meant = sum(way.hidden.check == check for way in WAYS.values())
    if wrong:
        return failed(in_all(wrong, "were so"), *(op for _, op in wrong), counted=counted)
    if len(every) < meant or not looks:
        return inconclusive(f"only {len(every)} of {meant} such uploads could be begun", counted=counted)
    return passed(f"of {len(every)} uploads that came to nothing, nothing could be seen", counted=counted)


def _shows(op: Op) -> bool:
    """Whether there is something to be seen: a redirect alone shows nothing yet."""
    return taken(op) and not (op.name.endswith("/look") and not isinstance(op.reply, dict))


def _completed(history: History, label: str, it: Hidden) -> list[tuple[str, Op]]:
    return [(f"{it.how} could be completed", op) for op in history.named(f"{label}/complete") if taken(op)][:1]


async def twice(lab: Lab, rng: Random) -> None:
    """While `complete` runs, the bytes are sent again: the same number of others, sooner or later within it."""
    user, number = new_user(rng, TWICE), TWICE_TIMES[lab.mode]
    async with lab.slow(WIDE_MS):
        for start in range(0, number, AT_ONCE):
            await asyncio.gather(*(
                _race(lab, new_file(rng, user, 60_000), f"{TWICE}/{index}", index, MOST_LATER_S * index / number)
                for index in range(start, min(number, start + AT_ONCE))
            ))  # fmt: skip


async def _race(lab: Lab, file: File, label: str, turn: int, delay_s: float) -> None:
    upload = await announce(lab, file, label, turn)
    if upload is None:
        return
    other = Content(file.content.seed + 1, file.content.size)
    note(lab, Raced(file.content.sha256(), other.sha256()), label)
    if not taken(await sent(lab, sending(in_turn(lab, turn), upload.put, file.content, f"{label}/put"))):
        return
    again = sending(in_turn(lab, turn), upload.put, other, f"{label}/again")

    async def send_again() -> None:
        await lab.sleep(delay_s)
        await lab.transfer(again)

    await asyncio.gather(
        send_again(),
        lab.call(completing(in_turn(lab, turn + 1), upload.file, file.user, f"{label}/complete")),
    )
    done = await complete(lab, upload.file, file.user, label, turn)
    if not taken(done):
        return
    await lab.sleep(0.1)
    for target in lab.replicas:
        await lab.call(looking(target, upload.file, file.user, f"{label}/look"))
        await read(lab, target, upload.file, file.user, f"{label}/read")


def _raced(history: History) -> list[tuple[str, Op]]:
    wrong: list[tuple[str, Op]] = []
    for label, it in noted(history, Raced).items():
        told_of = [*history.named(f"{label}/look"), *history.named(f"{label}/complete")]
        said = {digest.lower() for op in told_of if op.status == 200 and (digest := op.field("sha256", str))}
        for op in history.named(f"{label}/read"):
            if op.status != 200 or op.moved is None or not op.moved.whole:
                continue
            if op.moved.sha256 not in (it.declared, it.other):
                wrong.append(("a file whose bytes were sent twice is neither of the two", op))
            elif said and op.moved.sha256 not in said:
                what = "a file whose bytes were sent again while it was completed has another digest than is told"
                wrong.append((what, op))
    return wrong[:3]
