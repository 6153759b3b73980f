"""Pairs of keys that show whether what is refused consumes: one is asked for too much in between, its twin is not."""

from random import Random

from crucible.check import Finding, History, Lab, Outcome
from crucible.evidence import Op

from .requests import LONG_MS, allowed, answered, check, fresh, limit, limits_set, put_limit, refused
from .windows import aligned_window, now_ms

PAIRS, PAIR_LIMIT = 4, 10
PAIR_COSTS = {"over": 11, "first": 3, "unfit": 9, "last": 2}
"""`over` and `unfit` must be refused, and what is granted is half the limit, so that a smaller burst is not accused."""


async def put_pairs(lab: Lab, rng: Random, target: str, epoch_ms: int) -> list[tuple[str, str]]:
    """The keys, each with what its requests are called."""
    keys = [(fresh(rng, "pair"), f"pair/{arm}/{i}") for i in range(PAIRS) for arm in ("tried", "control")]
    window_ms = aligned_window(now_ms(lab, epoch_ms) + 8_000, LONG_MS)
    for key, name in keys:
        await put_limit(lab, limit(target, key, PAIR_LIMIT, window_ms, name))
    return keys


async def ask_pairs(lab: Lab, target: str, keys: list[tuple[str, str]]) -> None:
    for key, name in keys:
        for step, cost in PAIR_COSTS.items():
            if name.startswith("pair/tried/") or step in ("first", "last"):
                await lab.call(check(target, key, f"{name}/{step}", cost))


def judge_pairs(history: History) -> Finding:
    """A pair convicts where what was refused on one key kept out what the same key's twin was granted."""
    convicting: list[tuple[Op, ...]] = []
    oversize: list[Op] = []
    compared, unknown = 0, 0
    for i in range(PAIRS):
        tried, control = history.named(f"pair/tried/{i}"), history.named(f"pair/control/{i}")
        limits = [limits_set(history, f"pair/{arm}/{i}") for arm in ("tried", "control")]
        if len(tried + control) < 6 or None in limits or not all(map(answered, tried + control)):
            unknown += 1
        elif allowed(tried[0]):
            oversize.append(tried[0])
        elif all(map(allowed, control)) and refused(tried[2]):
            compared += 1
            if refused(tried[1]) or refused(tried[3]):
                convicting.append((tried[3], control[1]) if allowed(tried[1]) else (tried[1], control[0]))
    evidence = {"pairs of keys compared": compared}
    if len(convicting) >= 3:
        what = (
            f"what was refused consumed: on {len(convicting)} of {PAIRS} keys with limit {PAIR_LIMIT} a refused cost "
            "kept out a later one that fits and that a key without the refusal let through"
        )
        return Finding(Outcome.FAIL, what, convicting[0], (), evidence)
    if len(oversize) >= 3:
        what = f"a cost of {PAIR_COSTS['over']} was allowed on {len(oversize)} of {PAIRS} keys with limit {PAIR_LIMIT}"
        return Finding(Outcome.FAIL, what, tuple(oversize[:3]), (), evidence)
    if compared < 2 or len(convicting) + len(oversize) + unknown > 2:
        what = f"only {compared} of {PAIRS} pairs of keys could be compared; {unknown} had a request without an answer"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    return Finding(Outcome.PASS, f"what was refused consumed nothing on {compared} keys", (), (), evidence)
