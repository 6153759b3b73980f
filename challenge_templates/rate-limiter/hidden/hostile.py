"""Malformed requests: what they look like, what each may be answered with, and what they must leave as it was."""

import asyncio
from collections.abc import Sequence
from random import Random

from crucible.check import Call, Finding, History, Lab, Outcome
from crucible.evidence import ENDINGS, Op, Result

from .requests import LONG_MS, allowed, answered, check, fresh, limit, limits_set, put_limit, refused, taken
from .windows import aligned_window, note_epoch, now_ms

SPENT_LIMIT, SPENT_CHECKS = 6, 9
"""Few, so that a design that fails to answer 2 % of its checks seldom leaves two of them open."""

BIG = 2**53 + 1
BAD_CHECKS = {  # slug: (in words, body; KEY stands for a key with a limit)
    "not-json": ("a body that is not JSON", '{"key": '),
    "empty": ("an empty body", ""),
    "string": ("a JSON string", '"KEY"'),
    "array": ("a JSON array", '["KEY", 1]'),
    "no-key": ("a check without a key", '{"cost": 1}'),
    "no-fields": ("an empty object", "{}"),
    "cost-0": ("a cost of 0", '{"key": "KEY", "cost": 0}'),
    "cost-negative": ("a cost of -1", '{"key": "KEY", "cost": -1}'),
    "cost-word": ('a cost of "many"', '{"key": "KEY", "cost": "many"}'),
    "cost-fraction": ("a cost of 1.5", '{"key": "KEY", "cost": 1.5}'),
    "cost-list": ("a cost that is a list", '{"key": "KEY", "cost": [1]}'),
    "cost-object": ("a cost that is an object", '{"key": "KEY", "cost": {"a": 1}}'),
    "cost-nan": ("a cost of NaN", '{"key": "KEY", "cost": NaN}'),
    "cost-infinity": ("a cost of Infinity", '{"key": "KEY", "cost": Infinity}'),
    "cost-1e400": ("a cost of 1e400", '{"key": "KEY", "cost": 1e400}'),
    "cost-big": ("a cost of 2^53 + 1", f'{{"key": "KEY", "cost": {BIG}}}'),
    "key-number": ("a key that is a number", '{"key": 5, "cost": 1}'),
    "key-list": ("a key that is a list", '{"key": ["KEY"], "cost": 1}'),
    "key-unknown": ("a key without a limit", '{"key": "KEY-of-nobody", "cost": 1}'),
    "form": ("a form", "key=KEY&cost=1"),
    "two-megabytes": ("a body of 2 MB", '{"key": "' + "a" * 2_000_000 + '", "cost": 1}'),
    "deep": ("10,000 nested arrays", "[" * 10_000 + "]" * 10_000),
    "not-utf-8": ("a key that is not UTF-8", '{"key": "\udcff\udcfe", "cost": 1}'),
}
BAD_LIMITS = {
    "limit-not-json": ("a limit that is not JSON", '{"limit": 5, '),
    "limit-0": ("a limit of 0", '{"limit": 0, "window_ms": 60000}'),
    "limit-negative": ("a limit of -5", '{"limit": -5, "window_ms": 60000}'),
    "limit-word": ('a limit of "x"', '{"limit": "x", "window_ms": 60000}'),
    "limit-fraction": ("a limit of 1.5", '{"limit": 1.5, "window_ms": 60000}'),
    "limit-big": ("a limit of 2^53 + 1", f'{{"limit": {BIG}, "window_ms": 60000}}'),
    "window-missing": ("a limit without a window", '{"limit": 5}'),
    "window-99": ("a window of 99 ms", '{"limit": 5, "window_ms": 99}'),
    "window-0": ("a window of 0 ms", '{"limit": 5, "window_ms": 0}'),
    "window-word": ('a window of "x"', '{"limit": 5, "window_ms": "x"}'),
}
IN_WORDS = {slug: words for slug, (words, _) in (BAD_CHECKS | BAD_LIMITS).items()} | {
    "usage-unknown": "usage of a key without a limit"
}
MAY_BE_429 = {"cost-big", "cost-1e400"}
"""They are also costs above the limit."""


async def bad_input(lab: Lab, rng: Random) -> None:
    """Every malformed request names a key; afterwards that key is compared with one that none of them named."""
    epoch_ms, targets = note_epoch(lab), lab.replicas[:2]
    window_ms = aligned_window(now_ms(lab, epoch_ms) + 4_000, LONG_MS)
    keys = {(arm, target): fresh(rng, "spent") for target in targets for arm in ("fresh", "fresh-again", "named")}
    for (_, target), key in keys.items():
        await put_limit(lab, limit(target, key, SPENT_LIMIT, window_ms, "spent"))
    await lab.sleep(1.0)
    up = list(targets)
    for i, slug in enumerate(IN_WORDS):
        if not up:
            break
        target = up[i % len(up)]
        call = bad_call(slug, target, keys["named", target])
        for _ in range(3):  # any design may fail to answer once
            op = await lab.call(call)
            if op.status is None and not await alive(lab, target):
                up.remove(target)
                break
            if op.status is not None and op.status < 500:
                break
    for target in up:
        await alive(lab, target)

    async def spend(arm: str, target: str, key: str) -> None:
        for _ in range(SPENT_CHECKS):
            await lab.call(check(target, key, f"spent/{target}/{arm}"))

    await asyncio.gather(*(spend(*whose, key) for whose, key in keys.items() if whose[1] in up))


