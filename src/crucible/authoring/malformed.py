"""Malformed requests: a table of them for a contract, how they are asked, and how what came of them is judged."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from crucible.authoring.asking import alive
from crucible.authoring.outcomes import SHOWN, failed, inconclusive, passed, refused
from crucible.check import Call, Finding, History, JsonValue, Lab, Outcome
from crucible.evidence import ENDINGS, Op, Result

TRIES = 3
"""Any design may fail to answer once."""
DEPTH = 10_000


@dataclass(frozen=True, slots=True)
class Bad:
    """A request that must be refused with a 4xx, and may neither do anything nor end a process."""

    slug: str
    words: str
    """What it is, as the subject of a sentence: `a body that is not JSON`."""
    method: str
    path: str
    raw: bytes | None = None
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    may_hang_up: bool = False
    """Whether closing the connection is a refusal, too, as of a body that is too large."""
    may_be_429: bool = False
    """Whether 429 is a refusal of it; to other requests it would say that they were counted."""
    right: Callable[[Op], bool] | None = None
    """Says of an answer that it is right after all: the contract leaves open whether such a request is bad."""

    def call(self, target: str) -> Call:
        return Call(
            target, self.method, self.path, name=f"bad/{self.slug}", raw=self.raw, content_type=self.media,
            headers=self.headers, timeout_s=2,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Route:
    """A route that takes a JSON object."""

    method: str
    path: str
    good: Mapping[str, JsonValue]
    """A body that it would take."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def bad(self, slug: str, words: str, body: str | bytes, *, media: str = "application/json") -> Bad:
        """A body that it must refuse, as it is sent."""
        raw = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else body
        return Bad(slug, words, self.method, self.path, raw, media, self.headers)

    def with_field(self, slug: str, words: str, name: str, value: JsonValue) -> Bad:
        """The good body with another value of one field."""
        return self.bad(slug, words, json.dumps({**self.good, name: value}))

    def with_literal(self, slug: str, words: str, name: str, literal: str) -> Bad:
        """The good body with a value of one field that no JSON value stands for: `NaN`, `1e400`, bytes."""
        marked = json.dumps({**self.good, name: "\0"})
        return self.bad(slug, words, marked.replace(json.dumps("\0"), literal))

    def without(self, slug: str, words: str, *names: str) -> Bad:
        return self.bad(slug, words, json.dumps({key: self.good[key] for key in self.good if key not in names}))


def not_objects(route: Route, *, text: str, large: int) -> tuple[Bad, ...]:
    """What no route that takes a JSON object may take, whatever the contract is.

    `text`: a field of its body that is a text; `large`: so many bytes of it are too many, in words and for any reader.
    """
    value = route.good[text]
    assert isinstance(value, str), f"{text} is not a text in the good body"
    size = f"{large // 1_000_000} MB" if large >= 1_000_000 else f"{large // 1000} kB"
    big = route.with_field("large", f"a body of {size}", text, "a" * large)
    return (
        route.bad("not-json", "a body that is not JSON", f'{{"{text}": '),
        route.bad("empty", "an empty body", ""),
        route.bad("string", "a JSON string", json.dumps(value)),
        route.bad("array", "a JSON array", json.dumps([value, 1])),
        route.bad("no-fields", "an empty object", "{}"),
        route.bad("form", "a form", f"{text}={value}&a=1", media="application/x-www-form-urlencoded"),
        Bad(big.slug, big.words, big.method, big.path, big.raw, headers=big.headers, may_hang_up=True),
        route.bad("deep", f"{DEPTH:,} nested arrays", "[" * DEPTH + "]" * DEPTH),
        route.with_literal("not-utf-8", f"a {text} that is not UTF-8", text, '"\udcff\udcfe"'),
    )


def hard_texts(route: Route, *, text: str, word: str, within: str = "{}", legal: bool = False) -> tuple[Bad, ...]:
    """Valid JSON that a store, a log or an encoder may choke on: texts that JSON can say, and PostgreSQL and UTF-8 not.

    `text`: a field of the body, in words `word`, or one that holds a text `within` some JSON, such as `{{"note": {}}}`.
    Where any text is `legal` in it, these may be taken or refused, and whoever takes them has to live with them;
    elsewhere they must be refused.
    """
    right = said_yes_or_no if legal else None
    rows = (
        route.with_literal(f"{text}-nul", f"{word} with the character U+0000", text, within.format('"a\\u0000b"')),
        route.with_literal(
            f"{text}-surrogate", f"{word} with half a pair of surrogates", text, within.format('"a\\ud800b"')
        ),
    )
    return tuple(replace(row, right=right) for row in rows)


def extra_field(route: Route) -> Bad:
    """The good body with a field that nobody asked for, which holds what `hard_texts` has: to be taken or refused."""
    fields: dict[str, JsonValue] = {**route.good, "note": ["\0", "\ud800", {"__proto__": {"a": 1}}]}
    row = route.bad("extra-field", "a field that is not in the contract", json.dumps(fields))
    return replace(row, right=said_yes_or_no)


def said_yes_or_no(op: Op) -> bool:
    """Whether it was taken or refused, and not counted as one too many."""
    return op.result is Result.OK or refused(op)


