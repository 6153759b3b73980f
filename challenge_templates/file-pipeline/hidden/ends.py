"""FP-6: every job that was accepted ends as it should; and what worked while a service was away. Pure."""

from dataclasses import dataclass

from crucible.authoring import deaths
from crucible.authoring.facts import noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed
from crucible.check import Finding, History, Measure

from .jobs import id_of, state_of
from .told import Seen, Wrong, ended_well, seen, wrong_end

KILLS, STRIKES = "kills", "strikes"
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Wave:
    """What was done while jobs were sent and worked on, by the label that they share."""

    what: str
    not_caused: str = ""


@dataclass(frozen=True, slots=True)
class Away:
    """How many were sent while a service was away, by its name."""

    sent: int


def judge_ends(history: History) -> Finding:
    waves = noted(history, Wave)
    by_wave = {label: seen(history, label) for label in waves}
    accepted = {label: [it for it in own if it.accepted] for label, own in by_wave.items()}
    lost = {label: [words for it in own if (words := _lost(it))] for label, own in accepted.items()}
    total = sum(map(len, accepted.values()))
    counted = {"jobs that were accepted": total, "strikes": sum(not it.not_caused for it in waves.values())}
    measures = [*_measures(history, accepted, lost)]
    wrong = [(label, own) for label, own in lost.items() if own]
    if wrong:
        what = "; ".join(
            f"when {waves[label].what}, {len(own)} of {len(accepted[label])} jobs did not end well: {own[0][0]}"
            for label, own in wrong[:2]
        )
        return failed(what, *wrong[0][1][0][1], counted=counted, measures=measures)
    still_open = sum(not ended_well(it) for own in accepted.values() for it in own)
    if still_open or total < FEWEST or not any(label.startswith(STRIKES) for label in waves):
        what = f"of {total} jobs that were accepted, it is not known of {still_open} how they ended"
        return inconclusive(deaths.first_of_all(history, what), counted=counted, measures=measures)
    return passed(
        f"all {total} jobs that were accepted around {counted['strikes']} strikes ended with the right result",
        counted=counted, measures=measures,
    )  # fmt: skip


def _lost(it: Seen) -> Wrong | None:
    if words := wrong_end(it):
        return words
    if it.over is None and it.states and it.states[-1].status is not None:
        op = it.states[-1]
        after_s = (op.received_ns - it.posts[-1].received_ns) / 1e9
        if op.status == 404:
            return "one was not known any more", (*it.posts[-1:], op)
        if state_of(op):
            return f"one was still {state_of(op)} {after_s:.0f} s after it was accepted", (*it.posts[-1:], op)
    return None


def _measures(
    history: History, accepted: dict[str, list[Seen]], lost: dict[str, list[Wrong]]
) -> list[Measure]:  # fmt: skip
    shares = [1000 * len(lost[label]) / len(own) for label, own in accepted.items() if own]
    found = [exactly("lost_per_1000", max(shares), sum(map(len, accepted.values())))] if shares else []
    worked = []
    for service, away in noted(history, Away).items():
        own = [op for op in history.named(f"{STRIKES}/away-{service}") if op.name.endswith("/during/post")]
        first = {op.name: op for op in reversed(own)}
        worked.append(sum(id_of(op) is not None for op in first.values()) / max(1, away.sent))
    if worked and len(worked) == len(history.services):
        found.append(exactly("available_outage_ratio", min(1.0, *worked), len(worked)))
    return found
