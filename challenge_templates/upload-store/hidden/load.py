"""The load: open arrivals of uploads of 64 KB, each with its three requests, and five times as many downloads (Zipf).

By hand, against anything that listens: `locust -f hidden/load.py --host http://127.0.0.1:8000 --rate 30`.
"""

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any
from urllib.parse import quote

from crucible.load.locust_user import UNKNOWN, Asks, Came, Content, Course, Move, OpenModelUser, Send

SIZE = 64_000
IN_PLACE, DOWNLOADS = 24, 5
"""Files that are there beforehand, and downloads for each upload."""
REDIRECTS = (301, 302, 303, 307, 308)


class UploadUser(OpenModelUser):
    """Latency is an upload's, from its POST to the answer to `complete`; of downloads, the first byte is told apart."""

    timeout_s = 5.0

    def prepare(
        self, rng: Random, rate: float, replicas: int, number: int
    ) -> tuple[Sequence[Course], Sequence[Course]]:
        user = f"load-{rng.getrandbits(40):010x}"
        stored: list[str] = []
        first = [_upload(user, Content(rng.getrandbits(48), SIZE), i % replicas, stored) for i in range(IN_PLACE)]
        courses = []
        for index in range(number):
            if index % (1 + DOWNLOADS) == 0:
                courses.append(_upload(user, Content(rng.getrandbits(48), SIZE), index % replicas, []))
            else:
                courses.append(
                    Course(partial(_read, user, stored, _zipf(rng), index % replicas), "first_byte", "content")
                )
        return first, courses

    def outcome(self, status: int, reply: Any) -> str:
        return UNKNOWN  # every answer is a course's own


def _zipf(rng: Random) -> int:
    """The number of a file, of which a few are asked for most (Zipf's law with exponent 1)."""
    return rng.choices(range(IN_PLACE), [1 / (1 + rank) for rank in range(IN_PLACE)])[0]


def _upload(user: str, content: Content, target: int, stored: list[str]) -> Course:
    return Course(partial(_store, user, content, content.sha256(), target, stored), label="upload")


def _store(user: str, content: Content, sha256: str, target: int, stored: list[str], asks: Asks) -> Came:
    headers = {"X-User": user}
    body = {"name": f"{content.seed}.bin", "size": content.size, "sha256": sha256}
    begun = asks.ask(Send("POST", "/v1/uploads", body, target, headers))
    if begun is None or not 200 <= begun.status < 300 or not isinstance(begun.reply, dict):
        return Came(UNKNOWN)
    file, put = begun.reply.get("file"), begun.reply.get("put")
    if not isinstance(put, dict) or not isinstance(file, str | int):
        return Came(UNKNOWN)
    given = {str(name): str(value) for name, value in (put.get("headers") or {}).items()}
    move = Move(str(put.get("method")), str(put.get("url")), given, b"".join(content.pieces()), target)
    sent = asks.move(move)
    if sent is None or not 200 <= sent.status < 300:
        return Came(UNKNOWN)
    path = f"/v1/files/{quote(str(file), safe='')}"
    done = asks.ask(Send("POST", f"{path}/complete", None, target, headers))
    if done is None or not 200 <= done.status < 300:
        return Came(UNKNOWN)
    stored.append(path)
    return Came("uploaded")


def _read(user: str, stored: list[str], number: int, target: int, asks: Asks) -> Came:
    if not stored:
        return Came(UNKNOWN)
    path = stored[number % len(stored)]
    answer = asks.move(Move("GET", f"{path}/content", {"X-User": user}, b"", target))
    if answer is not None and answer.status in REDIRECTS and answer.location:
        answer = asks.move(Move("GET", answer.location, {}, b"", target))
    if answer is None or answer.status != 200 or answer.received != SIZE:
        return Came(UNKNOWN)
    return Came("downloaded", answer.first_byte_ns)
