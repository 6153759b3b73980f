"""What both renderings show, decided once: rows, timelines, tables. Strings here are still unescaped."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crucible.check import Outcome
from crucible.evidence import Evidence, Op
from crucible.judging import contact
from crucible.judging.verdict import CheckResult, GradeOutcome, Verdict, causes, causes_first
from crucible.judging.words import number
from crucible.judging.words import words as words
from crucible.report.text import compact, plain

MOST_ROWS = 10
MOST_DETAILS = 20
MOST_LINES = 40
MOST_PRINTED = 6
"""Lines of a log."""
_WORST_FIRST = (Outcome.ERROR, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.NOT_RUN, Outcome.PASS)


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check in the table: what it is, how it came out, and one sentence."""

    name: str
    kind: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """An operation of a timeline."""

    moment: str
    """Since the first one, such as `12.3 ms`; equally wide in all steps of a timeline."""
    target: str
    asked: str
    answered: str


@dataclass(frozen=True, slots=True)
class Detail:
    """A check that needs explaining."""

    name: str
    outcome: Outcome
    promise: str
    what: str
    cause: str
    """Which other failure to look at first; empty where none explains this one."""
    steps: tuple[TimelineStep, ...]
    question: str
    again: str
    """The command that repeats it."""


def rows(verdict: Verdict) -> tuple[CheckRow, ...]:
    """At most ten checks, the worst ones, in the suite's order."""
    worst = sorted(verdict.checks, key=lambda check: _WORST_FIRST.index(check.finding.outcome))[:MOST_ROWS]
    return tuple(
        CheckRow(check.name, "gate" if check.gate else "measure", check.finding.outcome, _sentence(check))
        for check in verdict.checks
        if check in worst
    )


def left_out(verdict: Verdict) -> tuple[str, ...]:
    """The checks that `rows` has no room for, in words."""
    shown = {row.name for row in rows(verdict)}
    return tuple(f"{check.name}: {words(check.finding.outcome)}" for check in verdict.checks if check.name not in shown)


def details(verdict: Verdict) -> tuple[Detail, ...]:
    """The checks that failed, broke or came to no conclusion; what another one explains comes last."""
    found = [check for check in causes_first(verdict.checks) if check.unsettled][:MOST_DETAILS]
    return tuple(
        Detail(
            check.name if check.gate else f"{check.name} (a measure, no gate)",
            check.finding.outcome,
            check.promise,
            check.finding.what,
            cause(check, verdict),
            timeline(check.finding.examples),
            check.question if check.finding.outcome is not Outcome.ERROR else "",
            replay_one(verdict, check.id),
        )
        for check in found
    )


def cause(check: CheckResult, verdict: Verdict) -> str:
    """Which failures explain this one, in words."""
    found = causes(check, verdict.checks) if check.failed else ()
    return f"{', '.join(it.name for it in found)}: that failed too, and may be why" if found else ""


def first_requests(verdict: Verdict, evidence: Evidence) -> tuple[TimelineStep, ...]:
    """The contact's first three requests, where nothing else could be graded because of them."""
    if verdict.outcome is not GradeOutcome.FAILED or verdict.fit is not None:
        return ()
    return timeline(contact.requests(evidence)[:3])


@dataclass(frozen=True, slots=True)
class Said:
    """What a process had printed last, and what to do about it."""

    process: str
    lines: tuple[str, ...]
    advice: str


def printed(evidence: Evidence) -> tuple[Said, ...]:
    """What the processes that answer HTTP had printed last, where nothing could be graded; who said the same, once."""
    found: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for it in evidence.own.printed[:MOST_ROWS]:
        lines = tuple(plain(line, 160) for line in it.lines.splitlines() if line.strip())[-MOST_PRINTED:]
        found.setdefault((lines, it.advice), []).append(it.process)
    return tuple(Said(", ".join(names), lines, advice) for (lines, advice), names in found.items())


def timeline(ops: Sequence[Op]) -> tuple[TimelineStep, ...]:
    """At most three operations, timed in ms from the first."""
    if not ops:
        return ()
    chosen = sorted(ops[:3], key=lambda op: op.sent_ns)
    moments = [f"{(op.sent_ns - chosen[0].sent_ns) / 1e6:,.1f} ms" for op in chosen]
    width = max(len(moment) for moment in moments)
    return tuple(_step(op, moment.rjust(width)) for op, moment in zip(chosen, moments, strict=True))


def replay(verdict: Verdict) -> str:
    """The command that repeats what failed, or everything."""
    ids = [check.id for check in verdict.checks if check.unsettled][:MOST_ROWS]
    command = ["crucible", "grade", *(word for name in ids for word in ("--check", name)), "--seed", str(verdict.seed)]
    if verdict.profile_chosen:
        command += ["--profile", verdict.profile]
    if verdict.mode == "full":
        command.append("--full")
    return shlex.join(command)


def replay_one(verdict: Verdict, name: str) -> str:
    """The command that repeats one check."""
    command = ["crucible", "grade", "--check", name, "--seed", str(verdict.seed), "--profile", verdict.profile]
    return shlex.join([*command, *(["--full"] if verdict.mode == "full" else [])])


def evidence_line(counters: Mapping[str, float]) -> str:
    """`145 requests in flight at once; 3 bursts`."""
    return "; ".join(f"{number(value)} {plain(name, 80)}" for name, value in list(counters.items())[:8])


def _sentence(check: CheckResult) -> str:
    finding = check.finding
    if finding.outcome is not Outcome.PASS:
        return plain(finding.what)
    return f"{plain(finding.what, 160).rstrip('.')} ({evidence_line(finding.evidence)})"


def _step(op: Op, moment: str) -> TimelineStep:
    body = "" if op.request.body is None else " " + plain(compact(op.request.body), 120)
    asked = f"{plain(op.request.method, 10)} {plain(op.request.path, 80)}{body}"
    reply = "" if op.reply is None else " " + plain(compact(op.reply), 160)
    answer = plain(op.error or "no answer", 160) if op.status is None else f"{op.status}{reply}"
    if op.status is not None and op.error:
        answer += f", {plain(op.error, 120)}"
    return TimelineStep(
        moment, plain(op.target, 20), asked, f"{answer} ({(op.received_ns - op.sent_ns) / 1e6:,.1f} ms)"
    )
