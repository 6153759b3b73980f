"""What any scenario's messages owe, and what is said of them: none is lost (NT-1), none is doubled (NT-2), none arrives
unasked (NT-3), and states are true (NT-5)."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from crucible.authoring.facts import noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed
from crucible.check import Finding, History
from crucible.evidence import Op
from crucible.oracles.delivery import Owes, late

from .accounts import Books, books
from .errors import ASKED, UNDER_WAY
from .line import BURST, CONTACT, FEWEST, LINE, delivery_times
from .messages import by_key, key_of, state
from .strikes import FOR_SURE
from .waiting import GRACE_NS, READ, WITHIN_S, Deadline, read_backs

SHARE = 0.95
"""Of the messages that were asked for without any fault: so many must have been accepted."""
BACK_NS = 2_500_000_000
"""How long a replica may not have heard of what another one has said."""
QUEUED_NS = 60_000_000_000
"""How long something may be called queued after it has arrived."""
FEWEST_UNDER_WAY = 5
AGAIN_NS = 300_000_000
"""Between the first try and the last, for its state to be read meanwhile."""


def never_sure(keys: Sequence[str]) -> str:
    """Of messages that may be lost, in words."""
    return f"{len(keys)} notifications never arrived, and it was never said for sure that they were accepted"


def judge_lost(history: History) -> Finding:
    """NT-1. Of the contact only where nothing was asked for after it."""
    told = books(history, [op for op in history.ops if op.name.split("/")[0] != CONTACT] or history.ops)
    lost, owed = told.lost, told.owed
    counted = {"accepted messages": owed, "with an effect": owed - len(lost)}
    measures = delivery_times(history)
    if lost:
        what = f"{len(lost)} of {owed} accepted notifications never arrived{_twins(told, lost)}"
        return failed(what, *told.shown(lost), counted=counted, measures=measures)
    if slow := _too_late(history, told):
        what = (
            f"{len(slow)} of {owed} accepted notifications arrived later than {WITHIN_S:g} s, though nothing had failed"
        )
        return failed(what, *told.shown(slow), counted=counted, measures=measures)
    if told.open:
        return inconclusive(never_sure(told.open), *told.shown(told.open), counted=counted, measures=measures)
    if few := [name for name in (LINE, BURST, ASKED) if sum(op.name == name for op in history.ops) < FEWEST]:
        return inconclusive(f"too little was asked for under {', '.join(few)}", counted=counted, measures=measures)
    if owed < FEWEST or owed < SHARE * (owed + len(told.unsure)):
        what = f"only {owed} of {len(told.items)} notifications were accepted or refused for sure"
        return inconclusive(what, counted=counted, measures=measures)
    return passed(f"all {owed} accepted notifications arrived", counted=counted, measures=measures)


def _too_late(history: History, told: Books) -> list[str]:
    """Keys of what was asked for without any fault and came after the time that is promised."""
    calm = set(map(key_of, (*history.named(LINE), *history.named(BURST))))
    items = [item for key, item in told.items.items() if key in calm and item.owes is Owes.ONE]
    return [item.id for item in late(items, told.account.done, int(WITHIN_S * 1e9 + GRACE_NS))]


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
    if done < FEWEST or done < SHARE * told.owed:
        return inconclusive(f"only {done} of {told.owed} were delivered", counted=counted, measures=measures)
    if unasked := _unasked(history):
        return inconclusive(f"nothing was asked for under {unasked}", counted=counted, measures=measures)
    again = f"; {excused} arrived twice with an excuse" if excused else ""
    what = f"none of {done} delivered notifications arrived twice without an excuse{again}"
    return passed(what, counted=counted, measures=measures)


def _unasked(history: History) -> str:
    """What of all scenarios was not asked for, in words."""
    due = ("retries", "later", LINE, BURST, "withdrawn", "isolation", ASKED, "priority", "f2", "f3")
    return ", ".join(name for name in due if not history.named(name))


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
        what = f"{number} deliveries belong to no notification that was asked for, such as {first}"
        return failed(what, counted=counted)
    arrived = [key for key in told.unsure if key in told.account.done]
    if len(arrived) > (1 - SHARE) * len(told.items):
        what = f"of {len(arrived)} notifications that arrived it was never said whether they were accepted"
        return inconclusive(what, *told.shown(arrived), counted=counted)
    if not effects or len(told.account.done) < SHARE * told.owed:
        what = f"only {len(told.account.done)} of {told.owed} notifications were delivered"
        return inconclusive(what, counted=counted)
    if unasked := _unasked(history):
        return inconclusive(f"nothing was asked for under {unasked}", counted=counted)
    return passed("everything that arrived had been accepted", counted=counted)


def judge_states(history: History) -> Finding:
    told = books(history, history.ops)
    keys = told.by_place()
    every = read_backs(history)
    reads = [op for op in every if state(op)]
    known = [op for op in reads if op.request.path in keys]  # of the others it was never answered whose they are
    by_place: dict[str, list[Op]] = defaultdict(list)
    for op in known:
        by_place[op.request.path].append(op)
    deadlines = {f"{name}{READ}": deadline.at_ns for name, deadline in noted(history, Deadline).items()}
    wrong = []
    for op in known:
        key = keys[op.request.path]
        if words := _lie(told, key, op) or _never(history, told, key, op, deadlines):
            wrong.append((op, words))
    wrong += [taken_back for ops in by_place.values() for taken_back in _taken_back(ops)]
    under_way = sum(op.name == f"{UNDER_WAY}{READ}" for op in known)
    counted = {"states read": len(reads), "notifications": len(by_place), "read between two tries": under_way}
    if wrong:
        what = f"{len(wrong)} of {len(reads)} states were not true: one {wrong[0][1]}"
        return failed(what, *(op for op, _ in wrong), counted=counted)
    if len(by_place) < FEWEST or len(reads) < SHARE * len(every):
        return inconclusive(f"only {len(reads)} of {len(every)} states could be read", counted=counted)
    if few := [name for name in (LINE, ASKED, FOR_SURE) if not any(op.name == f"{name}{READ}" for op in known)]:
        return inconclusive(f"no state was read of what was asked for under {', '.join(few)}", counted=counted)
    if under_way < FEWEST_UNDER_WAY and (again := _tried_again(history, told)) >= FEWEST:
        what = f"only {under_way} states were read between two tries, though {again} notifications were tried again"
        return inconclusive(what, counted=counted)
    return passed(f"all {len(reads)} states that were read were true", counted=counted)


def _tried_again(history: History, told: Books) -> int:
    """How many were tried once more, some time after they had been accepted, while the providers failed."""
    found = 0
    for key in by_key(history.named(ASKED)):
        tries = [it.at_ns for it in told.attempts.get(key, []) if it.at_ns > told.items[key].accepted_ns]
        found += len(tries) > 1 and tries[-1] - tries[0] > AGAIN_NS
    return found


def _lie(told: Books, key: str, op: Op) -> str:
    """What the state of a message said that was not so, in words; empty where it was true."""
    said, done = state(op), told.account.done.get(key)
    refused = any(it.status == 400 and it.at_ns < op.received_ns for it in told.attempts.get(key, []))
    if said == "sent" and (done is None or done > op.received_ns):
        return "said `sent` before anything had arrived"
    if said == "failed" and told.items[key].owes is Owes.ONE and not refused:
        after = " that was delivered later" if done is not None and done > op.sent_ns else ""
        return f"said `failed` of a notification{after}, without having been refused for good"
    if said == "queued" and done is not None and op.sent_ns > done + QUEUED_NS:
        return "still said `queued` a minute after it had arrived"
    return ""


def _never(history: History, told: Books, key: str, op: Op, deadlines: Mapping[str, int]) -> str:
    """Whether something that will not come any more was still called queued, in words."""
    deadline = deadlines.get(op.name)
    if state(op) != "queued" or deadline is None or op.sent_ns <= deadline or key in told.account.done:
        return ""
    tries = told.attempts.get(key, [])
    if tries and tries[-1].status == 400:
        return f"still said `queued` {WITHIN_S:g} s after all was well, though it had been refused for good"
    if told.items[key].owes is Owes.ONE and history.declares.get("delivery") != "at-most-once":
        return f"still said `queued` {WITHIN_S:g} s after all was well, and had not arrived"
    return ""


def _taken_back(ops: Sequence[Op]) -> Iterator[tuple[Op, str]]:
    """Of the states of one message, those that say something else than a final one before them."""
    final = [op for op in ops if state(op) != "queued"]
    for op in ops:
        before = [it for it in final if it.received_ns + BACK_NS < op.sent_ns and state(it) != state(op)]
        if before:
            first = f"`{state(before[0])}` on {before[0].target}"
            yield op, f"said `{state(op)}` on {op.target} after {first}"
