"""Blocks of load, judged: what a design's callers waited, what a request cost, and which rates it held. Pure.

Of several blocks the median counts, and the lowest and the highest are its interval: of five blocks that is a
confidence interval of 93.75 % for the median, whatever the distribution (Wilks 1948; 1 - 2 / 2^5). From eight on the
outermost may be left out without becoming less sure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import comb
from statistics import mean, median
from typing import Any

from crucible.check import Measure
from crucible.evidence import Counts, LoadBlock

ENOUGH = 3
"""Blocks, fewer of which say nothing."""
MOST_UNANSWERED = 0.05
"""Share of requests without an answer, from which on they surely count as the slowest."""
MOST_STEAL, MOST_LAG_MS, MOST_NETWORK_CPU = 0.05, 5.0, 0.6
MOST_FOREIGN = 0.1
"""Share of the machine's time that other programs took, from which on a latency may be theirs: it can only have been
shorter without them, so a limit that it keeps is kept, and one that it misses is not surely missed."""
REFERENCE_PACE_US = 40.0
"""CPU time is told as it would be on a machine where an echo of the pacer's takes this long. A shared machine needs now
more and now less for the same work, by half and within seconds (31 to 64 were seen on one), and machines differ."""
MOST_OUTSIDE = 0.0704
"""Chance that the median lies outside of an interval of eight blocks without their least and greatest."""
BUSY = 0.75
"""Share of the machine's cores; a design that uses more of them itself leaves the generator little time."""
KNEE_UNANSWERED = 0.001
"""Share of requests that may go unanswered at a rate that is held."""


@dataclass(frozen=True, slots=True)
class Knee:
    """Between which two rates a design ceases to hold what is offered."""

    p99_ms: float
    """Held is a rate with at most this latency (99th percentile) and 0.1 % of the requests without an answer."""
    held: float
    """The highest rate that was held, in requests per second."""
    failed: float | None
    """The lowest one above it that was not, twice; None where none was found."""
    why: str
    """What happened at `failed`, or why no such rate was found."""


def spoiled(*, steal: float, lag_us: Counts, network_cpu: float, pace_us: float, used: float, cores: int) -> str | None:
    """Why a block says nothing of the design; None where it does. `used`: cores that design and services used."""
    if not pace_us:
        return "the machine's speed could not be seen"
    if steal > MOST_STEAL:
        return f"another machine took {steal:.0%} of this one's time"
    if network_cpu > MOST_NETWORK_CPU:
        return f"the lab network itself used {network_cpu:.0%} of a core"
    if (lag_ms := percentile(lag_us, 99) / 1000) > MOST_LAG_MS:
        busy = f", while the design and its services used {used:.1f} of {cores} cores" if used > BUSY * cores else ""
        return f"requests were sent {lag_ms:.0f} ms late (99th percentile){busy}"
    return None


def percentile(counts: Counts, share: float) -> float:
    """The smallest value that at least `share` % of the samples do not exceed (nearest rank); 0 of none."""
    due = sum(count for _, count in counts) * share / 100
    for value, count in counts:
        due -= count
        if due <= 1e-9:
            return float(value)
    return 0.0


def good_at(rate: float, load: Iterable[LoadBlock]) -> list[LoadBlock]:
    """The blocks at this rate that the machine did not spoil."""
    return [block for block in load if block.rate == rate and block.spoiled is None]


def measures(load: Iterable[LoadBlock], rate: float) -> tuple[Measure, ...]:
    """What the blocks at `rate` say: latency in ms, and what 1,000 answered requests, or one, cost. Counts rest on all
    that were answered, since no machine changes them; all else on the good ones."""
    sent = [block for block in load if block.rate == rate]
    good = good_at(rate, sent)
    counting = [block for block in sent if block.answered]
    counts = [_counts(block) for block in counting] if len(counting) >= ENOUGH and _all_answered(good) else []
    found = [_each(counting, axis, [count[axis] for count in counts]) for axis in (counts[0] if counts else ())]
    if not _enough(good):
        return tuple(found)
    costs = [_costs(block) for block in good]
    return (
        _latency(good, "latency_p50_ms", 50),
        _latency(good, "latency_p99_ms", 99),
        *(_each(good, axis, [cost[axis] for cost in costs]) for axis in costs[0]),
        *(_apart(good, name) for name in _told_apart(good)),
        *found,
    )


