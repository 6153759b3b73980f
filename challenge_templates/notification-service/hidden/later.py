"""What is asked for a later moment (NT-11), and what is taken back before it (NT-6)."""

from dataclasses import replace
from datetime import datetime
from random import Random

from crucible.check import Call, Finding, History, Lab, Outcome
from crucible.evidence import Attempt, Op, Result

from .accounts import Books, books
from .messages import (
    CHANNELS,
    PATH,
    accepted,
    key_of,
    message,
    moment,
    note_epoch,
    number,
    resolve,
    settle,
)

IN_FORCE_S = 2.0
"""Within which a cancellation, or a preference, holds everywhere, by the contract."""
LATE_S = 2.0
DUE_S = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
TAKEN_BACK = 8
DUE_BACK_S, BACK_S = 3.5, 3.0
"""When what is taken back would have come; and how long who comes back has to wait at most."""
FEWEST = 4


async def later(lab: Lab, rng: Random) -> None:
    """Some messages for each of some moments, on a line that is idle otherwise."""
    epoch = note_epoch(lab)
    ops = []
    wanted = []
    for index, seconds in enumerate(DUE_S * 2):
        it = message(rng, CHANNELS[index % 3], send_after=moment(lab, epoch, seconds))
        wanted.append(it)
        ops.append(await lab.call(it.call(lab.replicas[index % len(lab.replicas)], "later")))
    await resolve(lab, ops, "later")
    await settle(lab, wanted, lab.now_ns(), within_s=max(DUE_S) + 3 * LATE_S)


def judge_later(history: History) -> Finding:
    """NT-11: never early, and at most two seconds late."""
    them = books(history, history.named("later"))
    epoch = history.facts["epoch_ns"]
    assert isinstance(epoch, int)
    slack = history.lag_ms / 1000 + 0.05
    by_s: dict[str, float] = {}
    for key, ops in them.ops.items():
        if key in them.account.done:
            by_s[key] = (them.account.done[key] + epoch) / 1e9 - due_s(ops[0])
    early = [key for key, late in by_s.items() if late < -0.005]
    late = [key for key, seconds in by_s.items() if seconds > LATE_S + slack]
    never = [it.id for it in them.account.lost]
    evidence = {"asked for later": len(them.ops), "arrived": len(by_s)}
    if early:
        soonest = -min(by_s.values())
        what = f"{len(early)} of {len(by_s)} notifications arrived before `send_after`, up to {soonest:.2f} s"
        return Finding(Outcome.FAIL, what, tuple(them.ops[key][0] for key in early[:3]), (), evidence)
    if late or never:
        what = (
            f"{len(late) + len(never)} of {len(them.ops)} notifications came more than {LATE_S:g} s after `send_after`"
        )
        if never:
            what += f", {len(never)} of them not within {3 * LATE_S:g} s"
        return Finding(Outcome.FAIL, what, tuple(them.ops[key][0] for key in (late + never)[:3]), (), evidence)
    if them.open:
        what = f"{len(them.open)} notifications never arrived, and it was never said for sure that they were accepted"
        return Finding(Outcome.INCONCLUSIVE, what, tuple(them.ops[key][0] for key in them.open[:3]), (), evidence)
    if len(by_s) < FEWEST:
        return Finding(Outcome.INCONCLUSIVE, f"only {len(by_s)} were accepted and arrived", (), (), evidence)
    what = f"{len(by_s)} notifications arrived 0 to {max(by_s.values()):.2f} s after they were due"
    return Finding(Outcome.PASS, what, (), (), evidence)


def due_s(op: Op) -> float:
    """The moment that was asked for, in seconds of the wall clock."""
    body = op.request.body
    assert isinstance(body, dict)
    return datetime.fromisoformat(str(body["send_after"])).timestamp()


