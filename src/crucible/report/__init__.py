"""A verdict in words, for a job's summary and for a terminal. Pure, like the verdict."""

from crucible.report.summary import render_summary
from crucible.report.terminal import render_terminal

__all__ = ["render_summary", "render_terminal"]
