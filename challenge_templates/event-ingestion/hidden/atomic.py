"""EV-6: a batch with a bad item leaves nothing behind, and can be mended and sent again."""

from random import Random

from crucible.authoring.asking import in_turn, until_told
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Call, Finding, History, JsonValue, Lab
from crucible.evidence import Op

from .books import Said, accepted, books_of, readings, said, settled
from .reading import EVENTS, metrics_call, pages, tallies, walk
from .sending import Sender, freshness_s
from .survival import said_of, toll

ATOMIC = "atomic"
SIZE = 1_000
BAD: tuple[tuple[int, str, JsonValue], ...] = ((500, "value", "many"), (999, "ts", "yesterday"), (0, "event_id", 7))
"""At which place of the batch, which field, and what stands in it."""
LOOKED_S = 3.0
"""For which it is looked at most whether something of a refused batch is there."""


async def atomic(lab: Lab, rng: Random) -> None:
    for turn, (place, name, value) in enumerate(BAD):
        label = f"{ATOMIC}-{turn}"
        sender = Sender(lab, rng, label, SIZE)
        batch = sender.cohort.batch(0, SIZE)
        item = batch[place]
        assert isinstance(item, dict)
        batch[place] = {**item, name: value}
        await until_told(lab, Call(in_turn(lab, turn), "POST", EVENTS, batch, f"{label}-bad/{turn}"), settled)
        await lab.sleep(min(LOOKED_S, freshness_s(lab.declares)) / len(BAD))
        for target in lab.replicas:
            await lab.call(metrics_call(target, sender.cohort, f"{label}-before/{target}"))
        await walk(lab, in_turn(lab, turn), sender.cohort.source, f"{label}-before-pages", most=1)
        await sender.in_turn(1, SIZE)
        await sender.resolve()
        await sender.settle(lab.now_ns())


def judge_atomic(history: History) -> Finding:
    refused, silent, told = 0, 0, 0
    for turn, (place, name, _) in enumerate(BAD):
        label, words = f"{ATOMIC}-{turn}", f"a batch of {SIZE:,} whose item {place} had a bad `{name}`"
        bad, reads = history.named(f"{label}-bad"), history.named(f"{label}-before")
        if taken := [op for op in bad if accepted(op)]:
            return failed(f"{words} was accepted", *taken)
        if not bad or said(bad[-1]) is Said.UNKNOWN:
            silent += 1
            continue
        refused += 1
        told += _names(bad[-1], place)
        for op in reads:
            number = sum(tally.count for tally in (tallies(op) or {}).values())
            if number:
                return failed(f"of {words} {number} events were counted all the same", *bad[-1:], op)
        if there := pages(history.named(f"{label}-before-pages")):
            return failed(f"of {words} {len(there)} events stood on a page all the same", *bad[-1:])
        if (found := toll(history, label, f"{words}, and was mended and sent again,")) is not None and found.wrong:
            return failed(said_of(found), *found.shown)
    counted = {"batches with a bad item": float(refused), "refusals that name the item": float(told)}
    if silent or refused < len(BAD) or any(not _read(history, turn) for turn in range(len(BAD))):
        return inconclusive("a batch with a bad item got no answer, or could not be looked for", counted=counted)
    return passed(
        f"{refused} batches with one bad item left nothing behind, and were taken when mended", counted=counted
    )


def _names(op: Op, place: int) -> bool:
    """Whether a refusal names the item, counted from 0 or from 1."""
    return any(str(number) in str(op.reply) for number in (place, place + 1))


def _read(history: History, turn: int) -> bool:
    label = f"{ATOMIC}-{turn}"
    books = books_of(history, label)
    before = [op for op in history.named(f"{label}-before") if tallies(op) is not None]
    return bool(books and books.yes and before and readings(history, label))
