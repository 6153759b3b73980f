"""The load: open arrivals of notifications, on each channel in turn.

By hand, against anything that listens: `locust -f hidden/load.py --host http://127.0.0.1:8000 --rate 50`.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from crucible.load.locust_user import UNKNOWN, OpenModelUser, Send

CHANNELS = ("email", "sms", "push")


class NotificationUser(OpenModelUser):
    """Notifications, each with a key and a recipient of its own, to each replica in turn."""

    def prepare(self, rng: Random, rate: float, replicas: int, number: int) -> tuple[Sequence[Send], Sequence[Send]]:
        return [], [_notification(rng, index, replicas) for index in range(number)]

    def outcome(self, status: int, reply: Any) -> str:
        return "accepted" if 200 <= status < 300 and isinstance(reply, dict) and reply.get("id") else UNKNOWN


def _notification(rng: Random, index: int, replicas: int) -> Send:
    name = f"load-{rng.getrandbits(64):016x}"
    body = {
        "user": name, "channel": CHANNELS[index % len(CHANNELS)], "template": "order-shipped",
        "data": {"order": index}, "priority": "low",
    }  # fmt: skip
    return Send("POST", "/v1/notifications", body, index % replicas, headers={"Idempotency-Key": name})
