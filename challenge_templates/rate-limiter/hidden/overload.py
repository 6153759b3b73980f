"""An overload at a steady rate, spread over all replicas: how much of it is answered, and what is let through."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.outcomes import failed, inconclusive, passed, why_none
from crucible.check import Finding, History, Lab, Measure
from crucible.evidence import Op
from crucible.oracles.windows import NEVER_NS, Claim, long_run, wrong_refusals

from .requests import (
    allowed,
    answered,
    check,
    claims,
    fresh,
    limit,
    limits_set,
    peak_of,
    put_limit,
    refused,
    unanswered_claims,
)  # fmt: skip

OVERLOAD = "overload"
OVERLOAD_LIMIT, OVERLOAD_MS = 20, 2_000
WARM_UP = 2
"""Windows. A window that weighs the one before it as if it had been spread evenly is right only from then on."""


async def overload(lab: Lab, rng: Random) -> None:
    """Several times the limit, steadily, to each replica in turn."""
    key = fresh(rng, OVERLOAD)
    await put_limit(lab, limit(lab.replicas[0], key, OVERLOAD_LIMIT, OVERLOAD_MS, OVERLOAD))
    await lab.sleep(1.0)
    per_window = int(OVERLOAD_LIMIT * max(3, 1.5 * len(lab.replicas)))
    windows = WARM_UP + (2 if lab.mode == "quick" else 3) + 0.2  # a little more, so that a late start costs no window
    turns = [check(in_turn(lab, i), key, OVERLOAD) for i in range(int(windows * per_window))]
    await lab.paced(turns, OVERLOAD_MS / 1000 / per_window)


@dataclass(frozen=True, slots=True)
class Refusals:
    """Those of an overload after its warm-up."""

    late: tuple[Op, ...]
    silent: tuple[Op, ...]
    """What had no answer."""
    surely: tuple[Claim, ...]
    """The wrong ones, whatever became of what had no answer."""
    maybe: tuple[Claim, ...]
    """The wrong ones, if nothing without an answer was allowed."""

    @property
    def wrong(self) -> list[Op]:
        """The surely wrong ones."""
        named = {(claim.sent_ns, claim.received_ns) for claim in self.surely}
        return [op for op in self.late if (op.sent_ns, op.received_ns) in named]


def refusals(ops: Sequence[Op], n: int, window_ns: int) -> Refusals:
    start_ns = ops[0].sent_ns + WARM_UP * window_ns
    late = tuple(op for op in ops if refused(op) and op.sent_ns >= start_ns)
    silent = tuple(op for op in ops if not answered(op) and op.sent_ns >= start_ns)
    took = claims(filter(allowed, ops))
    surely = wrong_refusals(claims(late), took + unanswered_claims(ops, NEVER_NS), n, window_ns)
    return Refusals(late, silent, surely, wrong_refusals(claims(late), took, n, window_ns))


def judge_overload(history: History) -> Finding:
    """Errors count throughout; refusals are judged, and tiles laid, from the end of the warm-up on. Where too
    much had no answer, the measures are the least that there was, and keep no limit."""
    ops, limits = history.named(OVERLOAD), limits_set(history, OVERLOAD)
    if not ops:
        return inconclusive("no request of the overload was sent")
    took, silent = [op for op in ops if allowed(op)], [op for op in ops if not answered(op)]
    counted = {"requests": len(ops), "allowed": len(took), "without an answer": len(silent)}
    if limits is None:
        if len(silent) > 0.05 * len(ops):
            return failed(hollow(ops, silent, 0), *silent, counted=counted)
        return inconclusive("the limit was not taken, so there is nothing to hold it to")
    n, window_ns = limits
    start_ns = ops[0].sent_ns + WARM_UP * window_ns
    tiles = (ops[-1].sent_ns - start_ns + window_ns // 20) // window_ns
    if tiles < 2:
        return inconclusive(f"the overload ended before its window {WARM_UP + 2}", counted=counted)
    found = refusals(ops, n, window_ns)
    wrong, doubtful = len(found.surely), len(found.maybe)
    counted |= {"refused": len(ops) - len(took) - len(silent), "wrongly refused": wrong}
    seen, widest = claims(took), claims(took) + unanswered_claims(ops)
    run, wide = long_run(seen, start_ns, window_ns, tiles), long_run(widest, start_ns, window_ns, tiles)
    ratio, peak = run.total / (n * tiles), peak_of(ops, ops, n, window_ns)
    high = max(ratio, max(wide.per_tile) / n, wide.total / (n * tiles))
    measures = [
        Measure("long_run_ratio", ratio, min(ratio, min(run.per_tile) / n), high, tiles),
        Measure("peak_ratio", peak.certain, peak.certain, peak.possible, len(ops)),
    ]
    if late := len(found.late):
        measures.append(Measure("wrong_refusals_ratio", wrong / late, wrong / late, doubtful / late, late))
    if len(silent) + wrong > 0.05 * len(ops):
        shown = found.wrong if wrong > len(silent) else silent
        unsure = [replace(it, open=len(silent) > 0.05 * len(ops)) for it in measures]
        return failed(hollow(ops, silent, wrong), *shown, counted=counted, measures=unsure)
    if len(silent) + doubtful > 0.05 * len(ops):
        what = f"{doubtful} of {late} refusals are deserved only if {len(silent)} requests without an answer count"
        return inconclusive(what, counted=counted, measures=measures)
    what = f"offered several times the limit on every replica, {ratio:.2f} of the limit were allowed per window"
    return passed(what, counted=counted, measures=measures)


def hollow(ops: Sequence[Op], silent: Sequence[Op], wrong: int) -> str:
    """Why fewer than 95 % of the requests count as answered."""
    share = 100 * (len(ops) - len(silent) - wrong) / len(ops)
    parts = [f"{len(silent)} had no answer (most often: {why_none(silent, answered)})"] if silent else []
    parts += [f"{wrong} were refused although the limit was not used up"] if wrong else []
    every = f"only {share:.1f} % of {len(ops)} requests were answered as they should, and 95 % must be"
    return f"{every}: {' and '.join(parts)}"
