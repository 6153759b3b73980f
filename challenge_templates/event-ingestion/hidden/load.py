"""The load: open arrivals of single events, of twenty sources.

By hand, against anything that listens: `locust -f hidden/load.py --host http://127.0.0.1:8000 --rate 120`.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

from crucible.load.locust_user import UNKNOWN, OpenModelUser, Send

SOURCES = 20


class EventUser(OpenModelUser):
    """Events with ids of their own, to each replica in turn."""

    def prepare(self, rng: Random, rate: float, replicas: int, number: int) -> tuple[Sequence[Send], Sequence[Send]]:
        now, name = time.time(), f"load-{rng.getrandbits(48):012x}"
        return [], [_event(rng, name, index, now + index / rate, index % replicas) for index in range(number)]

    def outcome(self, status: int, reply: Any) -> str:
        return "accepted" if 200 <= status < 300 and isinstance(reply, dict) and "accepted" in reply else UNKNOWN


def _event(rng: Random, name: str, index: int, at_s: float, target: int) -> Send:
    body = {
        "event_id": f"{name}-{index}", "source": f"{name}-{index % SOURCES}", "type": "reading",
        "ts": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds"), "value": rng.getrandbits(40),
    }  # fmt: skip
    return Send("POST", "/v1/events", body, target)