def _enough(good: Sequence[LoadBlock]) -> bool:
    return len(good) >= ENOUGH and _all_answered(good)


def _all_answered(good: Sequence[LoadBlock]) -> bool:
    return all(block.answered for block in good)


def values(load: Sequence[LoadBlock]) -> dict[str, float]:
    """The same axes, each with the one value of all the blocks together that it rests on; empty without an answer."""
    good = [block for block in load if block.spoiled is None]
    counting = [block for block in load if block.answered]
    counts = _counts(_pooled(counting)) if counting else {}
    if not sum(block.answered for block in good):
        return counts
    whole = _pooled(good)
    return {
        "latency_p50_ms": latency_ms(whole, 50)[1],
        "latency_p99_ms": latency_ms(whole, 99)[1],
        **{f"{name}_p95_ms": percentile(times, 95) / 1000 for name, times in whole.apart_us.items()},
        **_costs(whole),
        **counts,
    }


def _costs(block: LoadBlock) -> dict[str, float]:
    """What 1,000 answered requests cost in CPU time. Without that of the services where it is not known of one."""
    processes, services = (
        1000 * cpu_s_per_answer(block, spent.values()) for spent in (block.process_cpu_s, block.service_cpu_s)
    )
    known = block.round_trips.keys() <= block.service_cpu_s.keys()
    return {
        "cpu_s_per_1000": processes,
        **({"store_cpu_s_per_1000": services, "total_cpu_s_per_1000": processes + services} if known else {}),
        "memory_mb": sum(block.memory_bytes[name] for name in block.process_cpu_s) / 1e6,
    }


def _counts(block: LoadBlock) -> dict[str, float]:
    """What was counted for an answered request."""
    return {
        "round_trips_per_request": sum(block.round_trips.values()) / block.answered,
        "bytes_per_request": sum(block.bytes_exchanged.values()) / block.answered,
    }


def cpu_s_per_answer(block: LoadBlock, spent: Iterable[float]) -> float:
    """These CPU seconds of the block by the requests that were answered, at `REFERENCE_PACE_US`; as they were measured
    where the machine's pace is not known, in evidence from before it was."""
    slow = block.pace_us / REFERENCE_PACE_US if block.pace_us else 1.0
    return sum(spent) / slow / block.answered


def _pooled(good: Sequence[LoadBlock]) -> LoadBlock:
    """Several blocks as if they were one; of their memory the last says most."""

    def added(many: Iterable[Mapping[str, float]]) -> dict[str, Any]:
        total: dict[str, float] = {}
        for one in many:
            for name, value in one.items():
                total[name] = total.get(name, 0) + value
        return total

    return replace(
        good[-1],
        outcomes=added(it.outcomes for it in good),
        latency_us=merged(*(it.latency_us for it in good)),
        unanswered_us=merged(*(it.unanswered_us for it in good)),
        apart_us={name: merged(*(it.apart_us[name] for it in good)) for name in _told_apart(good)},
        process_cpu_s=added(it.process_cpu_s for it in good),
        service_cpu_s=added(it.service_cpu_s for it in good),
        round_trips=added(it.round_trips for it in good),
        bytes_exchanged=added(it.bytes_exchanged for it in good),
        pace_us=mean(it.pace_us for it in good),
    )


def why_none(blocks: Iterable[LoadBlock], rate: float) -> str | None:
    """Why `measures` says nothing of time at this rate; None where it has, or where nothing was sent at it."""
    sent = [block for block in blocks if block.rate == rate]
    if not sent or _enough(good_at(rate, sent)):
        return None
    bad = [block.spoiled for block in sent if block.spoiled is not None]
    if len(sent) - len(bad) >= ENOUGH:
        return "a whole block of load had no answer"
    return f"{len(bad)} of {len(sent)} blocks of load were spoiled: {bad[-1]}" if bad else "too few blocks were sent"


def unanswered(block: LoadBlock) -> float:
    """The share of requests without an answer that counts."""
    total = block.requests
    return block.unanswered / total if total else 0.0


