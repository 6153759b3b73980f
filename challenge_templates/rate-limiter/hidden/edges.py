"""Where limits tear: at the edges of windows, of a key's own one and of those that begin with the epoch."""

import asyncio
from random import Random

from crucible.check import Finding, History, Lab, Measure, Outcome
from crucible.evidence import Op
from crucible.oracles.windows import peak_units

from .requests import LONG_MS, allowed, answered, check, claims, fresh, limit, limits_set, put_limit, unanswered_claims
from .windows import aligned_window, note_epoch, now_ms

EDGE_LIMIT, EDGE_MS = 10, 2_000
SHAPES = {
    "border": ((-0.06, EDGE_LIMIT), (0.01, EDGE_LIMIT)),
    "tail": ((-0.12, EDGE_LIMIT), (0.75, EDGE_LIMIT)),
    "own": ((0.3, 1), (1.2, EDGE_LIMIT - 1), (1.31, EDGE_LIMIT)),
}
"""When how many units are asked for, in windows from an epoch-aligned border. `border`: a fixed window shows; `tail`:
one that weighs its predecessor, or refills; `own`: one that begins with a key's first unit."""
KEYS_PER_SHAPE = 2
LOOKED_AT = ("overload", *(f"edge/{shape}" for shape in (*SHAPES, "flood")))
"""The names of the requests that a peak is looked for in."""


async def edges(lab: Lab, rng: Random) -> None:
    epoch_ms, targets = note_epoch(lab), lab.replicas
    keys = [(shape, fresh(rng, "edge")) for shape in SHAPES for _ in range(KEYS_PER_SHAPE)]
    for shape, key in keys:
        await put_limit(lab, limit(targets[0], key, EDGE_LIMIT, EDGE_MS, f"edge/{shape}"))
    flood = fresh(rng, "flood")
    window_ms = aligned_window(now_ms(lab, epoch_ms) + 1_000, LONG_MS)
    await put_limit(lab, limit(targets[0], flood, EDGE_LIMIT, window_ms, "edge/flood"))
    await lab.sleep(1.0)
    begin_ms = now_ms(lab, epoch_ms)
    border_ms = (begin_ms + EDGE_MS // 5) // EDGE_MS * EDGE_MS + EDGE_MS

    async def strike(shape: str, key: str, windows: float, count: int) -> None:
        await lab.sleep(max(0.0, border_ms + windows * EDGE_MS - now_ms(lab, epoch_ms)) / 1000)
        await lab.burst([check(targets[i % len(targets)], key, f"edge/{shape}") for i in range(count)])

    async def overflow() -> None:
        count = EDGE_LIMIT * (len(targets) + 3)
        await lab.paced([check(targets[i % len(targets)], flood, "edge/flood") for i in range(count)], 0.02)

    times = sorted((windows, count, shape, key) for shape, key in keys for windows, count in SHAPES[shape])
    await asyncio.gather(*(strike(shape, key, windows, count) for windows, count, shape, key in times), overflow())


def peaks(history: History) -> tuple[float, float, str]:
    """The highest peak ratio that is certain, the highest that is possible, and where the certain one was seen."""
    value, high, where = 0.0, 0.0, ""
    for name in LOOKED_AT:
        by_key: dict[str, list[Op]] = {}
        for op in history.named(name):
            body = op.request.body
            by_key.setdefault(str(body.get("key")) if isinstance(body, dict) else "", []).append(op)
        for key, own in by_key.items():
            limits = limits_set(history, name, key)
            if limits is None:
                continue
            n, window_ns = limits
            took = claims([op for op in own if allowed(op)])
            ratio = peak_units(took, window_ns).units / n
            high = max(high, peak_units(took + unanswered_claims(own), window_ns).units / n)
            if ratio > value:
                value, where = ratio, name
    return value, high, where


def judge_peak(history: History) -> Finding:
    """Certainly more than replicas + 1 times the limit in one window is no limit at all."""
    shapes = [name for name in LOOKED_AT if history.named(name) and limits_set(history, name) is not None]
    ops = [op for name in shapes for op in history.named(name)]
    silent = [op for op in ops if not answered(op)]
    value, high, where = peaks(history)
    evidence = {"requests": len(ops), "kinds of edge": len(shapes), "without an answer": len(silent)}
    measures = (Measure("peak_ratio", value, value, high, len(ops)),) if ops else ()
    most = history.replicas + 1.1  # a unit or so for a steady refill
    if value > most:
        what = f"{value:.2f} times the limit was certainly allowed within one window, on {history.replicas} replicas"
        shown = tuple(op for op in history.named(where) if allowed(op))[-3:]
        return Finding(Outcome.FAIL, what, shown, measures, evidence)
    if len(shapes) < len(LOOKED_AT) or not value:
        what = "the windows' edges were not all reached, or nothing was allowed there, or a limit was not taken"
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    if high > most or len(silent) > 0.05 * len(ops):
        what = f"{len(silent)} of {len(ops)} requests had no answer, so the highest peak may have been {high:.2f}"
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    what = f"the fullest window held {value:.2f} times the limit ({where.removeprefix('edge/')})"
    return Finding(Outcome.PASS, what, (), measures, evidence)
