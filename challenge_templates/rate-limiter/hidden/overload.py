"""What is asked without haste: the first contact, an overload at a steady rate, and neighbours of a full key."""

from collections.abc import Sequence
from random import Random

from crucible.check import Call, Finding, History, Lab, Measure, Outcome
from crucible.evidence import Op
from crucible.oracles.windows import NEVER_NS, long_run, peak_units, wrong_refusals

from .requests import (
    LONG_MS,
    allowed,
    answered,
    check,
    claims,
    fresh,
    limit,
    limits_set,
    put_limit,
    refused,
    unanswered_claims,
    why_none,
)
from .windows import aligned_window, note_epoch, now_ms

OVERLOAD_LIMIT, OVERLOAD_MS = 20, 2_000
WARM_UP = 2
"""Windows. A window that weighs the one before it as if it had been spread evenly is right only from then on."""
NEIGHBOURS, NEIGHBOUR_LIMIT = 8, 10


async def contact(lab: Lab, rng: Random) -> None:
    key = fresh(rng, "contact")
    await put_limit(lab, limit(lab.replicas[0], key, 5, LONG_MS, "contact"))
    for target in lab.replicas:
        await lab.call(check(target, key, "contact/check"))
    await lab.call(Call(lab.replicas[0], "GET", f"/v1/usage/{key}", name="contact/usage"))


async def overload(lab: Lab, rng: Random) -> None:
    """Several times the limit, steadily, to each replica in turn."""
    key, targets = fresh(rng, "overload"), lab.replicas
    await put_limit(lab, limit(targets[0], key, OVERLOAD_LIMIT, OVERLOAD_MS, "overload"))
    await lab.sleep(1.0)
    per_window = int(OVERLOAD_LIMIT * max(3, 1.5 * len(targets)))
    windows = WARM_UP + (2 if lab.mode == "quick" else 3) + 0.2  # a little more, so that a late start costs no window
    turns = [check(targets[i % len(targets)], key, "overload") for i in range(int(windows * per_window))]
    await lab.paced(turns, OVERLOAD_MS / 1000 / per_window)


async def neighbours(lab: Lab, rng: Random) -> None:
    """Two full keys, then first checks of keys that look like them."""
    epoch_ms, targets = note_epoch(lab), lab.replicas
    window_ms = aligned_window(now_ms(lab, epoch_ms) + 3_000, LONG_MS)
    short, stem = fresh(rng, "user:Ab"), (fresh(rng, "long") * 7)[:127]
    full = {"full/short": short, "full/long": f"{stem}a"}
    near = [
        f"{short}x", f"{short}:1", short.swapcase(), short[:-1],
        short.replace(":", "-"), short.replace(":", "_"), fresh(rng, "user:Ab"), f"{stem}b",
    ]  # fmt: skip
    for i, key in enumerate([*full.values(), *near]):
        await put_limit(lab, limit(targets[i % len(targets)], key, NEIGHBOUR_LIMIT, window_ms, "neighbours"))
    await lab.sleep(1.0)
    for name, key in full.items():
        for target in targets:
            for _ in range(NEIGHBOUR_LIMIT * (len(targets) + 2)):
                if refused(await lab.call(check(target, key, f"{name}/before/{target}"))):
                    break
    for i, key in enumerate(near):
        seen: list[Op] = []
        while len(seen) < 4 and not any(map(allowed, seen)) and sum(map(refused, seen)) < 2:
            seen.append(await lab.call(check(targets[(i + len(seen)) % len(targets)], key, f"near/{i}")))
    for name, key in full.items():
        for target in targets:
            for _ in range(3):  # a steady refill may let one more through
                if refused(await lab.call(check(target, key, f"{name}/after/{target}"))):
                    break


