"""What is asked of a rate limiter, and what its answers mean.

An answer is `allowed` (2xx that says so), `refused` (429) or none: whatever else came back shows nothing, and counts as
possibly allowed wherever that would excuse or acquit. So no answer turned into an error can turn a fail into a pass.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

from crucible.check import Call, History, Lab
from crucible.evidence import Op, Result
from crucible.oracles.windows import Claim

AT_ONCE = 12
CALM_CALLS, CALM_TRIES = 24, 8
LONG_MS = 60_000
"""Of limits that must not refill while a scenario lasts."""


def check(target: str, key: str, name: str, cost: int = 1, timeout_s: float = 5.0) -> Call:
    return Call(target, "POST", "/v1/check", {"key": key, "cost": cost}, name, timeout_s=timeout_s)


def limit(target: str, key: str, units: int, window_ms: int, name: str) -> Call:
    return Call(target, "PUT", f"/v1/limits/{key}", {"limit": units, "window_ms": window_ms}, f"put/{name}")


def fresh(rng: Random, prefix: str) -> str:
    return f"{prefix}-{rng.getrandbits(64):016x}"


def allowed(op: Op) -> bool:
    return op.result is Result.OK and isinstance(op.reply, dict) and op.reply.get("allowed") is True


def refused(op: Op) -> bool:
    return op.status == 429


def taken(op: Op) -> bool:
    """Whether a PUT was accepted, whatever its body says."""
    return op.status is not None and 200 <= op.status < 300


def answered(op: Op) -> bool:
    return allowed(op) or refused(op)


def cost_of(op: Op) -> int:
    cost = op.request.body.get("cost", 1) if isinstance(op.request.body, dict) else 1
    return cost if isinstance(cost, int) else 1


def units(ops: Sequence[Op]) -> int:
    return sum(map(cost_of, ops))


def claims(ops: Sequence[Op]) -> list[Claim]:
    return [Claim(op.sent_ns, op.received_ns, cost_of(op)) for op in ops]


def unanswered_claims(ops: Sequence[Op], received_ns: int | None = None) -> list[Claim]:
    """Those without an answer, as decided at their sending, or at any time up to `received_ns`."""
    return [Claim(op.sent_ns, received_ns or op.sent_ns, cost_of(op)) for op in ops if not answered(op)]


def limits_set(history: History, name: str, key: str = "") -> tuple[int, int] | None:
    """The limit and the window in ns that the PUTs of this name, or those for `key`, set; None where the last one to
    one place was not taken."""
    puts = [op for op in history.named(f"put/{name}") if op.request.path.endswith(f"/{key}" if key else "")]
    last = {(op.target, op.request.path): op for op in puts}.values()
    for op in last if all(map(taken, last)) else ():
        body = op.request.body
        if isinstance(body, dict) and isinstance(n := body["limit"], int) and isinstance(w := body["window_ms"], int):
            return n, w * 1_000_000
    return None


def why_none(ops: Sequence[Op]) -> str:
    """What most of those without an answer were, in words."""
    return Counter(op.error or f"status {op.status}" for op in ops if not answered(op)).most_common(1)[0][0]


async def put_limit(lab: Lab, call: Call) -> None:
    """Set a limit; again where a replica did not take it, because any design may fail to answer once."""
    for wait_s in (0.05, 0.2, 0.0):
        if all(map(taken, await lab.configure(call))):
            return
        await lab.sleep(wait_s)


async def put_limits(lab: Lab, calls: Sequence[Call]) -> None:
    """Set limits, a few at a time."""
    for start in range(0, len(calls), AT_ONCE):
        await asyncio.gather(*(put_limit(lab, call) for call in calls[start : start + AT_ONCE]))


async def calm(lab: Lab, name: str, keys: Sequence[str]) -> None:
    """Ask each replica for its key until all answer: a process that has just started may still be connecting, and each
    stale connection of a pool may have one error."""
    calls = [
        check(target, key, name, timeout_s=1)
        for target, key in zip(lab.replicas, keys, strict=True)
        for _ in range(CALM_CALLS)
    ]
    for _ in range(CALM_TRIES):
        if all(map(answered, await lab.burst(calls))):
            return
        await lab.sleep(0.2)