def latency_ms(block: LoadBlock, share: float) -> tuple[float, float]:
    """The least and the most that a percentile of the latency can be called, in ms: requests without an answer count as
    long as they took, or as the time-out. Where many have none, only the latter is fair to the callers."""
    at_best = merged(block.latency_us, block.unanswered_us)
    at_worst = merged(block.latency_us, ((max(block.timeout_us, _longest(block)), block.unanswered),))
    high = percentile(at_worst, share) / 1000
    return (high if unanswered(block) > MOST_UNANSWERED else min(high, percentile(at_best, share) / 1000), high)


def holds(block: LoadBlock, p99_ms: float) -> bool:
    """Whether the design held the block's rate: nearly all answered, and in time."""
    total = block.requests
    late = percentile(block.latency_us, 99) / 1000 > p99_ms
    return total > 0 and block.spoiled is None and not late and block.unanswered <= KNEE_UNANSWERED * total


def knee(load: Iterable[LoadBlock], ramp: Sequence[LoadBlock], p99_ms: float) -> Knee | None:
    """The bracket that a ramp found; None without a ramp, or where not even its beginning was held."""
    if not ramp:
        return None
    held = [block.rate for block in (*load, *ramp) if holds(block, p99_ms)]
    if not held:
        return None
    beyond = sorted({block.rate for block in ramp if block.rate > max(held)})
    if not beyond:
        return Knee(p99_ms, max(held), None, "no higher rate was offered")
    tries = [block for block in ramp if block.rate == beyond[0]]
    if bad := next((block.spoiled for block in tries if block.spoiled is not None), None):
        return Knee(p99_ms, max(held), None, f"at {beyond[0]:,.0f}/s {bad}")
    worst = tries[-1]
    why = f"the 99th percentile was {latency_ms(worst, 99)[1]:,.0f} ms, and {unanswered(worst):.1%} had no answer"
    return Knee(p99_ms, max(held), beyond[0], why)


def foreign(load: Iterable[LoadBlock], rate: float) -> str | None:
    """Why the latencies at `rate` may have been shorter by any amount, where other programs were too busy."""
    most = max((block.foreign for block in good_at(rate, load)), default=0.0)
    if most <= MOST_FOREIGN:
        return None
    return f"other programs took up to {most:.0%} of the machine, without which it may have been shorter by any amount"


def _latency(good: Sequence[LoadBlock], axis: str, share: float) -> Measure:
    sides = [latency_ms(block, share) for block in good]
    return _time(good, axis, sides, sum(block.requests for block in good))


def _told_apart(good: Sequence[LoadBlock]) -> list[str]:
    """Of which courses all of these blocks have times of their own."""
    return sorted(set.intersection(*(set(block.apart_us) for block in good)))


def _apart(good: Sequence[LoadBlock], name: str) -> Measure:
    values = [percentile(block.apart_us[name], 95) / 1000 for block in good]
    samples = sum(count for block in good for _, count in block.apart_us[name])
    return _time(good, f"{name}_p95_ms", list(zip(values, values, strict=True)), samples)


def _time(good: Sequence[LoadBlock], axis: str, sides: Sequence[tuple[float, float]], samples: int) -> Measure:
    """A time, of which each block says the least and the most that it can be."""
    least, (_, most) = around_median([low for low, _ in sides])[0], around_median([high for _, high in sides])
    low = 0.0 if any(block.foreign > MOST_FOREIGN for block in good) else least
    return Measure(axis, median(high for _, high in sides), low, most, samples)


def _each(good: Sequence[LoadBlock], axis: str, values: Sequence[float]) -> Measure:
    return Measure(axis, median(values), *around_median(values), sum(block.answered for block in good))


def around_median(values: Sequence[float]) -> tuple[float, float]:
    """Between which of these values the median of what they were drawn from lies with 93 %, whatever its distribution
    (order statistics; Conover, Practical Nonparametric Statistics, 3.2). All of them, where there are fewer than eight.
    """
    ordered, number = sorted(values), len(values)
    outside, cut = 2 / 2**number, 0
    while cut + 1 < number // 2 and outside + (more := 2 * comb(number, cut + 1) / 2**number) <= MOST_OUTSIDE:
        outside, cut = outside + more, cut + 1
    return ordered[cut], ordered[-1 - cut]


def merged(*many: Counts) -> Counts:
    """Several histograms as one, in the order of the values; a value may stand in it more than once."""
    return tuple(sorted(chain(*many)))


def _longest(block: LoadBlock) -> int:
    return block.latency_us[-1][0] if block.latency_us else 0
