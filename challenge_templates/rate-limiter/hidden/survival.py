"""A full key across a crash: what it admits afterwards, less what it would have admitted anyway."""

import asyncio
from collections.abc import Sequence
from math import ceil
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.clock import aligned_window, wall_ms
from crucible.authoring.facts import noted
from crucible.authoring.outcomes import exactly, inconclusive, not_run, passed
from crucible.check import Finding, History, Lab, Measure
from crucible.evidence import Op

from .requests import allowed, answered, check, fresh, limit, limits_set, put_limit, refused
from .spells import NotCaused

KEPT_LIMIT, KEPT_MS, KEPT_KEYS = 20, 20_000, 2
CONTROL_S = 5.0
"""From filling to asking again, where nothing happens in between."""
APP, CONTROL = "app", "control"
"""Across what keys are kept, beside a crash of a service: a crash of all processes, and nothing at all."""
FILL, PROBE = "fill", "probe"
AT_ONCE = 10


def kept(across: str, *which: object) -> str:
    """What is asked for the keys that are to be full across a crash: a part of it, for one of them."""
    return "/".join(map(str, ("kept", across, *which)))


class FullKeys:
    """Keys that are filled at one time, and asked once more at another."""

    def __init__(self, lab: Lab, rng: Random, across: str) -> None:
        self.lab, self.across, self.window_ms = lab, across, KEPT_MS
        self.keys = [fresh(rng, "kept") for _ in range(KEPT_KEYS)]

    async def set(self) -> None:
        target, name = self.lab.replicas[0], kept(self.across)
        for key in self.keys:
            await put_limit(self.lab, limit(target, key, KEPT_LIMIT, self.window_ms, name))

    async def prepare(self, ahead_ms: int) -> None:
        """Choose the window so that no border of it is near `ahead_ms` from now, and set the limit; it is in force a
        second later."""
        self.window_ms = aligned_window(wall_ms(self.lab) + ahead_ms, KEPT_MS)
        await self.set()

    async def fill(self) -> None:
        await asyncio.gather(*(self._ask(FILL, i, 2 * KEPT_LIMIT) for i in range(KEPT_KEYS)))

    async def probe(self) -> None:
        """Ask for the whole limit again, in answers that say something."""
        await asyncio.gather(*(self._ask(PROBE, i, KEPT_LIMIT) for i in range(KEPT_KEYS)))

    async def _ask(self, part: str, i: int, count: int) -> None:
        """A few at a time, until `count` have been answered, or a filling is refused by everybody."""
        name, said = kept(self.across, part, i), 0
        calls = [check(in_turn(self.lab, n), self.keys[i], name, timeout_s=2) for n in range(AT_ONCE)]
        for _ in range(2 * count // AT_ONCE):
            ops = await self.lab.burst(calls)
            said += sum(map(answered, ops))
            if said >= count or (part == FILL and all(map(refused, ops))):
                return


async def unharmed(lab: Lab, rng: Random) -> None:
    """The same without a fault."""
    keys = FullKeys(lab, rng, CONTROL)
    await keys.prepare(1_200)
    await lab.sleep(1.0)
    await keys.fill()
    await lab.sleep(CONTROL_S)
    await keys.probe()


def was_full(fill: Sequence[Op]) -> bool:
    """Whether a filling ended because the key let nothing more through, or because all of its limit had been."""
    let = sum(map(allowed, fill))
    return let >= KEPT_LIMIT or (let > 0 and any(map(refused, fill)))


def said_enough(probe: Sequence[Op]) -> bool:
    """Whether asking once more for the whole limit was answered for most of it."""
    return sum(map(answered, probe)) >= KEPT_LIMIT / 2


def lost_units(history: History, across: str) -> tuple[int, int] | None:
    """The most units that one key admitted again and would not have by itself: certainly, and possibly.

    None where that was not shown.
    """
    limits, by_itself = limits_set(history, kept(across)), limits_set(history, kept(CONTROL))
    controls = [history.named(kept(CONTROL, PROBE, i)) for i in range(KEPT_KEYS)]
    full = all(was_full(history.named(kept(where, FILL, i))) for where in (CONTROL, across) for i in range(KEPT_KEYS))
    if limits is None or by_itself is None or not all(map(said_enough, controls)) or not full:
        return None
    least = min(sum(map(allowed, ops)) for ops in controls)
    most = max(sum(not refused(op) for op in ops) for ops in controls)
    low = high = 0
    for i in range(KEPT_KEYS):
        fill, ops = history.named(kept(across, FILL, i)), history.named(kept(across, PROBE, i))
        if not said_enough(ops):
            return None
        gap_ns = ops[-1].received_ns - fill[0].sent_ns
        if gap_ns > 0.7 * limits[1]:
            return None
        longer_s = max(0.0, gap_ns / 1e9 - CONTROL_S)
        refill = ceil(KEPT_LIMIT * longer_s * 1e9 / limits[1]) if most else 0
        low = max(low, sum(map(allowed, ops)) - most - refill)
        high = max(high, min(KEPT_LIMIT, sum(not refused(op) for op in ops)) - least)
    return low, max(low, high)


def judge_survival(history: History) -> Finding:
    """A measure: what a window is worth after a crash is the business's to say."""
    measures, said, unsure, not_caused = [], [], [], []
    missed = noted(history, NotCaused)
    for axis, whose, crashes in (
        ("window_lost_app_units", "all processes", (APP,)),
        ("window_lost_store_units", "a store", history.services),
    ):
        found = [lost_units(history, across) for across in crashes]
        known = [lost for lost in found if lost is not None]
        if why := [missed[across].why for across in crashes if across in missed]:
            not_caused += why
        elif len(known) < len(found):
            unsure.append(f"what a full key admits after a crash of {whose} could not be shown")
        elif not known:
            measures.append(exactly(axis, 0, 1))
        else:
            low, high = max(it[0] for it in known), max(it[1] for it in known)
            measures.append(Measure(axis, low, low, high, KEPT_KEYS * len(known)))
            said.append(f"{low} units beyond the limit of {KEPT_LIMIT} after a crash of {whose}")
    names = [kept(across, PROBE) for across in (APP, CONTROL, *history.services)]
    asked = [op for name in names for op in history.named(name)]
    counted = {"units asked for": len(asked), "without an answer": sum(not answered(op) for op in asked)}
    if unsure:
        return inconclusive(unsure[0], counted=counted, measures=measures)
    if not_caused:
        return not_run(not_caused[0], counted=counted, measures=measures)
    return passed(f"a full key admitted {', and '.join(said)}", counted=counted, measures=measures)
