"""What is asked without any fault: first contact, a steady line, and a burst; and how long delivery took then."""

from dataclasses import dataclass
from random import Random

from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import exactly, percentile
from crucible.check import Call, History, Lab, Measure

from .accounts import books
from .messages import CHANNELS, Message, accepted, by_key, calls, key_of, message, messages, place, state
from .waiting import READ_BACK, WITHIN_S, any_arrives, read_back, resolve, settle, some

CONTACT, LINE, BURST = "contact", "line", "burst"
PER_S, BURST_S = 50, 2.0
TWINS = 6
"""Pairs of messages that are equal in all but their keys."""
FEWEST = 20
"""Messages that say something together."""


@dataclass(frozen=True, slots=True)
class BurstBegan:
    at_ns: int


async def contact(lab: Lab, rng: Random) -> None:
    """One on each channel, on each replica. Where none of what was accepted arrives in the time that is promised,
    nothing else can be learnt."""
    wanted = [(target, message(rng, channel)) for target in lab.replicas for channel in CHANNELS]
    ops = [await lab.call(one.call(target, CONTACT)) for target, one in wanted]
    for op in ops[:: len(CHANNELS)]:
        if place(op):
            await lab.call(Call(op.target, "GET", place(op), name=f"{CONTACT}/read"))
    taken = [one for (_, one), op in zip(wanted, ops, strict=True) if accepted(op) and state(op) != "suppressed"]
    if taken and not await any_arrives(lab, taken, lab.now_ns()):
        lab.give_up(f"none of the first {len(taken)} notifications that were accepted arrived within {WITHIN_S:g} s")


async def line(lab: Lab, rng: Random) -> None:
    """Fifty a second, some of them twins; then a burst."""
    seconds, burst = (10, 200) if lab.mode == "quick" else (60, 1000)
    wanted = messages(rng, PER_S * seconds)
    for index in range(TWINS):
        twin, again = wanted[10 + 20 * index], message(rng, wanted[10 + 20 * index].channel)
        wanted.insert(11 + 20 * index, Message(again.key, twin.user, twin.channel, data=twin.data))
    ops = await lab.paced(calls(lab, wanted, LINE), 1 / PER_S)
    more = messages(rng, burst)
    note(lab, BurstBegan(lab.now_ns()))
    at_once = await lab.paced(calls(lab, more, BURST), BURST_S / burst)
    await resolve(lab, ops, LINE)
    await resolve(lab, at_once, BURST)  # by its own name: how long the line's are waited for is what is usual
    known = lab.now_ns()
    await settle(lab, [*wanted, *more], known)
    await read_back(lab, some([*ops, *at_once], READ_BACK), LINE, known)


def delivery_times(history: History) -> tuple[Measure, ...]:
    """Of the steady line, and of the burst as a whole."""
    told = books(history, [*history.named(LINE), *history.named(BURST)])
    steady = told.waits_ms(history.named(LINE))
    burst = [op for op in history.named(BURST) if key_of(op) in told.account.done]
    measures = []
    if len(steady) >= FEWEST:
        for axis, share in (("effect_p50_ms", 0.5), ("effect_p99_ms", 0.99)):
            value = percentile(steady, share)
            seen = [value, *(percentile(steady[i::3], share) for i in range(3))]
            measures.append(Measure(axis, value, min(seen), max(seen), len(steady)))
    if len(burst) >= FEWEST and len(burst) == len(by_key(history.named(BURST))):
        began = fact(history, BurstBegan)
        assert began is not None
        last_ns = max(told.account.done[key_of(op)] for op in burst)
        measures.append(exactly("drain_s", (last_ns - began.at_ns) / 1e9, len(burst)))
    return tuple(measures)
