"""A full key across a crash: what it admits afterwards, less what it would have admitted anyway."""

import asyncio
from math import ceil
from random import Random

from crucible.check import Finding, History, Lab, Measure, Outcome

from .requests import allowed, answered, check, fresh, limit, limits_set, put_limit, refused
from .windows import aligned_window, note_epoch, now_ms

KEPT_LIMIT, KEPT_MS, KEPT_KEYS = 20, 20_000, 2
CONTROL_S = 5.0
"""From filling to asking again, where nothing happens in between."""
CONTROL = "control"
AT_ONCE = 10


class FullKeys:
    """Keys that are filled at one time, and asked once more at another."""

    def __init__(self, lab: Lab, rng: Random, name: str) -> None:
        self.lab, self.name, self.window_ms = lab, name, KEPT_MS
        self.keys = [fresh(rng, "kept") for _ in range(KEPT_KEYS)]

    async def set(self) -> None:
        for key in self.keys:
            await put_limit(self.lab, limit(self.lab.replicas[0], key, KEPT_LIMIT, self.window_ms, f"kept/{self.name}"))

    async def prepare(self, ahead_ms: int) -> None:
        """Choose the window so that no border of it is near `ahead_ms` from now, and set the limit; it is in force a
        second later."""
        epoch_ms = note_epoch(self.lab)
        self.window_ms = aligned_window(now_ms(self.lab, epoch_ms) + ahead_ms, KEPT_MS)
        await self.set()

    async def fill(self) -> None:
        await asyncio.gather(*(self._ask("fill", i, 2 * KEPT_LIMIT) for i in range(KEPT_KEYS)))

    async def probe(self) -> None:
        """Ask for the whole limit again, in answers that say something."""
        await asyncio.gather(*(self._ask("probe", i, KEPT_LIMIT) for i in range(KEPT_KEYS)))

    async def _ask(self, part: str, i: int, count: int) -> None:
        """A few at a time, until `count` have been answered, or a filling is refused by everybody."""
        targets, name, said = self.lab.replicas, f"kept/{self.name}/{part}/{i}", 0
        for _ in range(2 * count // AT_ONCE):
            calls = [check(targets[n % len(targets)], self.keys[i], name, timeout_s=2) for n in range(AT_ONCE)]
            ops = await self.lab.burst(calls)
            said += sum(map(answered, ops))
            if said >= count or (part == "fill" and all(map(refused, ops))):
                return


async def unharmed(lab: Lab, rng: Random) -> None:
    """The same without a fault."""
    keys = FullKeys(lab, rng, CONTROL)
    await keys.prepare(1_200)
    await lab.sleep(1.0)
    await keys.fill()
    await lab.sleep(CONTROL_S)
    await keys.probe()


def lost_units(history: History, name: str) -> tuple[int, int] | None:
    """The most units that one key admitted again and would not have by itself: certainly, and possibly.

    None where that was not shown.
    """
    limits, by_itself = limits_set(history, f"kept/{name}"), limits_set(history, f"kept/{CONTROL}")
    controls = [history.named(f"kept/{CONTROL}/probe/{i}") for i in range(KEPT_KEYS)]
    if limits is None or by_itself is None or not all(controls):
        return None
    least = min(sum(map(allowed, ops)) for ops in controls)
    most = max(sum(not refused(op) for op in ops) for ops in controls)
    low = high = 0
    for i in range(KEPT_KEYS):
        fill, ops = history.named(f"kept/{name}/fill/{i}"), history.named(f"kept/{name}/probe/{i}")
        if not ops or not fill or not any(map(allowed, fill)):
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
    measures: list[Measure] = []
    said, unsure, not_caused = [], [], []
    for axis, whose, names in (
        ("window_lost_app_units", "all processes", ["app"]),
        ("window_lost_store_units", "a store", list(history.services)),
    ):
        missed = [str(why) for name in names if (why := history.facts.get(f"not caused/{name}/crash")) is not None]
        found = [lost_units(history, name) for name in names]
        known = [it for it in found if it is not None]
        if missed:
            not_caused += missed
        elif len(known) < len(found):
            unsure.append(f"what a full key admits after a crash of {whose} could not be shown")
        elif not known:
            measures.append(Measure(axis, 0, 0, 0, 1))
        else:
            low, high = max(it[0] for it in known), max(it[1] for it in known)
            measures.append(Measure(axis, low, low, high, KEPT_KEYS * len(known)))
            said.append(f"{low} units beyond the limit of {KEPT_LIMIT} after a crash of {whose}")
    asked = [op for op in history.named("kept") if "/probe/" in op.name]
    evidence = {"units asked for": len(asked), "without an answer": sum(not answered(op) for op in asked)}
    if unsure:
        return Finding(Outcome.INCONCLUSIVE, unsure[0], (), tuple(measures), evidence)
    if not_caused:
        return Finding(Outcome.NOT_RUN, not_caused[0], (), tuple(measures), evidence)
    return Finding(Outcome.PASS, f"a full key admitted {', and '.join(said)}", (), tuple(measures), evidence)
