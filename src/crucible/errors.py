"""The one exception that a user sees: what is wrong, where, what to do, and whose fault it is."""

from enum import StrEnum
from pathlib import PurePath
from traceback import walk_tb

SUITES = "crucible_suite_"
"""How the names of packages begin that challenges' hidden suites are imported as."""


class Fault(StrEnum):
    """Who can mend it. A learner is never charged for what an author or Crucible did."""

    LEARNER = "learner"
    AUTHOR = "author"
    CRUCIBLE = "crucible"


class CrucibleError(Exception):
    """A failure with an explanation; raised anywhere, caught once in the command line."""

    def __init__(self, what: str, *, where: str, fix: str, fault: Fault, excerpt: str = "") -> None:
        super().__init__(f"{where}: {what}")
        self.what = what
        self.where = where
        self.fix = fix
        self.fault = fault
        self.excerpt = excerpt
        """Untrusted output (a log's tail), printed apart and escaped."""

    @property
    def exit_code(self) -> int:
        """1 for the learner's fault, 3 for Crucible's or the author's."""
        return 1 if self.fault is Fault.LEARNER else 3


def place_in_suite(error: BaseException) -> str:
    """The last line of a hidden suite that an exception came through, such as ` at hidden/races.py:41`; empty where it
    came through none."""
    found = ""
    for frame, line in walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__", "")).startswith(SUITES):
            file = PurePath(frame.f_code.co_filename)
            found = f" at {file.parent.name}/{file.name}:{line}"
    return found
