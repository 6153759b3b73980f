"""What is asked without any fault: first contact, a steady line, and a burst. And what any scenario's messages owe."""

from collections.abc import Sequence
from random import Random

from crucible.check import Call, Finding, History, Lab, Measure, Outcome
from crucible.evidence import Op
from crucible.oracles.delivery import Owes

from .accounts import Books, books, percentile, shown
from .messages import (
    PATH,
    Message,
    accepted,
    by_key,
    in_turn,
    key_of,
    message,
    messages,
    number,
    read_back,
    resolve,
    said,
    settle,
)

PER_S, BURST_S = 50, 2.0
TWINS = 6
"""Pairs of messages that are equal in all but their keys."""
BACK_NS = 2_500_000_000
"""How long a replica may not have heard of what another one has said."""
FEWEST, SHARE = 20, 0.95
"""Messages that must have been accepted, and their share of those that were asked for without any fault."""


async def contact(lab: Lab, rng: Random) -> None:
    for target in lab.replicas:
        op = await lab.call(message(rng, "email").call(target, "contact"))
        if number(op):
            await lab.call(Call(target, "GET", f"{PATH}/{number(op)}", name="contact/read"))


async def line(lab: Lab, rng: Random) -> None:
    """Fifty a second, some of them twins; then a burst."""
    seconds, burst = (10, 200) if lab.mode == "quick" else (60, 1000)
    wanted = messages(rng, PER_S * seconds)
    for index in range(TWINS):
        twin, again = wanted[10 + 20 * index], message(rng, wanted[10 + 20 * index].channel)
        wanted.insert(11 + 20 * index, Message(again.key, twin.user, twin.channel, data=twin.data))
    ops = await lab.paced(in_turn(lab, wanted, "line"), 1 / PER_S)
    more = messages(rng, burst)
    lab.note("burst_ns", lab.now_ns())
    at_once = await lab.paced(in_turn(lab, more, "burst"), BURST_S / burst)
    await resolve(lab, ops, "line")
    await resolve(lab, at_once, "burst")  # by its own name: how long the line's are waited for is what is usual
    await settle(lab, [*wanted, *more], lab.now_ns())
    await read_back(lab, [*ops, *at_once], "line")


def judge_line(history: History) -> tuple[Measure, ...]:
    """How long delivery took, and the burst."""
    them = books(history, [*history.named("line"), *history.named("burst")])
    steady = them.waits_ms(history.named("line"))
    burst = [op for op in history.named("burst") if key_of(op) in them.account.done]
    measures = []
    if len(steady) >= FEWEST:
        for axis, share in (("effect_p50_ms", 0.5), ("effect_p99_ms", 0.99)):
            halves = [percentile(steady[i::3], share) for i in range(3)]
            value = percentile(steady, share)
            measures.append(Measure(axis, value, min(*halves, value), max(*halves, value), len(steady)))
    if len(burst) >= FEWEST and len(burst) == len(by_key(history.named("burst"))):
        begun = history.facts["burst_ns"]
        assert isinstance(begun, int)
        value = (max(them.account.done[key_of(op)] for op in burst) - begun) / 1e9
        measures.append(Measure("drain_s", value, value, value, len(burst)))
    return tuple(measures)


def judge_lost(history: History) -> Finding:
    """NT-1."""
    them = books(history, history.ops)
    owed = [it for it in them.items.values() if it.owes is Owes.ONE]
    evidence = {"accepted messages": len(owed), "with an effect": len(owed) - len(them.account.lost)}
    if them.account.lost:
        lost = [it.id for it in them.account.lost]
        return Finding(
            Outcome.FAIL,
            f"{len(lost)} of {len(owed)} accepted notifications never arrived{_twins(them, lost)}",
            shown(them, lost), judge_line(history), evidence,
        )  # fmt: skip
    if them.open:
        what = f"{len(them.open)} notifications never arrived, and it was never said for sure that they were accepted"
        return Finding(Outcome.INCONCLUSIVE, what, shown(them, them.open), judge_line(history), evidence)
    if len(owed) < FEWEST or len(owed) < SHARE * (len(owed) + len(them.unsure)):
        what = f"only {len(owed)} of {len(them.items)} notifications were accepted or refused for sure"
        return Finding(Outcome.INCONCLUSIVE, what, (), judge_line(history), evidence)
    return Finding(Outcome.PASS, f"all {len(owed)} accepted notifications arrived", (), judge_line(history), evidence)


def _twins(them: Books, lost: Sequence[str]) -> str:
    """Whether those that were lost have a twin that arrived."""
    bodies = {key: str(ops[0].request.body) for key, ops in them.ops.items()}
    arrived = {bodies[key] for key in them.account.done}
    collapsed = sum(bodies[key] in arrived for key in lost)
    if not collapsed:
        return ""
    return f"; {collapsed} of them are equal to one that did, under another Idempotency-Key"


