"""What is asked for a later moment (NT-11), and what is taken back before it (NT-6)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from random import Random

from crucible.authoring.asking import in_turn, insist
from crucible.authoring.clock import epoch_ns, moment, note_epoch
from crucible.authoring.outcomes import failed, inconclusive, passed, taken
from crucible.check import Call, Finding, History, JsonValue, Lab
from crucible.evidence import Op

from .accounts import Books, books
from .arrivals import never_sure
from .messages import CHANNELS, Message, accepted, asked, calls, message, place, preferences, reached
from .waiting import resolve, settle

LATER = "later"
LATE_S = 2.0
DUE_S = tuple(0.5 + 0.25 * i for i in range(13))
"""Over three seconds, from a moment each: more than may be late at most, so that no interval of looking hides."""
EARLY_S = 0.005
FEWEST, FEWEST_LATER = 4, 10
WITHDRAWN, FORGOTTEN = "withdrawn", "forgotten"
"""What is taken back; and what is cancelled before whoever would deliver it is started again."""
CANCEL, OUT, AFTER, IN, BACK, OTHERS = (
    f"{WITHDRAWN}/{name}" for name in ("cancel", "out", "after", "in", "back", "others")
)
IN_FORCE_S = 2.0
"""Within which a cancellation, or a preference, holds everywhere, by the contract."""
TAKEN_BACK = 8
DUE_BACK_S, BACK_S, IN_TIME_S = 3.5, 3.0, 0.8
"""When what is taken back would have come; how long who comes back has to wait at most; and how long after its moment
it is looked for."""


async def later(lab: Lab, rng: Random) -> None:
    """Messages for many moments, on a line that is idle otherwise: whoever looks only now and then is late for some,
    whenever he looks. Before that some are cancelled, and who would deliver them is started again."""
    note_epoch(lab, LATER)
    cancelled = [message(rng, CHANNELS[i % 3], send_after=moment(lab, DUE_BACK_S)) for i in range(TAKEN_BACK)]
    asked_for = await lab.paced(calls(lab, cancelled, FORGOTTEN), 0.01)
    await resolve(lab, asked_for, FORGOTTEN)
    await cancel(lab, asked_for)
    victims = [name for name in lab.instances if name not in lab.replicas] or list(lab.replicas)
    await lab.kill(*victims)
    await lab.start(*victims)
    ops, wanted = [], []
    for index, seconds in enumerate(DUE_S):
        wanted.append(message(rng, CHANNELS[index % 3], send_after=moment(lab, seconds)))
        ops.append(await lab.call(wanted[-1].call(in_turn(lab, index), LATER)))
    await resolve(lab, ops, LATER)
    await settle(lab, wanted, lab.now_ns(), within_s=max(DUE_S) + 3 * LATE_S)
    await lab.sleep(max(0.0, DUE_BACK_S + IN_TIME_S - (lab.now_ns() - asked_for[0].sent_ns) / 1e9))


async def cancel(lab: Lab, ops: Sequence[Op]) -> None:
    """Cancel what was accepted, each on another replica than the one that accepted it."""
    for index, op in enumerate(ops):
        if place(op):
            await lab.call(Call(in_turn(lab, index + 1), "DELETE", place(op), name=CANCEL, json_reply=False))


def judge_later(history: History) -> Finding:
    """Never early, and at most two seconds late."""
    told = books(history, history.named(LATER))
    epoch = epoch_ns(history, LATER)
    assert epoch is not None
    slack = history.lag_ms / 1000 + 0.05
    due_s = {key: datetime.fromisoformat(asked(ops[0], "send_after")).timestamp() for key, ops in told.ops.items()}
    late_s = {key: (at_ns + epoch) / 1e9 - due_s[key] for key, at_ns in told.account.done.items()}
    early = [key for key, seconds in late_s.items() if seconds < -EARLY_S]
    late = [key for key, seconds in late_s.items() if seconds > LATE_S + slack]
    counted = {"asked for later": len(told.ops), "arrived": len(late_s)}
    if early:
        soonest = -min(late_s.values())
        what = f"{len(early)} of {len(late_s)} notifications arrived before `send_after`, up to {soonest:.2f} s"
        return failed(what, *told.shown(early), counted=counted)
    if late or told.lost:
        number = len(late) + len(told.lost)
        what = f"{number} of {len(told.ops)} notifications came more than {LATE_S:g} s after `send_after`"
        if told.lost:
            what += f", {len(told.lost)} of them not within {3 * LATE_S:g} s"
        return failed(what, *told.shown(late + told.lost), counted=counted)
    if told.open:
        return inconclusive(never_sure(told.open), *told.shown(told.open), counted=counted)
    if len(late_s) < FEWEST_LATER:
        return inconclusive(f"only {len(late_s)} were accepted and arrived", counted=counted)
    what = f"{len(late_s)} notifications arrived 0 to {max(late_s.values()):.2f} s after they were due"
    return passed(what, counted=counted)


async def withdrawn(lab: Lab, rng: Random) -> None:
    cancelled, out = (
        [message(rng, CHANNELS[i % 3], send_after=moment(lab, DUE_BACK_S)) for i in range(TAKEN_BACK)] for _ in range(2)
    )
    ops = await lab.paced(calls(lab, [*cancelled, *out], WITHDRAWN), 0.01)
    await resolve(lab, ops, WITHDRAWN)
    await cancel(lab, ops[:TAKEN_BACK])
    for one in out:
        await prefer(lab, one, wanted=False)
    await lab.sleep(IN_FORCE_S + 0.2)
    for one in out:  # the same users again, who by now want nothing, on every replica
        for target in lab.replicas:
            await lab.call(replace(message(rng, one.channel), user=one.user).call(target, AFTER))
    back = out[: TAKEN_BACK // 2]
    await lab.sleep(max(0.0, DUE_BACK_S + 1.2 - (lab.now_ns() - ops[0].sent_ns) / 1e9))
    for one in back:
        await prefer(lab, one, wanted=True)
    await lab.sleep(IN_FORCE_S + 0.2)
    for index, one in enumerate(back):
        await lab.call(replace(message(rng, one.channel), user=one.user).call(in_turn(lab, index), BACK))
        await lab.call(message(rng, one.channel).call(in_turn(lab, index), OTHERS))
    begun = lab.now_ns()
    users = {one.user for one in back}
    while lab.now_ns() - begun < BACK_S * 1e9:
        if users <= reached(attempt for attempt in lab.sink.attempts if attempt.at_ns > begun - 1e9):
            break
        await lab.sleep(0.1)


async def prefer(lab: Lab, one: Message, *, wanted: bool) -> None:
    """Say whether the recipient of a message wants its channel, and that they want all others."""
    target = in_turn(lab, sum(one.user.encode()))
    body: JsonValue = {name: wanted or name != one.channel for name in CHANNELS}
    call = Call(target, "PUT", preferences(one.user), body, IN if wanted else OUT, json_reply=False)
    await insist(lab, call, taken)


def judge_withdrawn(history: History) -> Finding:
    """Nothing is begun more than two seconds after it was taken back."""
    told = books(history, [*history.named(WITHDRAWN), *history.named(FORGOTTEN)])
    keys = told.by_place()
    tried = history.named(CANCEL)
    cancelled = {keys[op.request.path]: op for op in tried if taken(op) and op.request.path in keys}
    # By where they are said: the last preferences that were taken.
    out, back = ({op.request.path: op for op in history.named(name) if taken(op)} for name in (OUT, IN))
    late_cancels = [op for key, op in cancelled.items() if _begun(told, key, op.received_ns)]
    late_outs = []
    for key, ops in told.ops.items():
        user = preferences(asked(ops[0], "user"))
        until_ns = back[user].sent_ns if user in back else None
        if user in out and ops[0].name != BACK and _begun(told, key, out[user].received_ns, until_ns):
            late_outs.append(ops[0])
    wrong = [*late_cancels, *late_outs]
    returned = [key for key, ops in told.ops.items() if ops[0].name == BACK and any(map(accepted, ops))]
    arrived = [key for key in returned if any(attempt.effect for attempt in told.attempts.get(key, []))]
    counted = {
        "cancelled": len(cancelled), "users who opted out": len(out), "delivered after they came back": len(arrived),
    }  # fmt: skip
    if wrong:
        was = "was delivered more than 2 s after its user had opted out"
        if late_cancels:
            was = "was cancelled, and its delivery began more than 2 s later"
        return failed(f"{len(wrong)} times a notification {was}", *wrong, counted=counted)
    if len(tried) >= FEWEST and not cancelled and all(op.status == 409 for op in tried):
        what = f"none of {len(tried)} notifications that were due in three seconds could be cancelled"
        return failed(what, *tried, counted=counted)
    others = [key for key, ops in told.ops.items() if ops[0].name == OTHERS and key in told.account.done]
    if returned and not arrived and others:
        what = (
            f"none of {len(returned)} users who had opted in again got anything within {IN_FORCE_S + BACK_S:g} s, "
            f"and {len(others)} others did"
        )
        return failed(what, *told.shown(returned), counted=counted)
    if not arrived or not others or not back:
        return inconclusive("nothing was seen to be delivered to those who had opted in again", counted=counted)
    again = sum(ops[0].name == FORGOTTEN and key in cancelled for key, ops in told.ops.items())
    after = sum(ops[0].name == AFTER for ops in told.ops.values())
    if len(cancelled) - again < FEWEST or again < FEWEST or len(out) < FEWEST or after < FEWEST:
        what = (
            f"only {len(cancelled)} were cancelled, {again} of them before a restart, and {len(out)} opted out, "
            f"to whom {after} more were sent"
        )
        return inconclusive(what, counted=counted)
    if not any(event.kind == "kill" for event in history.events):
        return inconclusive("nothing was started again between a cancellation and its moment", counted=counted)
    what = f"nothing was begun after {len(cancelled)} cancellations and {len(out)} opt-outs had been in force"
    return passed(what, counted=counted)


def _begun(told: Books, key: str, since_ns: int, until_ns: int | None = None) -> bool:
    """Whether the first try of a message came more than two seconds after `since_ns` (and before `until_ns`)."""
    first = min((attempt.at_ns for attempt in told.attempts.get(key, [])), default=None)
    if first is None or first <= since_ns + IN_FORCE_S * 1e9:
        return False
    return until_ns is None or first < until_ns
