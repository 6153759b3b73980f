"""EV-10: what is malformed by this contract, and that nothing of it is counted."""

import json
from random import Random

from crucible.authoring.asking import few_at_once
from crucible.authoring.malformed import Bad, Effect, Route, ask_bad, judge_bad, not_objects
from crucible.check import Call, Finding, History, JsonValue, Lab, Outcome

from .books import accepted
from .events import KIND, MINUTE_S, rfc3339
from .reading import EVENTS, metrics_path, tallies
from .sending import Sender

AFTER, LOOKED = "bad-after", "bad-looked"
SOURCE = "bad-source"
"""Of everything that is malformed, and of nothing else."""
AFTERWARDS = 4
MOST_ITEMS = 1_000
LARGE = 5_000_000
AROUND = 240
"""Minutes before and after now in which something may have been counted."""


def bad_requests(at_minute: int, name: str) -> dict[str, Bad]:
    """Every kind of bad input by its slug."""
    good: dict[str, JsonValue] = {
        "event_id": name, "source": SOURCE, "type": KIND, "ts": rfc3339(at_minute * MINUTE_S * 1000), "value": 7,
    }  # fmt: skip
    post = Route("POST", EVENTS, good)
    many = json.dumps([{**good, "event_id": f"{name}-{index}"} for index in range(MOST_ITEMS + 1)])
    every = (
        *not_objects(post, text="type", large=LARGE),
        *(post.without(f"no-{field}", f"an event without `{field}`", field) for field in good),
        post.with_field("id-number", "an id that is a number", "event_id", 12),
        post.with_field("id-empty", "an empty id", "event_id", ""),
        post.with_field("source-list", "a source that is a list", "source", [SOURCE]),
        post.with_field("type-null", "a type that is null", "type", None),
        post.with_field("ts-word", "a `ts` that is a word", "ts", "yesterday"),
        post.with_field("ts-object", "a `ts` that is an object", "ts", {"at": 1}),
        post.with_field("ts-13th-month", "a `ts` in a thirteenth month", "ts", "2026-13-01T00:00:00Z"),
        post.with_field("value-word", "a value that is a word", "value", "many"),
        post.with_field("value-fraction", "a value with a fraction", "value", 1.5),
        post.with_field("value-null", "a value that is null", "value", None),
        post.with_field("value-object", "a value that is an object", "value", {}),
        post.bad("nested", "an array in an array", json.dumps([[good]])),
        post.bad("item-number", "an array with a number in it", json.dumps([good, 5])),
        Bad("1001-items", "a batch of 1,001 items", "POST", EVENTS, many.encode(), may_hang_up=True),
    )  # fmt: skip
    return {bad.slug: bad for bad in every}


TABLE = bad_requests(0, "nobody")


async def bad_input(lab: Lab, rng: Random) -> None:
    minute = lab.wall_ns() // 10**9 // MINUTE_S - 5

    def bad(slug: str, target: str) -> Bad:
        return bad_requests(minute, f"bad-{rng.getrandbits(64):016x}")[slug]

    up = await ask_bad(lab, TABLE, bad)
    after = Sender(lab, rng, AFTER, AFTERWARDS * max(1, len(up)), single=True)
    if up:
        for call in after.calls(AFTERWARDS * len(up), 1, targets=up):
            after.ops.append(await lab.call(call))
    await after.resolve()
    await after.settle(lab.now_ns())
    path = metrics_path(SOURCE, range(minute - AROUND, minute + AROUND))
    await few_at_once(lab, [Call(target, "GET", path, name=f"{LOOKED}/{target}") for target in up])


def judge_bad_input(history: History) -> Finding:
    """Any 4xx but 429, nothing counted, and every process lives on."""
    tries, looked = history.named("bad"), history.named(LOOKED)
    effects = []
    counts = [sum(tally.count for tally in (tallies(op) or {}).values()) for op in looked]
    if any(counts):
        what = f"{max(counts)} malformed events were counted"
        effects.append(Effect(Outcome.FAIL, what, tuple(op for op, count in zip(looked, counts, strict=True) if count)))
    after = {op.target for op in history.named(AFTER) if accepted(op)}
    if len(after) < len({op.target for op in tries}):
        effects.append(Effect(Outcome.INCONCLUSIVE, "a replica took nothing afterwards"))
    if not looked or any(tallies(op) is None for op in looked):
        effects.append(Effect(Outcome.INCONCLUSIVE, "it could not be looked for what was malformed"))
    return judge_bad(history, TABLE, effects, "none was counted")
