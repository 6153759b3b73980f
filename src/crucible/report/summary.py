"""Verdict -> GitHub-flavoured Markdown for a job's summary.

GitHub drops a summary of over 1 MiB without a word. This one stays below 900 KiB because everything untrusted is cut
to a few hundred characters, and every list has a most.
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from crucible.judging.graded import Graded
from crucible.judging.verdict import GradeOutcome, Verdict
from crucible.report import choices, circumstances, model, standing
from crucible.report.text import Markdown, code_md, escape_md, label_md, line_md, sentence

BUDGET_BYTES = 900 * 1024
_MARKS = {
    "pass": "✅", "fail": "❌", "inconclusive": "⚠️", "not_run": "➖", "error": "🛠️",
    "passed": "✅", "failed": "❌", "not_started": "👋",
}  # fmt: skip


def render_summary(graded: Graded) -> str:
    """The report as Markdown. Whatever the solution said appears escaped."""
    return _environment().get_template(_template(graded.verdict)).render(
        graded=graded,
        verdict=graded.verdict,
        evidence=graded.evidence,
        manifest=graded.manifest,
        model=model,
        circumstances=circumstances,
        choices=choices,
        standing=standing,
    )  # fmt: skip


def _template(verdict: Verdict) -> str:
    return "welcome.md.j2" if verdict.outcome is GradeOutcome.NOT_STARTED else "summary.md.j2"


@cache
def _environment() -> Environment:
    """Templates in which every expression is escaped unless a filter has already made it Markdown."""
    environment = Environment(
        loader=PackageLoader("crucible.report"),
        autoescape=False,  # noqa: S701 - Markdown, not HTML: `finalize` escapes for it
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markdown) else escape_md(value),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "text": escape_md,
        "code": code_md,
        "line": line_md,
        "label": label_md,
        "mark": _mark,
        "fit": _fit_mark,
        "sentence": sentence,
    }
    return environment


def _mark(outcome: str) -> Markdown:
    return Markdown(_MARKS[str(outcome)])


def _fit_mark(result: str) -> Markdown:
    return Markdown({"fits": "✅", "does not fit": "❌"}.get(result, "⚠️"))
