"""A comparison in words, for a terminal and as Markdown for a job's summary or a pull request's comment. Pure."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from crucible.judging.comparison import Against, Change, Comparison, Contrast, advice
from crucible.judging.words import number, words
from crucible.report.tables import cell, columns, heading
from crucible.report.text import code_md, escape_md, plain

_WORDS = {
    Change.BETTER: "better",
    Change.WORSE: "worse",
    Change.NOISE: "within noise",
    Change.UNKNOWN: "not measured on both",
}
_STYLES = {Change.BETTER: "green", Change.WORSE: "bold red"}
_MARKS = {Change.BETTER: "🟢", Change.WORSE: "🔴"}


def differences(against: Against) -> tuple[Contrast, ...]:
    """The rows that differ beyond the noise."""
    return tuple(row for row in against.rows if row.change in _MARKS)


def render_comparison(found: Comparison, console: Console) -> None:
    """Print it."""
    for against in found.others:
        heading(f"{against.design.name}, compared with {found.base.name}, for {found.profile}", console)
        if told := differences(against):
            rows = columns("axis", "base", "this", "this / base", "noise", "", header=True)
            for row in told:
                rows.add_row(*(cell(text, _STYLES[row.change]) for text in (*_cells(row), _WORDS[row.change])))
            console.print(Padding(rows, (0, 0, 0, 2)))
        for change in (Change.NOISE, Change.UNKNOWN):
            if names := ", ".join(plain(row.axis, 40) for row in against.rows if row.change is change):
                console.print(Text(f"{_WORDS[change]}: {names}", style="dim"))
        for line in _gates(against, found):
            console.print(Text(plain(line, 600)))
        if said := advice(against, found.base, found.profile):
            console.print(Text(plain(said, 600), style="bold"))


def comparison_md(found: Comparison) -> str:
    """It as Markdown; whatever the designs said appears escaped."""
    lines: list[str] = []
    for against in found.others:
        lines += [f"### {escape_md(against.design.name)}, compared with {escape_md(found.base.name)}", ""]
        lines += against_md(against, found)
    return "\n".join([*lines, ""])


def against_md(against: Against, found: Comparison) -> list[str]:
    """One design against the base: what was won or lost, what differs, and in a fold what does not."""
    lines = [f"**{escape_md(said, 600)}**", ""] if (said := advice(against, found.base, found.profile)) else []
    lines += [*(f"- {escape_md(line, 600)}" for line in _gates(against, found)), ""]
    if told := differences(against):
        lines += [*_table(told), ""]
    if rest := [row for row in against.rows if row not in told]:
        lines += ["<details><summary>Within the noise, or not measured on both</summary>", ""]
        lines += [*_table(rest), "", "</details>", ""]
    return lines


def _table(rows: Sequence[Contrast]) -> list[str]:
    """A difference that is none is greyed out as far as Markdown can: small, and without a mark."""
    lines = ["| | axis | base | this | this / base | noise |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        axis, *numbers = _cells(row)
        texts = [f"<sub>{it}</sub>" if row.change not in _MARKS else it for it in map(str, map(escape_md, numbers))]
        mark = f"{_MARKS[row.change]} {_WORDS[row.change]}" if row.change in _MARKS else ""
        lines.append("| " + " | ".join([mark, code_md(axis), *texts]) + " |")
    return lines


def _cells(row: Contrast) -> tuple[str, str, str, str, str]:
    ratio = "–"
    if row.ratio is not None:
        ratio = f"{row.ratio.value:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f})"
    elif row.base and row.other is not None:
        ratio = f"{row.other / row.base:.2g}"
    noise = f"±{max(row.noise.high, 1 / row.noise.low) - 1:.0%}" if row.noise is not None else "–"
    return (
        row.axis,
        "–" if row.base is None else number(row.base),
        "–" if row.other is None else number(row.other),
        ratio,
        noise,
    )


def _gates(against: Against, found: Comparison) -> list[str]:
    """What became of gates and profiles, a line each."""
    base, this = found.base, against.design
    lines = [f"{gate} fails, and did not before" for gate in this.failed if gate not in base.failed]
    lines += [f"{gate} no longer fails" for gate in base.failed if gate not in this.failed]
    for profile, stand in this.stands.items():
        before = base.stands.get(profile)
        now = words(stand.result)
        if before is not None and before.result is not stand.result:
            why = "" if profile == found.profile else f": {stand.because}"  # of the chosen one `advice` says it
            lines.append(f"{profile}: {words(before.result)} before, {now} now{why}")
        else:
            lines.append(f"{profile}: {now}{', as before' if before is not None else ''}")
    return lines
