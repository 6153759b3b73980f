"""NT-4: one key on both replicas, at the same moment and again later."""

from collections.abc import Sequence
from random import Random

from crucible.check import Finding, History, Lab, Outcome
from crucible.evidence import Op

from .accounts import books
from .messages import accepted, by_key, message, number, resolve, settle

KEYS, TIMES, AT_ONCE = 16, 6, 4
AWAY_MS = 10
"""The stores are so far away, each way, that what is looked up and then written leaves room for another."""


async def retries(lab: Lab, rng: Random) -> None:
    """Some keys, each several times at once, spread over the replicas; then once more on each."""
    wanted = [message(rng, ("email", "sms", "push")[index % 3]) for index in range(KEYS)]
    ops: list[Op] = []
    async with lab.slow(AWAY_MS):
        for start in range(0, KEYS, AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            turns = [lab.replicas[turn % len(lab.replicas)] for turn in range(TIMES)]
            ops += await lab.burst([it.call(target, "retries/at-once") for it in some for target in turns])
    await resolve(lab, ops, "retries")
    await lab.sleep(0.5)
    for target in lab.replicas:
        ops += await lab.paced([it.call(target, "retries/later") for it in wanted], 0.01)
    await settle(lab, wanted, lab.now_ns())


def judge_retries(history: History) -> Finding:
    """One id, and one effect."""
    asked = history.named("retries")
    them, by = books(history, asked), by_key(asked)
    ids = {key: {number(op) for op in ops if accepted(op)} for key, ops in by.items()}
    several = [key for key, numbers in ids.items() if len(numbers) > 1]
    doubled = {it.id for it in them.account.doubled}
    told = [key for key, numbers in ids.items() if numbers]
    answered = sum(accepted(op) for op in asked)
    evidence = {"keys sent again": len(by), "answers with an id": answered}
    if doubled:
        what = f"{len(doubled)} of {len(by)} keys that were sent to both replicas at once arrived more than once"
        return Finding(Outcome.FAIL, what, _of(by, sorted(doubled)), (), evidence)
    if several:
        what = f"{len(several)} of {len(by)} keys that were sent to both replicas at once got more than one id"
        return Finding(Outcome.FAIL, what, _of(by, several), (), evidence)
    if len(told) < KEYS / 2 or answered < 2 * len(told):
        return Finding(
            Outcome.INCONCLUSIVE, f"only {answered} of {len(asked)} requests were answered with an id", (), (), evidence
        )
    times, targets = answered / len(told), len({op.target for op in asked})
    what = f"each of {len(told)} keys, sent {times:.0f} times on {targets} replicas, was one notification"
    return Finding(Outcome.PASS, what, (), (), evidence)


def _of(by: dict[str, list[Op]], keys: Sequence[str]) -> tuple[Op, ...]:
    return tuple(op for op in by[keys[0]] if accepted(op))[:3]
