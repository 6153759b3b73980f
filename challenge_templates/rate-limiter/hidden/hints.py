"""The hint of a refusal: whether it is true when it has passed, and whether it shrinks as the window does."""

import asyncio
from random import Random

from crucible.check import Finding, History, Lab, Outcome
from crucible.evidence import Op

from .requests import allowed, answered, check, fresh, limit, limits_set, put_limit, refused

HINT_LIMIT, HINT_MS = 5, 4_000
"""A window of 2 s would hide a hint that is always the window behind the rounding to whole seconds."""
AT_ONCE, LATER = 14, 8
ROUNDING_MS = 1_100
LATE_MOST_MS = 0.6 * HINT_MS + ROUNDING_MS


def hint_of(op: Op) -> float | None:
    value = op.reply.get("retry_after_ms") if isinstance(op.reply, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


async def hints(lab: Lab, rng: Random) -> None:
    """Each key on a replica of its own choice: fill it, read the hint (later ones after 0.6 W), wait, ask once more."""
    plan = [(kind, i) for kind, count in (("now", AT_ONCE), ("late", LATER)) for i in range(count)]
    keys = [(f"hint/{kind}/{i}", lab.replicas[i % len(lab.replicas)], fresh(rng, "hint")) for kind, i in plan]
    for name, target, key in keys:
        await put_limit(lab, limit(target, key, HINT_LIMIT, HINT_MS, name))
    await lab.sleep(1.0)

    async def follow(name: str, target: str, key: str) -> None:
        if not await wait_and_ask(lab, name, target, key):
            await lab.sleep(HINT_MS / 1000)  # then the key is empty, and it can be tried once more
            await wait_and_ask(lab, name, target, key)

    await asyncio.gather(*(follow(*key) for key in keys))


async def wait_and_ask(lab: Lab, name: str, target: str, key: str) -> bool:
    """Fill a key, wait as long as its hint says and ask; False where an answer that was needed did not come."""
    last, full = 0, None
    for _ in range(4 * HINT_LIMIT):
        op = await lab.call(check(target, key, f"{name}/fill"))
        if allowed(op):
            last = op.received_ns
        elif refused(op):
            full = op
            break
    if full is None:
        return False
    if name.startswith("hint/late/"):
        await lab.sleep(max(0.0, (last - lab.now_ns()) / 1e9 + 0.6 * HINT_MS / 1000))
        full = await lab.call(check(target, key, f"{name}/late"))
        if not refused(full):
            return answered(full)
    hint = hint_of(full)
    if hint is not None and hint <= HINT_MS + ROUNDING_MS:
        await lab.sleep(max(0.0, (full.received_ns - lab.now_ns()) / 1e9 + hint / 1000 + 0.005))
        return answered(await lab.call(check(target, key, f"{name}/after")))
    return True


def judge_hints(history: History) -> Finding:
    """Several keys must show the same, and as many as 95 % must be right."""
    true, false, silent, missing, too_long = 0, [], 0, [], []
    late_seen = late_known = 0
    if limits_set(history, "hint") is None:
        return Finding(Outcome.INCONCLUSIVE, "no limit was taken, so no hint could be read")
    for kind, count in (("now", AT_ONCE), ("late", LATER)):
        for i in range(count):
            name = f"hint/{kind}/{i}"
            fill, late, after = (history.named(f"{name}/{part}") for part in ("fill", "late", "after"))
            first = fill[-1] if fill and refused(fill[-1]) else None
            source = (late[-1] if late and refused(late[-1]) else None) if kind == "late" else first
            if late and answered(late[-1]):
                late_known += 1
            if source is not None and kind == "late":
                late_seen += 1
                hint = hint_of(source)
                if hint is not None and hint > LATE_MOST_MS:
                    too_long.append(source)
            if source is not None and hint_of(source) is None:
                missing.append(source)
            elif after and allowed(after[-1]):
                true += 1
            elif after and refused(after[-1]):
                false.append(after[-1])
            elif kind == "now" or source is not None or not (late and allowed(late[-1])):
                silent += 1
    asked = true + len(false)
    evidence = {"hints waited for": asked, "true": true, "hints read after 0.6 of the window": late_seen}
    if len(missing) >= 3:
        what = f"{len(missing)} refusals of full keys carried no retry_after_ms that is a number of 0 or more"
        return Finding(Outcome.FAIL, what, tuple(missing[:3]), (), evidence)
    if len(false) >= 3 and len(false) > 0.05 * asked:
        what = f"{len(false)} of {asked} checks that waited as long as the hint said were refused again"
        return Finding(Outcome.FAIL, what, _in_order(false), (), evidence)
    if len(too_long) >= 3:
        what = (
            f"{len(too_long)} of {late_seen} hints were longer than {LATE_MOST_MS / 1000:.1f} s although "
            f"{0.6 * HINT_MS / 1000:.1f} s of the window of {HINT_MS / 1000:.0f} s had passed"
        )
        return Finding(Outcome.FAIL, what, _in_order(too_long), (), evidence)
    wrong = len(false) + len(missing) + silent
    if not asked or wrong > 0.05 * (asked + len(missing) + silent):
        what = f"{wrong} of {asked + len(missing) + silent} hints were not shown to be true, too few to say which is so"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    if len(too_long) + LATER - late_known >= 3:
        what = f"only {late_known} of {LATER} keys gave an answer after 0.6 of the window"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    what = f"{true} of {asked} checks that waited as long as the hint said were allowed"
    return Finding(Outcome.PASS, what, (), (), evidence)


def _in_order(ops: list[Op]) -> tuple[Op, ...]:
    return tuple(sorted(ops, key=lambda op: op.sent_ns)[:3])
