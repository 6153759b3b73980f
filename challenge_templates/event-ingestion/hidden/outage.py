"""EV-9: a service is away, or hangs: what is accepted is kept, and all else is refused soon."""

from dataclasses import dataclass
from random import Random

from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, not_run, passed
from crucible.check import Finding, History, Lab, Measure, NetworkFault
from crucible.evidence import Op

from .books import accepted, place_of
from .sending import Sender
from .survival import said_of, toll

PER_S = 120
SECONDS = {"quick": {"refuse": 1.6, "drop": 2.2}, "full": {"refuse": 7.5, "drop": 7.5}}
"""For which it is away, and for which it hangs then."""
SOON_S, SLACK_S = 2.0, 0.3
AT_FIRST_S = 1.0
"""After the cut, what is on its way may still fail in any way."""
MOST_DISHONEST = 0.1
KINDS: dict[NetworkFault, str] = {"refuse": "away", "drop": "silent"}


@dataclass(frozen=True, slots=True)
class Outage:
    """From when to when; noted by label."""

    service: str
    how: str
    begin_ns: int
    end_ns: int


def label_of(service: str, kind: str) -> str:
    return f"outage-{service}-{kind}"


async def outage(lab: Lab, rng: Random) -> None:
    for service in lab.services:
        for kind in KINDS:
            seconds = SECONDS[lab.mode][kind]
            label = label_of(service, kind)
            sender = Sender(lab, rng, label, int(PER_S * seconds), single=True)
            async with lab.fault(service, kind):
                begin_ns = lab.now_ns()
                await sender.paced(int(PER_S * seconds), 1, 1 / PER_S)
            note(lab, Outage(service, KINDS[kind], begin_ns, lab.now_ns()), label)
            await sender.resolve()
            await sender.settle(lab.now_ns())


def judge_outage(history: History) -> Finding:
    outages = noted(history, Outage)
    if not history.services:
        return not_run("the design uses no service that could be away")
    counted: dict[str, float] = {}
    shares: dict[str, list[float]] = {}
    wrong: list[tuple[str, tuple[Op, ...]]] = []
    unread = ""
    for label, it in outages.items():
        posts = [op for op in history.named(label) if place_of(op) is not None and op.sent_ns <= it.end_ns]
        words = f"{it.service} was {it.how}"
        counted[f"sent while {words}"] = float(len(posts))
        if not posts:
            unread = unread or f"nothing was sent while {words}"
            continue
        shares.setdefault(it.service, []).append(sum(map(accepted, posts)) / len(posts))
        found = toll(history, label, f"the time when {words}")
        if found is not None and found.wrong:
            wrong.append((said_of(found), found.shown))
        judged = [op for op in posts if op.sent_ns > it.begin_ns + AT_FIRST_S * 1e9]
        bad = [op for op in judged if not honest(op)]
        if judged and len(bad) > MOST_DISHONEST * len(judged):
            wrong.append((f"while {words}, {len(bad)} of {len(judged)} events were {_how(bad)}", tuple(bad)))
        if found is None or found.unread:
            unread = unread or f"what came of the time when {words} could not be read back"
    measures = _shares(history, shares)
    if wrong:
        return failed("; ".join(what for what, _ in wrong[:2]), *wrong[0][1], counted=counted, measures=measures)
    if unread or len(outages) < 2 * len(history.services):
        return inconclusive(unread or "it was not seen to the end", counted=counted, measures=measures)
    said = ", ".join(f"{min(share):.0%} without {service}" for service, share in shares.items())
    return passed(
        f"what was accepted is kept ({said}), and all else was refused soon", counted=counted, measures=measures
    )


def honest(op: Op) -> bool:
    return accepted(op) or (op.status in (429, 503) and op.received_ns - op.sent_ns <= (SOON_S + SLACK_S) * 1e9)


def _how(bad: list[Op]) -> str:
    """What most of them met, in words."""
    ways = [
        "without an answer for 5 s" if op.status is None and (op.received_ns - op.sent_ns) > 4e9
        else f"cut off ({op.error})" if op.status is None
        else f"refused only after {(op.received_ns - op.sent_ns) / 1e9:.1f} s" if op.status in (429, 503)
        else f"answered {op.status}"
        for op in bad
    ]  # fmt: skip
    kinds = [way.split(" after")[0] for way in ways]
    most = max(kinds, key=kinds.count)
    return ways[kinds.index(most)] if most.startswith("refused") else most


def _shares(history: History, shares: dict[str, list[float]]) -> list[Measure]:
    worst = {service: min(found) for service, found in shares.items()}
    number = len(history.named("outage")) or len(history.ops)
    found = [exactly("accepted_outage_ratio", min(worst.values()), number)] if worst else []
    postgres = worst.get("postgres", 1.0 if "postgres" not in history.services else None)
    if postgres is not None:
        found.append(exactly("accepted_postgres_outage_ratio", postgres, number))
    return found
