"""Pairs of keys that show whether what is refused consumes: one is asked for too much in between, its twin is not."""

from dataclasses import dataclass
from random import Random

from crucible.authoring.clock import aligned_window, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .requests import LONG_MS, allowed, answered, check, fresh, limit, limits_set, put_limit, refused

PAIRS, PAIR_LIMIT = 4, 10
PAIR_COSTS = {"over": 11, "first": 3, "unfit": 9, "last": 2}
"""`over` and `unfit` must be refused, and what is granted is half the limit, so that a smaller burst is not accused."""


@dataclass(frozen=True, slots=True)
class Twin:
    """One key of a pair: the one that is tried, or its control."""

    pair: int
    is_tried: bool

    @property
    def name(self) -> str:
        return f"pair/{'tried' if self.is_tried else 'control'}/{self.pair}"

    @property
    def costs(self) -> dict[str, int]:
        return {step: cost for step, cost in PAIR_COSTS.items() if self.is_tried or step in ("first", "last")}


async def put_pairs(lab: Lab, rng: Random, target: str) -> dict[Twin, str]:
    """Their keys."""
    keys = {Twin(pair, is_tried): fresh(rng, "pair") for pair in range(PAIRS) for is_tried in (True, False)}
    window_ms = aligned_window(wall_ms(lab) + 8_000, LONG_MS)
    for twin, key in keys.items():
        await put_limit(lab, limit(target, key, PAIR_LIMIT, window_ms, twin.name))
    return keys


async def ask_pairs(lab: Lab, target: str, keys: dict[Twin, str]) -> None:
    for twin, key in keys.items():
        for step, cost in twin.costs.items():
            await lab.call(check(target, key, f"{twin.name}/{step}", cost))


def judge_pairs(history: History) -> Finding:
    """A pair convicts where what was refused on one key kept out what the same key's twin was granted."""
    convicting: list[tuple[Op, ...]] = []
    oversize: list[Op] = []
    compared, unknown = 0, 0
    for twins in ((Twin(pair, True), Twin(pair, False)) for pair in range(PAIRS)):
        tried, control = (history.named(twin.name) for twin in twins)
        no_limit = any(limits_set(history, twin.name) is None for twin in twins)
        if len(tried + control) < 6 or no_limit or not all(map(answered, tried + control)):
            unknown += 1
        elif allowed(tried[0]):
            oversize.append(tried[0])
        elif all(map(allowed, control)) and refused(tried[2]):
            compared += 1
            if refused(tried[1]) or refused(tried[3]):
                convicting.append((tried[3], control[1]) if allowed(tried[1]) else (tried[1], control[0]))
    counted = {"pairs of keys compared": compared}
    if len(convicting) >= 3:
        what = (
            f"what was refused consumed: on {len(convicting)} of {PAIRS} keys with limit {PAIR_LIMIT} a refused cost "
            "kept out a later one that fits and that a key without the refusal let through"
        )
        return failed(what, *convicting[0], counted=counted)
    if len(oversize) >= 3:
        what = f"a cost of {PAIR_COSTS['over']} was allowed on {len(oversize)} of {PAIRS} keys with limit {PAIR_LIMIT}"
        return failed(what, *oversize, counted=counted)
    if compared < 2 or len(convicting) + len(oversize) + unknown > 2:
        what = f"only {compared} of {PAIRS} pairs of keys could be compared; {unknown} had a request without an answer"
        return inconclusive(what, counted=counted)
    return passed(f"what was refused consumed nothing on {compared} keys", counted=counted)
