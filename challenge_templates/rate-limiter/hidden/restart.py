"""Processes killed while the first requests of fresh keys are on their way; a full key is among those who live on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from crucible.authoring.asking import few_at_once, in_turn
from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.authoring.strikes import Struck, after_s, struck
from crucible.check import Finding, History, Lab

from .requests import (
    CALM_KEYS,
    allowed,
    by_key,
    calm,
    check,
    fresh,
    key_of,
    limit,
    limits_set,
    put_limits,
    refused,
)
from .survival import APP, FullKeys

FIRST_KEYS, FIRST_MS = 48, 1_000
DISTANCE_MS, GAP_S = 20, 0.003
"""Sending the first requests takes more than three round trips, so that a crash meets every step of a design."""
FIRST = "first"
STRIKES = ("one", "all")
UNTOUCHED = "untouched"
"""Keys that no crash meets."""
IN_FLIGHT = 8
UNTOUCHED_KEYS = 3
"""For each replica."""
DOWN_S = 0.5
ASKED = 3
"""Times that a key is asked until it lets something through: of two answers a design may have owed one."""


def first(met: str) -> str:
    """What the first requests are called of the keys that met a strike, or none."""
    return f"{FIRST}/{met}"


def later(met: str) -> str:
    """What those are called that come when nothing is left of a window."""
    return f"later/{met}"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is asked for the first time in a strike, or has no first request."""

    met: str
    key: str
    asks: str
    """The replica that it is asked on later."""


async def restart(lab: Lab, rng: Random) -> None:
    targets = lab.replicas
    numbers = dict.fromkeys(STRIKES, FIRST_KEYS) | {UNTOUCHED: UNTOUCHED_KEYS * len(targets)}
    keys = [Key(met, fresh(rng, FIRST), in_turn(lab, i)) for met, number in numbers.items() for i in range(number)]
    kept, warm = FullKeys(lab, rng, APP), [fresh(rng, "warm") for _ in range(CALM_KEYS)]

    async def set_limits() -> None:
        await put_limits(lab, [limit(targets[0], one.key, 1, FIRST_MS, first(one.met)) for one in keys])

    async def set_warm() -> None:
        await put_limits(lab, [limit(targets[0], key, 999, FIRST_MS, "warm") for key in warm])

    await asyncio.gather(set_limits(), kept.prepare(1_500), set_warm())
    await lab.sleep(1.0)
    await kept.fill()
    async with lab.slow(DISTANCE_MS):
        for name in STRIKES:
            await strike(lab, name, [one.key for one in keys if one.met == name], warm)
    if not lab.services:
        await set_limits()
    await set_warm()
    await calm(lab, "warm", warm)
    await kept.set()
    await kept.probe()
    blocked = keys
    for _ in range(ASKED):
        await lab.sleep(2 * FIRST_MS / 1000 + 0.3)
        ops = await few_at_once(lab, [check(one.asks, one.key, later(one.met), timeout_s=2) for one in blocked])
        blocked = [one for one, op in zip(blocked, ops, strict=True) if not allowed(op)]
        if not blocked:
            break


async def strike(lab: Lab, name: str, keys: Sequence[str], warm: Sequence[str]) -> None:
    """SIGKILL one replica, or all processes, within a round trip of the first requests of these keys."""
    victims = lab.replicas[:1] if name == "one" else lab.replicas
    hit = [victims[i % len(victims)] for i in range(len(keys))]
    await lab.burst([check(target, warm[i % len(warm)], "warm") for i, target in enumerate(hit)])
    calls = [check(target, key, first(name), timeout_s=3) for target, key in zip(hit, keys, strict=True)]
    killed = lab.instances if name == "all" else victims
    sent = after_s(lab, len(calls) * GAP_S)
    _, found = await struck(lab, calls, GAP_S, when=sent, strike=partial(lab.kill, *killed))
    note(lab, found, name)
    await lab.sleep(DOWN_S)
    await lab.start(*killed)


def fared(history: History, name: str) -> str:
    """In words how the first requests fared, where the crash met them in the middle of what they do: enough were cut
    off, or the others of the last had no store to wait for."""
    ops, found = history.named(first(name)), fact(history, Struck, name)
    if found is None or limits_set(history, first(name)) is None:
        return ""
    lost = sum(op.status is None for op in ops)
    if found.in_flight >= IN_FLIGHT and lost >= IN_FLIGHT:
        return f"{lost} cut off"
    far_ns = 2 * DISTANCE_MS * 1_000_000
    met = [op for op in ops if op.sent_ns > found.at_ns - far_ns]
    soon = sum(op.status is not None and op.received_ns - op.sent_ns < far_ns for op in met)
    if len(met) >= IN_FLIGHT and soon + sum(op.status is None for op in met) >= 0.9 * len(met):
        return f"{soon} answered without waiting for a store" + (f" and {lost} cut off" if lost else "")
    return ""


def judge_blocked(history: History) -> Finding:
    """A key convicts where it was refused twice on an idle line, more than two windows apart, and keys that no crash
    met were let through by the same replica."""
    open_to = {op.target for op in history.named(later(UNTOUCHED)) if allowed(op)}
    asked = by_key(op for name in STRIKES for op in history.named(later(name))).values()
    free = sum(any(map(allowed, ops)) for ops in asked)
    blocked = [
        ops for ops in asked
        if not any(map(allowed, ops)) and sum(map(refused, ops)) >= 2 and ops[0].target in open_to
    ]  # fmt: skip
    cut = {name: sum(op.status is None for op in history.named(first(name))) for name in STRIKES}
    counted = {"keys let through later": free, "keys blocked": len(blocked)}
    counted |= {f"first requests cut off ({name})": number for name, number in cut.items()}
    if blocked and limits_set(history, FIRST) is not None:
        what = (
            f"{len(blocked)} of {len(asked)} keys whose first request met a crash still refused everything, "
            f"twice in a row and more than {2 * FIRST_MS // 1000} s apart, with nothing else on the line"
        )
        met = [op for name in STRIKES for op in history.named(first(name)) if key_of(op) == key_of(blocked[0][0])]
        return failed(what, *met[:1], *blocked[0][-2:], counted=counted)
    if limits_set(history, first(UNTOUCHED)) is None:
        return inconclusive("the limits of the keys that no crash met were not taken", counted=counted)
    if not all(fared(history, name) for name in STRIKES):
        what = f"fewer than {IN_FLIGHT} first requests were on their way when the processes were killed"
        return inconclusive(what, counted=counted)
    if free < 2 * FIRST_KEYS or len(open_to) < history.replicas:
        return inconclusive(f"only {free} of {2 * FIRST_KEYS} keys gave an answer that counts", counted=counted)
    how = fared(history, "all")
    what = f"all {free} keys whose first requests met a crash ({how}) were let through two windows later"
    return passed(what, counted=counted)
