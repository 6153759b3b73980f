"""Malformed requests: those of this contract, and what they must leave as it was."""

import asyncio
from dataclasses import replace
from random import Random

from crucible.authoring.clock import aligned_window, wall_ms
from crucible.authoring.malformed import (
    Bad,
    Effect,
    Route,
    ask_bad,
    extra_field,
    hard_texts,
    judge_bad,
    not_objects,
    said_yes_or_no,
)
from crucible.authoring.outcomes import taken
from crucible.check import Finding, History, Lab, Outcome
from crucible.evidence import Op

from .requests import LONG_MS, allowed, answered, check, fresh, limit, limits_set, put_limit, refused

SPENT_LIMIT, SPENT_CHECKS = 6, 9
"""Few, so that a design that fails to answer 2 % of its checks seldom leaves two of them open."""
SPENT = "spent"
FRESH, FRESH_AGAIN, NAMED = "fresh", "fresh-again", "named"
"""Keys that are compared afterwards: the last is the one that malformed requests name."""
BIG = 2**53 + 1


def spent(target: str, arm: str) -> str:
    return f"{SPENT}/{target}/{arm}"


def bad_requests(key: str) -> dict[str, Bad]:
    """By slug; `key` is one with a limit."""
    checks = Route("POST", "/v1/check", {"key": key, "cost": 1})
    limits = Route("PUT", f"/v1/limits/{key}", {"limit": 5, "window_ms": 60_000})
    others = Route("PUT", f"/v1/limits/{key}-big", limits.good)
    nul = Route("PUT", f"/v1/limits/{key}%00", limits.good)
    nobody = f"{key}-of-nobody"
    rows = (
        *not_objects(checks, text="key", large=2_000_000),
        *hard_texts(checks, text="key", word="a key"),
        checks.without("no-key", "a check without a key", "key"),
        checks.with_field("cost-0", "a cost of 0", "cost", 0),
        checks.with_field("cost-negative", "a cost of -1", "cost", -1),
        checks.with_field("cost-word", 'a cost of "many"', "cost", "many"),
        checks.with_field("cost-fraction", "a cost of 1.5", "cost", 1.5),
        checks.with_field("cost-list", "a cost that is a list", "cost", [1]),
        checks.with_field("cost-object", "a cost that is an object", "cost", {"a": 1}),
        checks.with_literal("cost-nan", "a cost of NaN", "cost", "NaN"),
        checks.with_literal("cost-infinity", "a cost of Infinity", "cost", "Infinity"),
        # they are also costs above the limit
        replace(checks.with_literal("cost-1e400", "a cost of 1e400", "cost", "1e400"), may_be_429=True),
        replace(checks.with_field("cost-big", "a cost of 2^53 + 1", "cost", BIG), may_be_429=True),
        checks.with_field("key-number", "a key that is a number", "key", 5),
        checks.with_field("key-list", "a key that is a list", "key", [key]),
        checks.with_field("key-unknown", "a key without a limit", "key", nobody),
        checks.with_field("key-constructor", "a key `constructor`, without a limit", "key", "constructor"),
        checks.with_field("key-proto", "a key `__proto__`, without a limit", "key", "__proto__"),
        limits.bad("limit-not-json", "a limit that is not JSON", '{"limit": 5, '),
        limits.with_field("limit-0", "a limit of 0", "limit", 0),
        limits.with_field("limit-negative", "a limit of -5", "limit", -5),
        limits.with_field("limit-word", 'a limit of "x"', "limit", "x"),
        limits.with_field("limit-fraction", "a limit of 1.5", "limit", 1.5),
        replace(others.with_field("limit-big", "a limit of 2^53 + 1", "limit", BIG), right=echoed),
        limits.without("window-missing", "a limit without a window", "window_ms"),
        limits.with_field("window-99", "a window of 99 ms", "window_ms", 99),
        limits.with_field("window-0", "a window of 0 ms", "window_ms", 0),
        limits.with_field("window-word", 'a window of "x"', "window_ms", "x"),
        # No brief says what becomes of a limit that nobody can use: it may be taken, and lived with.
        replace(
            nul.with_field("limit-nul", "a limit for a key with the character U+0000", "limit", 5), right=said_yes_or_no
        ),
        extra_field(others),
        Bad("usage-unknown", "usage of a key without a limit", "GET", f"/v1/usage/{nobody}"),
        Bad("usage-nul", "usage of a key with the character U+0000", "GET", f"/v1/usage/{nobody}%00"),
    )
    return {row.slug: row for row in rows}


def echoed(op: Op) -> bool:
    """The huge limit was taken, exactly."""
    return taken(op) and op.field("limit", int) == BIG


async def bad_input(lab: Lab, rng: Random) -> None:
    """Every malformed request names a key; afterwards that key is compared with one that none of them named."""
    targets = lab.replicas[:2]
    window_ms = aligned_window(wall_ms(lab) + 4_000, LONG_MS)
    keys = {(target, arm): fresh(rng, SPENT) for target in targets for arm in (FRESH, FRESH_AGAIN, NAMED)}
    for (target, _), key in keys.items():
        await put_limit(lab, limit(target, key, SPENT_LIMIT, window_ms, SPENT))
    await lab.sleep(1.0)
    tables = {target: bad_requests(keys[target, NAMED]) for target in targets}
    up = await ask_bad(lab, tables[targets[0]], lambda slug, target: tables[target][slug], targets=targets)

    async def spend(target: str, arm: str) -> None:
        for _ in range(SPENT_CHECKS):
            await lab.call(check(target, keys[target, arm], spent(target, arm)))

    await asyncio.gather(*(spend(target, arm) for target, arm in keys if target in up))


def admitted(ops: tuple[Op, ...]) -> tuple[int, int]:
    """Units that a key admitted: certainly, and possibly."""
    return sum(map(allowed, ops)), sum(not refused(op) for op in ops)


def effect(history: History, target: str) -> Effect:
    """Whether the key that malformed requests named admits as much as one they did not name, give or take one."""
    arms = [history.named(spent(target, arm)) for arm in (FRESH, FRESH_AGAIN, NAMED)]
    least, most = admitted(next((ops for ops in arms[:2] if all(map(answered, ops))), arms[0]))
    low, high = admitted(arms[2])
    if limits_set(history, SPENT) is None or not least or any(len(ops) != SPENT_CHECKS for ops in arms):
        return Effect(Outcome.INCONCLUSIVE, f"no valid check was let through by {target} to compare with")
    if high < least - 1 or low > most + 1:
        what = f"malformed requests took effect: a key that they named admitted {low} units, an untouched one {least}"
        return Effect(Outcome.FAIL, what, arms[2])
    if low < most - 1 or high > least + 1:
        what = f"too many checks on {target} had no answer to compare what was consumed"
        return Effect(Outcome.INCONCLUSIVE, what)
    return Effect(Outcome.PASS, "")


def judge_bad_input(history: History) -> Finding:
    """Any 4xx but 429, nothing consumed or changed, and every process lives on."""
    effects = [effect(history, target) for target in sorted({op.target for op in history.named("bad")})]
    return judge_bad(history, bad_requests("KEY"), effects, "consumed nothing")
