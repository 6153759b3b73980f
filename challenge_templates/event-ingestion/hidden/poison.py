"""EV-11: what JSON can say and a store may refuse is refused, or stored and counted, and holds up nobody."""

import asyncio
import json
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import few_at_once, in_turn, until_told
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Call, Finding, History, Lab
from crucible.evidence import Op

from .books import Said, accepted, said, settled
from .events import Cohort, cohort
from .line import GRAIN_MS, p95, waits, watch
from .reading import EVENTS, ids, metrics_path, page_call, tallies
from .sending import AFTER_S, Sender, freshness_s

POISON, OTHERS = "poison", "others"
PROBES, PROBES_PER_S = 30, 12
GOOD = 5
"""Good events in the batch that has a bad one among them."""


@dataclass(frozen=True, slots=True)
class Poison:
    """An event of a source of its own; noted by its slug."""

    words: str
    cohort: Cohort
    number: int
    """How many events were sent together."""
    by_pages: bool
    """Whether only pages can show it: no query can name its type."""
    value: int


def kinds(cohort: Cohort, rng: Random) -> dict[str, tuple[str, str, bool, int]]:
    """By slug: (in words, the body, whether only pages show it, its value). Texts that JSON can say are written by
    hand, since an encoder would not."""

    def body(field: str, literal: str) -> tuple[str, int]:
        event = {**cohort.event(0), field: "@"}
        return json.dumps(event).replace('"@"', literal), cohort.value(0)

    noise = "".join(f"{rng.getrandbits(32):08x}" for _ in range(8_192))
    rows = {
        "id-nul": ("an id with U+0000", *body("event_id", f'"{cohort.source}\\u0000b"'), False),
        "id-surrogate": (
            "an id with half a pair of surrogates",
            *body("event_id", f'"{cohort.source}\\ud800b"'),
            False,
        ),
        "type-nul": ("a type with U+0000", *body("type", '"a\\u0000b"'), True),
        "type-surrogate": ("a type with half a pair of surrogates", *body("type", '"a\\udc00b"'), True),
        "type-64k": ("a type of 64 KB that does not compress", *body("type", json.dumps(noise)), True),
    }
    found = {slug: (words, text, by_pages, value) for slug, (words, text, value, by_pages) in rows.items()}
    for slug, value in (("value-2-53", 2**53), ("value-minus-2-53", -(2**53))):
        found[slug] = (f"a value of {value:,}", json.dumps({**cohort.event(0), "value": value}), False, value)
    return found


async def poison(lab: Lab, rng: Random) -> None:
    others = Sender(lab, rng, OTHERS, PROBES, single=True, minutes=PROBES)
    posting = asyncio.create_task(others.paced(PROBES, 1, 1 / PROBES_PER_S))
    watching = [asyncio.create_task(watch(lab, target, others, posting)) for target in lab.replicas]
    try:
        sent = await _send_all(lab, rng)
        await posting
        await asyncio.gather(*watching)
    finally:
        for task in (posting, *watching):
            task.cancel()
    await _read_until_there(lab, sent)


async def _send_all(lab: Lab, rng: Random) -> dict[str, Poison]:
    """Returns what was accepted, by its slug."""
    taken: dict[str, Poison] = {}
    for turn, slug in enumerate(kinds(cohort(lab, rng, POISON, 1), rng)):
        of = cohort(lab, rng, POISON, 1)
        words, text, by_pages, value = kinds(of, rng)[slug]
        taken |= await _post(lab, turn, slug, text, Poison(words, of, 1, by_pages, value))
    of = cohort(lab, rng, POISON, 1 + GOOD)
    words, text, _, _ = kinds(of, rng)["id-nul"]
    among = ",".join([*(json.dumps(of.event(index)) for index in range(1, GOOD + 1)), text])
    total = sum(of.value(index) for index in range(GOOD + 1))
    batch = Poison(f"{words} in a batch of {GOOD + 1}", of, GOOD + 1, False, total)
    return taken | await _post(lab, 1, "batch", f"[{among}]", batch)


async def _post(lab: Lab, turn: int, slug: str, text: str, what: Poison) -> dict[str, Poison]:
    note(lab, what, slug)
    call = Call(in_turn(lab, turn), "POST", EVENTS, raw=text.encode(), name=f"{POISON}/{slug}")
    op = await until_told(lab, call, settled, tries=3)
    return {slug: what} if accepted(op) else {}


async def _read_until_there(lab: Lab, sent: dict[str, Poison]) -> None:
    """Ask every replica for what was accepted, until it is there or past its time."""
    end_ns = lab.now_ns() + int(1e9 * (freshness_s(lab.declares) + AFTER_S))
    left = dict(sent)
    while left:
        over = lab.now_ns() > end_ns
        reads = [_read(target, slug, what) for slug, what in left.items() for target in lab.replicas]
        ops = await few_at_once(lab, reads)
        left = {
            slug: what for slug, what in left.items()
            if not all(_there(op, what) for op in ops if op.name == f"{POISON}-read/{slug}")
        }  # fmt: skip
        if over:
            return
        await lab.sleep(0.3)


def _read(target: str, slug: str, what: Poison) -> Call:
    name = f"{POISON}-read/{slug}"
    if what.by_pages:
        return page_call(target, what.cohort.source, None, 10, name)
    return Call(target, "GET", metrics_path(what.cohort.source, what.cohort.span), name=name)


def _there(op: Op, what: Poison) -> bool:
    if what.by_pages:
        return len(ids(op) or []) == what.number
    seen = (tallies(op) or {}).values()
    return (sum(it.count for it in seen), sum(it.sum for it in seen)) == (what.number, what.value)


def judge_poison(history: History) -> Finding:
    table = noted(history, Poison)
    tries = {slug: history.named(f"{POISON}/{slug}") for slug in table}
    counted = {
        "kinds of poison": float(sum(map(bool, tries.values()))),
        "events of others": float(len(history.named(OTHERS))),
    }
    for slug, ops in tries.items():
        words = table[slug].words
        if ops and said(ops[-1]) is Said.UNKNOWN:
            how = f"answered {ops[-1].status}" if ops[-1].status is not None else f"not answered ({ops[-1].error})"
            return failed(f"{words} was neither refused nor taken, but {how}", *ops, counted=counted)
        if ops and accepted(ops[-1]):
            reads = {op.target: op for op in history.named(f"{POISON}-read/{slug}")}
            if missing := [op for op in reads.values() if not _there(op, table[slug])]:
                return failed(f"{words} was accepted, and is not there", *ops, *missing, counted=counted)
    others = waits(history, OTHERS)
    declared_ms = freshness_s(history.declares) * 1000
    if len(others) < PROBES // 2 or len(tries) < len(table) or not all(tries.values()):
        return inconclusive("too little was sent to say", counted=counted)
    least, most = p95(others)
    if least > declared_ms:
        slow = max(others, key=lambda wait: wait.least)
        what = f"beside poison the events of others were counted only after {least:,.0f} ms or more (95th percentile)"
        return failed(f"{what}, and {declared_ms:,.0f} are declared", slow.post, counted=counted)
    if most > declared_ms + GRAIN_MS:
        return inconclusive("whether others are counted in time beside poison is open", counted=counted)
    taken = sum(bool(ops) and accepted(ops[-1]) for ops in tries.values())
    what = f"of {len(tries)} kinds of poison {taken} were taken and counted, the others refused"
    return passed(f"{what}; meanwhile all else was counted within {most:,.0f} ms", counted=counted)
