"""NT-12: what each strike lost and doubled, and what an outage costs."""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from crucible.authoring.facts import fact, noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, percentile
from crucible.check import Finding, History, Measure
from crucible.evidence import Op
from crucible.oracles.delivery import Owes, late

from . import strikes
from .accounts import Books, books
from .line import FEWEST
from .messages import accepted, key_of
from .strikes import RECOVERS_S, Strike
from .waiting import GRACE_NS, WITHIN_S, again

CARDS_S = 1.0
"""What a power failure may cost the store, by its card (`appendfsync everysec`)."""
PATIENCE_NS = 500_000_000
"""Before the crash: who was asked later may have been cut off by it."""


@dataclass(frozen=True, slots=True)
class Toll:
    """What one strike cost."""

    owed: int
    """Messages that were accepted under it, and those of others that it cost."""
    missed: tuple[str, ...]
    """Keys of those that had not arrived within `WITHIN_S` of the last heal: they were tried last while it lasted."""
    late: int
    """How many of them came after that."""
    open: tuple[str, ...]
    """Keys of those that never arrived, and of which it was never said for sure that they were accepted."""
    doubled: int


def judge_crashes(history: History) -> Finding:
    told = books(history, _asked(history))
    tolls = _by_strike(history, told)
    owed, missed = sum(toll.owed for toll in tolls.values()), sum(len(toll.missed) for toll in tolls.values())
    measures = [*_losses(tolls), *_provider_outage(history), *_outages(history)]
    counted = {f"accepted under {strike.name}": float(toll.owed) for strike, toll in tolls.items()}
    counted |= {f"lost under {strike.name}": float(len(toll.missed)) for strike, toll in tolls.items() if toll.missed}
    declared = history.declares.get("delivery", "exactly-once-effect")
    wrong = {strike: toll for strike, toll in tolls.items() if toll.missed}
    if wrong and declared != "at-most-once":
        lost = "; ".join(
            f"{strike.words} lost {len(toll.missed)} of {toll.owed} accepted notifications"
            for strike, toll in wrong.items()
        )
        later = sum(toll.late for toll in wrong.values())
        what = (
            f"{lost}: {'they' if missed > 1 else 'it'} had not arrived {WITHIN_S:g} s after the last failure was over"
        )
        return failed(
            f"{what}{f' ({later} came later)' if later else ''}",
            *told.shown(next(iter(wrong.values())).missed), counted=counted, measures=measures,
        )  # fmt: skip
    never = [
        f"{len(toll.open)} notifications never arrived after {strike.words}"
        for strike, toll in tolls.items() if toll.open
    ]  # fmt: skip
    if never:
        what = "; ".join(never) + ", and it was never said for sure that they were accepted"
        return inconclusive(what, counted=counted, measures=measures)
    if what := _unseen(history, tolls):
        return inconclusive(what, counted=counted, measures=measures)
    notes = _not_run(history)
    what = f"{len(tolls)} kinds of strike lost {missed} of {owed} accepted notifications{notes and f' ({notes})'}"
    return passed(what, counted=counted, measures=measures)


def _asked(history: History) -> list[Op]:
    """What was asked for under some strike, and asked again after all."""
    names = [*(strike.name for strike in strikes.every(history.services)), again(strikes.FOR_SURE)]
    return [op for name in names for op in history.named(name)]


def _by_strike(history: History, told: Books) -> dict[Strike, Toll]:
    """What each strike cost that was seen to strike anything. A message that did not arrive belongs to the one during
    which it was last tried, else to the one under which it was asked for."""
    healed = fact(history, strikes.Healed)
    slack_ns = int(history.lag_ms * 1e6) + GRACE_NS
    owing = [item for item in told.items.values() if item.owes is Owes.ONE]
    too_late = late(owing, told.account.done, int(WITHIN_S * 1e9) + slack_ns, healed.at_ns) if healed else []
    came = {item.id for item in too_late}
    missed = _by_last_try(history, told, {*told.lost, *came})
    doubled = Counter(double.id for double in told.account.doubled)
    found = {}
    for strike in strikes.every(history.services):
        posted = [key for key in dict.fromkeys(map(key_of, history.named(strike.name))) if key in told.items]
        struck = missed.get(strike.name, [])
        mine = {*posted, *struck}
        if mine:
            found[strike] = Toll(
                owed=sum(told.items[key].owes is Owes.ONE for key in mine),
                missed=tuple(struck),
                late=sum(key in came for key in struck),
                open=tuple(key for key in posted if key in told.open),
                doubled=sum(doubled[key] for key in posted),
            )
    return found


def _by_last_try(history: History, told: Books, missed: Container[str]) -> dict[str, list[str]]:
    """The keys of what did not arrive, by the name of the strike that each belongs to."""
    spans = sorted(noted(history, strikes.Span).values(), key=lambda span: span.begin_ns)
    found: dict[str, list[str]] = defaultdict(list)
    for key in told.items:
        if key in missed:
            tried = [attempt.at_ns for attempt in told.attempts.get(key, []) if not attempt.effect]
            met = [span.strike for span in spans if tried and span.begin_ns <= tried[-1] <= span.end_ns]
            found[met[-1] if met else told.ops[key][0].name.split("/")[0]].append(key)
    return found


def _unseen(history: History, tolls: Iterable[Strike]) -> str:
    """What was not seen of some strike that may have lost something, in words."""
    struck = list(tolls)
    due = [strike for strike in strikes.every(history.services) if strike != strikes.ROLLING]
    if not history.services:
        due.remove(strikes.RESET)
    missing = [strike for strike in due if sum(op.name == strike.name for op in history.named(strike.name)) < FEWEST]
    if missing:
        return f"too little was asked for under {', '.join(strike.words for strike in missing)}"
    unseen = {"kill", *(["reset"] if history.services else [])} - {event.kind for event in history.events}
    if unseen:
        return f"no {' and no '.join(sorted(unseen))} was seen to land"
    if narrow := _narrow(history, struck):
        return f"too little was waiting when {', '.join(narrow)} struck to show anything"
    return "" if fact(history, strikes.Healed) else "it was not seen to the end"


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


def _losses(tolls: Mapping[Strike, Toll]) -> list[Measure]:
    """Under the worst strike. What never arrived, and may have been accepted, may have been lost as well."""
    total = sum(toll.owed for toll in tolls.values())

    def worst(count: Callable[[Toll], int]) -> float:
        return max((1000 * count(toll) / toll.owed for toll in tolls.values() if toll.owed), default=0.0)

    least, most = worst(lambda toll: len(toll.missed)), worst(lambda toll: len(toll.missed) + len(toll.open))
    found = [
        exactly("doubled_per_1000", worst(lambda toll: toll.doubled), total),
        Measure("lost_per_1000", least, least, most, total),
    ]
    if toll := tolls.get(strikes.ALL_KILLED):
        lost = len(toll.missed)
        found.append(Measure("lost_per_crash", lost, lost, lost + len(toll.open), toll.owed))
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
    recoveries = [away.recovery_s for away in outages.values()]
    seen = [seconds for seconds in recoveries if seconds is not None]
    if len(seen) < len(recoveries):  # it was not waited for longer than that
        found.append(Measure("recovery_s", RECOVERS_S, RECOVERS_S, RECOVERS_S, len(recoveries), beyond=True))
    elif seen:
        found.append(Measure("recovery_s", max(seen), min(seen), max(seen), len(seen)))
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
