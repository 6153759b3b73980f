"""NT-13: what is malformed by this contract, and that none of it is delivered."""

from dataclasses import replace
from random import Random

from crucible.authoring.malformed import (
    Bad,
    Effect,
    Route,
    ask_bad,
    extra_field,
    hard_texts,
    judge_bad,
    not_objects,
)
from crucible.check import Finding, History, JsonValue, Lab, Outcome

from .messages import KEY, PATH, accepted, asked, handed, message, reached
from .waiting import resolve, settle

AFTER = "bad-after"
NOBODYS = "00000000-0000-4000-8000-000000000000"
RECIPIENT = "bad-"
"""How the recipients of what is malformed begin, and no others."""
AFTERWARDS = 4
"""Good messages to each replica."""


def bad_requests(user: str, key: str) -> dict[str, Bad]:
    """Every kind of bad input by its slug, for a recipient and with a key of its own."""
    good: dict[str, JsonValue] = {"user": user, "channel": "email", "template": "t", "data": {}, "priority": "low"}
    post = Route("POST", PATH, good, {KEY: key})
    hard = replace(post, good={**good, "user": f"hard-{user}"})  # to be taken and delivered, or refused
    every = (
        *not_objects(post, text="template", large=1_000_000),
        # Not in the template, as the table has it: that may be any text, and whoever mends it may take it.
        post.with_literal("not-utf-8", "a channel that is not UTF-8", "channel", '"\udcff\udcfe"'),
        post.without("no-user", "a notification without a user", "user"),
        post.without("no-channel", "a notification without a channel", "channel"),
        post.with_field("unknown-channel", "an unknown channel", "channel", "pigeon"),
        post.with_field("channel-list", "a channel that is a list", "channel", ["email"]),
        replace(post, headers={}).without("no-key", "a notification without an Idempotency-Key"),
        *hard_texts(hard, text="user", word="a user", legal=True),
        *hard_texts(hard, text="data", word="data", within='{{"note": {}}}', legal=True),
        extra_field(hard),
        Bad("unknown-id", "the state of a notification that nobody asked for", "GET", f"{PATH}/{NOBODYS}"),
    )  # fmt: skip
    return {bad.slug: bad for bad in every}


TABLE = bad_requests("nobody", "none")


async def bad_input(lab: Lab, rng: Random) -> None:
    def bad(slug: str, target: str) -> Bad:
        return bad_requests(f"{RECIPIENT}{rng.getrandbits(64):016x}", f"k-{rng.getrandbits(64):016x}")[slug]

    up = await ask_bad(lab, TABLE, bad)
    wanted = [message(rng, "push") for _ in range(AFTERWARDS * len(up))]
    ops = [await lab.call(one.call(up[i // AFTERWARDS], AFTER)) for i, one in enumerate(wanted)]
    await resolve(lab, ops, AFTER)
    await settle(lab, wanted, lab.now_ns(), within_s=10)


def judge_bad_input(history: History) -> Finding:
    """Any 4xx but 429, nothing delivered, and every process lives on."""
    tries = history.named("bad")
    effects = []
    if delivered := sum(handed(attempt, "to").startswith(RECIPIENT) for attempt in history.attempts):
        effects.append(Effect(Outcome.FAIL, f"{delivered} malformed notifications were delivered", tries[-1:]))
    after = {op.target for op in history.named(AFTER) if accepted(op)}
    if len(after) < len({op.target for op in tries}):
        effects.append(Effect(Outcome.INCONCLUSIVE, "a replica accepted nothing afterwards"))
    if not reached(history.attempts) & {asked(op, "user") for op in history.named(AFTER)}:
        effects.append(Effect(Outcome.INCONCLUSIVE, "nothing good was delivered afterwards either"))
    return judge_bad(history, TABLE, effects, "none was delivered")