def judge_doubled(history: History) -> Finding:
    """NT-2."""
    them = books(history, history.ops)
    wrong = [it for it in them.account.doubled if not it.justified]
    excused = len(them.account.doubled) - len(wrong)
    evidence = {"messages delivered": len(them.account.done), "second effects": len(them.account.doubled)}
    declared = history.declares.get("delivery", "exactly-once-effect")
    measures = (Measure("unjustified_doubles", len(wrong), len(wrong), len(wrong), len(them.account.done)),)
    if wrong:
        what = f"{len(wrong)} notifications arrived twice although the first answer had been given and nothing was cut"
        return Finding(Outcome.FAIL, what, shown(them, [it.id for it in wrong]), measures, evidence)
    if excused and declared != "at-least-once":
        what = f"{excused} notifications arrived twice after a crash or a lost answer, and {declared} is declared"
        return Finding(Outcome.FAIL, what, shown(them, [it.id for it in them.account.doubled]), measures, evidence)
    if len(them.account.done) < FEWEST:
        return Finding(Outcome.INCONCLUSIVE, f"only {len(them.account.done)} were delivered", (), (), evidence)
    again = f"; {excused} arrived twice with an excuse" if excused else ""
    what = f"none of {len(them.account.done)} delivered notifications arrived twice without an excuse{again}"
    return Finding(Outcome.PASS, what, (), measures, evidence)


def judge_phantoms(history: History) -> Finding:
    """NT-3."""
    them = books(history, history.ops)
    refused = [it for it in them.items.values() if it.owes is Owes.NONE]
    wrong = [it.id for it in them.account.phantoms]
    evidence = {"effects": sum(it.effect for it in history.attempts), "messages refused": len(refused)}
    if wrong:
        what = f"{len(wrong)} notifications arrived that had been refused, or that their recipients had opted out of"
        return Finding(Outcome.FAIL, what, shown(them, wrong), (), evidence)
    if them.strangers:
        first = them.strangers[0].body
        what = (
            f"{len(them.strangers)} deliveries belong to no notification that was asked for, such as {str(first)[:120]}"
        )
        return Finding(Outcome.FAIL, what, (), (), evidence)
    arrived = [key for key in them.unsure if key in them.account.done]
    if len(arrived) > (1 - SHARE) * len(them.items):
        what = f"of {len(arrived)} notifications that arrived it was never said whether they were accepted"
        return Finding(Outcome.INCONCLUSIVE, what, shown(them, arrived), (), evidence)
    if not evidence["effects"]:
        return Finding(Outcome.INCONCLUSIVE, "nothing was delivered at all", (), (), evidence)
    return Finding(Outcome.PASS, "everything that arrived had been accepted", (), (), evidence)


def judge_states(history: History) -> Finding:
    """NT-5."""
    them = books(history, history.ops)
    keys = {number(op): key for key, ops in them.ops.items() for op in ops if accepted(op)}
    asked = [op for op in history.ops if op.request.method == "GET" and op.name.endswith("/read")]
    reads = [op for op in asked if said(op, "state")]
    wrong: list[tuple[Op, str]] = []
    by_name: dict[str, list[Op]] = {}
    for op in reads:
        name = op.request.path.rsplit("/", 1)[1]
        key, state = keys.get(name), said(op, "state")
        if key is None:
            continue  # whose it is was never answered
        by_name.setdefault(name, []).append(op)
        item = them.items[key]
        done = them.account.done.get(key)
        if state == "sent" and (done is None or done > op.received_ns):
            wrong.append((op, "said `sent` before anything had arrived"))
        elif state == "failed" and item.owes is Owes.ONE and not _refused_for_good(them, key, op):
            wrong.append((op, "said `failed` without having been refused for good"))
        elif state == "queued" and done is not None and op.sent_ns > done + 60e9:
            wrong.append((op, "still said `queued` a minute after it had arrived"))
    for ops in by_name.values():
        ended = [op for op in ops if said(op, "state") != "queued"]
        for op in ops:
            before = [
                it for it in ended if it.received_ns + BACK_NS < op.sent_ns and said(it, "state") != said(op, "state")
            ]
            if before:
                first = f"`{said(before[0], 'state')}` on {before[0].target}"
                words = f"said `{said(op, 'state')}` on {op.target} after {first}"
                wrong.append((op, words))
    evidence = {"states read": len(reads), "notifications": len(by_name)}
    if wrong:
        what = f"{len(wrong)} of {len(reads)} states were not true: one {wrong[0][1]}"
        return Finding(Outcome.FAIL, what, tuple(op for op, _ in wrong[:3]), (), evidence)
    if len(by_name) < FEWEST or len(reads) < SHARE * len(asked):
        what = f"only {len(reads)} of {len(asked)} states could be read"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    return Finding(Outcome.PASS, f"all {len(reads)} states that were read were true", (), (), evidence)


def _refused_for_good(them: Books, key: str, op: Op) -> bool:
    return any(it.status == 400 and it.at_ns < op.received_ns for it in them.attempts.get(key, []))
