"""What any scenario's messages owe: none is lost (NT-1), none is doubled (NT-2), and none arrives unasked (NT-3)."""

from collections.abc import Sequence

from crucible.authoring.outcomes import exactly, failed, inconclusive, passed
from crucible.check import Finding, History
from crucible.oracles.delivery import Owes

from .accounts import Books, books
from .line import FEWEST, delivery_times

SHARE = 0.95
"""Of the messages that were asked for without any fault: so many must have been accepted."""


def never_sure(number: int, after: str = "") -> str:
    """Of messages that may be lost, in words."""
    return f"{number} notifications never arrived{after}, and it was never said for sure that they were accepted"


def judge_lost(history: History) -> Finding:
    """NT-1."""
    told = books(history, history.ops)
    lost, owed = [item.id for item in told.account.lost], told.owed
    counted = {"accepted messages": owed, "with an effect": owed - len(lost)}
    measures = delivery_times(history)
    if lost:
        what = f"{len(lost)} of {owed} accepted notifications never arrived{_twins(told, lost)}"
        return failed(what, *told.shown(lost), counted=counted, measures=measures)
    if told.open:
        return inconclusive(never_sure(len(told.open)), *told.shown(told.open), counted=counted, measures=measures)
    if owed < FEWEST or owed < SHARE * (owed + len(told.unsure)):
        what = f"only {owed} of {len(told.items)} notifications were accepted or refused for sure"
        return inconclusive(what, counted=counted, measures=measures)
    return passed(f"all {owed} accepted notifications arrived", counted=counted, measures=measures)


def _twins(told: Books, lost: Sequence[str]) -> str:
    """Whether those that were lost have a twin that arrived."""
    bodies = {key: str(ops[0].request.body) for key, ops in told.ops.items()}
    arrived = {bodies[key] for key in told.account.done}
    collapsed = sum(bodies[key] in arrived for key in lost)
    if not collapsed:
        return ""
    return f"; {collapsed} of them are equal to one that did, under another Idempotency-Key"


def judge_doubled(history: History) -> Finding:
    """NT-2."""
    told = books(history, history.ops)
    doubled, done = told.account.doubled, len(told.account.done)
    wrong = [double for double in doubled if not double.justified]
    excused = len(doubled) - len(wrong)
    counted = {"messages delivered": done, "second effects": len(doubled)}
    declared = history.declares.get("delivery", "exactly-once-effect")
    measures = (exactly("unjustified_doubles", len(wrong), done),)
    if wrong:
        what = f"{len(wrong)} notifications arrived twice although the first answer had been given and nothing was cut"
        return failed(what, *told.shown(it.id for it in wrong), counted=counted, measures=measures)
    if excused and declared != "at-least-once":
        what = f"{excused} notifications arrived twice after a crash or a lost answer, and {declared} is declared"
        return failed(what, *told.shown(it.id for it in doubled), counted=counted, measures=measures)
    if done < FEWEST:
        return inconclusive(f"only {done} were delivered", counted=counted)
    again = f"; {excused} arrived twice with an excuse" if excused else ""
    what = f"none of {done} delivered notifications arrived twice without an excuse{again}"
    return passed(what, counted=counted, measures=measures)


def judge_phantoms(history: History) -> Finding:
    """NT-3."""
    told = books(history, history.ops)
    refused = [item for item in told.items.values() if item.owes is Owes.NONE]
    wrong = [effect.id for effect in told.account.phantoms]
    effects = sum(attempt.effect for attempt in history.attempts)
    counted = {"effects": effects, "messages refused": len(refused)}
    if wrong:
        what = f"{len(wrong)} notifications arrived that had been refused, or that their recipients had opted out of"
        return failed(what, *told.shown(wrong), counted=counted)
    if told.strangers:
        number, first = len(told.strangers), str(told.strangers[0].body)[:120]
        return failed(
            f"{number} deliveries belong to no notification that was asked for, such as {first}", counted=counted
        )
    arrived = [key for key in told.unsure if key in told.account.done]
    if len(arrived) > (1 - SHARE) * len(told.items):
        what = f"of {len(arrived)} notifications that arrived it was never said whether they were accepted"
        return inconclusive(what, *told.shown(arrived), counted=counted)
    if not effects:
        return inconclusive("nothing was delivered at all", counted=counted)
    return passed("everything that arrived had been accepted", counted=counted)
