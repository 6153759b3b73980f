"""Refusals under overload: whether what was allowed before explains them, on all replicas and on one."""

from collections.abc import Sequence
from random import Random

from crucible.check import Finding, History, Lab, Measure, Outcome
from crucible.evidence import Op
from crucible.oracles.windows import NEVER_NS, Claim, wrong_refusals

from .requests import allowed, answered, check, claims, fresh, limit, limits_set, put_limit, refused, unanswered_claims
from .steady import OVERLOAD_LIMIT, OVERLOAD_MS, WARM_UP


async def skew(lab: Lab, rng: Random) -> None:
    """Three times the limit, steadily, all to one replica."""
    key, target = fresh(rng, "skew"), rng.choice(lab.replicas)
    await put_limit(lab, limit(target, key, OVERLOAD_LIMIT, OVERLOAD_MS, "skew"))
    await lab.sleep(1.0)
    per_window = 3 * OVERLOAD_LIMIT
    turns = [check(target, key, "skew")] * int((WARM_UP + 2) * per_window)
    await lab.paced(turns, OVERLOAD_MS / 1000 / per_window)


class Refusals:
    """Those of one overload after its warm-up: all, the surely and the possibly wrong, and what had no answer."""

    def __init__(self, ops: Sequence[Op], n: int, window_ns: int) -> None:
        start_ns = ops[0].sent_ns + WARM_UP * window_ns
        took = claims([op for op in ops if allowed(op)])
        self.late = [op for op in ops if refused(op) and op.sent_ns >= start_ns]
        self.silent = [op for op in ops if not answered(op) and op.sent_ns >= start_ns]
        asked = claims(self.late)
        self.surely = wrong_refusals(asked, took + unanswered_claims(ops, NEVER_NS), n, window_ns)
        self.maybe = wrong_refusals(asked, took, n, window_ns)

    def measure(self, axis: str) -> Measure | None:
        every = len(self.late) + len(self.silent)
        if not self.late:
            return None
        low = len(self.surely) / len(self.late)
        return Measure(axis, low, low, max(low, (len(self.maybe) + len(self.silent)) / every), len(self.late))


def seen_in(history: History, name: str) -> Refusals | None:
    ops, limits = history.named(name), limits_set(history, name)
    return Refusals(ops, *limits) if ops and limits is not None else None


def shown(ops: Sequence[Op], wrong: Sequence[Claim]) -> tuple[Op, ...]:
    named = {(claim.sent_ns, claim.received_ns) for claim in wrong}
    return tuple(op for op in ops if (op.sent_ns, op.received_ns) in named)[:3]


def judge_refusals(history: History) -> Finding:
    """More than half of the refusals surely wrong, where the traffic is balanced, convicts."""
    balanced, skewed = seen_in(history, "overload"), seen_in(history, "skew")
    found = (
        balanced.measure("wrong_refusals_ratio") if balanced else None,
        skewed.measure("wrong_refusals_one_replica_ratio") if skewed else None,
    )
    measures = tuple(measure for measure in found if measure is not None)
    if balanced is None or skewed is None:
        return Finding(Outcome.INCONCLUSIVE, "the overload was not run, or its limit not taken", (), measures)
    evidence = {
        "refusals": len(balanced.late), "surely wrong": len(balanced.surely),
        "refusals by one replica": len(skewed.late), "surely wrong there": len(skewed.surely),
    }  # fmt: skip
    if len(balanced.surely) > 0.5 * len(balanced.late):
        what = (
            f"{len(balanced.surely)} of {len(balanced.late)} refusals came although less than 0.9 of the limit "
            "had been allowed in the window before"
        )
        return Finding(Outcome.FAIL, what, shown(balanced.late, balanced.surely), measures, evidence)
    doubtful = len(balanced.maybe) + len(balanced.silent)
    if not balanced.late or doubtful > 0.5 * (len(balanced.late) + len(balanced.silent)):
        what = f"{len(balanced.silent)} requests without an answer leave open which refusals were deserved"
        if not balanced.late and not balanced.silent:
            what = "nothing was refused under overload, so no refusal could be looked at"
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    what = f"{len(balanced.surely)} of {len(balanced.late)} refusals under overload came too early"
    if skewed.late:
        what += f", and {len(skewed.surely)} of {len(skewed.late)} with all traffic on one replica"
    return Finding(Outcome.PASS, what, (), measures, evidence)
