"""EV-7: more than can be taken, and more than can be kept."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import few_at_once
from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, percentile, why_none
from crucible.check import Finding, History, Lab, Measure
from crucible.evidence import Op

from .books import Sent, accepted
from .sending import Sender
from .survival import Toll, said_of, toll

BURST, STORM, FLOOD = "burst", "storm", "flood"
RATES = {1_000: 1, 2_000: 1, 4_000: 2}
"""Events a second, and how many of them come together: more requests than two thousand a second the grader itself
cannot send beside a design on two cores. No further, once more than a few are refused or late."""
BURST_S, STORM_S, STEP_S = {"quick": 1.5, "full": 10}, {"quick": 1.5, "full": 10}, 1
STORM_PER_S, STORM_BATCH = 300, 10
LATE_MS, FEW = 1_000.0, 0.05
MOST_SILENT = 0.05
FLOOD_EVENTS, FLOOD_BATCH, FLOOD_AT_ONCE = 200_000, 1_000, 4
IN_A_ROW = 8
"""Refusals in a row, after which nothing more is sent."""
FLOOD_S = 2.0
DRAINED_S = 30.0
LAG_MS = 100.0


@dataclass(frozen=True, slots=True)
class Flooded:
    """How many batches were accepted while no service could be reached."""

    accepted: int


def step(rate: int) -> str:
    return BURST if rate == min(RATES) else f"over-{rate}"


def in_time(op: Op) -> bool:
    return accepted(op) and op.received_ns - op.sent_ns <= LATE_MS * 1e6


async def overload(lab: Lab, rng: Random) -> None:
    storm = Sender(lab, rng, STORM, int(STORM_PER_S * STORM_S[lab.mode]) * STORM_BATCH)
    await storm.paced(int(STORM_PER_S * STORM_S[lab.mode]), STORM_BATCH, 1 / STORM_PER_S)
    senders = [storm]
    for rate, together in RATES.items():
        number = int(rate * (BURST_S[lab.mode] if rate == min(RATES) else STEP_S))
        sender = Sender(lab, rng, step(rate), number, single=True)
        ops = await sender.paced(number // together, together, together / rate)
        senders.append(sender)
        if sum(not in_time(op) for op in ops) > FEW * len(ops):
            break
    for sender in senders:
        await sender.resolve()
    sent_ns = lab.now_ns()
    for sender in senders:
        await sender.settle(sent_ns, within_s=DRAINED_S)
    if lab.services:
        await flood(lab, rng)


async def flood(lab: Lab, rng: Random) -> None:
    """No service can be reached, and batches come until they are refused."""
    sender, refused = Sender(lab, rng, FLOOD, FLOOD_EVENTS), 0
    async with AsyncExitStack() as away:
        for service in lab.services:
            await away.enter_async_context(lab.fault(service, "refuse"))
        await lab.sleep(0.3)
        while refused < IN_A_ROW and (calls := sender.calls(FLOOD_AT_ONCE, FLOOD_BATCH, timeout_s=FLOOD_S)):
            ops = await few_at_once(lab, calls, FLOOD_AT_ONCE)
            sender.ops += ops
            refused = 0 if any(map(accepted, ops)) else refused + len(ops)
        note(lab, Flooded(sum(map(accepted, sender.ops))))
    await sender.resolve()
    await sender.settle(lab.now_ns(), within_s=DRAINED_S)


def judge_overload(history: History) -> Finding:
    labels = {STORM: "a storm", FLOOD: "a flood while no service could be reached"}
    labels |= {step(rate): f"{rate:,} events a second" for rate in RATES}
    tolls: dict[str, Toll] = {
        label: found for label, words in labels.items() if (found := toll(history, label, words)) is not None
    }  # fmt: skip
    posts = {
        label: sent.first(history.named(label)) for label in tolls if (sent := fact(history, Sent, label)) is not None
    }
    rated = [op for label, ops in posts.items() if label != FLOOD for op in ops]
    refusals = [op for op in rated if op.status in (429, 503)]
    silent = [op for op in rated if op.status is None or (op.status >= 500 and op.status != 503)]
    counted = {f"sent: {it.words}": float(len(posts[label])) for label, it in tolls.items()}
    counted["refused"] = float(len(refusals))
    measures = _held(posts)
    flooded = fact(history, Flooded)
    if wrong := [it for it in tolls.values() if it.wrong]:
        return failed("; ".join(map(said_of, wrong)), *wrong[0].shown, counted=counted, measures=measures)
    if flooded is not None and flooded.accepted * FLOOD_BATCH >= FLOOD_EVENTS:
        what = (
            f"while no service could be reached, all of {FLOOD_EVENTS:,} events were accepted, into an endless memory"
        )
        return failed(what, *posts[FLOOD][-1:], counted=counted, measures=measures)
    late = percentile([(op.received_ns - op.sent_ns) / 1e6 for op in refusals], 0.95)
    if history.lag_ms <= LAG_MS and len(refusals) >= 20 and late > LATE_MS:
        what = f"{len(refusals)} events were refused, but that took {late:,.0f} ms (95th percentile)"
        return failed(what, *refusals, counted=counted, measures=measures)
    if history.lag_ms <= LAG_MS and len(silent) > MOST_SILENT * len(rated):
        what = f"{len(silent)} of {len(rated)} events were neither taken nor refused ({why_none(silent, accepted)})"
        return failed(what, *silent, counted=counted, measures=measures)
    if len(silent) > MOST_SILENT * len(rated):
        return inconclusive(
            "the grader itself was late, and too much had no answer", counted=counted, measures=measures
        )
    if unread := [it for it in tolls.values() if it.unread or it.open]:
        return inconclusive(
            f"what came of {unread[0].words} could not be read back", counted=counted, measures=measures
        )
    if len(tolls) < 2 or (history.services and flooded is None):
        return inconclusive("it was not seen to the end", counted=counted, measures=measures)
    what = "above what can be taken events were refused in time" if refusals else "no event had to be refused"
    return passed(f"{what}, and none that was acknowledged is missing", counted=counted, measures=measures)


def _held(posts: Mapping[str, Sequence[Op]]) -> list[Measure]:
    """How long the burst was taken in time, and which share of the storm."""
    found = []
    if burst := posts.get(BURST):
        begun_ns, bad = burst[0].sent_ns, [op for op in burst if not in_time(op)]
        seconds = (burst[-1].sent_ns - begun_ns) / 1e9
        held = seconds if len(bad) <= 0.01 * len(burst) else (bad[0].sent_ns - begun_ns) / 1e9
        found.append(exactly("burst_held_s", held, len(burst)))
    if storm := posts.get(STORM):
        found.append(exactly("storm_accepted_ratio", sum(map(in_time, storm)) / len(storm), len(storm)))
    return found
