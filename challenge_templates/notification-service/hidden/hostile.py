"""NT-13: malformed requests, what each may be answered with, and that none of them is delivered."""

from collections.abc import Sequence
from random import Random

from crucible.check import Call, Finding, History, Lab, Outcome
from crucible.evidence import ENDINGS, Op, Result

from .messages import PATH, accepted, message, resolve, settle

GOOD = '"user": "USER", "channel": "email", "template": "t", "data": {}, "priority": "low"'
BAD: dict[str, tuple[str, str]] = {  # slug: (in words, body; USER stands for the recipient)
    "not-json": ("a body that is not JSON", '{"user": '),
    "empty": ("an empty body", ""),
    "string": ("a JSON string", '"USER"'),
    "array": ("a JSON array", '["USER", "email"]'),
    "no-fields": ("an empty object", "{}"),
    "no-user": ("a notification without a user", '{"channel": "email", "template": "t"}'),
    "no-channel": ("a notification without a channel", '{"user": "USER", "template": "t"}'),
    "unknown-channel": ("an unknown channel", f"{{{GOOD}}}".replace('"email"', '"pigeon"')),
    "channel-list": ("a channel that is a list", f"{{{GOOD}}}".replace('"email"', '["email"]')),
    "form": ("a form", "user=USER&channel=email"),
    "one-megabyte": ("a body of 1 MB", f"{{{GOOD}}}".replace('"t"', '"' + "t" * 1_000_000 + '"')),
    "deep": ("10,000 nested arrays", "[" * 10_000 + "]" * 10_000),
    "not-utf-8": ("a channel that is not UTF-8", f"{{{GOOD}}}".replace('"email"', '"\udcff\udcfe"')),
}
IN_WORDS = {slug: words for slug, (words, _) in BAD.items()} | {
    "no-key": "a notification without an Idempotency-Key",
    "unknown-id": "the state of a notification that nobody asked for",
}
AFTER = 4
"""Good messages to each replica afterwards."""


async def bad_input(lab: Lab, rng: Random) -> None:
    up = list(lab.replicas)
    users = []
    for index, slug in enumerate(IN_WORDS):
        if not up:
            break
        target = up[index % len(up)]
        user = f"bad-{rng.getrandbits(64):016x}"
        users.append(user)
        call = bad_call(slug, target, user, f"k-{rng.getrandbits(64):016x}")
        for _ in range(3):  # any design may fail to answer once
            op = await lab.call(call)
            if op.status is None and not await alive(lab, target):
                up.remove(target)
                break
            if op.status is not None and op.status < 500:
                break
    lab.note("bad/users", list(users))
    wanted = []
    ops = []
    for target in up:
        await alive(lab, target)
        for _ in range(AFTER):
            wanted.append(message(rng, "push"))
            ops.append(await lab.call(wanted[-1].call(target, "bad-after")))
    await resolve(lab, ops, "bad-after")
    await settle(lab, wanted, lab.now_ns(), within_s=10)


def bad_call(slug: str, target: str, user: str, key: str) -> Call:
    name, headers = f"bad/{slug}", {"Idempotency-Key": key}
    if slug == "unknown-id":
        return Call(target, "GET", f"{PATH}/00000000-0000-4000-8000-000000000000", name=name, timeout_s=2)
    text = f"{{{GOOD}}}" if slug == "no-key" else BAD[slug][1]
    raw = text.replace("USER", user).encode("utf-8", "surrogateescape")
    media = "application/x-www-form-urlencoded" if slug == "form" else "application/json"
    return Call(
        target, "POST", PATH, name=name, raw=raw, content_type=media, timeout_s=2,
        headers={} if slug == "no-key" else headers,
    )  # fmt: skip


async def alive(lab: Lab, target: str) -> bool:
    for _ in range(5):
        op = await lab.call(Call(target, "GET", "/healthz", name=f"alive/{target}", timeout_s=1, json_reply=False))
        if op.result is Result.OK:
            return True
        await lab.sleep(0.2)
    return False


def offence(slug: str, ops: Sequence[Op]) -> str | None:
    """What was done with this malformed request that may not be, in words; None where it was refused."""
    for op in ops:
        if op.status is not None and op.status < 400:
            return f"was accepted ({op.status})"
        if op.status == 429:
            return "was treated as one too many (429)"
    if any(op.status is not None and 400 <= op.status < 500 for op in ops):
        return None
    if slug == "one-megabyte" and any(op.status is None for op in ops):
        return None  # hanging up on it is a refusal, if the process lives on
    return f"got no answer ({ops[-1].error})" if ops[-1].status is None else f"was answered with {ops[-1].status}"


def judge_bad_input(history: History) -> Finding:
    """Any 4xx but 429, nothing delivered, and every process lives on."""
    tries = {slug: ops for slug in IN_WORDS if (ops := history.named(f"bad/{slug}"))}
    wrongs = {slug: found for slug, ops in tries.items() if (found := offence(slug, ops))}
    deaths = [event for event in history.events if event.kind in ENDINGS]
    targets = sorted({op.target for op in history.named("bad")})
    dumb = [t for t in targets if (probes := history.named(f"alive/{t}")) and probes[-1].result is not Result.OK]
    users = history.facts.get("bad/users")
    mine = set(map(str, users)) if isinstance(users, list) else set()
    delivered = [it for it in history.attempts if isinstance(it.body, dict) and str(it.body.get("to")) in mine]
    evidence = {"kinds of bad input": len(tries), "replicas": len(targets)}
    bad = [f"{IN_WORDS[slug]} {what}" for slug, what in wrongs.items()]
    bad += [f"the process {event.subject} ended" for event in deaths]
    bad += [f"{target} no longer answered" for target in dumb]
    bad += [f"{len(delivered)} malformed notifications were delivered"] if delivered else []
    if bad:
        more = f"; in all {len(bad)} things were wrong" if len(bad) > 1 else ""
        shown = tries[next(iter(wrongs))] if wrongs else history.named("bad")[-1:]
        return Finding(Outcome.FAIL, bad[0] + more, tuple(shown[-3:]), (), evidence)
    after = [op for op in history.named("bad-after") if accepted(op)]
    if len(tries) < len(IN_WORDS) or len({op.target for op in after}) < len(targets):
        what = f"only {len(tries)} of {len(IN_WORDS)} kinds of bad input were tried, or nothing was accepted afterwards"
        return Finding(Outcome.INCONCLUSIVE, what, (), (), evidence)
    what = f"all {len(tries)} kinds of bad input were refused, none was delivered, and every process lived on"
    return Finding(Outcome.PASS, what, (), (), evidence)
