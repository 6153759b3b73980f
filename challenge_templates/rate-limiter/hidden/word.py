"""What was answered in an outage, held against the word that the design gives."""

from collections.abc import Sequence
from dataclasses import dataclass

from crucible.check import Finding, History, Measure, Outcome
from crucible.evidence import Op
from crucible.oracles.windows import NEVER_NS, peak_units, wrong_refusals

from .outage import FULL_LIMIT, FULL_MS, HEALTHY_WITHIN_S, HOT_LIMIT, KINDS, NONE
from .requests import LONG_MS, allowed, claims, limits_set, refused, taken, unanswered_claims

SECOND_NS = 1_000_000_000
IN_WORDS = {"refuse": "refused connections", "drop": "hung with its connections open", "crash": "crashed"}
FEWEST = 20
"""Requests on which a share may rest."""


@dataclass(frozen=True, slots=True)
class Spell:
    """One fault of one service, with what was sent while it lasted."""

    service: str
    kind: str
    begin: int
    end: int
    healed: int
    ops: tuple[Op, ...]
    settled: tuple[Op, ...]
    """What was sent from a second after the fault's beginning on."""
    answered: float
    """Share of the requests, within 1 s, with what a caller can use."""
    p99_ms: float
    peak: float
    """Units let through in a window, by the limit; of the hot key, or of the one that was full before."""
    high_peak: float
    """With those that had no answer at all; who got a 503 was not let through."""
    recovery_s: float
    well: bool

    def says(self, what: str) -> str:
        return f"while {self.service} {IN_WORDS[self.kind]}, {what}" if self.kind in IN_WORDS else what


def spells(history: History) -> list[Spell]:
    pairs = [(s, k) for s in history.services for k in KINDS] or [(NONE, NONE)]
    return [it for service, kind in pairs if (it := _spell(history, service, kind)) is not None]


def _spell(history: History, service: str, kind: str) -> Spell | None:
    name = f"out/{service}/{kind}"
    fact = history.facts.get(name)
    if not isinstance(fact, dict) or not isinstance(begin := fact["begin"], int):
        return None
    every = [op for part in ("full", "fresh", "hot") for op in history.named(f"{name}/{part}") if op.sent_ns >= begin]
    last = max((op.sent_ns for op in every), default=begin)
    end, healed = fact.get("end", last), fact.get("healed", last)
    if not every or not isinstance(end, int) or not isinstance(healed, int):
        return None
    during = [op for op in every if op.sent_ns <= end]
    hot = [op for op in during if "/hot" in op.name]
    full = [*history.named(f"{name}/fill"), *(op for op in during if "/full" in op.name)]
    took = claims([op for op in hot if allowed(op)])
    undeserved = wrong_refusals(claims([o for o in hot if refused(o)]), took + unanswered_claims(hot, NEVER_NS),
                                HOT_LIMIT, LONG_MS * 1_000_000)  # fmt: skip
    hot_low, hot_high = _peak(hot, HOT_LIMIT, LONG_MS)
    full_low, full_high = _peak(full, FULL_LIMIT, FULL_MS)
    good = [op for op in during if op.received_ns - op.sent_ns <= SECOND_NS and _serves(op)]
    times = sorted((op.received_ns - op.sent_ns) / 1e6 for op in during)
    probes: dict[str, list[Op]] = {}
    for op in history.named(f"{name}/well"):
        probes.setdefault(op.target, []).append(op)
    back = [max(0.0, (ops[-1].received_ns - healed) / 1e9) for ops in probes.values() if allowed(ops[-1])]
    return Spell(
        service, kind, begin, end, healed, tuple(during),
        tuple(op for op in every if op.sent_ns >= begin + SECOND_NS),
        max(0, len(good) - len(undeserved)) / len(during), times[int(0.99 * (len(times) - 1))],
        max(hot_low, full_low), max(hot_high, full_high),
        max(back, default=0.0), kind == NONE or len(back) == history.replicas,
    )  # fmt: skip


def _peak(ops: Sequence[Op], n: int, window_ms: int) -> tuple[float, float]:
    """The fullest window, by the limit: certainly, and with what had no answer at all."""
    took, window_ns = claims([op for op in ops if allowed(op)]), window_ms * 1_000_000
    silent = unanswered_claims([op for op in ops if op.status is None])
    return peak_units(took, window_ns).units / n, peak_units(took + silent, window_ns).units / n


def _serves(op: Op) -> bool:
    return allowed(op) or (refused(op) and not op.name.endswith("/fresh"))