async def ask_bad(
    lab: Lab, slugs: Iterable[str], bad: Callable[[str, str], Bad], *, targets: Sequence[str] = ()
) -> list[str]:
    """Ask each once, or until it is answered, on each replica (of `targets`) in turn; `bad` makes one of a slug for a
    target.

    Whoever no longer answers its health route is asked nothing more. Returns the replicas that still do.
    """
    up = list(targets or lab.replicas)
    for index, slug in enumerate(slugs):
        if not up:
            break
        target = up[index % len(up)]
        call = bad(slug, target).call(target)
        for _ in range(TRIES):
            op = await lab.call(call)
            if op.status is None and not await alive(lab, target):
                up.remove(target)
                break
            if op.status is not None and op.status < 500:
                break
    return [target for target in up if await alive(lab, target)]


@dataclass(frozen=True, slots=True)
class Effect:
    """What malformed requests may have brought about: one outcome of the suite's own."""

    outcome: Outcome
    what: str
    """In a sentence; of a pass it is not said."""
    shown: tuple[Op, ...] = ()


def judge_bad(history: History, table: Mapping[str, Bad], effects: Sequence[Effect], consumed: str) -> Finding:
    """Any 4xx (but 429), no effect, and every process lives on. `consumed` says in a pass what did not happen. Where
    several kinds were not refused, one request of each is shown."""
    tries = {slug: ops for slug in table if (ops := history.named(f"bad/{slug}"))}
    deaths = ended(history)
    wrongs = {slug: found for slug, ops in tries.items() if (found := offence(table[slug], ops))}
    wrongs |= {slug: f"ended the process {subject}" for slug, subject in deaths.items()}
    targets = sorted({op.target for op in history.named("bad")})
    probes = {target: history.named(f"alive/{target}") for target in targets}
    dumb = [target for target, ops in probes.items() if ops and ops[-1].result is not Result.OK]
    worst_first = sorted(wrongs, key=lambda slug: slug not in deaths)
    counted = {"kinds of bad input": len(tries), "replicas": len(targets)}
    said = [(f"{table[slug].words} {wrongs[slug]}", tries[slug]) for slug in worst_first]
    said += [(what, history.named("bad")) for what in bystanders(history, targets)]
    said += [(f"{it} no longer answered", probes[it]) for it in dumb if it not in deaths.values()]
    said += [(effect.what, effect.shown) for effect in effects if effect.outcome is Outcome.FAIL]
    if said:
        what, shown = said[0]
        each = [ops[-1] for _, ops in said if ops]
        if len(wrongs) > 1:
            what += f"; in all {len(wrongs)} of {len(tries)} kinds of bad input were not refused as they should be"
        return failed(what, *(each if len(each) > 1 else shown[-SHOWN:]), counted=counted)
    unsure = [effect.what for effect in effects if effect.outcome is Outcome.INCONCLUSIVE]
    if len(tries) < len(table) or not all(probes.values()):
        unsure.append(f"only {len(tries)} of {len(table)} kinds of bad input were tried")
    if unsure:
        return inconclusive(f"it could not be shown: {unsure[0]}", counted=counted)
    what = f"all {len(tries)} kinds of bad input were refused, {consumed}, and every process lived on"
    return passed(what, counted=counted)


def offence(bad: Bad, ops: Sequence[Op]) -> str | None:
    """What the solution did with this request that it may not do, in words; None where it refused it."""
    for op in ops:
        if bad.right is not None and bad.right(op):
            return None
        if op.status is not None and op.status < 400:
            return f"was accepted ({op.status})"
        if op.status == 429 and not bad.may_be_429:
            return "was treated as one too many (429)"
    if any(op.status is not None and 400 <= op.status < 500 for op in ops):
        return None
    if bad.may_hang_up and any(op.status is None for op in ops):
        return None
    return f"got no answer ({ops[-1].error})" if ops[-1].status is None else f"was answered with {ops[-1].status}"


def ended(history: History) -> dict[str, str]:
    """By the malformed request that did it: the process that it ended."""
    by: dict[str, str] = {}
    for event in history.events:
        sent = [op for op in history.named("bad") if op.target == event.subject and op.sent_ns <= event.at_ns]
        if event.kind in ENDINGS and sent:
            heard = [index for index, op in enumerate(sent) if op.status is not None]
            culprit = sent[min(heard[-1] + 1 if heard else 0, len(sent) - 1)]
            by[culprit.name.removeprefix("bad/")] = event.subject
    return by


def bystanders(history: History, targets: Sequence[str]) -> list[str]:
    """Processes that ended of a fault although nothing was sent to them, such as workers, in words.

    A worker that ends with status 0 has done its work, and one that had ended before the first malformed request was
    sent ends by itself. Both are started again.
    """
    begun_ns = min((op.sent_ns for op in history.named("bad")), default=0)
    ends = [event for event in history.events if event.kind in ENDINGS and event.subject not in targets]
    usual = {event.subject for event in ends if event.at_ns < begun_ns}
    faults = {event.subject: event.detail.get("status") for event in ends if event.detail.get("status") != 0}
    ways = {name: "" if status is None else f" with status {status}" for name, status in faults.items()}
    return [f"the process {name} ended{way}" for name, way in sorted(ways.items()) if name not in usual]
