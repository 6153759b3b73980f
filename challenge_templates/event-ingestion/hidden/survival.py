"""EV-1 and EV-4: what each strike lost and doubled, and how soon what was acknowledged was counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crucible.authoring.facts import fact, noted
from crucible.authoring.outcomes import answered, exactly, failed, inconclusive, passed, why_none
from crucible.check import Finding, History, Measure
from crucible.evidence import Op
from crucible.oracles.tallies import Mismatch

from .books import Books, Sent, accepted, books_of, place_of, readings
from .line import EARLY, GRAIN_MS, LINE, VOLUME, chunks, freshness, probe
from .reading import pages, tallies
from .sending import AFTER_S, CONTACT, freshness_s
from .strikes import ALL_KILLED_SLOW, SLACK_NS, Met, Strike, all_killed, every, excusable, loss_ns

CARDS_S = 1.0
"""What a power failure may cost Valkey, by its card (`appendfsync everysec`)."""
LATE_NS = 300_000_000
"""How much later than promised something may be seen, since it is looked for every so often."""
MOST_SILENT = 0.05
MANY = "many events in batches of 1,000"
NEEDED = 200
"""Events that must have been acknowledged under a strike for it to show anything."""


@dataclass(frozen=True, slots=True)
class Toll:
    """What a cohort cost, as the worst replica says."""

    words: str
    acknowledged: int
    lost: int = 0
    doubled: int = 0
    named_lost: tuple[str, ...] = ()
    named_doubled: tuple[str, ...] = ()
    off_by: int = 0
    """What a sum is wrong by that no event explains."""
    unread: tuple[str, ...] = ()
    """Replicas that gave no answer in the end."""
    open: bool = False
    """Whether so much is in doubt that it cannot be told."""
    excused: int = 0
    """Events that are missing, and may be by what is declared."""
    lost_ms: float = 0.0
    """In how much time before the strike as many were acknowledged as are missing."""
    late_s: float = 0.0
    """After how many seconds it was right, where that is later than promised."""
    shown: tuple[Op, ...] = ()

    @property
    def wrong(self) -> bool:
        return self.lost > 0 or self.doubled > 0 or self.off_by != 0


@dataclass(slots=True)
class _Worst:
    wrong: list[Mismatch] = field(default_factory=list)
    op: Op | None = None


def toll(history: History, label: str, words: str, strike: Strike | None = None) -> Toll | None:
    """What was read back of a cohort, held against what was acknowledged; None where nothing was sent."""
    books = books_of(history, label)
    if books is None:
        return None
    met = fact(history, Met, label)
    doubtful = excusable(strike, met, books, history.declares) if strike is not None and met is not None else set()
    last_post = max((op.received_ns for op in history.named(label) if place_of(op) is not None), default=0)
    worst, unread, unclear, late_s, excused = _Worst(), list[str](), False, 0.0, 0
    for target, ops in readings(history, label).items():
        told = [
            (op, books.against(seen, doubtful))
            for op in (ops if met is not None else ops[-1:])
            if (seen := tallies(op)) is not None and (op.sent_ns >= last_post or seen == books.due)
        ]
        if not told:
            unread.append(target)
            continue
        op, found = told[-1]
        unclear = unclear or bool(found.open and books.maybe)  # what may be lost by what is declared is excused
        if found.lost + found.doubled >= sum(it.fewest_lost + it.fewest_doubled for it in worst.wrong) and found.wrong:
            worst = _Worst(list(found.wrong), op)
        if doubtful and not found.wrong:
            missing = books.against(tallies(op) or {})
            if missing.lost > books.most_within(loss_ns(history.declares) + SLACK_NS):
                worst = _Worst(list(missing.wrong), op)
            excused = max(excused, missing.lost)
        late_s = max(late_s, _late_s(history, [(op, not found.wrong) for op, found in told], met))
    if len(readings(history, label)) < history.replicas:
        unread.append("a replica")
    return Toll(
        words, len(books.yes),
        lost=sum(it.fewest_lost for it in worst.wrong),
        doubled=sum(it.fewest_doubled for it in worst.wrong),
        named_lost=tuple(name for it in worst.wrong for name in it.lost),
        named_doubled=tuple(name for it in worst.wrong for name in it.doubled),
        off_by=next((it.off_by for it in worst.wrong if not it.fewest_lost and not it.fewest_doubled), 0),
        unread=tuple(unread), open=unclear, excused=excused, late_s=late_s,
        lost_ms=_lost_ms(books, met, sum(it.fewest_lost for it in worst.wrong) + excused),
        shown=_shown(history, label, books, worst),
    )  # fmt: skip


def _lost_ms(books: Books, met: Met | None, missing: int) -> float:
    before = sorted(yes_ns for yes_ns in books.first_yes_ns.values() if met is not None and yes_ns <= met.at_ns)
    if met is None or not missing or not before:
        return 0.0
    return (met.at_ns - before[max(0, len(before) - missing)]) / 1e6


def _late_s(history: History, told: Sequence[tuple[Op, bool]], met: Met | None) -> float:
    """After how many seconds a replica was right, where it was seen not to be so when that was promised."""
    if met is None or not met.known_ns:
        return 0.0
    begun_ns = max(met.known_ns, met.healed_ns)
    due_ns = begun_ns + int(1e9 * (freshness_s(history.declares) + AFTER_S)) + LATE_NS
    behind = [op.sent_ns for op, right in told if not right and op.sent_ns > due_ns]
    at_last = [op.received_ns for op, right in told if right and behind and op.sent_ns > behind[-1]]
    return (at_last[0] - begun_ns) / 1e9 if at_last else 0.0


def _shown(history: History, label: str, books: Books, worst: _Worst) -> tuple[Op, ...]:
    """The batch whose event is missing or doubled, as far as it is named, and the answer that shows it."""
    if worst.op is None:
        return ()
    named = {name for it in worst.wrong for name in (*it.lost, *it.doubled)}
    there = {*pages(history.named(f"{label}/pages"))}
    missing = {books.cohort.id(index) for index in books.yes} - there if there else set()
    guilty, sent = named or missing, fact(history, Sent, label)
    posts = [op for op in history.named(label) if accepted(op) and sent is not None and guilty & sent.ids(op)]
    return (*posts[:2], worst.op)


def said_of(toll: Toll) -> str:
    """What a cohort cost, in words."""
    found = []
    if toll.lost:
        named = f" ({', '.join(toll.named_lost[:2])})" if toll.named_lost else ""
        found.append(f"{toll.words} lost {toll.lost} of {toll.acknowledged} acknowledged events{named}")
    if toll.doubled:
        named = f" ({', '.join(toll.named_doubled[:2])})" if toll.named_doubled else ""
        found.append(f"after {toll.words} {toll.doubled} events were counted twice{named}")
    if toll.off_by:
        found.append(f"after {toll.words} a sum was wrong by {toll.off_by:,}, with the right count")
    return " and ".join(found)


def tolls(history: History) -> dict[str, Toll]:
    """Of everything that was sent for EV-1, by its label."""
    quiet = {CONTACT: "first contact", EARLY: "first contact", LINE: "a steady line", VOLUME: MANY}
    labels: list[tuple[str, str, Strike | None]] = [(label, words, None) for label, words in quiet.items()]
    labels += [(label, "a steady line", None) for label in chunks(history)]
    labels += [(strike.name, strike.words, strike) for strike in every(history.services, history.declares)]
    found = {label: toll(history, label, words, strike) for label, words, strike in labels}
    return {label: it for label, it in found.items() if it is not None}


def judge_lost(history: History) -> Finding:
    every_toll = tolls(history)
    counted = {f"acknowledged under {it.words}": float(it.acknowledged) for it in every_toll.values()}
    measures = [*losses(every_toll, history.declares), *_declared_loss(history)]
    wrong = [it for it in every_toll.values() if it.wrong]
    if wrong:
        worst_first = sorted(wrong, key=lambda it: -(it.lost + it.doubled))
        what = "; ".join(said_of(it) for it in worst_first[:3])
        more = f"; and so on, under {len(wrong)} kinds of strike" if len(wrong) > 3 else ""
        return failed(what + more, *worst_first[0].shown, counted=counted, measures=measures)
    if (hollow := _hollow(history)) is not None:
        return failed(hollow[0], *hollow[1], counted=counted, measures=measures)
    if what := _unseen(history, every_toll):
        return inconclusive(what, counted=counted, measures=measures)
    struck = [strike for strike in every(history.services, history.declares) if strike.name in every_toll]
    total = sum(it.acknowledged for it in every_toll.values())
    excused = sum(it.excused for it in every_toll.values())
    kept = f", but for {excused} that crashes took within the loss that is declared" if excused else ""
    notes = [
        f"not tried was {strike.words}: {met.not_caused}"
        for strike in every(history.services, history.declares)
        if (met := fact(history, Met, strike.name)) is not None and met.not_caused
    ]
    what = (
        f"all of {total:,} acknowledged events were counted once, with and without {len(struck)} kinds of failure{kept}"
    )
    return passed("; ".join([what, *notes]), counted=counted, measures=measures)


def _hollow(history: History) -> tuple[str, Sequence[Op]] | None:
    """Why too little of the steady line was taken, which makes all else say little."""
    sent = fact(history, Sent, LINE)
    first = sent.first(history.named(LINE)) if sent is not None else []
    silent = [op for op in first if not accepted(op)]
    if len(silent) <= MOST_SILENT * len(first):
        return None
    why = why_none(silent, accepted) if not all(map(answered, silent)) else f"most often {silent[0].status}"
    return f"only {len(first) - len(silent)} of {len(first)} events of a steady line were taken ({why})", silent


def _unseen(history: History, every_toll: dict[str, Toll]) -> str:
    """What was not seen of something that may have lost something, in words."""
    if unread := [it for it in every_toll.values() if it.unread]:
        return f"what came of {unread[0].words} could not be read back from {unread[0].unread[0]}"
    if unclear := [it for it in every_toll.values() if it.open]:
        return f"too many events had no answer under {unclear[0].words}"
    met = noted(history, Met)
    for strike in every(history.services, history.declares):
        if strike.name not in met:
            return f"it was not seen what {strike.words} does"
        if not met[strike.name].not_caused and every_toll[strike.name].acknowledged < NEEDED:
            return f"only {every_toll[strike.name].acknowledged} events were acknowledged under {strike.words}"
    return ""


def losses(every_toll: dict[str, Toll], declares: Mapping[str, str]) -> list[Measure]:
    """Under the worst strike, and under the crash of everything; what is declared is lost all the same."""
    found = []
    total = sum(it.acknowledged for it in every_toll.values())
    shares = [1000 * (it.lost + it.excused) / it.acknowledged for it in every_toll.values() if it.acknowledged]
    if shares:
        found.append(exactly("lost_per_1000", max(shares), total))
    crashed = {strike.name for strike in (ALL_KILLED_SLOW, *all_killed(declares))}
    crashes = [it.lost_ms for label, it in every_toll.items() if label in crashed]
    if crashes:
        found.append(exactly("lost_ms_crash", max(crashes), len(crashes)))
    doubled = [1000 * it.doubled / it.acknowledged for it in every_toll.values() if it.acknowledged]
    if doubled:
        found.append(exactly("doubled_per_1000", max(doubled), total))
    return found


def _declared_loss(history: History) -> list[Measure]:
    """What is declared, and what the card of a service says that may hold what was acknowledged."""
    declared_s = loss_ns(history.declares) / 1e9
    card_s = CARDS_S if "redis" in history.services else 0.0
    high = max(declared_s, card_s)
    # Beside a service that loses nothing it is not known which of the two holds what was acknowledged.
    low = declared_s if len(history.services) > 1 else high
    return [Measure("declared_loss_s", high, low, high, 1)]


def judge_fresh(history: History) -> Finding:
    """Probes on a steady line, and everything again after each strike."""
    unseen, measures, every_wait, declared_ms = freshness(history, chunks(history) or [probe(0)])
    counted = {"probes": float(len(every_wait))}
    late = [it for it in tolls(history).values() if it.late_s]
    if not measures:
        return unseen or inconclusive("no probe was seen", counted=counted)
    low = measures[0].low
    if low > declared_ms:
        slow = max(every_wait, key=lambda wait: wait.least)
        never = "was not there when it was looked for last" if measures[0].beyond else f"took at least {low:,.0f} ms"
        what = f"the 95th percentile of {len(every_wait)} events {never}, and {declared_ms:,.0f} ms are declared"
        return failed(what, slow.post, counted=counted, measures=measures)
    if late:
        what = "; ".join(
            f"after {it.words} it took {it.late_s:.1f} s until every acknowledged event was counted" for it in late[:2]
        )
        return failed(
            f"{what}, and {declared_ms / 1000 + AFTER_S:g} s are promised", *late[0].shown, counted=counted,
            measures=measures,
        )  # fmt: skip
    if measures[0].beyond or measures[0].high > declared_ms + GRAIN_MS:
        return inconclusive("whether events are counted in time is open", counted=counted, measures=measures)
    what = f"of {len(every_wait)} events 95 % were counted on every replica within {measures[0].high:,.0f} ms"
    return passed(what, counted=counted, measures=measures)
