"""Processes killed while the first requests of fresh keys are on their way; a full key is among those who live on."""

import asyncio
from random import Random

from crucible.check import Finding, History, Lab, Outcome

from .requests import AT_ONCE, allowed, calm, check, fresh, limit, limits_set, put_limit, put_limits, refused
from .survival import FullKeys

FIRST_KEYS, FIRST_MS = 48, 1_000
DISTANCE_MS, GAP_S = 20, 0.003
"""Sending the first requests takes more than three round trips, so that a crash meets every step of a design."""
STRIKES = ("one", "all")
IN_FLIGHT = 8
UNTOUCHED = 3
DOWN_S = 0.5
ASKED = 3
"""Times that a key is asked until it lets something through: of two answers a design may have owed one."""


async def restart(lab: Lab, rng: Random) -> None:
    targets = lab.replicas
    keys = {name: [fresh(rng, "first") for _ in range(FIRST_KEYS)] for name in STRIKES}
    keys["untouched"] = [fresh(rng, "first") for _ in range(UNTOUCHED * len(targets))]
    kept, warm = FullKeys(lab, rng, "app"), fresh(rng, "warm")

    async def set_limits() -> None:
        calls = [limit(targets[0], key, 1, FIRST_MS, f"first/{name}") for name, own in keys.items() for key in own]
        await put_limits(lab, calls)

    async def set_warm() -> None:
        await put_limit(lab, limit(targets[0], warm, 999, FIRST_MS, "warm"))

    await asyncio.gather(set_limits(), kept.prepare(1_500), set_warm())
    await lab.sleep(1.0)
    await kept.fill()
    async with lab.slow(DISTANCE_MS):
        for name in STRIKES:
            await strike(lab, name, keys[name], warm)
    if not lab.services:
        await set_limits()
    await set_warm()
    await calm(lab, "warm", [warm] * len(targets))
    await kept.set()
    await kept.probe()
    blocked = named(keys)
    for _ in range(ASKED):
        await lab.sleep(2 * FIRST_MS / 1000 + 0.3)
        if not (blocked := await ask_again(lab, blocked)):
            break


async def strike(lab: Lab, name: str, keys: list[str], warm: str) -> None:
    """SIGKILL one replica, or all processes, within a round trip of the first requests of these keys."""
    victims = lab.replicas[:1] if name == "one" else lab.replicas
    hit = [victims[i % len(victims)] for i in range(len(keys))]
    await lab.burst([check(target, warm, "warm") for target in hit])
    first = [check(target, key, f"first/{name}", timeout_s=3) for target, key in zip(hit, keys, strict=True)]
    sending = asyncio.ensure_future(lab.paced(first, GAP_S))
    await lab.sleep(len(first) * GAP_S)
    lab.note(f"in flight/{name}", lab.in_flight)
    struck = lab.instances if name == "all" else victims
    await lab.kill(*struck)
    await sending
    await lab.sleep(DOWN_S)
    await lab.start(*struck)


def named(keys: dict[str, list[str]]) -> list[tuple[str, int, str]]:
    return [(name, i, key) for name, own in keys.items() for i, key in enumerate(own)]


async def ask_again(lab: Lab, keys: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """The keys that are not let through."""

    async def is_free(name: str, i: int, key: str) -> bool:
        target = lab.replicas[i % len(lab.replicas)]
        return allowed(await lab.call(check(target, key, f"later/{name}/{target}/{i}", timeout_s=2)))

    free = []
    for start in range(0, len(keys), AT_ONCE):
        free += await asyncio.gather(*(is_free(*key) for key in keys[start : start + AT_ONCE]))
    return [key for key, is_open in zip(keys, free, strict=True) if not is_open]


def met(history: History, name: str) -> str | None:
    """Whether the crash met the first requests in the middle of what they do; in words how they fared."""
    ops, in_flight = history.named(f"first/{name}"), history.facts.get(f"in flight/{name}", 0)
    lost = sum(op.status is None for op in ops)
    if isinstance(in_flight, int) and in_flight >= IN_FLIGHT and lost >= IN_FLIGHT:
        return f"{lost} cut off"
    soon = sum(op.status is not None and op.received_ns - op.sent_ns < 2 * DISTANCE_MS * 1_000_000 for op in ops)
    if ops and soon + lost >= 0.9 * len(ops):
        return f"{soon} answered without waiting for a store"
    return None


def judge_blocked(history: History) -> Finding:
    """A key convicts where it was refused twice on an idle line, more than two windows apart, and keys that no crash
    met were let through by the same replica."""
    later = [op for op in history.ops if op.name.startswith("later/")]
    open_to = {op.target for op in later if op.name.startswith("later/untouched/") and allowed(op)}
    struck = {op.name for op in later if not op.name.startswith("later/untouched/")}
    free, blocked = [], []
    for name in sorted(struck):
        ops = [op for op in later if op.name == name]
        if any(map(allowed, ops)):
            free.append(name)
        elif sum(map(refused, ops)) >= 2 and ops[0].target in open_to:
            blocked.append(ops)
    fared = {name: met(history, name) for name in STRIKES}
    evidence = {"keys let through later": len(free), "keys blocked": len(blocked)} | {
        f"first requests cut off ({name})": sum(op.status is None for op in history.named(f"first/{name}"))
        for name in STRIKES
    }
    if blocked and limits_set(history, "first") is not None:
        what = (
            f"{len(blocked)} of {len(struck)} keys whose first request met a crash still refused everything, "
            f"twice in a row and more than {2 * FIRST_MS // 1000} s apart, with nothing else on the line"
        )
        return Finding(Outcome.FAIL, what, tuple(blocked[0][-2:]), (), evidence)
    if not all(fared.values()):
        what = f"fewer than {IN_FLIGHT} first requests were on their way when the processes were killed"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    if len(free) < 2 * FIRST_KEYS or len(open_to) < history.replicas:
        what = f"only {len(free)} of {2 * FIRST_KEYS} keys gave an answer that counts"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    what = f"all {len(free)} keys whose first requests met a crash ({fared['all']}) were let through two windows later"
    return Finding(Outcome.PASS, what, (), (), evidence)
