"""Verdict -> a terminal. Everything is `Text`, never markup, and has lost its control characters on the way."""

from collections.abc import Iterable

from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from crucible.evidence import Evidence
from crucible.judging.graded import Graded
from crucible.judging.matrices import Verified
from crucible.judging.standings import Matrix
from crucible.judging.verdict import GradeOutcome, Verdict
from crucible.planning.manifest import Manifest
from crucible.report import circumstances, model, standing
from crucible.report.tables import cell, columns, heading
from crucible.report.text import plain

_STYLES = {
    "pass": "green", "fail": "bold red", "inconclusive": "yellow", "not_run": "dim", "error": "magenta",
    "passed": "bold green", "failed": "bold red", "not_started": "bold cyan",
}  # fmt: skip


def render_terminal(graded: Graded, console: Console) -> None:
    """Print the report. Whatever the solution said appears as plain text."""
    verdict, evidence, manifest = graded.verdict, graded.evidence, graded.manifest
    if verdict.outcome is GradeOutcome.NOT_STARTED:
        _welcome(verdict, manifest, console)
        return
    console.print(Text(plain(verdict.headline, 600), style=_STYLES[verdict.outcome]))
    if verdict.outcome is GradeOutcome.ERROR:
        console.print(Text("The grader or its suite is broken, not your solution: nothing here is charged to you."))
    _steps(model.first_requests(verdict, evidence), console)
    _checks(verdict, console)
    _details(verdict, console)
    _mishaps(evidence, console)
    _businesses(graded, console)
    _positions(graded, console)
    _bill(verdict, console)
    _predictions(verdict, manifest, console)
    _architecture(evidence, console)
    _run(verdict, evidence, console)


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


def _checks(verdict: Verdict, console: Console) -> None:
    table = columns("", "", "")
    for row in model.rows(verdict):
        outcome = Text(model.words(row.outcome), style=_STYLES[row.outcome])
        table.add_row(outcome, cell(row.name), cell(row.sentence))
    console.print()
    console.print(table)
    if rest := model.left_out(verdict):
        console.print(Text(f"and {len(rest)} more: " + ", ".join(plain(it, 80) for it in rest[: model.MOST_LINES])))


def _details(verdict: Verdict, console: Console) -> None:
    for detail in model.details(verdict):
        heading(detail.name, console, _STYLES[detail.outcome])
        table = columns("", "")
        table.add_row("promise", cell(detail.promise))
        table.add_row("found", cell(detail.what))
        if detail.cause:
            table.add_row("look first", cell(detail.cause))
        console.print(Padding(table, (0, 0, 0, 2)))
        _steps(detail.steps, console)
        if detail.question:
            table = columns("", "")
            table.add_row("question", cell(detail.question, style="italic"))
            console.print(Padding(table, (0, 0, 0, 2)))


def _steps(steps: Iterable[model.TimelineStep], console: Console) -> None:
    table = columns("", "", "")
    for step in steps:
        table.add_row(Text(step.moment), cell(step.target), cell(step.asked))
        table.add_row("", Text("→", justify="right"), cell(step.answered))
    if table.row_count:
        console.print(Padding(table, (1, 0, 1, 4)))


def _mishaps(evidence: Evidence, console: Console) -> None:
    lines = circumstances.mishaps(evidence)
    if not lines:
        return
    heading("what happened to your processes (no fault that the grader put in)", console)
    table = columns("")
    for line in lines:
        table.add_row(cell(line))
    console.print(Padding(table, (0, 0, 0, 2)))


