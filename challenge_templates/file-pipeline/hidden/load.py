"""The load: open arrivals of files of 100 KB. Latency is that of their submission.

By hand, against anything that listens: `locust -f hidden/load.py --host http://127.0.0.1:8000 --rate 5`.
"""

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

from crucible.load.locust_user import UNKNOWN, Asks, Came, Course, Move, OpenModelUser

HEADER = b"id,user,category,amount_cents,note\n"
CATEGORIES = (b"food", b"rent", b'"a, b"', "€".encode())
SIZE, FILES = 100_000, 8
CALLBACK = "http%3A%2F%2F127.0.0.1%3A9%2Fnobody"


class PipelineUser(OpenModelUser):
    """Every file has a key of its own, and nobody listens to its event."""

    timeout_s = 10.0

    def prepare(
        self, rng: Random, rate: float, replicas: int, number: int
    ) -> tuple[Sequence[Course], Sequence[Course]]:
        files = [_file(rng) for _ in range(FILES)]
        name = f"{rng.getrandbits(40):010x}"
        return [], [
            Course(partial(_submit, files[index % FILES], f"load-{name}-{index}", index % replicas), label="submit")
            for index in range(number)
        ]

    def outcome(self, status: int, reply: Any) -> str:
        return UNKNOWN  # every answer is a course's own


def _file(rng: Random) -> bytes:
    file = bytearray(HEADER)
    while len(file) < SIZE:
        amount = rng.randrange(-(10**5), 10**6)
        file += b"%d,u%d,%b,%d,fine\n" % (len(file), rng.randrange(500), rng.choice(CATEGORIES), amount)
    return bytes(file)


def _submit(file: bytes, key: str, target: int, asks: Asks) -> Came:
    headers = {"Idempotency-Key": key, "Content-Type": "text/csv"}
    answer = asks.move(Move("POST", f"/v1/jobs?callback={CALLBACK}", headers, file, target))
    return Came("submitted" if answer is not None and 200 <= answer.status < 300 else UNKNOWN)
