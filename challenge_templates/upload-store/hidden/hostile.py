"""UP-12: what is malformed by this contract is refused, and harms no process."""

import json
from dataclasses import replace
from random import Random

from crucible.authoring.malformed import Bad, Route, ask_bad, hard_texts, judge_bad, not_objects, said_yes_or_no
from crucible.check import Finding, History, JsonValue, Lab

from .files import UPLOADS

GOOD: dict[str, JsonValue] = {"name": "a.txt", "size": 10, "sha256": "0" * 64}
USER = {"X-User": "bad-input"}
LARGE = 5_000_000
LENIENT = ("not-utf-8",)
"""A name may hold anything, so also what a reader puts in the place of bytes that are no text."""


def _table() -> dict[str, Bad]:
    post = Route("POST", UPLOADS, GOOD, headers=USER)
    limit = Route("PUT", "/v1/users/bad-input/quota", {"bytes": 1_000_000})
    generic = not_objects(post, text="name", large=LARGE)
    every = (
        *(bad for bad in generic if bad.slug not in LENIENT),
        *(post.without(f"no-{field}", f"an upload without `{field}`", field) for field in GOOD),
        post.with_field("size-negative", "a negative size", "size", -1),
        post.with_field("size-zero", "a size of 0", "size", 0),
        post.with_field("size-27-mb", "a size of 27 MB", "size", 27_000_000),
        post.with_field("size-huge", "a size of 10^18", "size", 10**18),
        post.with_field("size-word", "a size that is a word", "size", "many"),
        post.with_field("size-fraction", "a size with a fraction", "size", 1.5),
        post.with_field("sha-short", "a digest of 63 digits", "sha256", "0" * 63),
        post.with_field("sha-not-hex", "a digest that is not hexadecimal", "sha256", "g" * 64),
        post.with_field("sha-number", "a digest that is a number", "sha256", 5),
        post.with_field("name-number", "a name that is a number", "name", 5),
        hard_texts(post, text="name", word="a name")[0],
        Bad("no-user", "an upload without X-User", "POST", UPLOADS, json.dumps(GOOD).encode()),
        limit.with_field("quota-negative", "a negative quota", "bytes", -1),
        limit.with_field("quota-word", "a quota that is a word", "bytes", "much"),
        limit.without("quota-empty", "a quota without `bytes`", "bytes"),
        Bad("unknown-file", "a file that does not exist", "GET", "/v1/files/no-such-file", headers=USER),
        Bad("nul-in-id", "an id with U+0000", "GET", "/v1/files/a%00b", headers=USER),
    )  # fmt: skip
    either = (
        *(bad for bad in generic if bad.slug in LENIENT),
        hard_texts(post, text="name", word="a name", legal=True)[1],
        post.with_field("size-bool", "a size that is `true`", "size", True),
        post.with_field("name-empty", "an empty name", "name", ""),
        post.with_field("name-256", "a name of 256 bytes", "name", "a" * 256),
    )
    return {bad.slug: bad for bad in (*every, *(replace(bad, right=said_yes_or_no) for bad in either))}


TABLE = _table()


async def bad_input(lab: Lab, rng: Random) -> None:
    await ask_bad(lab, TABLE, lambda slug, target: TABLE[slug])


def judge_bad_input(history: History) -> Finding:
    return judge_bad(history, TABLE, effects=[], consumed="nothing was begun")
