"""What was answered in an outage, held against the word that the design gives."""

from collections.abc import Sequence
from dataclasses import dataclass

from crucible.authoring.facts import noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, not_run, passed, taken
from crucible.check import Finding, History, Measure
from crucible.evidence import Op

from .requests import LONG_MS, allowed, limits_set
from .seen import SECOND_NS, Seen, faults_seen
from .spells import CRASH, HEALTHY_WITHIN_S, HOT_LIMIT, KINDS, NONE, NotCaused

IN_WORDS = {"refuse": "refused connections", "drop": "hung with its connections open", "crash": "crashed"}
PAST = {"refuse": "accepted connections again,", "drop": "went on after hanging,", "crash": "was back after its crash,"}
FEWEST = 20
"""Requests on which a share may rest."""


ASKED_LEAST = 8
"""Requests for each kind of key that a fault has to have met: half of those of the shortest one."""
UNTRUE = "While the count cannot be read, what is a caller told, and is it what you declared?"
GONE = "What did you put into the service at the start that is gone now?"
TRIED_AGAIN = "When is a connection that has failed tried again, and by whom?"


@dataclass(frozen=True, slots=True)
class Wrong:
    what: str
    shown: Sequence[Op] = ()
    question: str = ""
    """For the learner, where the check's hint would point elsewhere."""


def while_it_lasted(seen: Seen, what: str, shown: Sequence[Op], question: str = "") -> Wrong:
    return Wrong(f"while {seen.spell.service} {IN_WORDS[seen.spell.kind]}, {what}", shown, question)


def broken(seen: Seen, word: str, history: History) -> Wrong | None:
    """How the design broke its word, if it did, and what shows it."""
    if word == "fail-open":
        new = [op for op in seen.during(seen.fresh) if op.sent_ns >= seen.begin_ns + SECOND_NS]
        shut = [op for op in new if not allowed(op)]
        if len(shut) >= 3 and len(shut) > 0.05 * len(new) and limits_set(history, seen.spell.asked("fresh")):
            what = f"{len(shut)} of {len(new)} checks of fresh keys were not allowed, although it declares fail-open"
            return while_it_lasted(seen, what, shut, UNTRUE)
        return None
    if word == "local":
        hot = [op for op in seen.during(seen.hot) if allowed(op)]
        most = history.replicas * HOT_LIMIT * (1 + (seen.end_ns - seen.begin_ns) / (LONG_MS * 1_000_000)) + 1
        if len(hot) > most:
            what = f"a key with limit {HOT_LIMIT} was allowed {len(hot)} units by {history.replicas} replicas"
            return while_it_lasted(seen, f"{what}, although it declares local", hot[-3:], UNTRUE)
        return None
    # an answer that came after the fault may be the store's own word, which has lost its counters if it crashed
    full = seen.during(seen.full)
    through = [op for op in full if taken(op) and op.received_ns <= seen.end_ns]
    if through and full_before(history, seen):
        why = "declares fail-closed" if word == "fail-closed" else "declares nothing, so that it must fail closed"
        what = (
            f"{len(through)} of {len(full)} checks of a full key were answered {through[0].status}, although it {why}"
        )
        return while_it_lasted(seen, what, through, UNTRUE)
    return None


def full_before(history: History, seen: Seen) -> bool:
    return limits_set(history, seen.spell.asked("full")) is not None and seen.refused_before(history.replicas)


def unwell(seen: Seen, history: History) -> Wrong | None:
    """Whether it hung, or did not come back. What the grader was late by itself is not the design's."""
    most_ns = SECOND_NS + 2 * int(history.lag_ms * 1e6)
    slow = [op for op in seen.settled if op.status is None or op.received_ns - op.sent_ns > most_ns]
    if len(seen.settled) >= FEWEST and len(slow) > 0.05 * len(seen.settled):
        what = f"{len(slow)} of {len(seen.settled)} requests had no answer within 1 s"
        return while_it_lasted(seen, what, sorted(slow, key=lambda op: op.sent_ns))
    late = seen.recovery_s > HEALTHY_WITHIN_S + 1.0  # one more question than it may take
    if late or len(seen.back_s) != history.replicas:
        spell = seen.spell
        what = f"{HEALTHY_WITHIN_S:.0f} s after {spell.service} {PAST[spell.kind]} a fresh key was still not allowed"
        return Wrong(what, seen.vain, GONE if spell.kind == CRASH else TRIED_AGAIN)
    return None


