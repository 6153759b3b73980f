"""EV-2: the same id again, wherever and whenever, counts once."""

from dataclasses import dataclass, replace
from random import Random

from crucible.authoring.asking import few_at_once, in_turn, until_told
from crucible.authoring.facts import fact, note, noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed
from crucible.check import Call, Finding, History, JsonValue, Lab
from crucible.evidence import Op

from .books import READ, Sent, accepted, books_of, place_of, settled
from .line import EARLY
from .reading import EVENTS, metrics_call, tallies
from .sending import CONTACT, Sender, freshness_s
from .survival import Toll, said_of, toll

WITHIN, ACROSS, AT_ONCE, OTHERWISE, AGAIN = "within", "across", "at-once", "otherwise", "again"
CASES = {
    WITHIN: "events that came twice in one batch",
    ACROSS: "batches that overlapped",
    AT_ONCE: "batches that came to every replica at the same moment",
}
WIDE_MS = 15
LATER_S = 40.0
"""After which the first events of all come again."""
ROUNDS = 12
LONGEST_S = 60.0
"""For which it is waited whether something is counted once more."""


@dataclass(frozen=True, slots=True)
class Otherwise:
    """An id that came with two contents; noted by its label."""

    values: tuple[int, int]


async def duplicates(lab: Lab, rng: Random) -> None:
    async with lab.slow(WIDE_MS):
        senders = [await within(lab, rng), await across(lab, rng), await at_once(lab, rng)]
        others = [await otherwise(lab, rng, turn) for turn in range(4)]
    for sender in senders:
        await sender.resolve()
        await sender.settle(lab.now_ns())
    for sender in others:
        await few_at_once(lab, [metrics_call(it, sender.cohort, f"{sender.label}/{READ}") for it in lab.replicas])


async def within(lab: Lab, rng: Random) -> Sender:
    """Every event of a batch twice, one beside itself and the others further off; the answer is exact."""
    sender = Sender(lab, rng, WITHIN, 40)
    for call in sender.calls(4, 10):
        assert isinstance(call.body, list)
        twice: list[JsonValue] = [*call.body[:1], *call.body, *call.body[1:][::-1]]
        sender.ops.append(await lab.call(replace(call, body=twice)))
    return sender


async def across(lab: Lab, rng: Random) -> Sender:
    """Batches of twenty, and then more of which each lies across two of them."""
    sender = Sender(lab, rng, ACROSS, 120)
    for calls in (sender.calls(6, 20), sender.overlapping(10, 20)):
        sender.ops += await few_at_once(lab, calls, 1)
    return sender


async def at_once(lab: Lab, rng: Random) -> Sender:
    """The same batches at one moment on every replica, and single events as well."""
    sender = Sender(lab, rng, AT_ONCE, 11 * ROUNDS)
    for size in (10, 1):
        for call in sender.calls(ROUNDS, size):
            place = int(call.name.rsplit("/", 1)[1])
            sender.ops += await lab.burst([sender.call_of(place, it) for it in lab.replicas for _ in range(2)])
    return sender


async def otherwise(lab: Lab, rng: Random, turn: int) -> Sender:
    """An id with one content, and then with another one, on the next replica."""
    sender = Sender(lab, rng, f"{OTHERWISE}-{turn}", 2)
    first, second = sender.cohort.event(0), sender.cohort.event(1)
    for index, body in enumerate((first, {**second, "event_id": first["event_id"]})):
        target = in_turn(lab, turn + index)
        await until_told(lab, Call(target, "POST", EVENTS, body, f"{sender.label}/content-{index}"), settled)
    note(lab, Otherwise((sender.cohort.value(0), sender.cohort.value(1))), sender.label)
    return sender


async def again(lab: Lab, rng: Random) -> None:
    """The first events of all, once more, when 40 s have passed since, and everything else has happened."""
    recorded = lab.recorded(CONTACT)
    first = {op.name: op for op in recorded if op.name.startswith(f"{EARLY}/") and accepted(op)}
    reads = [op.request.path for op in recorded if op.name == f"{EARLY}/{READ}"]
    if not first or not reads:
        return
    await lab.sleep(max(0.0, LATER_S - (lab.now_ns() - max(op.received_ns for op in first.values())) / 1e9))
    for turn, op in enumerate(first.values()):
        await until_told(lab, Call(in_turn(lab, turn), "POST", EVENTS, op.request.body, f"{AGAIN}/{turn}"), settled)
    await lab.sleep(min(LONGEST_S, freshness_s(lab.declares)) + 0.3)
    before = lab.recorded("duplicates")
    paths = {op.name: op.request.path for op in before if op.request.method == "GET" and op.name.endswith(f"/{READ}")}
    paths[f"{EARLY}/{READ}"] = reads[-1]
    calls = [Call(it, "GET", path, name=name) for name, path in paths.items() for it in lab.replicas]
    await few_at_once(lab, calls)  # whatever was counted once more later, is so by now


