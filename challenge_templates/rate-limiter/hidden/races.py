"""Races: bursts of five times the limit, of cost 1 and of mixed costs, and what they let through."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from crucible.check import Finding, History, Lab, Measure, Outcome
from crucible.evidence import Op
from crucible.oracles.windows import most_in_flight

from .pairs import ask_pairs, judge_pairs, put_pairs
from .rehearsal import CROWD, SHUT_LIMIT, Distance, Rehearsal, becomes_shut, feel_distance, rehearse
from .requests import LONG_MS, allowed, answered, check, fresh, limit, limits_set, put_limit, units
from .windows import aligned_window, into_first_half, note_epoch, now_ms

TRIES = (29, 37, 53)
"""Limits of the races: a pool of 12 that races admits 36 of 29 but 48 of 47, so one limit can hide it."""
SPARES = 3
"""Keys on which a race is repeated where too much of it had no answer to be decided."""


async def race(lab: Lab, rng: Random) -> None:
    """A rehearsal and six races, with far services where that is no outage to the solution; then pairs of keys."""
    target, epoch_ms = rng.choice(lab.replicas), note_epoch(lab)
    pairs = await put_pairs(lab, rng, target, epoch_ms)
    key = fresh(rng, "shut")
    shut = check(target, key, "shut")
    await put_limit(lab, limit(target, key, SHUT_LIMIT, LONG_MS, "shut"))
    limits_at_all = await becomes_shut(lab, shut, within_s=3)
    distance = Distance(leaks=False, silences=False)
    async with lab.slow(20):
        far = await rehearse(lab, rng, target)
        if limits_at_all:
            distance = await feel_distance(lab, shut)
        if far is not None and far.burst_ms < 4_000 and not distance.leaks:
            await run_races(lab, rng, target, epoch_ms, far)
    if limits_at_all and not await becomes_shut(lab, shut, within_s=30):
        return  # it still acts as if in an outage, of which nothing here may be held against it
    if far is None or far.burst_ms >= 4_000 or distance.leaks or distance.silences:
        near = await rehearse(lab, rng, target)
        if near is not None:
            await run_races(lab, rng, target, epoch_ms, near)
    await ask_pairs(lab, target, pairs)


async def run_races(lab: Lab, rng: Random, target: str, epoch_ms: int, rehearsal: Rehearsal) -> None:
    burst_ms = rehearsal.burst_ms
    races = [(f"race/{n}", n, [1] * (5 * n)) for n in TRIES] + [(f"costs/{n}", n, mixed_costs(rng, n)) for n in TRIES]
    keys = [[fresh(rng, "race") for _ in range(1 + SPARES)] for _ in races]
    starts, start_ms = [], now_ms(lab, epoch_ms) + 2 * rehearsal.put_ms + 1_100
    for _, _, costs in races:
        starts.append(int(start_ms))
        start_ms += 50 + burst_ms * len(costs) / CROWD
    windows = [aligned_window(start, max(2_000, int(15 * burst_ms))) for start in starts]
    await asyncio.gather(
        *(
            put_limit(lab, limit(target, key, n, w, name))
            for own, w, (name, n, _) in zip(keys, windows, races, strict=True)
            for key in own
        )
    )
    in_force_ms = now_ms(lab, epoch_ms) + 1_000
    for own, start, window_ms, (name, n, costs) in zip(keys, starts, windows, races, strict=True):
        await lab.sleep(max(0, max(start, in_force_ms) - now_ms(lab, epoch_ms)) / 1000)
        for key in own:
            await into_first_half(lab, epoch_ms, window_ms)
            ops = await lab.burst([check(target, key, name, cost, timeout_s=8) for cost in costs])
            certain, lost = units([op for op in ops if allowed(op)]), units([op for op in ops if not answered(op)])
            # again only where lost answers leave it open: not once too much was allowed, or where hardly any came
            if certain > n or certain + lost <= 1.05 * n + 1 or lost > 0.5 * units(ops):
                break


def mixed_costs(rng: Random, units_allowed: int) -> list[int]:
    """Costs of 1 to 5 that come to five times `units_allowed`, or up to 4 more."""
    costs: list[int] = []
    while sum(costs) < 5 * units_allowed:
        costs.append(rng.randint(1, 5))
    return costs


@dataclass(frozen=True, slots=True)
class Try:
    """What one race showed."""

    limit: int
    state: str
    """`violated`, `clean` or `undecided`."""
    why: str
    """In words: the numbers, or what kept it from being decided."""
    certain: int = 0
    """Units certainly allowed."""
    possible: int = 0
    """Those, and what was asked for without an answer."""
    in_flight: int = 0
    members: tuple[Op, ...] = ()


def judge_race(history: History, race: str, n: int) -> Try:
    """The race, or where it was repeated its last try, unless an earlier one is violated."""
    by_key: dict[str, list[Op]] = {}
    for op in history.named(f"{race}/{n}"):
        if isinstance(op.request.body, dict):
            by_key.setdefault(str(op.request.body["key"]), []).append(op)
    if not by_key:
        return Try(n, "undecided", "it did not get as far as its burst")
    tries = [judge_try(history, n, ops, limits_set(history, f"{race}/{n}", key)) for key, ops in by_key.items()]
    return next((t for t in tries if t.state == "violated"), tries[-1])


def judge_try(history: History, n: int, ops: Sequence[Op], limits: tuple[int, int] | None) -> Try:
    """More than N (1 + d/W) + 5 % of N + 1 units in the time d is too much; a GCRA refills by N d/W."""
    took = [op for op in ops if allowed(op)]
    certain, in_flight = units(took), most_in_flight(ops)
    possible = certain + units([op for op in ops if not answered(op)])
    undecided = partial(Try, n, "undecided", certain=certain, possible=possible, in_flight=in_flight)
    epoch_ms = history.facts.get("epoch_ms")
    if limits is None or not isinstance(epoch_ms, int):
        return undecided("its limit was not taken")
    if not took:
        return undecided("nothing was allowed")
    if in_flight < 8:
        return undecided(f"only {in_flight} requests were in flight at once")
    first_ns, last_ns = min(op.sent_ns for op in took), max(op.received_ns for op in took)
    lasted_ns, window_ns, epoch_ns = last_ns - first_ns, limits[1], epoch_ms * 1_000_000
    lasted = f"{lasted_ns / 1e9:.2f} s"
    if 10 * lasted_ns > window_ns:
        return undecided(f"the burst took {lasted}, too long for a window of {window_ns / 1e9:.1f} s")
    if (epoch_ns + first_ns) // window_ns != (epoch_ns + last_ns) // window_ns:
        return undecided("the burst lay across the border of two windows")
    bound = n * (1 + lasted_ns / window_ns) + 0.05 * n + 1
    if certain > bound:
        why = f"with limit {n}, {certain} units were certainly allowed within {lasted}"
        return Try(n, "violated", why, certain, possible, in_flight, tuple(took))
    if possible > bound:
        return undecided(f"{certain} of {n} units were allowed and {possible - certain} had no answer")
    return Try(n, "clean", f"{certain} of {n}", certain, possible, in_flight)


def judge_tries(history: History, race: str) -> Finding:
    """Two violated races convict; a pass needs that the undecided ones could not have made it two."""
    tries = [judge_race(history, race, n) for n in TRIES]
    violated = [t for t in tries if t.state == "violated"]
    undecided = [t for t in tries if t.state == "undecided"]
    evidence = {
        "races decided": len(tries) - len(undecided),
        "units allowed": sum(t.certain for t in tries),
        "requests in flight at once": max(t.in_flight for t in tries),
    }
    peaks = [t.certain / t.limit for t in tries if t.certain]
    highest = max((t.possible / t.limit for t in tries if t.certain), default=0.0)
    measures = (Measure("peak_ratio", max(peaks), max(peaks), highest, len(peaks)),) if peaks else ()
    if len(violated) >= 2:
        members = sorted(violated[0].members, key=lambda op: op.received_ns)
        examples = tuple(sorted((members[0], *members[-2:]), key=lambda op: op.sent_ns))
        what = "; ".join(t.why for t in violated)
        return Finding(Outcome.FAIL, what, examples, measures, evidence)
    if len(violated) + len(undecided) > 1:
        why = "; ".join(f"limit {t.limit}: {t.why}" for t in undecided)
        what = f"{len(undecided)} of {len(tries)} races could not be decided ({why})"
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    clean = ", ".join(t.why for t in tries if t.state == "clean")
    exception = "".join(f"; in one, {t.why}" for t in violated) + "".join(f"; in one, {t.why}" for t in undecided)
    what = f"asked for five times the limit at once, {clean} units were allowed{exception}"
    return Finding(Outcome.PASS, what, (), measures, evidence)


def judge_cost(history: History) -> Finding:
    """The worse of the races of mixed costs and of the pairs."""
    race, pairs = judge_tries(history, "costs"), judge_pairs(history)
    worst = max(race.outcome, pairs.outcome, key=list(Outcome).index)
    said = [part for part in (race, pairs) if part.outcome is worst]
    evidence = {**race.evidence, **pairs.evidence}
    return Finding(worst, "; ".join(part.what for part in said), said[0].examples, race.measures, evidence)
