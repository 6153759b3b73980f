"""NT-12: what each strike lost and doubled, and what an outage costs."""

from collections.abc import Callable, Iterable, Mapping

from crucible.authoring.facts import fact, noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, percentile
from crucible.check import Finding, History, Measure

from . import strikes
from .accounts import Books, books
from .messages import accepted, key_of
from .strikes import Strike
from .waiting import again

CARDS_S = 1.0
"""What a power failure may cost the store, by its card (`appendfsync everysec`)."""
PATIENCE_NS = 500_000_000
"""Before the crash: who was asked later may have been cut off by it."""


def judge_crashes(history: History) -> Finding:
    tolls = _by_strike(history)
    owed, lost = sum(told.owed for told in tolls.values()), sum(len(told.lost) for told in tolls.values())
    measures = [*_losses(tolls), *_provider_outage(history), *_outages(history)]
    counted = {f"accepted under {strike.name}": float(told.owed) for strike, told in tolls.items()}
    counted |= {f"lost under {strike.name}": float(len(told.lost)) for strike, told in tolls.items() if told.lost}
    declared = history.declares.get("delivery", "exactly-once-effect")
    wrong = {strike: told for strike, told in tolls.items() if told.lost}
    if wrong and declared != "at-most-once":
        what = "; ".join(
            f"{strike.words} lost {len(told.lost)} of {told.owed} accepted notifications"
            for strike, told in wrong.items()
        )
        first = next(iter(wrong.values()))
        return failed(what, *first.shown(first.lost), counted=counted, measures=measures)
    never = [
        f"{len(told.open)} notifications never arrived after {strike.words}"
        for strike, told in tolls.items() if told.open
    ]  # fmt: skip
    if never:
        what = "; ".join(never) + ", and it was never said for sure that they were accepted"
        return inconclusive(what, counted=counted, measures=measures)
    narrow = _narrow(history, tolls)
    if not tolls or narrow:
        what = f"too little was waiting when {', '.join(narrow) or 'anything'} struck to show anything"
        return inconclusive(what, counted=counted, measures=measures)
    notes = _not_run(history)
    what = f"{len(tolls)} kinds of strike lost {lost} of {owed} accepted notifications{notes and f' ({notes})'}"
    return passed(what, counted=counted, measures=measures)


def _by_strike(history: History) -> dict[Strike, Books]:
    """The books of what was asked for under each strike, and asked again after all."""
    late = history.named(again(strikes.FOR_SURE))
    found = {}
    for strike in strikes.every(history.services):
        ops = history.named(strike.name)
        keys = set(map(key_of, ops))
        if ops:
            found[strike] = books(history, [*ops, *(op for op in late if key_of(op) in keys)])
    return found


def _narrow(history: History, struck: Iterable[Strike]) -> list[str]:
    """Strikes that met too little, by name."""
    wide = noted(history, strikes.Met)
    judged = {strikes.ALL_KILLED, *map(strikes.crash_of, history.services)}
    names = [strike.name for strike in struck if strike in judged]
    found = [name for name in names if name not in wide or not wide[name].wide]
    in_call = any(killed.unanswered for killed in noted(history, strikes.KilledInCall).values())
    return found if in_call else [*found, strikes.CALLER_KILLED.name]


def _not_run(history: History) -> str:
    """Why some strikes could not be caused."""
    paused, met = fact(history, strikes.TakenOver), noted(history, strikes.Met)
    crashed = [met[name].not_caused for name in (strikes.crash_of(it).name for it in history.services) if name in met]
    return "; ".join(filter(None, [paused.why_not if paused else "", *crashed]))


def _losses(tolls: Mapping[Strike, Books]) -> list[Measure]:
    """Under the worst strike. What never arrived, and may have been accepted, may have been lost as well."""
    total = sum(told.owed for told in tolls.values())

    def worst(count: Callable[[Books], int]) -> float:
        return max((1000 * count(told) / told.owed for told in tolls.values() if told.owed), default=0.0)

    least, most = worst(lambda told: len(told.lost)), worst(lambda told: len(told.lost) + len(told.open))
    found = [
        exactly("doubled_per_1000", worst(lambda told: len(told.account.doubled)), total),
        Measure("lost_per_1000", least, least, most, total),
    ]
    if told := tolls.get(strikes.ALL_KILLED):
        lost = len(told.lost)
        found.append(Measure("lost_per_crash", lost, lost, lost + len(told.open), told.owed))
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
        exactly(axis, value, len(first))
        for axis, value in (("accepted_provider_outage_ratio", share), ("refusal_p99_ms", slow))
    ]


def _outages(history: History) -> list[Measure]:
    """What an outage of a service costs, and what its card says."""
    found, outages = [], noted(history, strikes.Away)
    if recoveries := [away.recovery_s for away in outages.values() if away.recovery_s is not None]:
        found.append(Measure("recovery_s", max(recoveries), min(recoveries), max(recoveries), len(recoveries)))
    sent = int(strikes.AWAY_S * strikes.AWAY_PER_S)
    shares = {service: away.accepted / away.sent for service, away in outages.items()}
    if shares:
        found.append(exactly("accepted_store_outage_ratio", min(shares.values()), sent * len(shares)))
    postgres = shares.get("postgres", 1.0 if "postgres" not in history.services else None)
    if postgres is not None:
        found.append(exactly("accepted_postgres_outage_ratio", postgres, sent))
    loss = CARDS_S if "redis" in history.services else 0.0
    # Beside a service that loses nothing it is not known which of the two holds what was accepted.
    found.append(Measure("declared_loss_s", loss, 0.0 if len(history.services) > 1 else loss, loss, 1))
    return found