def broken(spell: Spell, word: str, history: History) -> tuple[str, tuple[Op, ...]] | None:
    """How the design broke its word, if it did, and what shows it."""
    full = [op for op in spell.ops if op.name.endswith("/full")]
    if word == "fail-open":
        new = [op for op in spell.ops if op.name.endswith("/fresh") and op.sent_ns >= _settling(spell)]
        shut = [op for op in new if not allowed(op)]
        if len(shut) >= 3 and len(shut) > 0.05 * len(new):
            what = f"{len(shut)} of {len(new)} checks of fresh keys were not allowed, although it declares fail-open"
            return spell.says(what), tuple(shut[:3])
        return None
    if word == "local":
        hot = [op for op in spell.ops if op.name.endswith("/hot") and allowed(op)]
        most = history.replicas * HOT_LIMIT * (1 + (spell.end - spell.begin) / (LONG_MS * 1_000_000)) + 1
        if len(hot) > most:
            what = f"a key with limit {HOT_LIMIT} was allowed {len(hot)} units by {history.replicas} replicas"
            return spell.says(f"{what}, although it declares local"), tuple(hot[-3:])
        return None
    # an answer that came after the fault may be the store's own word, which has lost its counters if it crashed
    through = [op for op in full if taken(op) and op.received_ns <= spell.end]
    if through and full_before(history, spell):
        why = "declares fail-closed" if word == "fail-closed" else "declares nothing, so that it must fail closed"
        what = (
            f"{len(through)} of {len(full)} checks of a full key were answered {through[0].status}, although it {why}"
        )
        return spell.says(what), tuple(through[:3])
    return None


def _settling(spell: Spell) -> int:
    return spell.begin + SECOND_NS


def full_before(history: History, spell: Spell) -> bool:
    """Whether every replica had refused the full key twice, last, before the fault."""
    name = f"out/{spell.service}/{spell.kind}"
    last = [history.named(f"{name}/fill/web.{i}")[-2:] for i in range(history.replicas)]
    return limits_set(history, f"{name}/full") is not None and all(len(o) == 2 and all(map(refused, o)) for o in last)


def unwell(spell: Spell, lag_ms: float) -> tuple[str, tuple[Op, ...]] | None:
    """Whether it hung, or did not come back. What the grader was late by itself is not the design's."""
    most_ns = SECOND_NS + 2 * int(lag_ms * 1e6)
    slow = [op for op in spell.settled if op.status is None or op.received_ns - op.sent_ns > most_ns]
    if len(spell.settled) >= FEWEST and len(slow) > 0.05 * len(spell.settled):
        what = f"{len(slow)} of {len(spell.settled)} requests had no answer within 1 s"
        return spell.says(what), tuple(sorted(slow, key=lambda op: op.sent_ns)[:3])
    if not spell.well or spell.recovery_s > HEALTHY_WITHIN_S + 1.0:  # one more question than it may take
        return (
            f"{HEALTHY_WITHIN_S:.0f} s after {spell.service} {PAST[spell.kind]} a fresh key was still not allowed",
            (),
        )
    return None


PAST = {"refuse": "accepted connections again,", "drop": "went on after hanging,", "crash": "was back after its crash,",
        NONE: ""}  # fmt: skip


def observed(every: Sequence[Spell]) -> str:
    """What a design does in an outage, in words."""
    new = [op for spell in every for op in spell.ops if op.name.endswith("/fresh")]
    return f"{sum(map(allowed, new))} of {len(new)} checks of fresh keys were let through"


def judge_word(history: History) -> Finding:
    every, word = spells(history), history.declares.get("on_store_outage", "")
    evidence: dict[str, float] = {"faults": 0 if not history.services else len(every)}
    evidence["requests in them"] = sum(len(it.ops) for it in every)
    measures: tuple[Measure, ...] = ()
    if every:
        n, worst = sum(len(it.ops) for it in every), min(it.answered for it in every)
        p99, peak = max(it.p99_ms for it in every), max(it.peak for it in every)
        high, back = max(it.high_peak for it in every), max(it.recovery_s for it in every)
        measures = (
            Measure("outage_answered_ratio", worst, worst, worst, n),
            Measure("outage_latency_p99_ms", p99, p99, p99, n),
            Measure("outage_peak_ratio", peak, peak, high, n),
            Measure("recovery_s", back, back, back, len(every)),
        )
    for spell in every if history.services else ():
        wrong = broken(spell, word, history) or unwell(spell, history.lag_ms)
        if wrong is not None:
            return Finding(Outcome.FAIL, wrong[0], wrong[1], measures, evidence)
    missed = {name: why for name, why in history.facts.items() if name.startswith("not caused/")}
    if missed:  # and so the worst of all faults is not known
        name, why = next(iter(missed.items()))
        what = f"a {name.rpartition('/')[2]} of {name.split('/')[1]} could not be caused: {why}"
        return Finding(Outcome.NOT_RUN, what, (), (), evidence)
    if len(every) < max(1, len(KINDS) * len(history.services)):
        return Finding(Outcome.INCONCLUSIVE, "not every fault was seen", (), measures, evidence)
    if not history.services:
        return Finding(Outcome.PASS, "it uses no service, so none of the faults applies", (), measures, evidence)
    if word in ("", "fail-closed") and not all(full_before(history, it) for it in every):
        what = "a key that was to be full before a fault was not seen full on every replica"
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    kept = f"it kept its word, {word}," if word else f"it declares nothing and fails closed ({observed(every)})"
    return Finding(Outcome.PASS, f"{kept} through {len(every)} faults", (), measures, evidence)