def thin(seen: Seen, history: History) -> str:
    """Which part of a fault was not seen well enough for a pass, in words; empty where all were."""
    spell = seen.spell
    kinds = {"a full key": ("full", seen.full), "fresh keys": ("fresh", seen.fresh), "a hot key": ("hot", seen.hot)}
    for words, (part, ops) in kinds.items():
        if limits_set(history, spell.asked(part)) is None:
            return f"the limit of {words} was not taken before a fault"
        if len(seen.during(ops)) < ASKED_LEAST:
            return f"{words} had only {len(seen.during(ops))} checks during a fault"
    if spell.service != NONE and len(seen.settled) < FEWEST:
        return f"only {len(seen.settled)} requests were sent after a fault's first second"
    return ""


def observed(every: Sequence[Seen]) -> str:
    """What a design does in an outage, in words."""
    new = [op for seen in every for op in seen.during(seen.fresh)]
    return f"{sum(map(allowed, new))} of {len(new)} checks of fresh keys were let through"


def recovery(every: Sequence[Seen], replicas: int) -> Measure:
    """The longest; of who never came back it is known that it takes longer than was waited for."""
    lost = [seen.asked_s for seen in every if seen.spell.service != NONE and len(seen.back_s) < replicas]
    value = max(lost, default=max(seen.recovery_s for seen in every))
    return Measure("recovery_s", value, value, value, len(every), beyond=bool(lost))


def measured(every: Sequence[Seen], replicas: int) -> list[Measure]:
    """The worst of all faults."""
    if not every:
        return []
    requests, peaks = sum(len(seen.during()) for seen in every), [seen.peak for seen in every]
    peak = max(peak.certain for peak in peaks)
    return [
        exactly("outage_answered_ratio", min(seen.answered for seen in every), requests),
        exactly("outage_latency_p99_ms", max(seen.p99_ms for seen in every), requests),
        Measure("outage_peak_ratio", peak, peak, max(peak.possible for peak in peaks), requests),
        recovery(every, replicas),
    ]


def judge_word(history: History) -> Finding:
    every, word = faults_seen(history), history.declares.get("on_store_outage", "")
    faults = every if history.services else []
    counted = {"faults": len(faults), "requests in them": sum(len(seen.during()) for seen in every)}
    measures = measured(every, history.replicas)
    for seen in faults:
        wrong = broken(seen, word, history) or unwell(seen, history)
        if wrong is not None:
            return failed(wrong.what, *wrong.shown, counted=counted, measures=measures, question=wrong.question)
    for missed in noted(history, NotCaused).values():  # and so the worst of all faults is not known
        return not_run(f"a {CRASH} of {missed.service} could not be caused: {missed.why}", counted=counted)
    if len(every) < max(1, len(KINDS) * len(history.services)):
        return inconclusive("not every fault was seen", counted=counted, measures=measures)
    if unsure := next(filter(None, (thin(seen, history) for seen in every)), ""):
        return inconclusive(unsure, counted=counted, measures=measures)
    if not history.services:
        what = "it uses no service, so none of the faults applies"
        return passed(what, counted=counted, measures=measures)
    if word in ("", "fail-closed") and not all(full_before(history, seen) for seen in every):
        what = "a key that was to be full before a fault was not seen full on every replica"
        return inconclusive(what, counted=counted, measures=measures)
    kept = f"it kept its word, {word}," if word else f"it declares nothing and fails closed ({observed(every)})"
    return passed(f"{kept} through {len(every)} faults", counted=counted, measures=measures)
