"""NT-9: a backlog in which some are urgent."""

from random import Random

from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, percentile
from crucible.authoring.strikes import posting
from crucible.check import Finding, History, Lab, Measure

from .accounts import books
from .messages import calls, message
from .waiting import resolve, settle

ASKED = "priority"
LOW, HIGH = f"{ASKED}/low", f"{ASKED}/high"
LOWS, HIGHS = 300, 20
GAP_S, URGENT_EVERY_S = 0.004, 0.05
QUARTER = 0.25
"""Of the time that the others take: what urgent ones may take at most."""
QUEUE_MS = 1_000
"""Less than this, and there was no backlog for anybody to wait in."""
SHARE = 0.9


async def priority(lab: Lab, rng: Random) -> None:
    """A backlog of low ones on one channel, and high ones that come while it drains."""
    low = [message(rng, "email") for _ in range(LOWS if lab.mode == "quick" else 2_000)]
    high = [message(rng, "email", high=True) for _ in range(HIGHS)]
    async with posting(lab, calls(lab, low, LOW), GAP_S) as posted:
        await lab.sleep(GAP_S * len(low) * 0.8)
        urgent = await lab.paced(calls(lab, high, HIGH), URGENT_EVERY_S)
    await resolve(lab, [*urgent, *posted.ops], ASKED)
    await settle(lab, [*low, *high], lab.now_ns())


def judge_priority(history: History) -> Finding:
    told = books(history, history.named(ASKED))
    low, high = (told.waits_in_hand_ms(history.named(name)) for name in (LOW, HIGH))
    slow, quick = percentile(low, 0.95), percentile(high, 0.95)
    counted = {"low ones": len(low), "high ones": len(high), "low p95 ms": slow, "high p95 ms": quick}
    if len(low) < LOWS * SHARE or len(high) < HIGHS * SHARE:
        return inconclusive(f"only {len(low)} low and {len(high)} high ones arrived", counted=counted)
    if slow < QUEUE_MS:
        what = f"no backlog formed: low ones took {slow:.0f} ms (95th percentile), and high ones {quick:.0f} ms"
        return passed(what, counted=counted, measures=(exactly("priority_ratio", 0, len(high)),))
    seen = [quick / slow, *(percentile(high[i::2], 0.95) / slow for i in range(2))]
    measure = Measure("priority_ratio", quick / slow, min(seen), max(seen), len(high))
    what = f"high ones took {quick:.0f} ms (95th percentile) behind a backlog in which low ones took {slow:.0f} ms"
    if measure.low <= QUARTER < measure.high:
        return inconclusive(what, counted=counted, measures=(measure,))
    return (passed if measure.high <= QUARTER else failed)(what, counted=counted, measures=(measure,))
