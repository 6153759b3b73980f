"""Files, and how they are announced, sent, completed and read: what every scenario asks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from crucible.authoring.asking import in_turn, segment, until_told
from crucible.authoring.facts import note
from crucible.authoring.outcomes import taken
from crucible.check import Call, Content, JsonValue, Lab, Transfer
from crucible.evidence import Op, Result

UPLOADS = "/v1/uploads"
TTL_S = {"quick": 15.0, "full": 40.0}
"""`UPLOAD_TTL_S`, as the manifest says it."""
RECLAIMED_S = 20.0
"""After an upload's end its room is free, and its bytes are gone."""
PUT_METHODS = ("PUT", "POST")
REDIRECTS = (301, 302, 303, 307, 308)
THERE = "there"
"""Under `LABEL/there`: what was asked of where a redirect led."""
TRIES, PAUSE_S = 4, 0.5
MOST_HEADERS = 32


@dataclass(frozen=True, slots=True)
class File:
    """What a client has to store."""

    user: str
    name: str
    content: Content

    def announced(self, **other: JsonValue) -> dict[str, JsonValue]:
        """The body of `POST /v1/uploads`; `other` replaces what it says."""
        said: dict[str, JsonValue] = {"name": self.name, **self.version()}
        return said | other

    def version(self) -> dict[str, JsonValue]:
        """The body of `POST /v1/files/{id}/versions`."""
        return {"size": self.content.size, "sha256": self.content.sha256()}


@dataclass(frozen=True, slots=True)
class Put:
    """What a client was told to do with the bytes."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Announced:
    """An upload that was begun."""

    file: str
    """Its id, as a segment of a path."""
    put: Put


@dataclass(frozen=True, slots=True)
class Simulated:
    """That a simulation plays the S3 server, which enforces no signature, expiry, length or checksum."""


SIMULATED = "a simulation plays the S3 server here, which enforces no signature, expiry, length or checksum"


def note_simulated(lab: Lab) -> None:
    if lab.simulated("s3"):
        note(lab, Simulated())


def draw(rng: Random, size: int) -> Content:
    return Content(rng.getrandbits(48), size)


def new_user(rng: Random, what: str) -> str:
    return f"{what}-{rng.getrandbits(40):010x}"


def new_file(rng: Random, user: str, size: int, name: str = "") -> File:
    return File(user, name or f"file-{rng.getrandbits(32):08x}.bin", draw(rng, size))


def put_of(op: Op) -> Put | None:
    """What the answer says is to be done with the bytes; None where it does not say it as the contract has it."""
    said = op.field("put", dict)
    if said is None:
        return None
    method, url, headers = said.get("method"), said.get("url"), said.get("headers", {})
    if not isinstance(method, str) or method.upper() not in PUT_METHODS or not isinstance(url, str) or not url:
        return None
    if headers is None:
        headers = {}
    if not isinstance(headers, dict) or len(headers) > MOST_HEADERS:
        return None
    if not all(isinstance(value, str | int) for value in headers.values()):
        return None
    return Put(method.upper(), url, {name: str(value) for name, value in headers.items()})


def file_of(op: Op) -> str | None:
    """The file's id, as a segment of a path."""
    return segment(op.reply.get("file")) if isinstance(op.reply, dict) else None


def begun(op: Op) -> Announced | None:
    """What was begun; None where it was not, or the answer is not what the contract says."""
    put, file = put_of(op), file_of(op)
    return Announced(file, put) if taken(op) and put is not None and file is not None else None


def call(
    target: str, method: str, path: str, user: str | None, body: JsonValue = None, *, name: str, timeout_s: float = 8.0
) -> Call:
    headers = {} if user is None else {"X-User": user}
    return Call(target, method, path, body, name, headers=headers, timeout_s=timeout_s)


def announcing(target: str, file: File, name: str, declares: Content | None = None) -> Call:
    said = file.announced() if declares is None else file.announced(sha256=declares.sha256())
    return call(target, "POST", UPLOADS, file.user, said, name=name)


def replacing(target: str, file: str, new: File, name: str) -> Call:
    return call(target, "POST", f"/v1/files/{file}/versions", new.user, new.version(), name=name)


def completing(target: str, file: str, user: str, name: str) -> Call:
    return call(target, "POST", f"/v1/files/{file}/complete", user, name=name)


def deleting(target: str, file: str, user: str, name: str) -> Call:
    return call(target, "DELETE", f"/v1/files/{file}", user, name=name)


def looking(target: str, file: str, user: str, name: str) -> Call:
    return call(target, "GET", f"/v1/files/{file}", user, name=name)


def quota(target: str, user: str, size: int, name: str) -> Call:
    return call(target, "PUT", f"/v1/users/{user}/quota", None, {"bytes": size}, name=name)


def sending(target: str, put: Put, content: Content, name: str) -> Transfer:
    """The put as it was given."""
    return Transfer(target, put.method, put.url, name, put.headers, sends=content, timeout_s=60.0)


def known(op: Op) -> bool:
    """Whether there is an answer that says what became of it."""
    return op.status is not None and op.status < 500


async def told(lab: Lab, call: Call) -> Op:
    """The answer of the replica that is asked, or, where that says nothing, of the next ones."""
    return await until_told(lab, call, known, tries=TRIES, pause_s=PAUSE_S)


