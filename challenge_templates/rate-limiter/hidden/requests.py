"""What is asked of a rate limiter, and what its answers mean.

An answer is `allowed` (2xx that says so), `refused` (429) or none: whatever else came back shows nothing, and counts as
possibly allowed wherever that would excuse or acquit. So no answer turned into an error can turn a fail into a pass.
"""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from crucible.authoring import asking
from crucible.authoring.outcomes import taken
from crucible.check import Call, History, JsonValue, Lab
from crucible.evidence import Op, Result
from crucible.oracles.windows import Claim, peak_units

CALM_KEYS = 24
"""As many requests at once, on each replica, as use every connection of a pool."""
LONG_MS = 60_000
"""Of limits that must not refill while a scenario lasts."""


def check(target: str, key: str, name: str, cost: int = 1, *, timeout_s: float = 5.0) -> Call:
    return Call(target, "POST", "/v1/check", {"key": key, "cost": cost}, name, timeout_s=timeout_s)


def limit(target: str, key: str, units: int, window_ms: int, name: str, *, timeout_s: float = 5.0) -> Call:
    body: JsonValue = {"limit": units, "window_ms": window_ms}
    return Call(target, "PUT", f"/v1/limits/{key}", body, setting(name), timeout_s=timeout_s)


def setting(name: str) -> str:
    """What the requests are called that set the limits for those of this name."""
    return f"put/{name}"


def fresh(rng: Random, prefix: str) -> str:
    return f"{prefix}-{rng.getrandbits(64):016x}"


def allowed(op: Op) -> bool:
    return op.result is Result.OK and op.field("allowed", bool) is True


def refused(op: Op) -> bool:
    return op.status == 429


def answered(op: Op) -> bool:
    return allowed(op) or refused(op)


def number(op: Op, name: str) -> float | None:
    """What the reply says under `name`, where that is a number."""
    whole = op.field(name, int)
    return whole if whole is not None else op.field(name, float)


def key_of(op: Op) -> str:
    """The key that a check asked for."""
    return str(op.request.body.get("key")) if isinstance(op.request.body, dict) else ""


def by_key(ops: Iterable[Op]) -> dict[str, list[Op]]:
    found: dict[str, list[Op]] = {}
    for op in ops:
        found.setdefault(key_of(op), []).append(op)
    return found


def cost_of(op: Op) -> int:
    cost = op.request.body.get("cost", 1) if isinstance(op.request.body, dict) else 1
    return cost if isinstance(cost, int) else 1


def units(ops: Iterable[Op]) -> int:
    return sum(map(cost_of, ops))


def claims(ops: Iterable[Op]) -> list[Claim]:
    return [Claim(op.sent_ns, op.received_ns, cost_of(op)) for op in ops]


def unanswered_claims(ops: Iterable[Op], received_ns: int | None = None) -> list[Claim]:
    """Those without an answer, as decided at their sending, or at any time up to `received_ns`."""
    return [Claim(op.sent_ns, received_ns or op.sent_ns, cost_of(op)) for op in ops if not answered(op)]


@dataclass(frozen=True, slots=True)
class Peak:
    """The fullest window, by the limit: certainly, and with what may have been allowed as well."""

    certain: float
    possible: float


def peak_of(ops: Sequence[Op], maybe: Sequence[Op], n: int, window_ns: int) -> Peak:
    took = claims(filter(allowed, ops))
    certain, possible = peak_units(took, window_ns), peak_units(took + unanswered_claims(maybe), window_ns)
    return Peak(certain.units / n, possible.units / n)


def limits_set(history: History, name: str, key: str = "") -> tuple[int, int] | None:
    """The limit and the window in ns that were set for the requests of this name, or for `key`; None where the last
    setting at one place was not taken."""
    puts = [op for op in history.named(setting(name)) if op.request.path.endswith(f"/{key}" if key else "")]
    last = {(op.target, op.request.path): op for op in puts}.values()
    for op in last if all(map(taken, last)) else ():
        body = op.request.body
        if isinstance(body, dict) and isinstance(n := body["limit"], int) and isinstance(w := body["window_ms"], int):
            return n, w * 1_000_000
    return None


async def put_limit(lab: Lab, call: Call) -> None:
    await asking.insist(lab, call, taken)


async def put_limits(lab: Lab, calls: Sequence[Call]) -> None:
    """Set limits, a few at a time."""
    for start in range(0, len(calls), asking.AT_ONCE):
        await asyncio.gather(*(put_limit(lab, call) for call in calls[start : start + asking.AT_ONCE]))


async def calm(lab: Lab, name: str, keys: Sequence[str]) -> None:
    """Ask each replica for all of these keys at once, then for half of them, and so on until all is answered. What
    wears off is to wear off, and not to be kept up: so no two checks wait for one key, and fewer and fewer come."""
    numbers = (max(1, len(keys) >> tried) for tried in itertools.count())

    def some() -> list[Call]:
        asked = keys[: next(numbers)]
        return [check(target, key, name, timeout_s=1) for key in asked for target in lab.replicas]

    await asking.calm(lab, some, answered)
