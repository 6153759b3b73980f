"""Pairs of keys that show whether what is refused consumes: one is asked for too much in between, its twin is not."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.clock import aligned_window, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .requests import LONG_MS, allowed, answered, check, cost_of, fresh, limit, limits_set, put_limits, refused

PAIRS, PAIR_LIMIT = 4, 10
AT_ONCE, PATIENT = "pair", "patient"
PAIR_COSTS = {
    AT_ONCE: {"over": 11, "first": 3, "unfit": 9, "last": 2},
    PATIENT: {"over": 11, "first": 2, "unfit": 9, "last": 1},
}
"""`over` and `unfit` must be refused, and what is granted is half the limit, so that a smaller burst is not accused.
Who grants less at once, or lets callers wait in line, is asked for the last cost when there is room for it again."""
PATIENT_MS, PATIENCE_S = 6_000, 1.2
OVERSIZE = "What is compared with the limit: what was used before, or what would be used with this request?"


@dataclass(frozen=True, slots=True)
class Twin:
    """One key of a pair: the one that is tried, or its control."""

    pair: int
    is_tried: bool
    kind: str = AT_ONCE

    @property
    def name(self) -> str:
        return f"{self.kind}/{'tried' if self.is_tried else 'control'}/{self.pair}"

    @property
    def costs(self) -> dict[str, int]:
        steps = PAIR_COSTS[self.kind].items()
        return {step: cost for step, cost in steps if self.is_tried or step in ("first", "last")}


def twins(kind: str) -> list[Twin]:
    return [Twin(pair, is_tried, kind) for pair in range(PAIRS) for is_tried in (True, False)]


async def put_pairs(lab: Lab, rng: Random, target: str) -> dict[Twin, str]:
    """Their keys."""
    keys = {twin: fresh(rng, "pair") for kind in (AT_ONCE, PATIENT) for twin in twins(kind)}
    windows = {AT_ONCE: aligned_window(wall_ms(lab) + 8_000, LONG_MS), PATIENT: PATIENT_MS}
    puts = [limit(target, key, PAIR_LIMIT, windows[twin.kind], twin.name) for twin, key in keys.items()]
    await put_limits(lab, puts)
    return keys


async def ask_pairs(lab: Lab, target: str, keys: dict[Twin, str]) -> None:
    async def ask(twin: Twin) -> list[Op]:
        ops: list[Op] = []
        for step, cost in twin.costs.items():
            if twin.kind == PATIENT and step == "last":
                await lab.sleep(PATIENCE_S)
            ops.append(await lab.call(check(target, keys[twin], f"{twin.name}/{step}", cost)))
        return ops

    asked = {twin: await ask(twin) for twin in twins(AT_ONCE)}
    if sum(any(map(refused, ops)) for twin, ops in asked.items() if not twin.is_tried) > PAIRS - 2:
        await asyncio.gather(*map(ask, twins(PATIENT)))


@dataclass(frozen=True, slots=True)
class Compared:
    """What the pairs of one kind showed."""

    consumed: tuple[tuple[Op, ...], ...] = ()
    """Of each pair that convicts: what was refused, what that kept out, and what the twin was granted."""
    oversize: tuple[Op, ...] = ()
    """Costs above the limit that were allowed."""
    compared: int = 0
    unknown: int = 0


def compare(history: History, kind: str) -> Compared:
    consumed: list[tuple[Op, ...]] = []
    oversize: list[Op] = []
    compared, unknown = 0, 0
    for pair in zip(twins(kind)[::2], twins(kind)[1::2], strict=True):
        tried, control = (history.named(twin.name) for twin in pair)
        no_limit = any(limits_set(history, twin.name) is None for twin in pair)
        if len(tried + control) < 6 or no_limit or not all(map(answered, tried + control)):
            unknown += 1
        elif allowed(tried[0]):
            oversize.append(tried[0])
        elif all(map(allowed, control)) and refused(tried[2]):
            compared += 1
            if refused(tried[1]):
                consumed.append((*tried[:2], control[0]))
            elif refused(tried[3]):
                consumed.append((*tried[2:], control[1]))
    return Compared(tuple(consumed), tuple(oversize), compared, unknown)


def judge_pairs(history: History) -> Finding:
    """A pair convicts where what was refused on one key kept out what the same key's twin was granted."""
    found, again = compare(history, AT_ONCE), compare(history, PATIENT)
    if found.compared < 2 and not found.oversize and again.compared > found.compared:
        found = again
    counted = {"pairs of keys compared": found.compared}
    if len(found.consumed) >= 3:
        refusal, kept_out, _ = found.consumed[0]
        what = (
            f"what was refused consumed: on {len(found.consumed)} of {PAIRS} keys with limit {PAIR_LIMIT} a cost of "
            f"{cost_of(refusal)} was refused, and after it one of {cost_of(kept_out)}, which a key without the first "
            "refusal let through"
        )
        return failed(what, *found.consumed[0], counted=counted)
    if len(found.oversize) >= 3:
        over = cost_of(found.oversize[0])
        what = f"a cost of {over} was allowed on {len(found.oversize)} of {PAIRS} keys with limit {PAIR_LIMIT}"
        return failed(what, *found.oversize, counted=counted, question=OVERSIZE)
    if found.compared < 2 or len(found.consumed) + len(found.oversize) + found.unknown > 2:
        what = (
            f"only {found.compared} of {PAIRS} pairs of keys could be compared; "
            f"{found.unknown} had a request without an answer"
        )
        return inconclusive(what, counted=counted)
    return passed(f"what was refused consumed nothing on {found.compared} keys", counted=counted)
