"""NT-4: one key on both replicas, at the same moment and again later."""

from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .accounts import books
from .messages import accepted, messages, number
from .waiting import resolve, settle

KEYS, TIMES, AT_ONCE = 16, 6, 4
AWAY_MS = 10
"""The stores are so far away, each way, that what is looked up and then written leaves room for another."""


async def retries(lab: Lab, rng: Random) -> None:
    """Some keys, each several times at once, spread over the replicas; then once more on each."""
    wanted = messages(rng, KEYS)
    turns = [in_turn(lab, turn) for turn in range(TIMES)]
    ops: list[Op] = []
    async with lab.slow(AWAY_MS):
        for start in range(0, KEYS, AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            ops += await lab.burst([it.call(target, "retries/at-once") for it in some for target in turns])
    await resolve(lab, ops, "retries")
    await lab.sleep(0.5)
    for target in lab.replicas:
        await lab.paced([it.call(target, "retries/later") for it in wanted], 0.01)
    await settle(lab, wanted, lab.now_ns())


def judge_retries(history: History) -> Finding:
    """One id, and one effect."""
    ops = history.named("retries")
    told = books(history, ops)
    yes = {key: [op for op in ops if accepted(op)] for key, ops in told.ops.items()}
    ids = {key: set(map(number, ops)) for key, ops in yes.items() if ops}
    doubled = sorted({double.id for double in told.account.doubled})
    several = [key for key, numbers in ids.items() if len(numbers) > 1]
    answered = sum(map(len, yes.values()))
    counted = {"keys sent again": len(yes), "answers with an id": answered}
    if doubled or several:
        wrong, how = (doubled, "arrived more than once") if doubled else (several, "got more than one id")
        what = f"{len(wrong)} of {len(yes)} keys that were sent to both replicas at once {how}"
        return failed(what, *yes[wrong[0]], counted=counted)
    asked = {name: len(history.named(f"retries/{name}")) for name in ("at-once", "later")}
    if asked["at-once"] < KEYS * TIMES / 2 or asked["later"] < KEYS:
        return inconclusive("the keys were not sent both at once and again later", counted=counted)
    if len(told.account.done) < 0.9 * len(ids):
        what = f"only {len(told.account.done)} of {len(ids)} arrived, so that a second effect may not have been seen"
        return inconclusive(what, counted=counted)
    if len(ids) < KEYS / 2 or answered < 2 * len(ids):
        return inconclusive(f"only {answered} of {len(ops)} requests were answered with an id", counted=counted)
    times, targets = answered / len(ids), len({op.target for op in ops})
    what = f"each of {len(ids)} keys, sent {times:.0f} times on {targets} replicas, was one notification"
    return passed(what, counted=counted)
