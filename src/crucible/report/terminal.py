"""Verdict -> a terminal. Everything is `Text`, never markup, and has lost its control characters on the way."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from crucible.check import Outcome
from crucible.evidence import Evidence
from crucible.judging.graded import Graded
from crucible.judging.matrices import Verified
from crucible.judging.standings import Matrix
from crucible.judging.verdict import CheckResult, GradeOutcome, Verdict
from crucible.planning.manifest import Manifest
from crucible.report import choices, circumstances, model, standing
from crucible.report.next_step import next_step
from crucible.report.tables import cell, columns, heading
from crucible.report.text import plain

MOST_SAID, MOST_HEADLINE = 400, 240
MOST_DETAILS, MOST_MISHAPS, MOST_NOTES = 1, 3, 2
_MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "not_run": "–", "error": "!"}
_STYLES = {
    "pass": "green", "fail": "bold red", "inconclusive": "yellow", "not_run": "dim", "error": "magenta",
    "passed": "bold green", "failed": "bold red", "not_started": "bold cyan",
}  # fmt: skip


def tell(check: CheckResult, console: Console) -> None:
    """Print a verdict in one line, which ends where the terminal does."""
    outcome = check.finding.outcome
    said = "" if outcome is Outcome.PASS else f" {model.words(outcome)}"
    line = Text.assemble((f"{_MARKS[outcome]} {check.name}{said}", _STYLES[outcome]), f": {plain(check.finding.what)}")
    console.print(line, no_wrap=True, overflow="ellipsis")


def render_terminal(graded: Graded, console: Console, told: Mapping[str, CheckResult] = MappingProxyType({})) -> None:
    """Print what a learner reads before the next step; the rest is in the report. Whatever the solution said appears as
    plain text. `told`: the checks that have been told already, by their ids, as they were told."""
    verdict, evidence = graded.verdict, graded.evidence
    if verdict.outcome is GradeOutcome.NOT_STARTED:
        _welcome(verdict, graded.manifest, console)
        return
    for check in verdict.checks if verdict.fits else ():
        known = check.id in told and told[check.id].finding.outcome is check.finding.outcome
        if check.id in evidence.own.checks and not known:
            tell(check, console)
    _steps(model.first_requests(verdict, evidence), console)
    _printed(evidence, console)
    todo = next_step(graded)
    _details(verdict, todo[0], console)
    _mishaps(evidence, console)
    _businesses(graded, console)
    _predictions(verdict, graded.manifest, console)
    console.print()
    for note in evidence.notes[:MOST_NOTES]:
        console.print(Text(plain(f"note: {note}")), no_wrap=True, overflow="ellipsis")
    console.print(Text(plain(verdict.headline, MOST_HEADLINE), style=_STYLES[verdict.outcome]))
    if verdict.outcome is GradeOutcome.ERROR:
        console.print(Text("The grader or its suite is broken, not your solution: nothing here is charged to you."))
    table = columns("", "")
    for index, line in enumerate(todo):
        table.add_row("" if index else "next", cell(line))
    console.print(table)


def render_matrices(found: Verified, console: Console) -> None:
    """Print what holds of a suite, what does not, and what is open."""
    for matrix in found.tables:
        heading(matrix.title, console)
        table = columns(*matrix.header, header=True)
        for row in matrix.rows:
            table.add_row(*(cell(it) for it in row))
        fits = console.measure(table).minimum + 2 <= console.width
        console.print(Padding(table if fits else _stacked(matrix), (0, 0, 0, 2)))
    for title, lines, style in (
        ("what is open", found.open, "yellow"),
        ("what does not hold", found.complaints, "bold red"),
    ):
        if lines:
            heading(title, console, style)
            for line in lines:
                console.print(Text(plain(f"- {line}", 900)))
    console.print()
    if found.tally:
        console.print(Text(plain(found.tally, 300)))
    if not found.complaints:
        console.print(Text("everything that was looked at holds", style="bold green"))
    if found.later:
        console.print(Text(f"only a full run of everything asks {', and '.join(found.later)}"))


def _stacked(wide: Matrix) -> Group:
    """A row below the other, for a terminal that is too narrow for the columns; what says the same shares a line."""
    parts: list[Text | Padding] = []
    for row in wide.rows:
        parts.append(Text(plain(row[0])))
        table = columns("", "")
        alike: dict[str, list[str]] = {}
        for name, said in zip(wide.header[1:], row[1:], strict=True):
            alike.setdefault(said, []).append(name)
        for said, names in alike.items():
            table.add_row(cell(", ".join(names)), cell(said))
        parts.append(Padding(table, (0, 0, 0, 2)))
    return Group(*parts)


def _welcome(verdict: Verdict, manifest: Manifest, console: Console) -> None:
    console.print(Text("Welcome! Nothing is built yet, so there is nothing to grade.", style="bold cyan"))
    offered = ", ".join(manifest.services)
    lines = (
        "The starter runs and answers; every request of the contract gets the 501 it came with. What to do next:",
        "",
        "1. Read README.md for what is asked and for whom, and openapi.yaml for the contract.",
        "2. Decide what keeps the state, write down why in DECISION.md, and name the services you use in",
        "   crucible.yaml. None is required" + (f"; offered are {offered}." if offered else "."),
        "3. Replace the 501s. `crucible up` starts everything for work by hand.",
        "4. `crucible grade` again, and read what the design gives and what it costs.",
        "",
        "What will be looked at:",
    )
    for line in lines:
        console.print(Text(plain(line)))
    table = columns("", "")
    for check in verdict.checks:
        table.add_row(cell(check.name), cell(check.promise))
    console.print(Padding(table, (0, 0, 0, 2)))


def _details(verdict: Verdict, todo: str, console: Console) -> None:
    """The first of what needs explaining. What is asked in the end, as the thing `todo`, is not asked here."""
    found = model.details(verdict)
    for detail in found[:MOST_DETAILS]:
        heading(detail.name, console, _STYLES[detail.outcome])
        table = columns("", "")
        table.add_row("found", cell(detail.what))
        if detail.cause:
            table.add_row("look first", cell(detail.cause))
        if detail.question and detail.question not in todo:
            table.add_row("question", cell(detail.question, style="italic"))
        console.print(Padding(table, (0, 0, 0, 2)))
        _steps(detail.steps, console)
    if further := found[MOST_DETAILS:]:
        names = ", ".join(plain(it.name, 60) for it in further)
        console.print(Text(f"\nthe report explains {len(further)} more: {names}"))


def _printed(evidence: Evidence, console: Console) -> None:
    for said in model.printed(evidence):
        heading(f"{said.process} printed {'last' if said.lines else 'nothing'}", console)
        for line in said.lines:
            console.print(Text(f"  | {line}"))
        if said.advice:
            console.print(Text(plain(said.advice)))


def _steps(steps: Iterable[model.TimelineStep], console: Console) -> None:
    table = columns("", "", "")
    for step in steps:
        table.add_row(Text(step.moment), cell(step.target), cell(step.asked))
        table.add_row("", Text("→", justify="right"), cell(step.answered))
    if table.row_count:
        console.print(Padding(table, (1, 0, 0, 4)))


def _mishaps(evidence: Evidence, console: Console) -> None:
    lines = circumstances.mishaps(evidence)
    if not lines:
        return
    heading("what happened to your processes (no fault that the grader put in)", console)
    table = columns("")
    for line in lines[:MOST_MISHAPS]:
        table.add_row(cell(line))
    if len(lines) > MOST_MISHAPS:
        table.add_row(f"and {len(lines) - MOST_MISHAPS} more")
    console.print(Padding(table, (0, 0, 0, 2)))


def _businesses(graded: Graded, console: Console) -> None:
    """The run's own profile at length, with what its limits are about, and the others in a line each."""
    verdict = graded.verdict
    for it in standing.businesses(graded):
        if it.profile != verdict.profile:
            line = Text(plain(f"{it.profile}: {it.result}; {it.because}"))
            console.print(line, no_wrap=True, overflow="ellipsis")
            continue
        aside = "" if verdict.profile_chosen else " (not chosen, so it does not count)"
        heading(f"{plain(it.profile, 40)}{aside}: {it.result}", console)
        said = [("because", it.because)]
        if verdict.profile_chosen:
            said += [("flips", it.flips_at), ("rank", it.rank)]
        if verdict.gates is not GradeOutcome.FAILED:
            said += [
                ("limits", _limits(graded)), ("costs", _costs(graded)),
                ("holds", standing.knee(verdict)),
            ]  # fmt: skip
            against = choices.against(verdict, graded.manifest, graded.references, most=2)
            said += [("choice", sentence) for sentence in against[:1]]
        if verdict.fit is not None:
            notes = standing.footnotes(verdict.fit, graded.evidence, graded.manifest, limited=True)
            said += [("but", note) for note in notes]
        table = columns("", "")
        for name, text in said:
            if text:
                table.add_row(name, cell(text, limit=MOST_SAID))
        console.print(Padding(table, (0, 0, 0, 2)))


