"""A limit that is changed: raised and lowered, each seen from every replica on a key of its own."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.clock import aligned_window, into_first_half, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

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

    def before(self, target: str) -> str:
        return f"before/{self.name}/{target}"

    def after(self, target: str) -> str:
        return f"change/{self.name}/{target}"

    def warm(self, target: str) -> str:
        return f"warm/{self.name}/{target}"


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
        await put_limit(lab, limit(target, key, arm.old, window_ms, arm.before(target)))
    await lab.sleep(1.0)
    for (arm, seen_by), key in keys.items():
        for target in targets:
            await lab.call(check(target, key, arm.warm(seen_by)))
    for (arm, target), key in keys.items():
        if arm.new != arm.old:
            other = in_turn(lab, targets.index(target) + 1)
            await put_limit(lab, limit(other, key, arm.new, window_ms, arm.after(target)))
    await lab.sleep(1.05)
    for arm in ARMS:
        await into_first_half(lab, window_ms)
        await asyncio.gather(
            *(lab.burst([check(it, keys[arm, it], arm.after(it), timeout_s=8)] * ASKED) for it in targets)
        )


@dataclass(frozen=True, slots=True)
class Let:
    """What one replica let through at once on a key."""

    ops: tuple[Op, ...]

    @property
    def low(self) -> int:
        return sum(map(allowed, self.ops))

    @property
    def high(self) -> int:
        """With everything that was not answered, or not sent."""
        return self.low + sum(not answered(op) for op in self.ops) + ASKED - len(self.ops)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one replica showed of a change; where neither is said, the change was in force, or cannot be told from what
    this design lets through anyway."""

    bad: str = ""
    unsure: str = ""
    exercised: bool = False


def see(history: History, arm: Arm, target: str) -> Seen:
    """A change convicts where a key that had the new limit from the start was treated otherwise by the same replica."""
    let, high, low = (Let(history.named(it.after(target))) for it in (arm, ALWAYS_HIGH, ALWAYS_LOW))
    if limits_set(history, arm.after(target)) is None or limits_set(history, arm.before(target)) is None:
        return Seen(unsure=f"a limit was not taken for {target}")
    if arm is RAISED and high.low < APPLIED:
        return Seen(unsure=f"too many checks on {target} had no answer to compare with" if high.high >= APPLIED else "")
    if arm is LOWERED and low.high > AS_BEFORE:
        return Seen(unsure=f"a key that had the lower limit from the start may have been allowed as much by {target}")
    if let.high <= AS_BEFORE if arm is RAISED else let.low >= APPLIED:
        return Seen(
            f"a second after a limit went from {arm.old} to {arm.new}, "
            f"{target} allowed {let.low} of {ASKED} checks at once, as before"
        )
    if let.low < APPLIED if arm is RAISED else let.high >= APPLIED:
        return Seen(
            unsure=f"between {let.low} and {let.high} of {ASKED} checks were allowed by {target}, neither old nor new"
        )
    return Seen(exercised=True)


def judge_changes(history: History) -> Finding:
    targets = sorted({op.target for op in history.named("change")})
    seen = {(arm, target): see(history, arm, target) for target in targets for arm in (RAISED, LOWERED)}
    bad = {arm.after(target): found.bad for (arm, target), found in seen.items() if found.bad}
    unsure = [found.unsure for found in seen.values() if found.unsure]
    exercised = sum(found.exercised for found in seen.values())
    counted = {"changes seen": exercised, "replicas": len(targets)}
    if bad:
        return failed("; ".join(bad.values()), *history.named(next(iter(bad)))[-3:], counted=counted)
    if unsure or not exercised or len(targets) < history.replicas:
        what = f"it could not be shown: {unsure[0] if unsure else 'no change was seen'}"
        return inconclusive(what, counted=counted)
    if not any(map(allowed, history.named("change"))):
        return inconclusive("nothing was allowed before or after a change", counted=counted)
    what = f"{exercised} changed limits were in force on {len(targets)} replicas a second later"
    return passed(what, counted=counted)
