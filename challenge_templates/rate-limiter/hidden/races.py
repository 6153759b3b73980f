"""Races: bursts of five times the limit, of cost 1 and of mixed costs, and what they let through."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from crucible.authoring.clock import aligned_window, epoch_ns, into_first_half, note_epoch, wall_ms
from crucible.authoring.outcomes import failed, inconclusive, passed, worst
from crucible.check import Finding, History, Lab, Measure, Outcome
from crucible.evidence import Op
from crucible.oracles.windows import most_in_flight

from .pairs import ask_pairs, judge_pairs, put_pairs
from .rehearsal import CROWD, SHUT_LIMIT, Distance, Rehearsal, becomes_shut, feel_distance, rehearse
from .requests import LONG_MS, allowed, answered, by_key, check, fresh, limit, limits_set, put_limit, units
from .sequences import ask_sequences, judge_sequences, put_sequences

RACE = "race"
"""The scenario."""
TRIES = (29, 37, 53)
"""Limits of the races: a pool of 12 that races admits 36 of 29 but 48 of 47, so one limit can hide it."""
LEAST_MS, WIDE = 10_000, 40
"""A race's window, and how many bursts it is long: a fixed one may begin at any time, and two of three races would have
to lie across its border to convict it."""
SPARES = 3
"""Keys on which a race is repeated where too much of it had no answer to be decided."""


@dataclass(frozen=True, slots=True)
class Race:
    """A burst for one key with this limit."""

    kind: str
    """`race`: of checks of cost 1; `costs`: of several costs."""
    limit: int

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.limit}"

    def costs(self, rng: Random) -> list[int]:
        """What is asked for: five times the limit, or up to 4 more in costs of 1 to 5."""
        if self.kind == "race":
            return [1] * (5 * self.limit)
        costs: list[int] = []
        while sum(costs) < 5 * self.limit:
            costs.append(rng.randint(1, 5))
        return costs


EQUAL, MIXED = (tuple(Race(kind, n) for n in TRIES) for kind in ("race", "costs"))


async def race(lab: Lab, rng: Random) -> None:
    """A rehearsal and six races, with far services where that is no outage to the solution; then pairs of keys, and
    costs in turn."""
    note_epoch(lab, RACE)
    target = rng.choice(lab.replicas)
    pairs = await put_pairs(lab, rng, target)
    sequences = await put_sequences(lab, rng, target)
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
            await run_races(lab, rng, target, far)
    if limits_at_all and not await becomes_shut(lab, shut, within_s=30):
        return  # it still acts as if in an outage, of which nothing here may be held against it
    if far is None or far.burst_ms >= 4_000 or distance.leaks or distance.silences:
        near = await rehearse(lab, rng, target)
        if near is not None:
            await run_races(lab, rng, target, near)
    await ask_pairs(lab, target, pairs)
    await ask_sequences(lab, target, sequences)


@dataclass(frozen=True, slots=True)
class Planned:
    """A race with its keys, and with a window that it is to lie in."""

    race: Race
    costs: list[int]
    keys: list[str]
    start_ms: int
    window_ms: int


def plan(rng: Random, start_ms: float, burst_ms: float) -> list[Planned]:
    """All races, one after the other from `start_ms` on."""
    planned = []
    for run, costs in {run: run.costs(rng) for run in (*EQUAL, *MIXED)}.items():
        keys = [fresh(rng, "race") for _ in range(1 + SPARES)]
        window_ms = aligned_window(int(start_ms), max(LEAST_MS, int(WIDE * burst_ms)))
        planned.append(Planned(run, costs, keys, int(start_ms), window_ms))
        start_ms += 50 + burst_ms * len(costs) / CROWD
    return planned


async def run_races(lab: Lab, rng: Random, target: str, rehearsal: Rehearsal) -> None:
    planned = plan(rng, wall_ms(lab) + 2 * rehearsal.put_ms + 1_100, rehearsal.burst_ms)
    puts = [limit(target, key, run.race.limit, run.window_ms, run.race.name) for run in planned for key in run.keys]
    await asyncio.gather(*(put_limit(lab, put) for put in puts))
    in_force_ms = wall_ms(lab) + 1_000
    for run in planned:
        await lab.sleep(max(0, max(run.start_ms, in_force_ms) - wall_ms(lab)) / 1000)
        for key in run.keys:
            await into_first_half(lab, run.window_ms)
            ops = await lab.burst([check(target, key, run.race.name, cost, timeout_s=8) for cost in run.costs])
            n, certain, lost = run.race.limit, units(filter(allowed, ops)), units(op for op in ops if not answered(op))
            # again only where lost answers leave it open: not once too much was allowed, or where hardly any came
            if certain > n or certain + lost <= 1.05 * n + 1 or lost > 0.5 * units(ops):
                break


@dataclass(frozen=True, slots=True)
class Try:
    """What one race showed."""

    limit: int
    outcome: Outcome
    """FAIL: it let too much through; PASS: it did not."""
    why: str
    """In words: the numbers, or what kept it from being decided."""
    certain: int = 0
    """Units certainly allowed."""
    possible: int = 0
    """Those, and what was asked for without an answer."""
    in_flight: int = 0
    members: tuple[Op, ...] = ()


def judge_race(history: History, run: Race) -> Try:
    """The race, or where it was repeated its last try, unless an earlier one is violated."""
    tries = [judge_try(history, run, key, ops) for key, ops in by_key(history.named(run.name)).items()]
    if not tries:
        return Try(run.limit, Outcome.INCONCLUSIVE, "it did not get as far as its burst")
    return next((one for one in tries if one.outcome is Outcome.FAIL), tries[-1])


def judge_try(history: History, run: Race, key: str, ops: Sequence[Op]) -> Try:
    """More than N (1 + d/W) + 5 % of N + 1 units in the time d is too much; a GCRA refills by N d/W."""
    n, limits, epoch = run.limit, limits_set(history, run.name, key), epoch_ns(history, RACE)
    took = [op for op in ops if allowed(op)]
    certain, in_flight = units(took), most_in_flight(ops)
    possible = certain + units(op for op in ops if not answered(op))
    tried = partial(Try, n, certain=certain, possible=possible, in_flight=in_flight)
    undecided = partial(tried, Outcome.INCONCLUSIVE)
    if limits is None or epoch is None:
        return undecided("its limit was not taken")
    if not took:
        return undecided("nothing was allowed")
    if in_flight < 8:
        return undecided(f"only {in_flight} requests were in flight at once")
    first_ns, last_ns = min(op.sent_ns for op in took), max(op.received_ns for op in took)
    lasted_ns, window_ns = last_ns - first_ns, limits[1]
    lasted = f"{lasted_ns / 1e9:.2f} s"
    if possible <= 1.05 * n + 1:
        return tried(Outcome.PASS, f"{certain} of {n}")  # however long it took, and wherever a window ended
    if 10 * lasted_ns > window_ns:
        return undecided(f"the burst took {lasted}, too long for a window of {window_ns / 1e9:.1f} s")
    if (epoch + first_ns) // window_ns != (epoch + last_ns) // window_ns:
        return undecided("the burst lay across the border of two windows")
    bound = n * (1 + lasted_ns / window_ns) + 0.05 * n + 1
    if certain > bound:
        why = (
            f"with limit {n}, {certain} units were certainly allowed within {lasted}, where at most {bound:.1f} may be"
        )
        return tried(Outcome.FAIL, why, members=tuple(took))
    if possible > bound:
        return undecided(f"{certain} of {n} units were allowed and {possible - certain} had no answer")
    return tried(Outcome.PASS, f"{certain} of {n}")


def judge_tries(history: History, races: Sequence[Race] = EQUAL) -> Finding:
    """Two violated races convict; a pass needs that the undecided ones could not have made it two."""
    tries = [judge_race(history, run) for run in races]
    clean, violated, undecided = (
        [one for one in tries if one.outcome is outcome]
        for outcome in (Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE)
    )
    counted = {
        "races decided": len(tries) - len(undecided),
        "units allowed": sum(one.certain for one in tries),
        "requests in flight at once": max(one.in_flight for one in tries),
    }
    peaks = [one.certain / one.limit for one in tries if one.certain]
    highest = max((one.possible / one.limit for one in tries if one.certain), default=0.0)
    measures = [Measure("peak_ratio", max(peaks), max(peaks), highest, len(peaks))] if peaks else []
    if len(violated) >= 2:
        members = sorted(violated[0].members, key=lambda op: op.received_ns)
        what = "; ".join(one.why for one in violated)
        return failed(what, members[0], *members[-2:], counted=counted, measures=measures)
    if len(violated) + len(undecided) > 1:
        why = "; ".join(f"limit {one.limit}: {one.why}" for one in undecided)
        what = f"{len(undecided)} of {len(tries)} races could not be decided ({why})"
        return inconclusive(what, counted=counted, measures=measures)
    exception = "".join(f"; in one, {one.why}" for one in violated + undecided)
    let = ", ".join(one.why for one in clean)
    what = f"asked for five times the limit at once, {let} units were allowed{exception}"
    return passed(what, counted=counted, measures=measures)


def judge_cost(history: History) -> Finding:
    """The worst of the pairs, which show what is refused, of the costs in turn, and of the races of mixed costs."""
    return worst(judge_pairs(history), judge_sequences(history), judge_tries(history, MIXED))