def judge_overload(history: History) -> Finding:
    """Errors count throughout; refusals are judged, and tiles laid, from the end of the warm-up on."""
    ops, limits = history.named("overload"), limits_set(history, "overload")
    if not ops:
        return Finding(Outcome.INCONCLUSIVE, "no request of the overload was sent")
    took, silent = [op for op in ops if allowed(op)], [op for op in ops if not answered(op)]
    evidence = {"requests": len(ops), "allowed": len(took), "without an answer": len(silent)}
    if limits is None:
        if len(silent) > 0.05 * len(ops):
            return Finding(Outcome.FAIL, hollow(ops, silent, 0), tuple(silent[:3]), (), evidence)
        return Finding(Outcome.INCONCLUSIVE, "the limit was not taken, so there is nothing to hold it to")
    n, window_ns = limits
    start_ns = ops[0].sent_ns + WARM_UP * window_ns
    tiles = (ops[-1].sent_ns - start_ns + window_ns // 20) // window_ns
    if tiles < 2:
        return Finding(Outcome.INCONCLUSIVE, f"the overload ended before its window {WARM_UP + 2}", (), (), evidence)
    late = [op for op in ops if refused(op) and op.sent_ns >= start_ns]
    surely = wrong_refusals(claims(late), claims(took) + unanswered_claims(ops, NEVER_NS), n, window_ns)
    maybe = wrong_refusals(claims(late), claims(took), n, window_ns)
    evidence |= {"refused": len(ops) - len(took) - len(silent), "wrongly refused": len(surely)}
    seen, widest = claims(took), claims(took) + unanswered_claims(ops)
    run, wide = long_run(seen, start_ns, window_ns, tiles), long_run(widest, start_ns, window_ns, tiles)
    ratio, peak, wide_peak = run.total / (n * tiles), peak_units(seen, window_ns), peak_units(widest, window_ns)
    high = max(ratio, max(wide.per_tile) / n, wide.total / (n * tiles))
    measures: tuple[Measure, ...] = (
        Measure("long_run_ratio", ratio, min(ratio, min(run.per_tile) / n), high, tiles),
        Measure("peak_ratio", peak.units / n, peak.units / n, wide_peak.units / n, len(ops)),
    )
    if late:
        low, high = len(surely) / len(late), len(maybe) / len(late)
        measures += (Measure("wrong_refusals_ratio", low, low, high, len(late)),)
    if len(silent) + len(surely) > 0.05 * len(ops):
        named = {(claim.sent_ns, claim.received_ns) for claim in surely}
        shown = [op for op in late if (op.sent_ns, op.received_ns) in named] if len(surely) > len(silent) else silent
        return Finding(Outcome.FAIL, hollow(ops, silent, len(surely)), tuple(shown[:3]), measures, evidence)
    if len(silent) + len(maybe) > 0.05 * len(ops):
        what = (
            f"{len(maybe)} of {len(late)} refusals are deserved only if {len(silent)} requests without an answer count"
        )
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    what = f"offered several times the limit on every replica, {ratio:.2f} of the limit were allowed per window"
    return Finding(Outcome.PASS, what, (), measures, evidence)


def hollow(ops: Sequence[Op], silent: Sequence[Op], wrong: int) -> str:
    """Why fewer than 95 % of the requests count as answered."""
    share = 100 * (len(ops) - len(silent) - wrong) / len(ops)
    parts = [f"{len(silent)} had no answer (most often: {why_none(silent)})"] if silent else []
    parts += [f"{wrong} were refused although the limit was not used up"] if wrong else []
    return f"only {share:.1f} % of {len(ops)} requests were answered as they should: {' and '.join(parts)}"


def judge_neighbours(history: History) -> Finding:
    """A neighbour convicts where it was refused twice and never allowed, while a key beside it was really full."""
    near = [history.named(f"near/{i}") for i in range(NEIGHBOURS)]
    shut = [ops for ops in near if not any(map(allowed, ops)) and sum(map(refused, ops)) >= 2]
    open_ = [ops for ops in near if any(map(allowed, ops))]
    evidence = {"neighbours let through": len(open_), "neighbours refused": len(shut)}
    full = history.named("full")
    names = {op.name for op in full} | {op.name.replace("/before/", "/after/") for op in full}
    last = {op.name: op for op in full}
    if not last or limits_set(history, "neighbours") is None or not all(n in last and refused(last[n]) for n in names):
        what = "the keys beside them were not seen full before and after, so their neighbours show nothing"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    if shut:
        verb = "was" if len(shut) == 1 else "were"
        what = (
            f"{len(shut)} of {NEIGHBOURS} fresh keys beside a full one {verb} refused twice, "
            "although nothing had ever been allowed on them"
        )
        return Finding(Outcome.FAIL, what, tuple(op for op in shut[0] if refused(op))[:3], (), evidence)
    if not all(any(map(allowed, history.named(f"full/{key}/before"))) for key in ("short", "long")):
        what = "a key that was to be filled never let anything through"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    if len(open_) < NEIGHBOURS:
        what = f"only {len(open_)} of {NEIGHBOURS} neighbours gave an answer that counts"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    what = f"all {NEIGHBOURS} neighbours of two full keys were let through at their first or second check"
    return Finding(Outcome.PASS, what, (), (), evidence)
