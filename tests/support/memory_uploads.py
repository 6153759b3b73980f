"""Upload stores made up in memory: an honest one, and ones with one mistake each."""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pydantic import JsonValue

from crucible.authoring.memory_lab import Brought, LateAnswer, MadeUp, Sent
from crucible.check import Content, Stored

TTL_NS = 15_000_000_000
MOST = 26_214_400
GB = 1_000_000_000


@dataclass
class Upload:
    user: str
    file: str
    size: int
    sha256: str
    until_ns: int
    content: Content | None = None


@dataclass
class Kept:
    user: str
    name: str
    content: Content | None = None
    """None before the first `complete`."""
    version: int = 0
    pending: str = ""
    """The newest upload."""
    done: dict[str, JsonValue] = field(default_factory=dict)


class Honest(MadeUp):
    """Everything at once on every replica, and nothing left behind."""

    def __init__(self) -> None:
        self.files: dict[str, Kept] = {}
        self.uploads: dict[str, Upload] = {}
        self.quotas: dict[str, int] = {}
        self.number = 0

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        return self.asked(at_ns, target, method, path, text, self.sent_headers.get("X-User"))

    def asked(self, at_ns: int, target: str, method: str, path: str, text: str, user: str | None) -> tuple[int, Any]:
        self.lapse(at_ns)
        try:
            body = json.loads(text) if text not in ("null", "") else {}
        except (ValueError, RecursionError):
            return 400, {}
        if path == "/healthz":
            return 200, {}
        if match := re.fullmatch(r"/v1/users/([^/?]+)/quota", path):
            if not isinstance(body, dict) or not whole(body.get("bytes"), 0, 2**53):
                return 400, {}
            self.quotas[unquote(match[1])] = body["bytes"]
            return 200, {}
        if user is None:
            return 401, {}
        if match := re.fullmatch(r"/v1/users/([^/?]+)/files(\?.*)?", path):
            return self.list(unquote(match[1]), user)
        if path == "/v1/uploads":
            return self.begin(at_ns, user, body)
        if match := re.fullmatch(r"/v1/files/([^/]+)(/complete|/versions)?", path):
            return self.of_file(at_ns, method, match[1], match[2] or "", user, body)
        return 404, {}

    def lapse(self, at_ns: int) -> None:
        for key, upload in list(self.uploads.items()):
            if upload.until_ns < at_ns:
                self.end(key)

    def end(self, key: str) -> None:
        upload = self.uploads.pop(key)
        kept = self.files.get(upload.file)
        if kept is not None and kept.pending == key:
            kept.pending = ""
            if kept.content is None:
                del self.files[upload.file]

    def list(self, owner: str, user: str) -> tuple[int, Any]:
        if owner != user:
            return 403, {}
        mine = [{"file": key} for key, it in self.files.items() if it.user == user and it.content is not None]
        return 200, {"files": mine, "next": None}

    def taken(self, user: str) -> int:
        total = 0
        for it in self.files.values():
            if it.user == user:
                current = it.content.size if it.content is not None else 0
                pending = self.uploads[it.pending].size if it.pending else 0
                total += max(current, pending)
        return total

    def begin(self, at_ns: int, user: str, body: Any) -> tuple[int, Any]:
        name = body.get("name") if isinstance(body, dict) else None
        if not isinstance(name, str) or len(name) > 255 or {"\0", "\ufffd"} & set(name) or not good(body):
            return 400, {}
        if self.taken(user) + body["size"] > self.quotas.get(user, GB):
            return 413, {}
        self.number += 1
        file = f"f{self.number}"
        self.files[file] = Kept(user, body["name"])
        return self.announce(at_ns, file, user, body)

    def announce(self, at_ns: int, file: str, user: str, body: Any) -> tuple[int, Any]:
        self.number += 1
        key, kept = f"u{self.number}", self.files[file]
        if kept.pending:
            self.uploads.pop(kept.pending)
        self.uploads[key] = Upload(user, file, body["size"], body["sha256"].lower(), at_ns + TTL_NS)
        kept.pending = key
        return 201, {"file": file, "put": {"method": "PUT", "url": f"/put/{key}", "headers": {}}}

    def of_file(self, at_ns: int, method: str, file: str, what: str, user: str, body: Any) -> tuple[int, Any]:
        kept = self.files.get(file)
        if kept is None or kept.user != user:
            return 404, {}
        if what == "/complete":
            return self.complete(kept, file)
        if what == "/versions":
            if not good(body):
                return 400, {}
            before = kept.content.size if kept.content is not None else 0
            if self.taken(user) - before + max(before, body["size"]) > self.quotas.get(user, GB):
                return 413, {}
            return self.announce(at_ns, file, user, body)
        if method == "DELETE":
            self.delete(file)
            return 200, {}
        return (200, kept.done) if kept.content is not None else (404, {})

    def delete(self, file: str) -> None:
        kept = self.files.pop(file)
        self.uploads.pop(kept.pending, None)

    def complete(self, kept: Kept, file: str) -> tuple[int, Any]:
        upload = self.uploads.get(kept.pending)
        if upload is None:
            return (200, kept.done) if kept.done else (404, {})
        if not self.right(upload):
            return 422, {}
        kept.content, kept.version, kept.pending = upload.content, kept.version + 1, ""
        self.uploads = {key: it for key, it in self.uploads.items() if it is not upload}
        kept.done = {"file": file, "sha256": upload.sha256, "size": upload.size, "version": kept.version}
        return 200, kept.done

    def right(self, upload: Upload) -> bool:
        it = upload.content
        return it is not None and it.size == upload.size and it.sha256() == upload.sha256

    def move(self, at_ns: int, target: str, sent: Sent) -> Brought:
        self.lapse(at_ns)
        if sent.path.startswith("/put/"):
            return self.put(sent)
        match = re.fullmatch(r"/v1/files/([^/]+)/content", sent.path)
        kept = self.files.get(match[1]) if match else None
        if kept is None or kept.user != sent.headers.get("X-User") or kept.content is None:
            return Brought(404)
        return self.brought(kept, sent)

    def brought(self, kept: Kept, sent: Sent) -> Brought:
        assert kept.content is not None
        size = kept.content.size
        headers = {"content-type": "application/octet-stream", "x-content-type-options": "nosniff"}
        if sent.method == "HEAD":
            return Brought(200, None, headers={**headers, "content-length": str(size)})
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", sent.headers.get("Range", ""))
        if wanted is None:
            return Brought(200, kept.content, headers=headers)
        if not wanted[1]:
            start, end = max(0, size - int(wanted[2])), size
        else:
            start, end = int(wanted[1]), min(size, int(wanted[2]) + 1 if wanted[2] else size)
        if start >= size:
            return Brought(416)
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
        return Brought(206, kept.content, start, end, headers)

    def put(self, sent: Sent) -> Brought:
        upload = self.uploads.get(sent.path.removeprefix("/put/"))
        if upload is None or not sent.whole:
            return Brought(404)
        upload.content = sent.content
        return Brought(200)

    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        return LateAnswer(503, {}, 1)

    def stored(self, now_ns: int) -> dict[str, Stored]:
        self.lapse(now_ns)
        contents = [it.content for it in self.files.values()] + [it.content for it in self.uploads.values()]
        sizes = [it.size for it in contents if it is not None]
        return {"postgres": Stored(sum(sizes), len(sizes))}


def whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def good(body: Any) -> bool:
    digest = body.get("sha256")
    return (
        whole(body.get("size"), 1, MOST) and isinstance(digest, str) and bool(re.fullmatch("[0-9a-fA-F]{64}", digest))
    )


class SuffixFromTheStart(Honest):
    def brought(self, kept: Kept, sent: Sent) -> Brought:
        wanted = sent.headers.get("Range", "")
        if wanted.startswith("bytes=-"):
            sent = Sent(sent.method, sent.path, {**sent.headers, "Range": f"bytes=0-{wanted[7:]}"}, None, True)
        return super().brought(kept, sent)


class TrustsTheDigest(Honest):
    def right(self, upload: Upload) -> bool:
        return upload.content is not None


class CutsOff(Honest):
    def put(self, sent: Sent) -> Brought:
        upload = self.uploads.get(sent.path.removeprefix("/put/"))
        if upload is not None and sent.content is not None and sent.content.size > upload.size:
            sent = Sent(sent.method, sent.path, sent.headers, Content(sent.content.seed, upload.size), True)
        return super().put(sent)


class AnybodyReads(Honest):
    def move(self, at_ns: int, target: str, sent: Sent) -> Brought:
        match = re.fullmatch(r"/v1/files/([^/]+)/content", sent.path)
        kept = self.files.get(match[1]) if match else None
        if kept is not None and kept.content is not None:
            return self.brought(kept, sent)
        return super().move(at_ns, target, sent)


