"""A limit that is changed: raised and lowered, each seen from every replica on a key of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.outcomes import failed, inconclusive, not_run, passed
from crucible.check import Finding, History, Lab, Outcome
from crucible.evidence import Op

from .requests import allowed, answered, check, fresh, limit, limits_set, put_limits, refused

LOW, HIGH = 1, 60
MOST, GAP_S = 16, 0.04
"""Checks of a key, one after the other: who races is not to be taken for who goes by an old limit. The gap is what the
higher limit takes to let one more through where none may come at once."""
APPLIED, AS_BEFORE = 10, 4
"""Before it refuses, the higher limit lets `APPLIED` through; the lower one no more than `AS_BEFORE`, even where a
window ends and units grow back meanwhile."""
CHANGE_MS = 2_000
"""So short that a bucket which has kept its level, or its debt, has filled up again before a changed limit is tried."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What becomes of the limit of a key that one replica is asked for."""

    name: str
    old: int
    new: int

    def asked(self, when: str, target: str) -> str:
        """What requests are called: `before` and `change` with a limit each, and `warm`."""
        return f"{when}/{self.name}/{target}"


RAISED, LOWERED = Arm("raised", LOW, HIGH), Arm("lowered", HIGH, LOW)
ALWAYS_HIGH, ALWAYS_LOW = Arm("always-high", HIGH, HIGH), Arm("always-low", LOW, LOW)
"""They show what either limit lets through, whatever else is wrong with the design."""
ARMS = (RAISED, LOWERED, ALWAYS_HIGH, ALWAYS_LOW)


async def changes(lab: Lab, rng: Random) -> None:
    """One check per replica warms what caches limits."""
    targets = lab.replicas
    keys = {(arm, target): fresh(rng, arm.name) for arm in ARMS for target in targets}
    await put_limits(
        lab,
        [limit(target, key, arm.old, CHANGE_MS, arm.asked("before", target)) for (arm, target), key in keys.items()],
    )
    await lab.sleep(1.0)
    for (arm, seen_by), key in keys.items():
        for target in targets:
            for _ in range(2):
                if answered(await lab.call(check(target, key, arm.asked("warm", seen_by)))):
                    break
    await lab.sleep(1.2)
    changed = {(arm, target): key for (arm, target), key in keys.items() if arm.new != arm.old}
    others = {target: in_turn(lab, i + 1) for i, target in enumerate(targets)}
    await put_limits(
        lab,
        [
            limit(others[target], key, arm.new, CHANGE_MS, arm.asked("change", target))
            for (arm, target), key in changed.items()
        ],
    )
    await lab.sleep(1.05)

    async def ask(arm: Arm, target: str) -> None:
        let = 0
        for _ in range(MOST):
            op = await lab.call(check(target, keys[arm, target], arm.asked("change", target)))
            let += allowed(op)
            if refused(op) or let == APPLIED:
                break
            await lab.sleep(GAP_S)

    await asyncio.gather(*(ask(arm, target) for arm, target in keys))


def let(history: History, arm: Arm, target: str) -> tuple[int, int]:
    """Checks that one replica let through before it refused one: certainly, and with those that were not answered, or
    not sent."""
    ops = history.named(arm.asked("change", target))
    until = list(takewhile(lambda op: not refused(op), ops))
    low = sum(map(allowed, until))
    unknown = len(until) - low + (MOST - len(ops) if len(until) == len(ops) and low < APPLIED else 0)
    return low, low + unknown


def is_warm(history: History, arm: Arm, target: str) -> bool:
    """Whether every replica had answered a check of this key before its limit changed, and so may have cached it."""
    return len({op.target for op in history.named(arm.asked("warm", target)) if answered(op)}) == history.replicas


def seen(history: History, arm: Arm, target: str) -> Finding:
    """What one replica showed of a change; it is not held to it where it lets through as little, or as much, anyway."""
    low, high = let(history, arm, target)
    least_of_high, most_of_high = let(history, ALWAYS_HIGH, target)
    _, most_of_low = let(history, ALWAYS_LOW, target)
    puts = [it.asked("before", target) for it in (arm, ALWAYS_HIGH, ALWAYS_LOW)] + [arm.asked("change", target)]
    if any(limits_set(history, name) is None for name in puts):
        return inconclusive(f"a limit was not taken for {target}")
    if least_of_high < APPLIED:
        if most_of_high < APPLIED:
            return not_run("even the higher limit lets little through in a row")
        return inconclusive(f"too many checks on {target} had no answer to compare with")
    if most_of_low > AS_BEFORE:
        return inconclusive(f"a key that had the lower limit from the start may have been allowed as much by {target}")
    if high <= AS_BEFORE if arm is RAISED else low >= APPLIED:
        let_through = f"let {low} through and then refused" if arm is RAISED else f"let {low} through in a row"
        what = f"a second after a limit went from {arm.old} to {arm.new}, {target} {let_through}, as before"
        return failed(what, *shown(history.named(arm.asked("change", target)), arm))
    if low < APPLIED if arm is RAISED else high > AS_BEFORE:
        return inconclusive(f"between {low} and {high} checks were allowed in a row by {target}, neither old nor new")
    if not is_warm(history, arm, target):
        return inconclusive(f"a replica had not been asked for a key of {target} before its limit changed")
    return passed("the new limit was in force", counted={"checks": len(history.named(arm.asked("change", target)))})


def shown(ops: Sequence[Op], arm: Arm) -> Sequence[Op]:
    """The last of them: the refusal, or the last of what was let through."""
    return ops[-1:] if arm is RAISED else ops[-3:]


def judge_changes(history: History) -> Finding:
    """A change convicts where a key that had the new limit from the start was treated otherwise by the same replica."""
    targets = sorted({op.target for op in history.named("change")})
    found = [seen(history, arm, target) for target in targets for arm in (RAISED, LOWERED)]
    bad = [one for one in found if one.outcome is Outcome.FAIL]
    unsure = [one.what for one in found if one.outcome is Outcome.INCONCLUSIVE]
    exercised = sum(one.outcome is Outcome.PASS for one in found)
    counted = {"changes seen": exercised, "replicas": len(targets)}
    if bad:
        return failed("; ".join(one.what for one in bad), *bad[0].examples, counted=counted)
    if unsure or exercised < 2 * history.replicas:
        first = next((one.what for one in found if one.outcome is not Outcome.PASS), "no change was seen")
        return inconclusive(f"it could not be shown: {unsure[0] if unsure else first}", counted=counted)
    what = f"{exercised} changed limits were in force on {len(targets)} replicas a second later"
    return passed(what, counted=counted)
