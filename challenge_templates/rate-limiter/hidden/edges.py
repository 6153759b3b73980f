"""Where limits tear: at the edges of windows, of a key's own one and of those that begin with the epoch."""

import asyncio
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.clock import aligned_window, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab, Measure

from .overload import OVERLOAD
from .requests import LONG_MS, Peak, allowed, answered, by_key, check, fresh, limit, limits_set, peak_of, put_limit

EDGE_LIMIT, EDGE_MS = 10, 2_000
SHAPES = {
    "border": ((-0.06, EDGE_LIMIT), (0.01, EDGE_LIMIT)),
    "tail": ((-0.12, EDGE_LIMIT), (0.75, EDGE_LIMIT)),
    "own": ((0.3, 1), (1.2, EDGE_LIMIT - 1), (1.31, EDGE_LIMIT)),
}
"""When how many units are asked for, in windows from an epoch-aligned border. `border`: a fixed window shows; `tail`:
one that weighs its predecessor, or refills; `own`: one that begins with a key's first unit."""
FLOOD = "flood"
KEYS_PER_SHAPE = 2


def edge(shape: str) -> str:
    return f"edge/{shape}"


LOOKED_AT = {OVERLOAD: OVERLOAD} | {edge(shape): shape for shape in (*SHAPES, FLOOD)}
"""The names of the requests that a peak is looked for in, and what each is in words."""


async def edges(lab: Lab, rng: Random) -> None:
    target = lab.replicas[0]
    keys = [(shape, fresh(rng, "edge")) for shape in SHAPES for _ in range(KEYS_PER_SHAPE)]
    for shape, key in keys:
        await put_limit(lab, limit(target, key, EDGE_LIMIT, EDGE_MS, edge(shape)))
    flood = fresh(rng, FLOOD)
    window_ms = aligned_window(wall_ms(lab) + 1_000, LONG_MS)
    await put_limit(lab, limit(target, flood, EDGE_LIMIT, window_ms, edge(FLOOD)))
    await lab.sleep(1.0)
    border_ms = (wall_ms(lab) + EDGE_MS // 5) // EDGE_MS * EDGE_MS + EDGE_MS

    async def strike(shape: str, key: str, windows: float, count: int) -> None:
        await lab.sleep(max(0.0, border_ms + windows * EDGE_MS - wall_ms(lab)) / 1000)
        await lab.burst([check(in_turn(lab, i), key, edge(shape)) for i in range(count)])

    async def overflow() -> None:
        count = EDGE_LIMIT * (len(lab.replicas) + 3)
        await lab.paced([check(in_turn(lab, i), flood, edge(FLOOD)) for i in range(count)], 0.02)

    times = sorted((windows, count, shape, key) for shape, key in keys for windows, count in SHAPES[shape])
    await asyncio.gather(*(strike(shape, key, windows, count) for windows, count, shape, key in times), overflow())


def peaks(history: History, *names: str) -> Peak:
    """Of any key that was asked for under one of these names, or all that are looked at: the highest."""
    found = [Peak(0.0, 0.0)]
    for name in names or LOOKED_AT:
        for key, ops in by_key(history.named(name)).items():
            if (limits := limits_set(history, name, key)) is not None:
                found.append(peak_of(ops, ops, *limits))
    return Peak(max(peak.certain for peak in found), max(peak.possible for peak in found))


def judge_peak(history: History) -> Finding:
    """Certainly more than replicas + 1 times the limit in one window is no limit at all."""
    reached = [name for name in LOOKED_AT if history.named(name) and limits_set(history, name) is not None]
    ops = [op for name in reached for op in history.named(name)]
    silent = sum(not answered(op) for op in ops)
    found, where = peaks(history), max(LOOKED_AT, key=lambda name: peaks(history, name).certain)
    counted = {"requests": len(ops), "kinds of edge": len(reached), "without an answer": silent}
    measures = [Measure("peak_ratio", found.certain, found.certain, found.possible, len(ops))] if ops else []
    most = history.replicas + 1.1  # a unit or so for a steady refill
    if found.certain > most:
        shown = [op for op in history.named(where) if allowed(op)][-3:]
        what = (
            f"{found.certain:.2f} times the limit was certainly allowed within one window, "
            f"on {history.replicas} replicas"
        )
        return failed(what, *shown, counted=counted, measures=measures)
    if len(reached) < len(LOOKED_AT) or not found.certain:
        what = "the windows' edges were not all reached, or nothing was allowed there, or a limit was not taken"
        return inconclusive(what, counted=counted, measures=measures)
    if found.possible > most or silent > 0.05 * len(ops):
        what = f"{silent} of {len(ops)} requests had no answer, so the highest peak may have been {found.possible:.2f}"
        return inconclusive(what, counted=counted, measures=measures)
    what = f"the fullest window held {found.certain:.2f} times the limit ({LOOKED_AT[where]})"
    return passed(what, counted=counted, measures=measures)
