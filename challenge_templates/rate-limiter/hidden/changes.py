"""A limit that is changed: raised and lowered, each seen from every replica on a key of its own."""

import asyncio
from random import Random

from crucible.check import Finding, History, Lab, Outcome
from crucible.evidence import Op

from .requests import allowed, answered, check, fresh, limit, limits_set, put_limit
from .windows import aligned_window, into_first_half, note_epoch, now_ms

LOW, HIGH, ASKED = 3, 60, 16
APPLIED, AS_BEFORE = 10, 2 * LOW + 1
"""Of `ASKED` at once, the higher limit lets `APPLIED` through even where a sixth of it may come at once; the lower one
no more than `AS_BEFORE`, even where a window ends and units grow back meanwhile."""
CHANGE_MS = 2_000
"""So short that a bucket which has kept its level has filled up again a second later."""
CHANGED = {"raised": (LOW, HIGH), "lowered": (HIGH, LOW)}
ARMS = CHANGED | {"always-high": (HIGH, HIGH), "always-low": (LOW, LOW)}
"""The last two show what either limit lets through at once, whatever else is wrong with the design."""


async def changes(lab: Lab, rng: Random) -> None:
    """One unit per replica warms what caches limits."""
    epoch_ms, targets = note_epoch(lab), lab.replicas
    window_ms = aligned_window(now_ms(lab, epoch_ms) + 2_500, CHANGE_MS)
    keys = {(arm, target): fresh(rng, arm) for arm in ARMS for target in targets}
    for (arm, target), key in keys.items():
        await put_limit(lab, limit(target, key, ARMS[arm][0], window_ms, f"before/{arm}/{target}"))
    await lab.sleep(1.0)
    for (arm, seen_by), key in keys.items():
        for target in targets:
            await lab.call(check(target, key, f"warm/{arm}/{seen_by}"))
    for (arm, target), key in keys.items():
        other = targets[(targets.index(target) + 1) % len(targets)]
        if arm in CHANGED:
            await put_limit(lab, limit(other, key, ARMS[arm][1], window_ms, f"change/{arm}/{target}"))
    await lab.sleep(1.05)
    for arm in ARMS:
        await into_first_half(lab, epoch_ms, window_ms)
        await asyncio.gather(
            *(lab.burst([check(t, keys[arm, t], f"change/{arm}/{t}", timeout_s=8)] * ASKED) for t in targets)
        )


def judge_changes(history: History) -> Finding:
    """A change convicts where a key that had the new limit from the start was treated otherwise by the same replica."""
    seen = [op for op in history.ops if op.name.startswith("change/")]
    targets = sorted({op.name.split("/")[2] for op in seen})
    unsure: list[str] = []
    bad: list[tuple[str, tuple[Op, ...]]] = []
    exercised = 0
    for target in targets:
        count = {}
        for arm in ARMS:
            ops = history.named(f"change/{arm}/{target}")
            low = sum(map(allowed, ops))
            count[arm] = (low, low + sum(not answered(op) for op in ops) + ASKED - len(ops), ops)
        for arm, (old, new) in CHANGED.items():
            low, high, ops = count[arm]
            set_now = limits_set(history, f"change/{arm}/{target}")
            if set_now is None or limits_set(history, f"before/{arm}/{target}") is None:
                unsure.append(f"a limit was not taken for {target}")
            elif arm == "raised" and count["always-high"][0] < APPLIED:
                if count["always-high"][1] >= APPLIED:
                    unsure.append(f"too many checks on {target} had no answer to compare with")
            elif arm == "lowered" and count["always-low"][1] > AS_BEFORE:
                unsure.append(
                    f"a key that had the lower limit from the start may have been allowed as much by {target}"
                )
            elif (arm == "raised" and high <= AS_BEFORE) or (arm == "lowered" and low >= APPLIED):
                bad.append((_sentence(target, old, new, low), ops[-3:]))
            elif (arm == "raised" and low < APPLIED) or (arm == "lowered" and high >= APPLIED):
                unsure.append(
                    f"between {low} and {high} of {ASKED} checks were allowed by {target}, neither old nor new"
                )
            else:
                exercised += 1
    evidence = {"changes seen": exercised, "replicas": len(targets)}
    if bad:
        return Finding(Outcome.FAIL, "; ".join(what for what, _ in bad), bad[0][1], (), evidence)
    if unsure or not exercised or len(targets) < history.replicas:
        what = f"it could not be shown: {unsure[0] if unsure else 'no change was seen'}"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    if not any(sum(map(allowed, history.named(f"change/{arm}/{t}"))) for t in targets for arm in ARMS):
        return Finding(Outcome.INCONCLUSIVE, "nothing was allowed before or after a change", (), (), evidence)
    what = f"{exercised} changed limits were in force on {len(targets)} replicas a second later"
    return Finding(Outcome.PASS, what, (), (), evidence)


def _sentence(target: str, old: int, new: int, low: int) -> str:
    return (
        f"a second after a limit went from {old} to {new}, {target} allowed {low} of {ASKED} checks at once, as before"
    )
