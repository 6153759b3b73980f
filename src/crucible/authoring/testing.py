"""For tests of suites: histories made up by hand or by scenarios in virtual time, and answers that are lost."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random

from crucible.authoring.memory_lab import MS, MadeUp, MemoryLab, in_virtual_time, recorded
from crucible.authoring.outcomes import SHOWN
from crucible.check import Call, Finding, History, JsonValue, Outcome, Scenario
from crucible.evidence import FaultEvent, Op, Result

WAYS_TO_LOSE = ("timeout", "503", "made up", "slower")
"""What may become of an answer, and must acquit nobody: see `lose`."""


def op(
    name: str, method: str, path: str, status: int | None, reply: JsonValue = None, *,
    at_s: float = 0.0, took_ms: float = 5.0, body: JsonValue = None, target: str = "web.0",
    headers: Mapping[str, str] | None = None,
) -> Op:  # fmt: skip
    """One request by hand, sent `at_s` seconds after the start; `status` None: it had no answer."""
    sent = int(at_s * 1e9)
    error = None if status is not None else "timed out after 5 s"
    call = Call(target, method, path, body, name)
    received = sent + int(took_ms * MS)
    return recorded(
        call, status, reply, error=error, sent_ns=sent, received_ns=received, headers=headers or {}
    )  # fmt: skip


def history_of(
    ops: Iterable[Op], facts: dict[str, JsonValue] | None = None, *, events: Sequence[FaultEvent] = (),
    replicas: int = 2, services: tuple[str, ...] = ("redis",), declares: dict[str, str] | None = None,
) -> History:  # fmt: skip
    """What a judge would see of these operations."""
    in_order = tuple(sorted(ops, key=lambda one: one.sent_ns))
    return History(in_order, tuple(events), facts or {}, replicas, services, declares or {})


def watch(
    scenario: Scenario, make: Callable[[MemoryLab], MadeUp], lab: MemoryLab, *, seed: int = 7,
    declares: dict[str, str] | None = None,
) -> History:  # fmt: skip
    """What the scenario sees of a solution made up in memory, in virtual time: no second of it is waited for."""

    async def observe() -> None:
        lab.solution, lab.declares = make(lab), declares or {}
        await scenario.observe(lab, Random(seed))

    in_virtual_time(observe)
    return history_of(
        lab.ops, lab.facts, events=lab.events, replicas=len(lab.replicas), services=lab.services, declares=declares
    )


def as_one(histories: Sequence[History]) -> History:
    """The histories of several scenarios as a check sees them."""
    return replace(
        histories[0],
        ops=tuple(sorted((one for seen in histories for one in seen.ops), key=lambda one: one.sent_ns)),
        events=tuple(event for seen in histories for event in seen.events),
        facts={name: value for seen in histories for name, value in seen.facts.items()},
    )


def without_each_part(history: History) -> Iterator[tuple[str, History]]:
    """The history with one part taken out, for each part: the requests of one label, the calls of the sink on one
    path, the events of one kind. Of none of them may a judge say PASS, unless its promise does not rest on that part.
    """
    for label in dict.fromkeys(one.name for one in history.ops):
        yield label, replace(history, ops=tuple(one for one in history.ops if one.name != label))
    for path in dict.fromkeys(call.path for call in history.attempts):
        yield path, replace(history, attempts=tuple(call for call in history.attempts if call.path != path))
    for kind in dict.fromkeys(event.kind for event in history.events):
        yield kind, replace(history, events=tuple(event for event in history.events if event.kind != kind))


def complaints(finding: Finding) -> list[str]:
    """What is wrong with a finding as such, in words: every judge's answer is to have none."""
    found = []
    if len(finding.examples) > SHOWN or list(finding.examples) != sorted(finding.examples, key=lambda op: op.sent_ns):
        found.append(f"it shows {len(finding.examples)} operations, or not in the order of time")
    if finding.outcome is Outcome.PASS and not finding.evidence:
        found.append("it passes without saying how much was looked at")
    if not finding.what or finding.what[0].isupper() or finding.what.endswith("."):
        found.append(f"it is no sentence that begins small and ends open: {finding.what!r}")
    return found


def with_answers_lost(history: History, rng: Random, share: float, how: str, method: str = "") -> History:
    """The history, had about this share of the answers (to requests of one method, or of all) been lost: see `lose`.

    Of what was judged a FAIL it must never make a PASS.
    """
    ops = [
        lose(one, how) if method in ("", one.request.method) and rng.random() < share else one for one in history.ops
    ]
    return replace(history, ops=tuple(ops))


def lose(one: Op, how: str) -> Op:
    """The operation, had its answer been lost in one of the ways that must acquit nobody."""
    if how == "timeout":
        late = one.sent_ns + 5_000 * MS
        return replace(one, result=Result.UNKNOWN, status=None, reply=None, error="timed out", received_ns=late)
    if how == "slower":
        return replace(one, received_ns=one.received_ns + (one.sent_ns * 7919) % (3_000 * MS))
    if how == "503":
        return replace(one, result=Result.UNKNOWN, status=503, reply=None, error="status 503")
    return replace(one, result=Result.OK, status=200, reply={"surprise": True})