async def withdrawn(lab: Lab, rng: Random) -> None:
    """Messages that are cancelled before they are due; and users who opt out, of what waits and of what comes."""
    epoch = note_epoch(lab)
    cancel = [message(rng, CHANNELS[i % 3], send_after=moment(lab, epoch, DUE_BACK_S)) for i in range(TAKEN_BACK)]
    out = [message(rng, CHANNELS[i % 3], send_after=moment(lab, epoch, DUE_BACK_S)) for i in range(TAKEN_BACK)]
    ops = await lab.paced(
        [it.call(lab.replicas[i % len(lab.replicas)], "withdrawn") for i, it in enumerate([*cancel, *out])], 0.01
    )
    await resolve(lab, ops, "withdrawn")
    ids = {key_of(op): number(op) for op in ops if accepted(op)}
    for index, it in enumerate(cancel):
        if it.key in ids:
            target = lab.replicas[(index + 1) % len(lab.replicas)]
            await lab.call(Call(target, "DELETE", f"{PATH}/{ids[it.key]}", name="withdrawn/cancel", json_reply=False))
    for it in out:
        await prefer(lab, it.user, it.channel, wanted=False)
    await lab.sleep(IN_FORCE_S + 0.2)
    for it in out:  # the same users again, who by now want nothing, on every replica
        for target in lab.replicas:
            again = message(rng, it.channel)
            await lab.call(replace(again, user=it.user).call(target, "withdrawn/after"))
    back = out[: TAKEN_BACK // 2]
    await lab.sleep(max(0.0, DUE_BACK_S + 1.2 - (lab.now_ns() - ops[0].sent_ns) / 1e9))
    for it in back:
        await prefer(lab, it.user, it.channel, wanted=True)
    await lab.sleep(IN_FORCE_S + 0.2)
    for index, it in enumerate(back):
        again = message(rng, it.channel)
        call = replace(again, user=it.user).call(lab.replicas[index % len(lab.replicas)], "withdrawn/back")
        await lab.call(call)
    begun = lab.now_ns()
    users = {it.user for it in back}
    while users - _reached(lab, begun) and lab.now_ns() - begun < BACK_S * 1e9:
        await lab.sleep(0.1)


def _reached(lab: Lab, since_ns: int) -> set[str]:
    """Recipients of whatever arrived since then."""
    tries = [it for it in lab.sink.attempts if it.effect and it.at_ns > since_ns - 1e9]
    return {str(it.body.get("to")) for it in tries if isinstance(it.body, dict)}


async def prefer(lab: Lab, user: str, channel: str, *, wanted: bool) -> None:
    """Say what a user wants; again where it was not taken, because any design may fail to answer once."""
    call = Call("", "PUT", f"/v1/users/{user}/preferences", {name: wanted or name != channel for name in CHANNELS},
                "withdrawn/in" if wanted else "withdrawn/out", json_reply=False)  # fmt: skip
    for pause_s in (0.05, 0.2, 0.0):
        target = lab.replicas[sum(user.encode()) % len(lab.replicas)]
        ops = await lab.configure(Call(target, call.method, call.path, call.body, call.name, json_reply=False))
        if all(op.result is Result.OK for op in ops):
            return
        await lab.sleep(pause_s)


def judge_withdrawn(history: History) -> Finding:
    """NT-6: nothing is begun more than two seconds after it was taken back."""
    them = books(history, history.named("withdrawn"))
    numbers = {number(op): key for key, ops in them.ops.items() for op in ops if accepted(op)}
    cancelled = {
        numbers[op.request.path.rsplit("/", 1)[1]]: op for op in history.named("withdrawn/cancel")
        if op.result is Result.OK and op.request.path.rsplit("/", 1)[1] in numbers
    }  # fmt: skip
    tried = len(history.named("withdrawn/cancel"))
    out = _preferred(history, "withdrawn/out")
    back = _preferred(history, "withdrawn/in")
    wrong: list[tuple[Op, str]] = []
    for key, op in cancelled.items():
        if _begun(them, key, op.received_ns):
            wrong.append((op, "was cancelled, and its delivery began more than 2 s later"))
    for key, ops in them.ops.items():
        user = str(ops[0].request.body.get("user")) if isinstance(ops[0].request.body, dict) else ""
        if user in out and ops[0].name != "withdrawn/back":
            again = back.get(user)
            if _begun(them, key, out[user].received_ns, again.sent_ns if again else None):
                wrong.append((ops[0], "was delivered more than 2 s after its user had opted out"))
    returned = [key for key, ops in them.ops.items() if ops[0].name == "withdrawn/back" and any(map(accepted, ops))]
    arrived = [key for key in returned if any(it.effect for it in them.attempts.get(key, []))]
    evidence = {
        "cancelled": len(cancelled),
        "users who opted out": len(out),
        "delivered after they came back": len(arrived),
    }
    if wrong:
        return Finding(
            Outcome.FAIL,
            f"{len(wrong)} times a notification {wrong[0][1]}",
            tuple(op for op, _ in wrong[:3]),
            (),
            evidence,
        )
    if tried >= FEWEST and not cancelled and all(op.status == 409 for op in history.named("withdrawn/cancel")):
        what = f"none of {tried} notifications that were due in three seconds could be cancelled"
        return Finding(Outcome.FAIL, what, history.named("withdrawn/cancel")[:3], (), evidence)
    if returned and not arrived:
        what = f"none of {len(returned)} users who had opted in again got anything within {IN_FORCE_S + BACK_S:g} s"
        return Finding(Outcome.FAIL, what, tuple(them.ops[key][0] for key in returned[:3]), (), evidence)
    if len(cancelled) < FEWEST or len(out) < FEWEST:
        return Finding(
            Outcome.INCONCLUSIVE, f"only {len(cancelled)} were cancelled and {len(out)} opted out", (), (), evidence
        )
    what = f"nothing was begun after {len(cancelled)} cancellations and {len(out)} opt-outs had been in force"
    return Finding(Outcome.PASS, what, (), (), evidence)


def _preferred(history: History, name: str) -> dict[str, Op]:
    """The last taken preference of each user."""
    return {op.request.path.split("/")[3]: op for op in history.named(name) if op.result is Result.OK}


def _begun(them: Books, key: str, since_ns: int, until_ns: int | None = None) -> bool:
    """Whether the first try of a message came more than two seconds after `since_ns` (and before `until_ns`)."""
    tries: list[Attempt] = them.attempts.get(key, [])
    first = min((it.at_ns for it in tries), default=None)
    if first is None or first <= since_ns + IN_FORCE_S * 1e9:
        return False
    return until_ns is None or first < until_ns