def judge_duplicates(history: History) -> Finding:
    tolls = {label: found for label, words in CASES.items() if (found := toll(history, label, words))}
    late = toll(history, EARLY, "events that came again 40 s later") if history.named(AGAIN) else None
    every: dict[str, Toll] = {**tolls, **({AGAIN: late} if late is not None else {})}
    sent = [op for label in CASES for op in history.named(label) if accepted(op)]
    counted = {"duplicates within a batch": float(_number(history, WITHIN)),
               "duplicates across batches": float(_number(history, ACROSS)),
               "events that came to several replicas at once": float(_number(history, AT_ONCE)),
               "events that came again 40 s later": float(sum(map(accepted, history.named(AGAIN))))}  # fmt: skip
    shares = [1000 * it.doubled / it.acknowledged for it in every.values() if it.acknowledged]
    measures = (
        [exactly("doubled_per_1000", max(shares), sum(it.acknowledged for it in every.values()))] if shares else []
    )
    if told := _told(history):
        measures.append(exactly("duplicates_told_ratio", sum(told) / len(told), len(told)))
    wrong = [it for it in every.values() if it.wrong]
    if wrong:
        return failed("; ".join(map(said_of, wrong)), *wrong[0].shown, counted=counted, measures=measures)
    for said_wrongly in (_not_once(history), _sums(history, sent), _inexact(history)):
        if said_wrongly is not None:
            return failed(said_wrongly[0], *said_wrongly[1], counted=counted, measures=measures)
    missing = [words for label, words in CASES.items() if label not in tolls or tolls[label].unread]
    if missing or late is None or late.unread or not counted["events that came again 40 s later"]:
        what = missing[0] if missing else "events that came again 40 s later"
        return inconclusive(f"it was not seen what came of {what}", counted=counted, measures=measures)
    return passed("every id was counted once, whatever came with it", counted=counted, measures=measures)


def _number(history: History, label: str) -> int:
    books = books_of(history, label)
    return len(books.yes) if books is not None else 0


def _told(history: History) -> list[float]:
    """Of each batch that lay across others, which share of its duplicates the answer called so."""
    sent = fact(history, Sent, ACROSS)
    if sent is None:
        return []
    later = [op for op in history.named(ACROSS) if accepted(op) and (place_of(op) or 0) >= 6]
    return [
        min(1.0, (op.field("duplicate", int) or 0) / size) for op in later if (size := (sent.span(op) or (0, 0))[1])
    ]


def _items(history: History, op: Op) -> int:
    label = op.name.split("/")[0]
    sent = fact(history, Sent, label)
    _, size = (sent.span(op) if sent is not None else None) or (0, 0)
    return 2 * size if label == WITHIN and (place_of(op) or 0) < 4 else size


def _sums(history: History, sent: list[Op]) -> tuple[str, list[Op]] | None:
    """`accepted` and `duplicate` add up to the items."""
    for op in sent:
        accepted_items, duplicate, items = (
            op.field("accepted", int) or 0,
            op.field("duplicate", int) or 0,
            _items(history, op),
        )
        if items and accepted_items + duplicate != items:
            return f"of {items} items {accepted_items} were said to be accepted and {duplicate} to be duplicates", [op]
    return None


def _inexact(history: History) -> tuple[str, list[Op]] | None:
    """Within a batch it is exact: of each event one is accepted, and one is a duplicate."""
    first = [op for op in history.named(WITHIN) if (place_of(op) or 0) < 4 and place_of(op) is not None]
    for op in first:
        if accepted(op) and op.field("duplicate", int) != _items(history, op) // 2:
            duplicate = op.field("duplicate", int)
            return f"a batch in which each of 10 events stood twice was said to have {duplicate} duplicates", [op]
    return None


def _not_once(history: History) -> tuple[str, list[Op]] | None:
    """An id with two contents counts once, as one of the two."""
    for label, it in noted(history, Otherwise).items():
        posts = [op for op in history.named(label) if op.request.method == "POST"]
        if not any(map(accepted, posts)):
            continue
        for op in history.named(f"{label}/{READ}"):
            seen = tallies(op)
            if seen is None:
                continue
            count, total = sum(tally.count for tally in seen.values()), sum(tally.sum for tally in seen.values())
            if count > 1:
                return f"an id that came with two contents was counted {count} times", [*posts, op]
            if count == 1 and total not in it.values:
                return f"an id that came with two contents was counted as neither of them, but as {total:,}", [
                    *posts,
                    op,
                ]
            if count == 0 and op is history.named(f"{label}/{READ}")[-1]:
                return "an id that came with two contents, and was accepted, was not counted at all", [*posts, op]
    return None
