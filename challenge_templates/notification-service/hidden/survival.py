"""NT-12: what each strike lost and doubled, and what an outage costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from crucible.authoring.facts import fact, noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, percentile
from crucible.check import Finding, History, Measure
from crucible.evidence import Op

from . import strikes
from .accounts import Books, books
from .messages import accepted, key_of
from .strikes import Strike
from .waiting import again

CARDS_S = 1.0
"""What a power failure may cost the store, by its card (`appendfsync everysec`)."""
PATIENCE_NS = 500_000_000
"""Before the crash: who was asked later may have been cut off by it."""


@dataclass(frozen=True, slots=True)
class Toll:
    """What one strike took, in messages."""

    strike: Strike
    books: Books

    @property
    def owed(self) -> int:
        return self.books.owed

    @property
    def lost(self) -> list[str]:
        return [item.id for item in self.books.account.lost]

    @property
    def doubled(self) -> int:
        return len(self.books.account.doubled)

    @property
    def unsure(self) -> int:
        """What never arrived, and may have been accepted."""
        return len(self.books.open)


def judge_crashes(history: History) -> Finding:
    tolls = [Toll(strike, books(history, ops)) for strike, ops in _by_strike(history)]
    owed, lost = sum(toll.owed for toll in tolls), sum(len(toll.lost) for toll in tolls)
    measures = [*_losses(tolls), *_provider_outage(history), *_outages(history)]
    counted = {f"accepted under {toll.strike.name}": float(toll.owed) for toll in tolls}
    counted |= {f"lost under {toll.strike.name}": float(len(toll.lost)) for toll in tolls if toll.lost}
    declared = history.declares.get("delivery", "exactly-once-effect")
    wrong = [toll for toll in tolls if toll.lost]
    if wrong and declared != "at-most-once":
        what = "; ".join(
            f"{toll.strike.words} lost {len(toll.lost)} of {toll.owed} accepted notifications" for toll in wrong
        )
        return failed(what, *wrong[0].books.shown(wrong[0].lost), counted=counted, measures=measures)
    if unsure := [toll for toll in tolls if toll.unsure]:
        never = [f"{toll.unsure} notifications never arrived after {toll.strike.words}" for toll in unsure]
        what = "; ".join(never) + ", and it was never said for sure that they were accepted"
        return inconclusive(what, counted=counted, measures=measures)
    narrow = _narrow(history, tolls)
    if not tolls or narrow:
        what = f"too little was waiting when {', '.join(narrow) or 'anything'} struck to show anything"
        return inconclusive(what, counted=counted, measures=measures)
    notes = _not_run(history)
    what = f"{len(tolls)} kinds of strike lost {lost} of {owed} accepted notifications{notes and f' ({notes})'}"
    return passed(what, counted=counted, measures=measures)


def _by_strike(history: History) -> list[tuple[Strike, list[Op]]]:
    """What was asked for under each strike, and asked again after all."""
    late = history.named(again(strikes.FOR_SURE))
    found = []
    for strike in strikes.every(history.services):
        ops = history.named(strike.name)
        keys = set(map(key_of, ops))
        if ops:
            found.append((strike, [*ops, *(op for op in late if key_of(op) in keys)]))
    return found


def _narrow(history: History, tolls: Sequence[Toll]) -> list[str]:
    """Strikes that met too little, by name."""
    wide = noted(history, strikes.Met)
    judged = {strikes.ALL_KILLED, *map(strikes.crash_of, history.services)}
    names = [toll.strike.name for toll in tolls if toll.strike in judged]
    found = [name for name in names if name not in wide or not wide[name].wide]
    in_call = any(killed.unanswered for killed in noted(history, strikes.KilledInCall).values())
    return found if in_call else [*found, strikes.CALLER_KILLED.name]


def _not_run(history: History) -> str:
    """Why some strikes could not be caused."""
    paused, met = fact(history, strikes.TakenOver), noted(history, strikes.Met)
    crashed = [met[name].not_caused for name in (strikes.crash_of(it).name for it in history.services) if name in met]
    return "; ".join(filter(None, [paused.why_not if paused else "", *crashed]))


def _losses(tolls: Sequence[Toll]) -> list[Measure]:
    """Under the worst strike. What never arrived, and may have been accepted, may have been lost as well."""
    some = [toll for toll in tolls if toll.owed]
    total = sum(toll.owed for toll in tolls)
    twice = max((1000 * toll.doubled / toll.owed for toll in some), default=0.0)
    least = max((1000 * len(toll.lost) / toll.owed for toll in some), default=0.0)
    most = max((1000 * (len(toll.lost) + toll.unsure) / toll.owed for toll in some), default=0.0)
    found = [exactly("doubled_per_1000", twice, total), Measure("lost_per_1000", least, least, most, total)]
    for toll in tolls:
        if toll.strike == strikes.ALL_KILLED:
            lost = len(toll.lost)
            found.append(Measure("lost_per_crash", lost, lost, lost + toll.unsure, toll.owed))
    return found


def _provider_outage(history: History) -> list[Measure]:
    """What was answered to the first messages of F2: every provider refused, and nothing had been killed yet."""
    killed = min((event.at_ns for event in history.events if event.kind == "kill"), default=0)
    first = [op for op in history.ops if op.name == strikes.ALL_KILLED.name and op.sent_ns < killed - PATIENCE_NS]
    if len(first) < strikes.BACKLOG:
        return []
    share = sum(map(accepted, first)) / len(first)
    slow = percentile([(op.received_ns - op.sent_ns) / 1e6 for op in first], 0.99)
    return [
        exactly("accepted_provider_outage_ratio", share, len(first)),
        exactly("refusal_p99_ms", slow, len(first)),
    ]


def _outages(history: History) -> list[Measure]:
    """What an outage of a service costs, and what its card says."""
    found = []
    if recoveries := [recovered.seconds for recovered in noted(history, strikes.Recovered).values()]:
        found.append(Measure("recovery_s", max(recoveries), min(recoveries), max(recoveries), len(recoveries)))
    sent = int(strikes.AWAY_S * strikes.AWAY_PER_S)
    shares = {service: away.accepted / away.sent for service, away in noted(history, strikes.Away).items()}
    if shares:
        found.append(exactly("accepted_store_outage_ratio", min(shares.values()), sent * len(shares)))
    postgres = shares.get("postgres", 1.0 if "postgres" not in history.services else None)
    if postgres is not None:
        found.append(exactly("accepted_postgres_outage_ratio", postgres, sent))
    loss = CARDS_S if "redis" in history.services else 0.0
    # Beside a service that loses nothing it is not known which of the two holds what was accepted.
    found.append(Measure("declared_loss_s", loss, 0.0 if len(history.services) > 1 else loss, loss, 1))
    return found
