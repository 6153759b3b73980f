"""FP-12: what is malformed by this contract is refused, and harms no process."""

from dataclasses import replace
from random import Random

from crucible.authoring.asking import alive, in_turn
from crucible.authoring.malformed import Bad, ask_bad, judge_bad, said_yes_or_no
from crucible.authoring.outcomes import failed, inconclusive, refused, worst
from crucible.check import Finding, History, Lab, Outcome, Transfer
from crucible.evidence import Op

from .jobs import JOBS, known
from .tables import HEADER, Table

FILE = HEADER + b"1,u,c,5,x\n"
KEY = {"Idempotency-Key": "bad-input-1"}
CALLBACK = "http%3A%2F%2F127.0.0.1%3A9%2Fnobody"
TOO_LARGE, HUGE = 220_000_000, "huge"
NO_TEXT = bytes(range(128, 256)) * 400


def _post(slug: str, words: str, path: str, headers: dict[str, str], raw: bytes = FILE) -> Bad:
    return Bad(slug, words, "POST", path, raw, "text/csv", headers)


def _table() -> dict[str, Bad]:
    whole = f"{JOBS}?callback={CALLBACK}"
    every = (
        _post("no-key", "a file without `Idempotency-Key`", whole, {}),
        _post("empty-callback", "a file with an empty `callback`", f"{JOBS}?callback=", KEY),
        Bad("unknown-job", "a job that does not exist", "GET", f"{JOBS}/no-such-job"),
        Bad("unknown-result", "the result of a job that does not exist", "GET", f"{JOBS}/no-such-job/result"),
        Bad("nul-in-id", "an id with U+0000", "GET", f"{JOBS}/a%00b"),
    )  # fmt: skip
    either = (
        _post("empty-key", "a file with an empty `Idempotency-Key`", whole, {"Idempotency-Key": ""}),
        _post("no-callback", "a file without `callback`", JOBS, KEY),
        _post("callback-word", "a `callback` that is a word", f"{JOBS}?callback=nowhere", KEY),
        _post("callback-file", "a `callback` that is a file's", f"{JOBS}?callback=file%3A%2F%2F%2Fetc%2Fpasswd", KEY),
        _post("no-text", "bytes that are no text", whole, {"Idempotency-Key": "bad-input-2"}, NO_TEXT),
        Bad("delete-unknown", "DELETE of a job that does not exist", "DELETE", f"{JOBS}/no-such-job"),
    )
    return {bad.slug: bad for bad in (*every, *(replace(bad, right=said_yes_or_no) for bad in either))}


TABLE = _table()


async def bad_input(lab: Lab, rng: Random) -> None:
    await ask_bad(lab, TABLE, lambda slug, target: TABLE[slug])
    headers = {"Idempotency-Key": f"bad-input-{rng.getrandbits(40):x}", "Content-Type": "text/csv"}
    target, file = in_turn(lab, 1), Table(rng.getrandbits(40), TOO_LARGE)
    url = f"{JOBS}?callback={CALLBACK}"
    await lab.transfer(Transfer(target, "POST", url, f"{HUGE}/post", headers, sends=file, timeout_s=60.0))
    await alive(lab, target)


def judge_bad_input(history: History) -> Finding:
    return worst(judge_bad(history, TABLE, effects=[], consumed="nothing was begun"), _judge_huge(history))


def _judge_huge(history: History) -> Finding:
    ops = history.named(f"{HUGE}/post")
    if not ops:
        return inconclusive("no file of 220 MB was sent")
    op = ops[-1]
    if known(op) and not refused(op):
        return failed(f"a file of 220 MB was answered {op.status}", op)
    if op.status is None and not _hung_up(op):
        return inconclusive(f"it is not known what came of a file of 220 MB: {op.error}", op)
    return Finding(Outcome.PASS, "a file of 220 MB was refused", evidence={"MB sent": _sent(op) // 1_000_000})


def _hung_up(op: Op) -> bool:
    """Closing the connection is a refusal, too."""
    return "closed" in (op.error or "") or "reset" in (op.error or "")


def _sent(op: Op) -> int:
    return op.moved.sent if op.moved is not None else 0