def _limits(graded: Graded) -> str:
    """What was measured on each axis that the profile limits."""
    rows = standing.positions(graded.verdict, graded.manifest)
    short = {"at most": "≤", "at least": "≥"}
    said = []
    for row in rows:
        if row.limit != "–":
            limit = row.limit
            for words, sign in short.items():
                limit = limit.replace(words, sign)
            said.append(f"{row.axis} {row.seen} ({limit}{'' if row.result == 'within' else f': {row.result}'})")
    return " · ".join(said)


def _costs(graded: Graded) -> str:
    """The bill, and what it is made of."""
    bill = graded.verdict.fit.bill if graded.verdict.fit is not None else None
    if bill is None:
        return ""
    parts = " + ".join(f"{plain(line.what, 40)} {line.usd:,.2f}" for line in bill.lines[: model.MOST_ROWS] if line.usd)
    more = f"; {bill.larger.words}" if bill.larger is not None else ""
    return f"{bill.usd:,.2f} USD a month at {bill.rate:g} requests per second" + (f": {parts}" if parts else "") + more


def _predictions(verdict: Verdict, manifest: Manifest, console: Console) -> None:
    rows = standing.predictions(verdict, manifest)
    if not rows:
        return
    heading("what you predicted", console)
    table = columns("axis", "predicted", "measured", "", header=True)
    for row in rows:
        table.add_row(*(cell(it) for it in (row.axis, row.predicted, row.measured, row.result)))
    console.print(Padding(table, (0, 0, 0, 2)))
