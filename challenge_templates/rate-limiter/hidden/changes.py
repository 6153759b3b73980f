"""A limit that is changed: raised and lowered, each seen from every replica on a key of its own."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.clock import aligned_window, into_first_half, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, not_run, passed
from crucible.check import Finding, History, Lab, Outcome

from .requests import allowed, answered, check, fresh, limit, limits_set, put_limit

LOW, HIGH, ASKED = 3, 60, 16
APPLIED, AS_BEFORE = 10, 2 * LOW + 1
"""Of `ASKED` at once, the higher limit lets `APPLIED` through even where a sixth of it may come at once; the lower one
no more than `AS_BEFORE`, even where a window ends and units grow back meanwhile."""
CHANGE_MS = 2_000
"""So short that a bucket which has kept its level has filled up again a second later."""


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
"""They show what either limit lets through at once, whatever else is wrong with the design."""
ARMS = (RAISED, LOWERED, ALWAYS_HIGH, ALWAYS_LOW)


async def changes(lab: Lab, rng: Random) -> None:
    """One unit per replica warms what caches limits."""
    targets = lab.replicas
    window_ms = aligned_window(wall_ms(lab) + 2_500, CHANGE_MS)
    keys = {(arm, target): fresh(rng, arm.name) for arm in ARMS for target in targets}
    for (arm, target), key in keys.items():
        await put_limit(lab, limit(target, key, arm.old, window_ms, arm.asked("before", target)))
    await lab.sleep(1.0)
    for (arm, seen_by), key in keys.items():
        for target in targets:
            await lab.call(check(target, key, arm.asked("warm", seen_by)))
    for (arm, target), key in keys.items():
        if arm.new != arm.old:
            other = in_turn(lab, targets.index(target) + 1)
            await put_limit(lab, limit(other, key, arm.new, window_ms, arm.asked("change", target)))
    await lab.sleep(1.05)
    for arm in ARMS:
        await into_first_half(lab, window_ms)
        await asyncio.gather(
            *(lab.burst([check(it, keys[arm, it], arm.asked("change", it), timeout_s=8)] * ASKED) for it in targets)
        )


def let(history: History, arm: Arm, target: str) -> tuple[int, int]:
    """Checks that one replica let through at once: certainly, and with those that were not answered, or not sent."""
    ops = history.named(arm.asked("change", target))
    low = sum(map(allowed, ops))
    return low, low + sum(not answered(op) for op in ops) + ASKED - len(ops)


def seen(history: History, arm: Arm, target: str) -> Finding:
    """What one replica showed of a change; it is not held to it where it lets through as little, or as much, anyway."""
    low, high = let(history, arm, target)
    least_of_high, most_of_high = let(history, ALWAYS_HIGH, target)
    _, most_of_low = let(history, ALWAYS_LOW, target)
    if any(limits_set(history, arm.asked(when, target)) is None for when in ("before", "change")):
        return inconclusive(f"a limit was not taken for {target}")
    if arm is RAISED and least_of_high < APPLIED:
        if most_of_high < APPLIED:
            return not_run("even the higher limit lets little through at once")
        return inconclusive(f"too many checks on {target} had no answer to compare with")
    if arm is LOWERED and most_of_low > AS_BEFORE:
        return inconclusive(f"a key that had the lower limit from the start may have been allowed as much by {target}")
    if high <= AS_BEFORE if arm is RAISED else low >= APPLIED:
        what = (
            f"a second after a limit went from {arm.old} to {arm.new}, "
            f"{target} allowed {low} of {ASKED} checks at once, as before"
        )
        return failed(what, *history.named(arm.asked("change", target))[-3:])
    if low < APPLIED if arm is RAISED else high >= APPLIED:
        return inconclusive(f"between {low} and {high} of {ASKED} checks were allowed by {target}, neither old nor new")
    return passed("the new limit was in force", counted={"checks": ASKED})


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
    if unsure or not exercised or len(targets) < history.replicas:
        what = f"it could not be shown: {unsure[0] if unsure else 'no change was seen'}"
        return inconclusive(what, counted=counted)
    if not any(map(allowed, history.named("change"))):
        return inconclusive("nothing was allowed before or after a change", counted=counted)
    what = f"{exercised} changed limits were in force on {len(targets)} replicas a second later"
    return passed(what, counted=counted)
