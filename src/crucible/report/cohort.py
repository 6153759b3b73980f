"""The results of a cohort: as CSV, and as one HTML file that says who fits which profile, before and after. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from crucible.report.text import plain

MOST = 400
"""Characters of a cell."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is run by spreadsheets."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is told of a repository. Every field is text, and may be hostile; lists are separated by spaces."""

    repository: str
    challenge: str = ""
    mode: str = ""
    profile: str = ""
    commit: str = ""
    at: str = ""
    outcome: str = ""
    fits: str = ""
    headline: str = ""
    before_commit: str = ""
    before_at: str = ""
    before_outcome: str = ""
    before_fits: str = ""
    error: str = ""


def to_csv(lines: Iterable[Line]) -> str:
    """With a header. No cell begins as a formula does: an apostrophe goes before it."""
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(field.name for field in fields(Line))
    for line in lines:
        cells = (plain(cell, MOST) for cell in astuple(line))
        writer.writerow(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells)
    return target.getvalue()


def cohort_html(title: str, lines: Sequence[Line]) -> str:
    """One page without scripts, styles from elsewhere, or links."""
    lines = [Line(*(plain(cell, MOST) for cell in astuple(line))) for line in lines]
    profiles = sorted({profile for line in lines for profile in f"{line.fits} {line.before_fits}".split()})
    return _environment().get_template("cohort.html.j2").render(title=plain(title), lines=lines, profiles=profiles)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("crucible.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
