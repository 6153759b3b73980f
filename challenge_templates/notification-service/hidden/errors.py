"""NT-7: channels that fail and take few calls, recipients that are refused for good, and who calls again how soon."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import failed, inconclusive, passed, percentile
from crucible.authoring.strikes import Posting, posting
from crucible.check import Call, Finding, History, Lab, SinkFault
from crucible.evidence import Attempt

from .accounts import books
from .messages import CHANNELS, asked, calls, handed, messages, place
from .providers import POISON, Rejected, faulty, reject
from .waiting import READ_BACK, read_back, resolve, settle, some

ASKED = "errors"
UNDER_WAY = f"{ASKED}/under-way"
UNDER_WAY_EVERY_S, UNDER_WAY_AT_ONCE = 0.1, 2
FAILS = (429, 500, 503)
"""Answers after which a message is to be tried again."""
ERRORS = SinkFault(errors=0.5, most_per_s=25)
PER_S = 60
"""Over all channels, while they fail: what is tried again is more than they take."""
GRACE_NS, WAIT_NS = 250_000_000, 1_000_000_000
MOST_TRIES = 10
GIVES_UP_S, GIVEN_UP_S, PAUSES = 10.0, 1.0, 2.5
"""How long it is waited for the last try of what is refused for good; how long after one it was the last, and so many
times the pause before it."""
FEWEST, FEWEST_PAUSES = 5, 8
"""Messages that say something of tries; and of pauses, which may be drawn by lot."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many processes the design has: each may have to be told to wait."""

    instances: int


async def errors(lab: Lab, rng: Random) -> None:
    """Every channel fails up to half of its calls, and takes few; some recipients are refused for good."""
    note(lab, Size(len(lab.instances)))
    seconds = 4 if lab.mode == "quick" else 12
    wanted = messages(rng, PER_S * seconds)
    bad = wanted[7 :: int(1 / POISON)]
    reject(lab, bad, ASKED)
    until_ns = int(lab.now_ns() + (seconds + 1) * 1e9)
    async with faulty(lab, CHANNELS, ERRORS), posting(lab, calls(lab, wanted, ASKED), 1 / PER_S) as posted:
        await _read_under_way(lab, posted, until_ns)
    await resolve(lab, posted.ops, ASKED)
    known, never = lab.now_ns(), {it.user for it in bad}
    await settle(lab, [it for it in wanted if it.user not in never], known)
    await _let_go(lab, never)
    refused = [op for op in posted.ops if asked(op, "user") in never]
    others = [op for op in posted.ops if asked(op, "user") not in never]
    await read_back(lab, [*refused, *some(others, READ_BACK - len(refused))], ASKED, known)


async def _read_under_way(lab: Lab, posted: Posting, until_ns: int) -> None:
    """Ask what is said of messages that have just failed to be delivered, and will be tried again."""
    failed: dict[str, None] = {}
    seen = turn = 0
    while lab.now_ns() < until_ns:
        await lab.sleep(UNDER_WAY_EVERY_S)
        new = lab.sink.attempts[seen:]
        seen += len(new)
        for attempt in new:
            failed.pop(handed(attempt, "to"), None)
            if attempt.status in FAILS:
                failed[handed(attempt, "to")] = None
        places = {asked(op, "user"): place(op) for op in posted.ops if place(op)}
        for user in [user for user in reversed(failed) if user in places][:UNDER_WAY_AT_ONCE]:
            await lab.call(Call(in_turn(lab, turn), "GET", places[user], name=f"{UNDER_WAY}/read", timeout_s=2))
            turn += 1


async def _let_go(lab: Lab, users: set[str]) -> None:
    """Wait until nobody tries these recipients any more, or has done so too often."""
    begun = lab.now_ns()
    while lab.now_ns() - begun < GIVES_UP_S * 1e9:
        every = _refusals(lab.sink.attempts, users)
        if any(len(tries) > MOST_TRIES for tries in every) or all(_given_up(tries, lab.now_ns()) for tries in every):
            return
        await lab.sleep(0.2)


