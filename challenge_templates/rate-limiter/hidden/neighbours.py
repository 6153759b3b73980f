"""Neighbours of a full key: keys that look like it, and of which nothing has been asked yet."""

from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.clock import aligned_window, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .requests import LONG_MS, allowed, check, fresh, limit, limits_set, put_limit, refused

NEIGHBOURS, NEIGHBOUR_LIMIT = 8, 10
FULL = ("short", "long")


def filling(key: str, *when: str) -> str:
    """What the checks of a full key are called: `before` its neighbours' or `after` them, on one replica."""
    return "/".join(("full", key, *when))


def near(i: int) -> str:
    return f"near/{i}"


async def neighbours(lab: Lab, rng: Random) -> None:
    """Two full keys, then first checks of keys that look like them."""
    window_ms = aligned_window(wall_ms(lab) + 3_000, LONG_MS)
    short, stem = fresh(rng, "user:Ab"), (fresh(rng, "long") * 7)[:127]
    full = dict(zip(FULL, (short, f"{stem}a"), strict=True))
    fresh_ones = [
        f"{short}x", f"{short}:1", short.swapcase(), short[:-1],
        short.replace(":", "-"), short.replace(":", "_"), fresh(rng, "user:Ab"), f"{stem}b",
    ]  # fmt: skip
    for i, key in enumerate([*full.values(), *fresh_ones]):
        await put_limit(lab, limit(in_turn(lab, i), key, NEIGHBOUR_LIMIT, window_ms, "neighbours"))
    await lab.sleep(1.0)

    async def until_refused(when: str, most: int) -> None:
        for name, key in full.items():
            for target in lab.replicas:
                for _ in range(most):
                    if refused(await lab.call(check(target, key, filling(name, when, target)))):
                        break

    await until_refused("before", NEIGHBOUR_LIMIT * (len(lab.replicas) + 2))
    for i, key in enumerate(fresh_ones):
        seen: list[Op] = []
        while len(seen) < 4 and not any(map(allowed, seen)) and sum(map(refused, seen)) < 2:
            seen.append(await lab.call(check(in_turn(lab, i + len(seen)), key, near(i))))
    await until_refused("after", 3)  # a steady refill may let one more through


def full_throughout(history: History) -> bool:
    """Whether each key was refused last, before and after, by every replica that was asked for any."""
    targets = {op.target for op in history.named("full")}
    spans = [history.named(filling(key, when, it)) for key in FULL for when in ("before", "after") for it in targets]
    return bool(spans) and all(ops and refused(ops[-1]) for ops in spans)


def judge_neighbours(history: History) -> Finding:
    """A neighbour convicts where it was refused twice and never allowed, while a key beside it was really full."""
    asked = [history.named(near(i)) for i in range(NEIGHBOURS)]
    shut = [ops for ops in asked if not any(map(allowed, ops)) and sum(map(refused, ops)) >= 2]
    let = sum(any(map(allowed, ops)) for ops in asked)
    counted = {"neighbours let through": let, "neighbours refused": len(shut)}
    if limits_set(history, "neighbours") is None or not full_throughout(history):
        what = "the keys beside them were not seen full before and after, so their neighbours show nothing"
        return inconclusive(what, counted=counted)
    if shut:
        verb = "was" if len(shut) == 1 else "were"
        what = (
            f"{len(shut)} of {NEIGHBOURS} fresh keys beside a full one {verb} refused twice, "
            "although nothing had ever been allowed on them"
        )
        return failed(what, *filter(refused, shut[0]), counted=counted)
    if not all(any(map(allowed, history.named(filling(key, "before")))) for key in FULL):
        return inconclusive("a key that was to be filled never let anything through", counted=counted)
    if let < NEIGHBOURS:
        return inconclusive(f"only {let} of {NEIGHBOURS} neighbours gave an answer that counts", counted=counted)
    what = f"all {NEIGHBOURS} neighbours of two full keys were let through at their first or second check"
    return passed(what, counted=counted)