async def sent(lab: Lab, transfer: Transfer, tries: int = 3) -> Op:
    """Likewise of a transfer, on the address that was given."""
    op = await lab.transfer(transfer)
    for number in range(1, tries):
        if (known(op) and op.status != 429) or (op.result is Result.REFUSED and op.status is None):
            break
        await lab.sleep(number * PAUSE_S)
        op = await lab.transfer(transfer)
    return op


async def announce(
    lab: Lab, file: File, label: str, turn: int = 0, declares: Content | None = None
) -> Announced | None:
    """Begin an upload; `declares`: whose digest is said to be that of the bytes, where it is another's."""
    return begun(await told(lab, announcing(in_turn(lab, turn), file, f"{label}/announce", declares)))


async def complete(lab: Lab, file: str, user: str, label: str, turn: int = 0) -> Op:
    return await told(lab, completing(in_turn(lab, turn), file, user, f"{label}/complete"))


async def stored(lab: Lab, file: File, label: str, turn: int = 0) -> Announced | None:
    """Announce, send and complete; what was announced where it is stored, and None where that is not known."""
    upload = await announce(lab, file, label, turn)
    if upload is None:
        return None
    done = await sent(lab, sending(in_turn(lab, turn), upload.put, file.content, f"{label}/put"))
    if not taken(done):
        return None
    return upload if taken(await complete(lab, upload.file, file.user, label, turn + 1)) else None


async def store(lab: Lab, file: File, label: str, turn: int = 0) -> str | None:
    """Likewise; the file's id."""
    upload = await stored(lab, file, label, turn)
    return upload.file if upload is not None else None


async def replace_with(lab: Lab, file: str, new: File, label: str, turn: int = 0) -> bool:
    """Make `new` the current version of a file; whether it is known to be."""
    asked = await told(lab, replacing(in_turn(lab, turn), file, new, f"{label}/announce"))
    put = put_of(asked)
    if not taken(asked) or put is None:
        return False
    done = await sent(lab, sending(in_turn(lab, turn), put, new.content, f"{label}/put"))
    return taken(done) and taken(await complete(lab, file, new.user, label, turn + 1))


@dataclass(frozen=True, slots=True)
class Range:
    """What is asked for in a `Range` header."""

    header: str
    start: int
    end: int
    """Of the bytes that are to come, the last one not included."""


async def read(
    lab: Lab, target: str, file: str, user: str, label: str, *, wanted: Range | None = None, method: str = "GET",
    takes_per_s: int | None = None, leaves_at: int | None = None, timeout_s: float = 30.0,
) -> Op:  # fmt: skip
    """Read the content, by one redirect if need be; the last answer. The redirect's own is under `label`, too."""
    headers = {} if wanted is None else {"Range": wanted.header}
    first = Transfer(
        target, method, f"/v1/files/{file}/content", label, {"X-User": user, **headers},
        takes_per_s=takes_per_s, leaves_at=leaves_at, timeout_s=timeout_s,
    )  # fmt: skip
    op = await lab.transfer(first)
    place = redirected(op)
    if place is None:
        return op
    return await lab.transfer(replace(first, url=place, name=f"{label}/{THERE}", headers=headers))


def redirected(op: Op) -> str | None:
    """Where it sends its reader; None where it is no redirect."""
    return op.headers.get("location") if op.status in REDIRECTS else None


async def read_until_known(lab: Lab, file: str, user: str, label: str, turn: int = 0, tries: int = TRIES) -> Op:
    """Read it on each replica in turn, until there is a whole answer."""
    op = await read(lab, in_turn(lab, turn), file, user, label)
    for number in range(1, tries):
        if known(op):
            break
        await lab.sleep(PAUSE_S)
        op = await read(lab, in_turn(lab, turn + number), file, user, label)
    return op


def last(ops: Sequence[Op]) -> Op | None:
    """Of a read's operations the one that counts: the last that was asked."""
    return max(ops, key=lambda op: op.sent_ns, default=None)


def whole(op: Op | None, content: Content) -> bool:
    """Whether it brought all of the content, byte for byte."""
    return op is not None and op.moved is not None and op.status == 200 and op.moved.sha256 == content.sha256()


def gone(op: Op | None) -> bool:
    """Whether it says that there is nothing (to see): of a store that it led to, any refusal does."""
    return op is not None and op.status is not None and 400 <= op.status < 500


async def listed(lab: Lab, user: str, label: str, turn: int = 0, most: int = 200) -> list[str] | None:
    """The ids of all of a user's files, page by page; None where it could not be read to the end."""
    found: list[str] = []
    cursor: str | None = None
    for _ in range(most):
        at = f"?cursor={cursor}" if cursor else ""
        path = f"/v1/users/{user}/files{at}"
        op = await told(lab, call(in_turn(lab, turn), "GET", path, user, name=f"{label}/list"))
        files = op.field("files", list)
        if not taken(op) or files is None:
            return None
        ids = [segment(item.get("file") if isinstance(item, dict) else item) for item in files]
        found += [it for it in ids if it is not None]
        said = op.reply.get("next") if isinstance(op.reply, dict) else None
        cursor = segment(said) if said not in (None, "", False) else None
        if cursor is None:
            return found
    return None
