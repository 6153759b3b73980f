"""What is to be said of a suite, as Markdown for the challenge's folder."""

from collections.abc import Iterable

from crucible.judging.matrices import Verified
from crucible.report.text import escape_md


def render_verified(title: str, found: Verified, intro: str) -> str:
    """The matrices, what does not hold, and what is open."""
    lines = [f"# {title}", "", intro, ""]
    for table in found.tables:
        lines += [f"## {escape_md(table.title)}", "", _line(table.header), _line(["---"] * len(table.header), raw=True)]
        lines += [_line(row) for row in table.rows]
        lines.append("")
    lines += ["## How often", "", f"{escape_md(found.tally, 400)}.", ""] if found.tally else []
    lines += ["## What does not hold", "", *([f"- {escape_md(it, 600)}" for it in found.complaints] or ["Nothing."])]
    if found.open:
        lines += ["", "## What is open", "", *(f"- {escape_md(it, 600)}" for it in found.open)]
    return "\n".join([*lines, ""])


def _line(cells: Iterable[str], *, raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else escape_md(cell, 400) for cell in cells) + " |"
