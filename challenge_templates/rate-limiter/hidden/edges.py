"""Where limits tear: at the edges of windows, wherever they begin: with the epoch, with a key's first unit, or ever."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.clock import MS, aligned_window, epoch_ns, note_epoch, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab, Measure
from crucible.evidence import Op

from .overload import OVERLOAD
from .requests import (
    LONG_MS,
    Peak,
    allowed,
    answered,
    by_key,
    check,
    fresh,
    limit,
    limits_set,
    peak_of,
    put_limit,
    put_limits,
)

EDGES = "edges"
"""The scenario."""
EDGE_LIMIT, EDGE_MS, FAR_MS = 10, 2_000, 8_000
"""The limit and its window, and a longer one for who takes more than a fifth of the shorter to answer a burst."""
BORDER, TAIL, OWN, SEEK = "border", "tail", "own", "seek"
SHAPES = {
    BORDER: "at the border of a window that begins with the epoch",
    TAIL: "late in the window after a full one",
    OWN: "at the end of a window that began with the key's first unit",
    SEEK: "as soon as a full key let something through again",
}
"""Where units are asked for, in words. The last one finds the border of windows that begin at any time."""
FLOOD = "flood"
KEYS_PER_SHAPE, TRIES = 2, 3
PER_REPLICA = 2.2
"""Times the limit that a replica may let through in one window: a fixed window or a token bucket of its own lets twice
the limit through, give or take a unit. More limits nothing."""
NO_LIMIT = "What is compared with the limit before a request is let through, and in which units?"


def edge(shape: str, *part: str) -> str:
    return "/".join(("edge", shape, *part))


LOOKED_AT = {OVERLOAD: OVERLOAD} | {edge(shape): shape for shape in (*SHAPES, FLOOD)}
"""The names of the requests that a peak is looked for in, and what each is in words."""


@dataclass(frozen=True, slots=True)
class Site:
    """One key at one kind of edge."""

    lab: Lab
    key: str
    shape: str
    index: int
    took_ms: float
    """What a burst takes here."""
    window_ms: int

    async def burst(self, part: str, count: int, *, spread: bool = False) -> list[Op]:
        """Of one replica, or spread over all."""
        targets = [in_turn(self.lab, i if spread else self.index) for i in range(count)]
        return await self.lab.burst([check(target, self.key, edge(self.shape, part)) for target in targets])

    async def until(self, at_ns: int) -> None:
        await self.lab.sleep(max(0, at_ns - self.lab.now_ns()) / 1e9)


async def at_border(site: Site, lead: float, last: float) -> list[Op]:
    """Bursts so long before the next border that they are over by then, and so long after it, in windows."""
    before_ms, count = lead * site.window_ms + site.took_ms, EDGE_LIMIT * min(2, len(site.lab.replicas))
    border_ms = int(wall_ms(site.lab) + before_ms + 50) // site.window_ms * site.window_ms + site.window_ms
    border_ns = border_ms * MS + site.lab.now_ns() - site.lab.wall_ns()
    await site.until(border_ns - int(before_ms * MS))
    ops = await site.burst("before", count, spread=True)
    latest_ms = 0.95 * site.window_ms - before_ms - site.took_ms
    await site.until(border_ns + int(max(0.01 * site.window_ms, min(last * site.window_ms, latest_ms)) * MS))
    return ops + await site.burst("after", count, spread=True)


async def border(site: Site) -> list[Op]:
    return await at_border(site, 0.06, 0.01)


async def tail(site: Site) -> list[Op]:
    return await at_border(site, 0.12, 0.75)


async def own(site: Site) -> list[Op]:
    """One unit, all but one just before that has left, and as many as there are as soon as the design says it has."""
    (first,) = await site.burst("first", 1)
    await site.until(first.sent_ns + site.window_ms * MS - int((site.took_ms + 0.05 * site.window_ms) * MS))
    before = await site.burst("before", EDGE_LIMIT - 1)
    await site.until(first.received_ns + site.window_ms * MS + 10 * MS)
    return [first, *before, *await asked_until_let(site, before, 0.02)]


async def seek(site: Site) -> list[Op]:
    """Fill the key and ask until it lets one through; then for the rest."""
    await site.lab.sleep(0.4 * site.window_ms / 1000 * (site.index % KEYS_PER_SHAPE))
    before = await site.burst("before", EDGE_LIMIT)
    return before + await asked_until_let(site, before, 0.04)


async def asked_until_let(site: Site, before: Sequence[Op], gap_s: float) -> list[Op]:
    """Ask for one unit again and again until it is let through, for a window at most; then for the rest at once."""
    end_ns, ops = min(op.sent_ns for op in before) + site.window_ms * MS, list[Op]()
    while site.lab.now_ns() < end_ns:
        ops += await site.burst("ask", 1)
        if allowed(ops[-1]):
            return ops + await site.burst("after", EDGE_LIMIT - 1)
        await site.lab.sleep(gap_s)
    return ops


STRIKES: dict[str, Callable[[Site], Awaitable[list[Op]]]] = {BORDER: border, TAIL: tail, OWN: own, SEEK: seek}


def struck(shape: str, ops: Sequence[Op], window_ns: int, epoch: int) -> bool:
    """Whether the bursts for one key lay where they were to, by when they were really sent and answered."""
    first, before, ask, after = (
        [op for op in ops if op.name == edge(shape, part)] for part in ("first", "before", "ask", "after")
    )
    if not before or sum(map(answered, ops)) < 0.9 * len(ops):
        return False
    start_ns, over_ns = min(op.sent_ns for op in before), max(op.received_ns for op in before)
    in_time = bool(after) and max(op.received_ns for op in after) <= start_ns + window_ns
    if shape in (SEEK, OWN):
        ends = [(op.sent_ns + window_ns, op.received_ns + window_ns) for op in first if allowed(op)]
        there = shape == SEEK or (bool(ends) and over_ns <= ends[0][0] and ask[-1:] and ask[0].sent_ns >= ends[0][1])
        return bool(there and ask) and (in_time or ask[-1].received_ns >= start_ns + 0.9 * window_ns)
    if not in_time:
        return False
    again_ns = min(op.sent_ns for op in after)
    border_ns = (again_ns + epoch) // window_ns * window_ns - epoch
    since = 0.3 * window_ns if shape == TAIL else 0
    return border_ns - window_ns <= start_ns and over_ns <= border_ns <= again_ns - since


async def edges(lab: Lab, rng: Random) -> None:
    """Each kind of edge on several keys; again on a fresh one where a burst came too late to strike."""
    epoch = note_epoch(lab, EDGES)
    tries = [(shape, index, fresh(rng, "edge")) for shape in SHAPES for index in range(KEYS_PER_SHAPE * TRIES)]
    flood, warm = fresh(rng, FLOOD), fresh(rng, "warm")
    flood_ms = aligned_window(wall_ms(lab) + 2_000, LONG_MS)
    await put_limit(lab, limit(lab.replicas[0], warm, EDGE_LIMIT, EDGE_MS, edge("warm")))
    await lab.sleep(1.0)
    ops = await lab.burst([check(in_turn(lab, i), warm, edge("warm")) for i in range(2 * EDGE_LIMIT)])
    took_ms = longest_ms(ops)
    window_ms = EDGE_MS if took_ms < 0.2 * EDGE_MS else FAR_MS
    puts = [limit(lab.replicas[0], key, EDGE_LIMIT, window_ms, edge(shape)) for shape, _, key in tries]
    await put_limits(lab, [*puts, limit(lab.replicas[0], flood, EDGE_LIMIT, flood_ms, edge(FLOOD))])
    await lab.sleep(1.0)

    async def strike(shape: str, phase: int) -> None:
        most_ms = took_ms
        for key, index in [
            (key, index) for one, index, key in tries if (one, index % KEYS_PER_SHAPE) == (shape, phase)
        ]:
            found = await STRIKES[shape](Site(lab, key, shape, index, most_ms, window_ms))
            if struck(shape, found, window_ms * MS, epoch):
                break
            most_ms = max(most_ms, longest_ms(found))

    async def overflow() -> None:
        await lab.paced([check(in_turn(lab, i), flood, edge(FLOOD)) for i in range(flooding(len(lab.replicas)))], 0.02)

    await asyncio.gather(*(strike(shape, phase) for shape in SHAPES for phase in range(KEYS_PER_SHAPE)), overflow())


def longest_ms(ops: Sequence[Op]) -> float:
    return max((op.received_ns - op.sent_ns for op in ops if answered(op)), default=0) / MS


def flooding(replicas: int) -> int:
    """How many units are asked for in one long window: so many that more than what may be could be let through."""
    return int(EDGE_LIMIT * (PER_REPLICA * replicas + 1))


def missed(history: History) -> list[str]:
    """What was not looked at as it has to be before it can be said that no window held more, in words."""
    epoch = epoch_ns(history, EDGES)
    found = []
    for shape, where in SHAPES.items():
        limits = limits_set(history, edge(shape))
        if limits is None or epoch is None:
            found.append(where)
            continue
        hit = sum(struck(shape, ops, limits[1], epoch) for ops in by_key(history.named(edge(shape))).values())
        if hit < (KEYS_PER_SHAPE if shape == SEEK else 1):
            found.append(where)
    flood, overload = history.named(edge(FLOOD)), history.named(OVERLOAD)
    if len(flood) < flooding(history.replicas) or limits_set(history, edge(FLOOD)) is None:
        found.append("in a flood of requests")
    if not overload or limits_set(history, OVERLOAD) is None:
        found.append("under a steady overload")
    return found


def peaks(history: History, *names: str) -> Peak:
    """Of any key that was asked for under one of these names, or all that are looked at: the highest."""
    found = [Peak(0.0, 0.0)]
    for name in names or LOOKED_AT:
        for key, ops in by_key(history.named(name)).items():
            if (limits := limits_set(history, name, key)) is not None:
                found.append(peak_of(ops, ops, *limits))
    return Peak(max(peak.certain for peak in found), max(peak.possible for peak in found))


def judge_peak(history: History) -> Finding:
    """Certainly more than what a counter of its own in each replica lets through in one window is no limit at all."""
    reached = [name for name in LOOKED_AT if history.named(name) and limits_set(history, name) is not None]
    ops = [op for name in reached for op in history.named(name)]
    silent = sum(not answered(op) for op in ops)
    found, where = peaks(history), max(LOOKED_AT, key=lambda name: peaks(history, name).certain)
    counted = {"requests": len(ops), "kinds of edge": len(reached), "without an answer": silent}
    measures = [Measure("peak_ratio", found.certain, found.certain, found.possible, len(ops))] if ops else []
    most = PER_REPLICA * history.replicas
    if found.certain > most:
        shown = [op for op in history.named(where) if allowed(op)][-3:]
        what = (
            f"{found.certain:.2f} times the limit was certainly allowed within one window, "
            f"and at most {most:.1f} times may be on {history.replicas} replicas"
        )
        return failed(what, *shown, counted=counted, measures=measures, question=NO_LIMIT)
    if not found.certain:
        return inconclusive("nothing was allowed, or no limit was taken", counted=counted, measures=measures)
    if not_seen := missed(history):
        what = f"no request could be placed {not_seen[0]}, so a higher peak may be there"
        return inconclusive(what, counted=counted, measures=measures)
    if found.possible > most or silent > 0.05 * len(ops):
        what = f"{silent} of {len(ops)} requests had no answer, so the highest peak may have been {found.possible:.2f}"
        return inconclusive(what, counted=counted, measures=measures)
    what = f"the fullest window held {found.certain:.2f} times the limit ({LOOKED_AT[where]})"
    return passed(what, counted=counted, measures=measures)