def _positions(graded: Graded, console: Console) -> None:
    verdict, manifest = graded.verdict, graded.manifest
    rows = standing.positions(verdict, manifest)
    if not rows:
        return
    heading(f"where the design stands, and what {plain(verdict.profile, 40)} needs", console)
    table = columns("axis", "measured", "samples", "limit", "", header=True)
    for row in rows:
        seen = row.seen if row.samples == "–" else f"{row.seen} {row.unit}"
        limit = row.limit.replace("at most", "≤").replace("at least", "≥")
        table.add_row(*(cell(it) for it in (row.axis, seen, row.samples, limit, row.result)))
    console.print(Padding(table, (0, 0, 0, 2)))
    for note in standing.footnotes(verdict.fit, graded.evidence, manifest) if verdict.fit else ():
        console.print(Padding(Text(plain(note, 600)), (0, 0, 0, 2)))
    if sentence := standing.knee(verdict):
        console.print(Text(plain(f"  {sentence}", 600)))


def _businesses(graded: Graded, console: Console) -> None:
    verdict = graded.verdict
    for it in standing.businesses(graded):
        aside = "" if verdict.profile_chosen or it.profile != verdict.profile else " (not chosen, so it does not count)"
        heading(f"{plain(it.profile, 40)}{aside}: {it.result}", console)
        table = columns("", "")
        for name, text in (("because", it.because), ("flips", it.flips_at), ("rank", it.rank)):
            if text:
                table.add_row(name, cell(text, limit=900))
        console.print(Padding(table, (0, 0, 0, 2)))


def _bill(verdict: Verdict, console: Console) -> None:
    bill = verdict.fit.bill if verdict.fit is not None else None
    if bill is None:
        return
    when = f"at {bill.rate:g} requests per second all month ({plain(bill.prices, 80)})"
    heading(f"{bill.usd:,.2f} USD a month, {when}", console)
    table = columns("", "", "")
    for line in bill.lines[: model.MOST_LINES]:
        table.add_row(cell(line.what, limit=60), Text(f"{line.usd:,.2f}", justify="right"), cell(line.why))
    console.print(Padding(table, (0, 0, 0, 2)))


def _predictions(verdict: Verdict, manifest: Manifest, console: Console) -> None:
    rows = standing.predictions(verdict, manifest)
    if not rows:
        return
    heading("what you predicted", console)
    table = columns("axis", "predicted", "measured", "", header=True)
    for row in rows:
        table.add_row(*(cell(it) for it in (row.axis, row.predicted, row.measured, row.result)))
    console.print(Padding(table, (0, 0, 0, 2)))


def _architecture(evidence: Evidence, console: Console) -> None:
    seen = circumstances.architecture(evidence)
    heading("what the solution was seen to do", console)
    processes = ", ".join(f"{plain(name, 40)} ×{count}" for name, count in seen.processes)
    console.print(Text(f"  grader → {seen.requests} requests → {processes}"))
    table = columns("process", "service", "peak", "trips", "per request", "sent", "received", header=True)
    for edge in seen.edges:
        cells = (
            edge.process, edge.service, edge.peak, edge.round_trips, edge.per_request, edge.bytes_out, edge.bytes_in
        )  # fmt: skip
        table.add_row(*(cell(it) for it in cells))
    for name in seen.silent:
        table.add_row("–", cell(name), "no traffic", "0", "0", "–", "–")
    if table.row_count:
        console.print(Padding(table, (0, 0, 0, 2)))
    else:
        console.print(Text("  no service is used"))


def _run(verdict: Verdict, evidence: Evidence, console: Console) -> None:
    heading("this run", console)
    lines = [
        f"Crucible {verdict.crucible}, {verdict.mode} grade, profile {verdict.profile}, seed {verdict.seed}",
        f"machine: {circumstances.machine(evidence)}",
        *(f"service: {it}" for it in circumstances.network(evidence)),
        f"time: {circumstances.timings(evidence)}",
        *(f"noise: {it}" for it in circumstances.noise(evidence)),
        *(f"note: {it}" for it in evidence.notes[:20]),
        f"again: {model.replay(verdict)}",
        "the verdict alone, from the recording: crucible judge evidence.json",
    ]
    table = columns("")
    for line in lines:
        table.add_row(cell(line, limit=600))
    console.print(Padding(table, (0, 0, 0, 2)))