def _refusals(attempts: Iterable[Attempt], users: Iterable[str]) -> list[list[int]]:
    """When each of these recipients was refused for good, in ns."""
    found: dict[str, list[int]] = {user: [] for user in users}
    for attempt in sorted(attempts, key=lambda it: it.at_ns):
        if attempt.status == 400 and handed(attempt, "to") in found:
            found[handed(attempt, "to")].append(attempt.at_ns)
    return [tries for tries in found.values() if tries]


def _given_up(tries: Sequence[int], now_ns: int) -> bool:
    """Whether it has been silent for long enough to say that nobody tries it any more: pauses may double."""
    pause = (tries[-1] - tries[-2]) / 1e9 if len(tries) > 1 else 0.0
    return (now_ns - tries[-1]) / 1e9 > max(GIVEN_UP_S, PAUSES * pause)


def judge_polite(history: History) -> Finding:
    """It waits as long as it is told to, tries ten times at most, and longer and longer apart."""
    told = books(history, history.named(ASKED))
    size, rejected = fact(history, Size), fact(history, Rejected, ASKED)
    assert size is not None
    assert rejected is not None
    refused: dict[str, list[int]] = defaultdict(list)
    for attempt in sorted(history.attempts, key=lambda it: it.at_ns):
        if attempt.status == 429:
            refused[attempt.path].append(attempt.at_ns)
    tries = [told.attempts.get(key, []) for key in told.items]
    often = [sum(attempt.status not in (409, 429) for attempt in every) for every in tries]
    most_often = max(often, default=0)
    counted = {
        "calls of the provider": len(history.attempts), "told to wait": sum(map(len, refused.values())),
        "messages tried more than once": sum(count > 1 for count in often), "most tries of one": most_often,
    }  # fmt: skip
    if what := _rude(refused, size.instances):
        return failed(what, counted=counted)
    if most_often > MOST_TRIES:
        return failed(f"one notification was tried {most_often} times", counted=counted)
    if what := _no_slower(list(map(_gaps, tries))):
        return failed(what, counted=counted)
    end = max([op.received_ns for op in history.ops] + [it.at_ns for it in history.attempts])
    still = [len(it) for it in _refusals(history.attempts, rejected.users) if not _given_up(it, end)]
    if still:
        what = (
            f"{len(still)} notifications that the provider had refused for good were still being tried at the end, up "
            f"to {max(still)} times so far: whether that stops was not seen"
        )
        return inconclusive(what, counted=counted)
    if unseen := set(CHANNELS) - {attempt.path.strip("/").split("/")[0] for attempt in history.attempts}:
        return inconclusive(f"{', '.join(sorted(unseen))} was never called", counted=counted)
    if counted["messages tried more than once"] < FEWEST:
        return inconclusive("hardly anything was tried more than once", counted=counted)
    what = f"no notification was tried more than {most_often} times, and nobody called while they had been told to wait"
    return passed(what, counted=counted)


def _rude(refused: Mapping[str, Sequence[int]], most: int) -> str:
    """Which channel was called more than `most` times by those who had been told to wait (when, in ns), in words."""
    worst, where = most, ""
    for path, moments in refused.items():
        for at_ns in moments:
            again = bisect_left(moments, at_ns + WAIT_NS) - bisect_right(moments, at_ns + GRACE_NS)
            if again > worst:
                worst, where = again, path
    what = f"within the second that it had been told to wait, it called {where} {worst} times more, and was told again"
    return what if where else ""


def _no_slower(gaps: Sequence[Sequence[float]]) -> str:
    """That pauses do not grow, in words: four in five of the third ones are no longer than four in five of the first.
    Bounds, since a pause that is drawn between nothing and a bound which grows may well be shorter than the one before.
    """
    thrice = [pauses for pauses in gaps if len(pauses) > 2]
    if len(thrice) < FEWEST_PAUSES:
        return ""
    first, third = (percentile([pauses[nth] for pauses in thrice], 0.8) for nth in (0, 2))
    what = (
        f"of {len(thrice)} notifications that failed three times, the third pauses were no longer than the first ones: "
        f"up to {third:.2f} s after up to {first:.2f} s (80th percentiles)"
    )
    return what if third < 1.2 * first else ""


def _gaps(tries: Sequence[Attempt]) -> list[float]:
    """Seconds between the failed tries of one message, in their order."""
    return [(after.at_ns - it.at_ns) / 1e9 for it, after in pairwise(tries) if it.status in (500, 503)]
