"""What precedes the races: how long a burst takes, and whether slow services are an outage to this solution.

Races run with the services far away, because that is when they show. But a design may give up on a store that takes so
long, and let everybody through or nobody, as it declares. A full key tells that from a race: nothing is left on it to
race for.
"""

from dataclasses import dataclass
from random import Random

from crucible.check import Call, Lab

from .requests import LONG_MS, allowed, answered, check, fresh, limit, put_limit, refused

CROWD, CROWD_LIMIT = 265, 53
SHUT_LIMIT = 2


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How long setting a limit and a burst of `CROWD` took."""

    put_ms: float
    burst_ms: float


async def rehearse(lab: Lab, rng: Random, target: str) -> Rehearsal | None:
    """Warm the pools up; None where nothing was answered."""
    key, began_ns = fresh(rng, "rehearsal"), lab.now_ns()
    await put_limit(lab, limit(target, key, CROWD_LIMIT, LONG_MS, "rehearsal"))
    put_ms = (lab.now_ns() - began_ns) / 1e6
    for _ in range(20):  # a limit is in force within 1 s
        if (await lab.call(check(target, key, "known"))).status != 404:
            break
        await lab.sleep(0.05)
    ops = await lab.burst([check(target, key, "rehearsal", timeout_s=8)] * CROWD)
    if not any(map(answered, ops)):
        return None
    return Rehearsal(put_ms, (max(op.received_ns for op in ops) - min(op.sent_ns for op in ops)) / 1e6)


async def becomes_shut(lab: Lab, call: Call, within_s: float) -> bool:
    """Ask until two refusals in a row show that the key is full, or was from the start."""
    end_ns, in_a_row = lab.now_ns() + int(within_s * 1e9), 0
    while in_a_row < 2 and lab.now_ns() < end_ns:
        if refused(await lab.call(call)):
            in_a_row += 1
        else:
            in_a_row = 0
            await lab.sleep(0.05)
    return in_a_row == 2


@dataclass(frozen=True, slots=True)
class Distance:
    """What far services are to a solution."""

    leaks: bool
    """They make it let through what a full key must not: give or take one, for a steady refill."""
    silences: bool
    """They keep it from answering."""


async def feel_distance(lab: Lab, full: Call) -> Distance:
    """Let a crowd ask for a full key."""
    ops = await lab.burst([full] * CROWD)
    return Distance(sum(map(allowed, ops)) > 1, sum(map(answered, ops)) < 0.9 * len(ops))
