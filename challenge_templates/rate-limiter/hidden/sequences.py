"""Costs asked for one after the other, in several orders: who counts right in a race may still count wrong in turn."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.clock import aligned_window, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .requests import LONG_MS, allowed, answered, check, cost_of, fresh, limit, limits_set, put_limits, units

LIMIT, ENOUGH, KEYS = 10, 2, 5
"""`ENOUGH` keys of each order decide; the others are asked where an answer was missing."""
ORDERS = {
    "falling": tuple(range(LIMIT, 0, -1)),
    "rising": tuple(range(1, LIMIT + 1)),
    "equal": (2,) * LIMIT,
}
"""The costs, by their order. `falling`: whoever counts a cost as one unit, or forgets the last but one, allows all."""
QUESTION = "Of all that was allowed in the window, what does the count hold when the next cost is compared with it?"


@dataclass(frozen=True, slots=True)
class Sequence:
    """A key that is asked for all costs of an order."""

    order: str
    index: int

    @property
    def name(self) -> str:
        return f"sequence/{self.order}/{self.index}"


SEQUENCES = tuple(Sequence(order, index) for index in range(KEYS) for order in ORDERS)


async def put_sequences(lab: Lab, rng: Random, target: str) -> dict[Sequence, str]:
    """Their keys."""
    keys = {one: fresh(rng, "sequence") for one in SEQUENCES}
    window_ms = aligned_window(wall_ms(lab) + 8_000, LONG_MS)
    await put_limits(lab, [limit(target, key, LIMIT, window_ms, one.name) for one, key in keys.items()])
    return keys


async def ask_sequences(lab: Lab, target: str, keys: dict[Sequence, str]) -> None:
    """The orders side by side, and their keys in turn: so that no border of windows lies in several of one order."""

    async def all_answered(one: Sequence) -> bool:
        calls = [check(target, keys[one], one.name, cost) for cost in ORDERS[one.order]]
        return all([answered(await lab.call(call)) for call in calls])

    whole = dict.fromkeys(ORDERS, 0)
    for index in range(KEYS):
        due = [one for one in keys if one.index == index and whole[one.order] < ENOUGH]
        for one, is_whole in zip(due, await asyncio.gather(*map(all_answered, due)), strict=True):
            whole[one.order] += is_whole


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a sequence."""

    one: Sequence
    took: tuple[Op, ...]
    possible: int
    """Units that were allowed or had no answer."""
    most: float
    """What may be: the limit, what it refills by meanwhile, and as much tolerance as in a race."""
    decided: bool
    """It was asked to its end in a small part of the window, and some of it was allowed."""

    @property
    def violated(self) -> bool:
        return units(self.took) > self.most


def asked(history: History, one: Sequence) -> Asked:
    ops, limits = history.named(one.name), limits_set(history, one.name)
    took = tuple(filter(allowed, ops))
    if limits is None or not took:
        return Asked(one, (), 0, LIMIT, False)
    n, window_ns = limits
    lasted_ns = max(op.received_ns for op in took) - took[0].sent_ns
    possible = units(op for op in ops if allowed(op) or not answered(op))
    most = n * (1 + lasted_ns / window_ns) + 0.05 * n + 1
    whole = len(ops) == len(ORDERS[one.order]) and 2 * lasted_ns <= window_ns
    return Asked(one, took, possible, most, whole)


def judge_sequences(history: History) -> Finding:
    """Two keys of one order convict; each order acquits with two keys that could not have been too much."""
    every = [asked(history, one) for one in SEQUENCES]
    counted = {"sequences of costs": sum(it.decided for it in every)}
    for order in ORDERS:
        bad = [it for it in every if it.one.order == order and it.violated]
        if len(bad) >= ENOUGH:
            worst = bad[0]
            said = ", ".join(str(cost_of(op)) for op in worst.took)
            what = (
                f"with limit {LIMIT}, costs of {said} were allowed one after the other, {units(worst.took)} units "
                f"where at most {worst.most:.1f} may be, on {len(bad)} keys"
            )
            return failed(what, *worst.took, counted=counted, question=QUESTION)
    right = [it for it in every if it.decided and it.possible <= it.most]
    open_still = [order for order in ORDERS if sum(it.one.order == order for it in right) < ENOUGH]
    if open_still:
        what = f"too few keys that were asked for costs in {open_still[0]} order gave the answers to judge by"
        return inconclusive(what, counted=counted)
    return passed(f"costs one after the other took no more than the limit on {len(right)} keys", counted=counted)