class ChargesReplacementsInFull(Honest):
    def taken(self, user: str) -> int:
        pending = sum(it.size for it in self.uploads.values() if it.user == user)
        return pending + sum(it.content.size for it in self.files.values() if it.user == user and it.content)

    def of_file(self, at_ns: int, method: str, file: str, what: str, user: str, body: Any) -> tuple[int, Any]:
        if what == "/versions" and good(body) and self.taken(user) + body["size"] > self.quotas.get(user, GB):
            return 413, {}
        return super().of_file(at_ns, method, file, what, user, body)


class NeverLapses(Honest):
    def lapse(self, at_ns: int) -> None:
        pass


class LeavesEmptyUploads(Honest):
    """As of multipart uploads that were begun, and neither completed nor aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    def end(self, key: str) -> None:
        super().end(key)
        self.left += 1

    def stored(self, now_ns: int) -> dict[str, Stored]:
        found = super().stored(now_ns)["postgres"]
        return {"postgres": Stored(found.bytes, found.items + self.left)}


class KeepsDeletedForAMinute(Honest):
    def delete(self, file: str) -> None:
        pass


class StaysOpen(Honest):
    """The put of a file goes on as its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.old: dict[str, str] = {}

    def complete(self, kept: Kept, file: str) -> tuple[int, Any]:
        if kept.pending:
            self.old[kept.pending] = file
        return super().complete(kept, file)

    def put(self, sent: Sent) -> Brought:
        file = self.files.get(self.old.get(sent.path.removeprefix("/put/"), ""))
        if file is not None and file.content is not None:
            file.content = sent.content
            return Brought(200)
        return super().put(sent)


class SaysZeros(Honest):
    """As long as what was stored, and nothing of it."""

    def brought(self, kept: Kept, sent: Sent) -> Brought:
        found = super().brought(kept, sent)
        content = Content(0, found.content.size) if found.content is not None else None
        return Brought(found.status, content, found.start, found.end, found.headers)


class TakesAnySize(Honest):
    def begin(self, at_ns: int, user: str, body: Any) -> tuple[int, Any]:
        if isinstance(body, dict) and whole(body.get("size"), -(10**9), 0):
            body = {**body, "size": 1}
        return super().begin(at_ns, user, body)


class AsAPage(Honest):
    def brought(self, kept: Kept, sent: Sent) -> Brought:
        found = super().brought(kept, sent)
        return Brought(
            found.status, found.content, found.start, found.end, {**found.headers, "content-type": "text/html"}
        )


class OverwritesInPlace(Honest):
    """A read that comes within 20 ms of a replacement has the beginning of one version, and the rest of another."""

    def __init__(self) -> None:
        super().__init__()
        self.at_ns = 0
        self.mixed_until: dict[str, int] = {}

    def complete(self, kept: Kept, file: str) -> tuple[int, Any]:
        before = kept.version
        answer = super().complete(kept, file)
        if kept.version > before > 0:
            self.mixed_until[file] = self.at_ns + 20_000_000
        return answer

    def asked(self, at_ns: int, target: str, method: str, path: str, text: str, user: str | None) -> tuple[int, Any]:
        self.at_ns = at_ns
        return super().asked(at_ns, target, method, path, text, user)

    def move(self, at_ns: int, target: str, sent: Sent) -> Brought:
        found = super().move(at_ns, target, sent)
        file = sent.path.split("/")[3] if sent.path.startswith("/v1/files/") else ""
        if found.status == 200 and found.content is not None and at_ns < self.mixed_until.get(file, 0):
            return Brought(200, Content(found.content.seed + 7, found.content.size), headers=found.headers)
        return found
