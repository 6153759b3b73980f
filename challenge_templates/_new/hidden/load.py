"""The load: presses, to each replica in turn. By hand: `locust -f hidden/load.py --host http://127.0.0.1:8000`."""

from collections.abc import Sequence
from random import Random
from typing import Any

from crucible.load.locust_user import UNKNOWN, OpenModelUser, Send


class PressingUser(OpenModelUser):
    """Nothing has to be in place beforehand."""

    def prepare(self, rng: Random, rate: float, replicas: int, number: int) -> tuple[Sequence[Send], Sequence[Send]]:
        return [], [Send("POST", "/v1/press", {}, index % replicas) for index in range(number)]

    def outcome(self, status: int, reply: Any) -> str:
        return "counted" if status == 200 and isinstance(reply, dict) and "value" in reply else UNKNOWN
