"""UP-5: every route is closed to others, and every name that is taken can be downloaded again."""

from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import failed, inconclusive, passed, taken
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .expected import Bytes, Told, compared, in_all
from .files import (
    File,
    announce,
    announcing,
    begun,
    call,
    complete,
    completing,
    deleting,
    draw,
    looking,
    new_file,
    new_user,
    read,
    replacing,
    sending,
    sent,
    store,
    told,
)

PRIVATE, NAMES = "private", "names"
CLOSED = [403, 404]
HARD_NAMES = {
    "a path upwards": "../../etc/passwd",
    "a path": "a/b/c.txt",
    "letters of other scripts": "zażółć – 資料 (копия).pdf",
    "an emoji": "\U0001f4be.txt",
    "255 bytes": "ü" * 125 + ".html",
    "quotes and semicolons": "a\"b';c=d, e.txt",
    "a line break": "a\r\nX-Injected: 1\r\n\r\nb.txt",
    "two dots": "..",
    "percent signs": "%2e%2e%2f%00.txt",
    "a space at each end": " a b ",
    "a backslash": "..\\..\\boot.ini",
    "the right-to-left override": "a\u202egpj.exe",
}


@dataclass(frozen=True, slots=True)
class Named:
    """What was announced under a hard name, by label."""

    what: str


async def private(lab: Lab, rng: Random) -> None:
    """Another user asks for everything, of a file that is stored, and of one that is begun."""
    owner, other = new_user(rng, "owner"), new_user(rng, "other")
    file = new_file(rng, owner, 50_000)
    stored = await store(lab, file, f"{PRIVATE}/store")
    begun_only = await announce(lab, new_file(rng, owner, 5_000), f"{PRIVATE}/begun", 1)
    if stored is not None:
        await _others(lab, rng, stored, owner, other)
        note(lab, Bytes("the owner's file", 200, file.content.sha256(), file.content.size), f"{PRIVATE}/still")
        await read(lab, in_turn(lab, 1), stored, owner, f"{PRIVATE}/still")
    if begun_only is not None:
        note(lab, Told("`complete` of another user's upload", CLOSED), f"{PRIVATE}/complete")
        await lab.call(completing(in_turn(lab, 0), begun_only.file, other, f"{PRIVATE}/complete"))
    await _names(lab, rng)


async def _others(lab: Lab, rng: Random, stored: str, owner: str, other: str) -> None:
    path = f"/v1/files/{stored}"
    for index, target in enumerate(lab.replicas):
        asked = {
            "look": ("what is known of another user's file", looking(target, stored, other, "")),
            "complete": ("`complete` of another user's file", completing(target, stored, other, "")),
            "replace": ("a replacement of another user's file", replacing(target, stored, new_file(rng, other, 9), "")),
            "delete": ("DELETE of another user's file", deleting(target, stored, other, "")),
            "list": (
                "the list of another user's files",
                call(target, "GET", f"/v1/users/{owner}/files", other, name=""),
            ),
        }
        for slug, (what, it) in asked.items():
            label = f"{PRIVATE}/{slug}-{index}"
            note(lab, Told(what, CLOSED), label)
            await lab.call(call(target, it.method, it.path, other, it.body, name=label))
        label = f"{PRIVATE}/content-{index}"
        note(lab, Told("the content of another user's file", CLOSED), label)
        await read(lab, target, stored, other, label)
        label = f"{PRIVATE}/nobody-{index}"
        note(lab, Told("what is known of a file, asked for without X-User", [400, 401, 403, 404, 422]), label)
        await lab.call(call(target, "GET", path, None, name=label))


async def _names(lab: Lab, rng: Random) -> None:
    user = new_user(rng, NAMES)
    for index, (what, name) in enumerate(HARD_NAMES.items()):
        file, label = File(user, name, draw(rng, 3_000)), f"{NAMES}/{index}"
        note(lab, Named(what), label)
        op = await told(lab, announcing(in_turn(lab, index), file, f"{label}/announce"))
        upload = begun(op)
        if upload is None:
            continue
        await sent(lab, sending(in_turn(lab, index), upload.put, file.content, f"{label}/put"))
        if taken(await complete(lab, upload.file, user, label, index)):
            note(lab, Bytes(f"a file whose name is {what}", 200, file.content.sha256(), 3_000), f"{label}/read")
            await read(lab, in_turn(lab, index + 1), upload.file, user, f"{label}/read")


def judge_private(history: History) -> Finding:
    closed, names, named = compared(history, PRIVATE), compared(history, NAMES), noted(history, Named)
    wrong = [*closed.wrong, *names.wrong]
    taken_names = 0
    for label, it in named.items():
        for op in history.named(f"{label}/announce")[-1:]:
            taken_names += taken(op)
            if op.status is not None and op.status >= 500:
                wrong.append((f"a name with {it.what} was answered with {op.status}, again and again", op))
        wrong += _broken(history, label, it)
    counted = {"answers to others": closed.right, "hard names that were taken": taken_names}
    if wrong:
        return failed(in_all(wrong), *(op for _, op in wrong), counted=counted)
    if closed.open or names.open or closed.right < 6 or len(named) < len(HARD_NAMES):
        return inconclusive("not every route could be tried", counted=counted)
    return passed(
        f"{closed.right} requests of others were refused, and the {taken_names} of {len(named)} hard names that were "
        "taken came back whole", counted=counted,
    )  # fmt: skip


def _broken(history: History, label: str, it: Named) -> list[tuple[str, Op]]:
    """What was announced under that name, and could then not be completed."""
    if not any(map(taken, history.named(f"{label}/put"))):
        return [
            (f"a name with {it.what} was taken, and the bytes were answered with {op.status}", op)
            for op in history.named(f"{label}/put") if op.status is not None and op.status >= 400
        ][:1]  # fmt: skip
    ends = history.named(f"{label}/complete")
    if ends and ends[-1].status is not None and ends[-1].status >= 400:
        return [(f"a file whose name is {it.what} could not be completed ({ends[-1].status})", ends[-1])]
    return []
