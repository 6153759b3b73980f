"""The folder of results: made, written, and given back to whom the folder belongs to that it lies in."""

import contextlib
import os
from pathlib import Path

from crucible import evidence, report
from crucible.errors import CrucibleError, Fault
from crucible.judging import verdict
from crucible.judging.graded import Graded
from crucible.judging.verdict import Verdict
from crucible.report import pointers

POINTERS, REPORT, IGNORED = "annotations.json", "report.html", b"*\n"
FOLDER = ".crucible"
"""Where results are kept, in the folder of the solution."""
WRITTEN = (
    ".gitignore", "evidence.json", "summary.md", REPORT, POINTERS, "result.json", "comparison.json",
    "comparison.md",
)  # fmt: skip


def make(output: Path, solution: Path) -> None:
    """Raises a CrucibleError where results cannot be written, or would stand among the learner's own files."""
    if output.is_symlink():
        raise _refusal(output, "the results would be written to where a link leads", "remove the link, or ")
    if solution.resolve().is_relative_to(output.resolve()):
        raise _refusal(output, "the results would be written over the solution")
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not (output / ".gitignore").exists():
            write(output / ".gitignore", IGNORED)
    except OSError as error:
        raise _refusal(output, f"results cannot be written there: {error.strerror}") from error


def _refusal(output: Path, what: str, first: str = "") -> CrucibleError:
    fix = f"{first}give another folder with --output"
    return CrucibleError(what, where=str(output), fix=fix, fault=Fault.LEARNER)


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_grade(graded: Graded, output: Path, line: pointers.LineOf = lambda keys: None) -> None:
    """Write the five files, each whole or not at all; `result.json` last, so that it never stands without the rest."""
    (output / "result.json").unlink(missing_ok=True)
    write(output / "evidence.json", evidence.to_json(graded.evidence))
    write(output / "summary.md", (report.render_summary(graded) + report.since_md(graded)).encode("utf-8", "replace"))
    write(output / REPORT, report.render_html(graded).encode("utf-8", "replace"))
    write(output / POINTERS, pointers.to_json(pointers.of_grade(graded.verdict, graded.evidence, line)))
    write(output / "result.json", verdict.to_json(graded.verdict))


def last(output: Path) -> Verdict | None:
    """The verdict that was written there last; None where there is none that can be read."""
    try:
        return verdict.from_json((output / "result.json").read_bytes())
    except (OSError, ValueError):
        return None


def write_error(error: CrucibleError, output: Path) -> None:
    """Point at what kept a solution from being graded, if the folder is for results."""
    with contextlib.suppress(OSError):
        if _is_for_results(output):
            write(output / POINTERS, pointers.to_json([pointers.of_error(error)]))
            give_back(output)


def _is_for_results(output: Path) -> bool:
    """Whether it is a folder of nobody's: empty, or of results before these."""
    if output.is_symlink() or not output.is_dir():
        return False
    ignored = output / ".gitignore"
    return not any(output.iterdir()) or (ignored.is_file() and ignored.read_bytes() == IGNORED)


def give_back(output: Path) -> None:
    """Where the grader is root, make its results those of whom the folder belongs to that they lie in."""
    about = output.absolute().parent.stat()
    if os.geteuid() != 0 or about.st_uid == 0:
        return
    logs = output / "logs"
    for path in (output, *(output / name for name in WRITTEN), logs, *logs.rglob("*")):
        with contextlib.suppress(OSError):
            os.chown(path, about.st_uid, about.st_gid, follow_symlinks=False)
