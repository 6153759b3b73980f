"""Refusals under overload: whether what was allowed before explains them, on all replicas and on one."""

from random import Random

from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab, Measure

from .overload import OVERLOAD, OVERLOAD_LIMIT, OVERLOAD_MS, WARM_UP, Refusals, refusals
from .requests import check, fresh, limit, limits_set, put_limit

SKEW = "skew"


async def skew(lab: Lab, rng: Random) -> None:
    """Three times the limit, steadily, all to one replica."""
    key, target = fresh(rng, SKEW), rng.choice(lab.replicas)
    await put_limit(lab, limit(target, key, OVERLOAD_LIMIT, OVERLOAD_MS, SKEW))
    await lab.sleep(1.0)
    per_window = 3 * OVERLOAD_LIMIT
    turns = [check(target, key, SKEW)] * int((WARM_UP + 2) * per_window)
    await lab.paced(turns, OVERLOAD_MS / 1000 / per_window)


def seen_in(history: History, name: str) -> Refusals | None:
    ops, limits = history.named(name), limits_set(history, name)
    return refusals(ops, *limits) if ops and limits is not None else None


def measures(axis: str, found: Refusals | None) -> list[Measure]:
    if found is None or not found.late:
        return []
    low, every = len(found.surely) / len(found.late), len(found.late) + len(found.silent)
    return [Measure(axis, low, low, max(low, (len(found.maybe) + len(found.silent)) / every), len(found.late))]


def judge_refusals(history: History) -> Finding:
    """More than half of the refusals surely wrong, where the traffic is balanced, convicts."""
    balanced, skewed = seen_in(history, OVERLOAD), seen_in(history, SKEW)
    measured = measures("wrong_refusals_ratio", balanced) + measures("wrong_refusals_one_replica_ratio", skewed)
    if balanced is None or skewed is None:
        return inconclusive("the overload was not run, or its limit not taken", measures=measured)
    late, wrong, silent = len(balanced.late), len(balanced.surely), len(balanced.silent)
    counted = {
        "refusals": late, "surely wrong": wrong,
        "refusals by one replica": len(skewed.late), "surely wrong there": len(skewed.surely),
    }  # fmt: skip
    if wrong > 0.5 * late:
        what = (
            f"{wrong} of {late} refusals came although less than 0.9 of the limit had been allowed in the window before"
        )
        return failed(what, *balanced.wrong, counted=counted, measures=measured)
    if not late or len(balanced.maybe) + silent > 0.5 * (late + silent):
        what = f"{silent} requests without an answer leave open which refusals were deserved"
        if not late and not silent:
            what = "nothing was refused under overload, so no refusal could be looked at"
        return inconclusive(what, counted=counted, measures=measured)
    what = f"{wrong} of {late} refusals under overload came too early"
    if skewed.late:
        what += f", and {len(skewed.surely)} of {len(skewed.late)} with all traffic on one replica"
    return passed(what, counted=counted, measures=measured)
