"""A verdict in words and pictures: for a job's summary, for a terminal, and for a browser. Pure, like the verdict."""

from crucible.report.cohort import cohort_html, to_csv
from crucible.report.comparison import comparison_md, render_comparison
from crucible.report.html import render_html
from crucible.report.matrices import render_verified
from crucible.report.since import since_md
from crucible.report.summary import render_summary
from crucible.report.terminal import render_matrices, render_terminal

__all__ = [
    "cohort_html",
    "comparison_md",
    "render_comparison",
    "render_html",
    "render_matrices",
    "render_summary",
    "render_terminal",
    "render_verified",
    "since_md",
    "to_csv",
]