def bad_call(slug: str, target: str, key: str) -> Call:
    if slug == "usage-unknown":
        return Call(target, "GET", f"/v1/usage/{key}-of-nobody", name=f"bad/{slug}", timeout_s=2)
    method, path, text = (
        ("POST", "/v1/check", BAD_CHECKS[slug][1])
        if slug in BAD_CHECKS
        else ("PUT", f"/v1/limits/{key}{'-big' if slug == 'limit-big' else ''}", BAD_LIMITS[slug][1])
    )
    raw = text.replace("KEY", key).encode("utf-8", "surrogateescape")
    media = "application/x-www-form-urlencoded" if slug == "form" else "application/json"
    return Call(target, method, path, name=f"bad/{slug}", raw=raw, content_type=media, timeout_s=2)


async def alive(lab: Lab, target: str) -> bool:
    for _ in range(5):
        op = await lab.call(Call(target, "GET", "/healthz", name=f"alive/{target}", timeout_s=1, json_reply=False))
        if op.result is Result.OK:
            return True
        await lab.sleep(0.2)
    return False


def offence(slug: str, ops: Sequence[Op]) -> str | None:
    """What the solution did with this malformed request that it may not do, in words; None where it refused it."""
    for op in ops:
        if slug == "limit-big" and taken(op) and isinstance(op.reply, dict) and op.reply.get("limit") == BIG:
            return None
        if op.status is not None and op.status < 400:
            return f"was accepted ({op.status})"
        if op.status == 429 and slug not in MAY_BE_429:
            return "was treated as a check of a full key (429)"
    if any(op.status is not None and 400 <= op.status < 500 for op in ops):
        return None
    if slug == "two-megabytes" and any(op.status is None for op in ops):
        return None  # hanging up on it is a refusal, if the process lives on
    return f"got no answer ({ops[-1].error})" if ops[-1].status is None else f"was answered with {ops[-1].status}"


def ended(history: History) -> dict[str, str]:
    """By the malformed request that did it: the process that it ended."""
    by: dict[str, str] = {}
    for event in history.events:
        sent = [op for op in history.named("bad") if op.target == event.subject and op.sent_ns <= event.at_ns]
        if event.kind in ENDINGS and sent:
            heard = [i for i, op in enumerate(sent) if op.status is not None]
            culprit = sent[min(heard[-1] + 1 if heard else 0, len(sent) - 1)]
            by[culprit.name.removeprefix("bad/")] = event.subject
    return by


def judge_spent(history: History, target: str) -> tuple[Outcome, str]:
    """Whether the key that malformed requests named admits as much as one they did not name, give or take one."""
    arms = [history.named(f"spent/{target}/{arm}") for arm in ("fresh", "fresh-again", "named")]
    control = next((ops for ops in arms[:2] if all(map(answered, ops))), arms[0])
    (c_low, c_high), (low, high) = (
        (sum(map(allowed, ops)), sum(not refused(op) for op in ops)) for ops in (control, arms[2])
    )
    if limits_set(history, "spent") is None or not c_low or not all(len(ops) == SPENT_CHECKS for ops in arms):
        return Outcome.INCONCLUSIVE, f"no valid check was let through by {target} to compare with"
    if high < c_low - 1 or low > c_high + 1:
        what = f"malformed requests took effect: a key that they named admitted {low} units, an untouched one {c_low}"
        return Outcome.FAIL, what
    if low < c_high - 1 or high > c_low + 1:
        return Outcome.INCONCLUSIVE, f"too many checks on {target} had no answer to compare what was consumed"
    return Outcome.PASS, f"{low} and {c_low}"


def judge_bad_input(history: History) -> Finding:
    """Any 4xx but 429, nothing consumed or changed, and every process lives on."""
    tries = {slug: ops for slug in IN_WORDS if (ops := history.named(f"bad/{slug}"))}
    deaths = ended(history)
    wrongs = {slug: found for slug, ops in tries.items() if (found := offence(slug, ops))}
    wrongs |= {slug: f"ended the process {subject}" for slug, subject in deaths.items()}
    targets = sorted({op.target for op in history.named("bad")})
    dumb = [t for t in targets if (probes := history.named(f"alive/{t}")) and probes[-1].result is not Result.OK]
    spent = {target: judge_spent(history, target) for target in targets}
    worst_first = sorted(wrongs, key=lambda slug: slug not in deaths)
    bad = [f"{IN_WORDS[slug]} {wrongs[slug]}" for slug in worst_first]
    bad += [f"{target} no longer answered" for target in dumb if target not in deaths.values()]
    bad += [what for outcome, what in spent.values() if outcome is Outcome.FAIL]
    evidence = {"kinds of bad input": len(tries), "replicas": len(targets)}
    if bad:
        what = bad[0]
        if len(wrongs) > 1:
            what += f"; in all {len(wrongs)} of {len(tries)} kinds of bad input were not refused as they should be"
        effects = [target for target, (outcome, _) in spent.items() if outcome is Outcome.FAIL]
        shown = [f"bad/{slug}" for slug in worst_first] + [f"alive/{target}" for target in dumb]
        shown += [f"spent/{target}/named" for target in effects]
        return Finding(Outcome.FAIL, what, history.named(shown[0])[-3:], (), evidence)
    unsure = [what for outcome, what in spent.values() if outcome is Outcome.INCONCLUSIVE]
    if len(tries) < len(IN_WORDS) or any(not history.named(f"alive/{target}") for target in targets):
        unsure.append(f"only {len(tries)} of {len(IN_WORDS)} kinds of bad input were tried")
    if unsure:
        return Finding(Outcome.INCONCLUSIVE, f"it could not be shown: {unsure[0]}", (), (), evidence)
    what = f"all {len(tries)} kinds of bad input were refused, consumed nothing, and every process lived on"
    return Finding(Outcome.PASS, what, (), (), evidence)
