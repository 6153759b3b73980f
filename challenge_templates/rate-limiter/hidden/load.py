"""The load: open arrivals, one hot key with a fifth of the traffic, and Zipf(1.1) over 10,000 keys for the rest.

By hand, against anything that listens: `locust -f hidden/load.py --host http://127.0.0.1:8000 --rate 200`.
"""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Any

from crucible.load.locust_user import UNKNOWN, OpenModelUser, Send

KEYS, EXPONENT, HOT = 10_000, 1.1, 0.2
REFUSED = 0.3
"""Share of the requests that the limits refuse, about."""
WINDOW_MS = 2_000


class RateLimiterUser(OpenModelUser):
    """Checks of cost 1, to each replica in turn."""

    def prepare(self, rng: Random, rate: float, replicas: int, number: int) -> tuple[Sequence[Send], Sequence[Send]]:
        """Limits are set for the keys that are used; blocks of one rate share their keys."""
        name, shares = f"load-{rate:g}".replace(".", "_"), popularity()
        steps = list(accumulate(shares))
        chosen = [min(bisect(steps, rng.random()), KEYS) for _ in range(number)]
        most = limit_per_window(rate, shares)
        body = {"limit": most, "window_ms": WINDOW_MS}
        puts = [
            Send("PUT", f"/v1/limits/{name}-{key}", body, key % replicas, everywhere=True)
            for key in sorted(set(chosen))
        ]  # fmt: skip
        checks = [
            Send("POST", "/v1/check", {"key": f"{name}-{key}", "cost": 1}, i % replicas)
            for i, key in enumerate(chosen)
        ]  # fmt: skip
        return puts, checks

    def outcome(self, status: int, reply: Any) -> str:
        if 200 <= status < 300 and isinstance(reply, dict) and reply.get("allowed") is True:
            return "allowed"
        return "refused" if status == 429 else UNKNOWN


def popularity() -> list[float]:
    """The share of the traffic that each key has: the hot one first, then by Zipf's law."""
    weights = [1 / (rank**EXPONENT) for rank in range(1, KEYS + 1)]
    total = sum(weights)
    return [HOT, *((1 - HOT) * weight / total for weight in weights)]


def limit_per_window(rate: float, shares: Sequence[float]) -> int:
    """The limit, the same for every key, with which about `REFUSED` of the requests are refused."""
    low, high = 1, max(2, int(rate * WINDOW_MS / 1000))
    while low < high:
        middle = (low + high) // 2
        refused = sum(max(0.0, share - middle / (rate * WINDOW_MS / 1000)) for share in shares)
        low, high = (middle + 1, high) if refused > REFUSED else (low, middle)
    return low
