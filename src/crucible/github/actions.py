"""The Action: one grade as a step of a GitHub workflow.

The grade runs as a child process: whatever becomes of it, this step still says so in the summary, the outputs and
annotations. Where the runner's user may become root, the grader is root, which can keep the solution to itself; this
step, which writes the runner's files, stays the runner's user.
"""

import html
import json
import os
import re
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast, get_args

from crucible.errors import CrucibleError
from crucible.github import commands
from crucible.github.as_root import GRADER
from crucible.github.grader import AS_ROOT, run_grader, sudo
from crucible.github.settings import FailOn, Settings, read_settings
from crucible.judging import comparison, previous, verdict
from crucible.planning.challenges import VARIABLE
from crucible.report import comment, pointers
from crucible.report.text import plain

Outcome = Literal["passed", "failed", "inconclusive", "not_started", "error"]

SUMMARY_BUDGET = 900 * 1024
"""Bytes. Past 1 MiB GitHub drops the whole summary of a step, without a word in it."""
EXCERPT = 20_000
"""Characters of terminal output in the summary of a grade that left none."""
USAGE, ERROR, INTERRUPTED = 2, 3, 130

_OUTCOMES_OF_CODE: dict[int, frozenset[str]] = {
    0: frozenset({"passed"}),
    1: frozenset({"failed", "not_started"}),
    3: frozenset({"error"}),
    4: frozenset({"inconclusive"}),
}
_EXIT_CODE: dict[Outcome, int] = {"passed": 0, "not_started": 0, "failed": 1, "error": 3, "inconclusive": 4}


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the step says about the grade."""

    outcome: Outcome
    headline: str
    exit_code: int
    """Of the grade; what the step does about it depends on `fail-on`."""
    gates: Outcome
    """The outcome if no profile counted."""
    fits: tuple[str, ...] = ()
    """The profiles that the design fits."""


@dataclass(frozen=True, slots=True)
class Grader:
    """How the grader is called from here."""

    command: tuple[str, ...]
    told: bool
    """Whether `as_root` is between, which gets the environment on its standard input."""
    environ: Mapping[str, str]
    echo: BinaryIO
    """The step's log."""


def grade(settings: Settings, folder: Path, grader: Grader) -> Conclusion:
    """Grade into `folder`, show the terminal output where no line of it can be a command, and say what came of it."""
    arguments = ["grade", f"--{settings.mode}", f"--output={folder}", *_common(settings)]
    arguments += [f"--challenge={settings.challenge}"] if settings.challenge else []
    arguments += [f"--since={settings.previous}"] if settings.previous.is_file() else []
    folder.mkdir()
    code = _call(grader, [*arguments, "--", str(settings.working_directory)], folder, "terminal.txt")
    return conclude(folder / "result.json", code)


def compare(settings: Settings, base: Path, folder: Path, grader: Grader) -> str:
    """Compare with another version of the solution; the Markdown that says what differs, or why that is not known."""
    place = folder / "comparison"
    arguments = ["compare", f"--output={place}", *_common(settings), "--", str(base), str(settings.working_directory)]
    code = _call(grader, arguments, folder, "comparison.txt")
    try:
        text = (place / "comparison.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"\nThe two versions could not be compared (exit code {code}); `comparison.txt` says why.\n"
    return f"\n{text}"


def _common(settings: Settings) -> list[str]:
    return [
        *([f"--profile={settings.profile}"] if settings.profile else []),
        *([f"--seed={settings.seed}"] if settings.seed is not None else []),
        *(f"--private={it}" for it in settings.private),
    ]


def _call(grader: Grader, arguments: Sequence[str], folder: Path, log: str) -> int:
    """Call the grader, its output in `folder / log` once it has ended, and in the step's log; its exit code."""
    beside = folder.with_suffix(".terminal")
    with commands.stopped(grader.echo, uuid.uuid4().hex):
        command = [*grader.command, *arguments]
        code = run_grader(command, beside, grader.environ, grader.echo, told=grader.told)
    beside.replace(folder / log)
    return code


def conclude(result: Path, code: int) -> Conclusion:
    """What `result.json` says, where it says what the exit code says; otherwise nothing is passed, whatever it says."""
    if code in (INTERRUPTED, 128 + signal.SIGTERM):
        return _error("The grade was interrupted.", INTERRUPTED)
    try:
        said = json.loads(result.read_bytes())
        outcome, gates, headline = said["outcome"], said["gates"], said["headline"]
        fits = tuple(str(fit["profile"]) for fit in said["fits"] if fit["result"] == "fits")
        if outcome not in get_args(Outcome) or gates not in get_args(Outcome) or not isinstance(headline, str):
            raise TypeError("outcome and gates are known words, and the headline is a string")
    except (OSError, ValueError, TypeError, KeyError):
        if code in (1, USAGE):
            headline = "This could not be graded. The log of this step says why."
            return Conclusion("failed", headline, code, "failed") if code == 1 else _error(headline, code)
        return _error(f"Crucible ended with exit code {code} and no result.", ERROR)
    if outcome not in _OUTCOMES_OF_CODE.get(code, ()):
        return _error(f"Crucible said `{outcome}`, but ended with exit code {code}.", ERROR)
    headline = plain(headline, commands.MESSAGE)
    return Conclusion(cast(Outcome, outcome), headline, code, cast(Outcome, gates), fits)


def _error(headline: str, code: int) -> Conclusion:
    return Conclusion("error", headline, code, "error")


def step_exit_code(conclusion: Conclusion, fail_on: FailOn) -> int:
    """The step's exit code. A result that nobody can trust is not green; Crucible's own error is never green."""
    if conclusion.outcome == "error":
        return conclusion.exit_code
    if fail_on == "never":
        return 0
    return _EXIT_CODE[conclusion.gates if fail_on == "gates" else conclusion.outcome]


def step_summary(folder: Path, conclusion: Conclusion) -> str:
    """The Markdown for the job's summary: the report, or a short one where there is none or it is too long."""
    head = f"<p><strong>Crucible: {html.escape(conclusion.headline)}</strong></p>\n\n"
    try:
        text = (folder / "summary.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return head + f"<pre>{html.escape(_excerpt(folder / 'terminal.txt'))}</pre>\n"
    if (size := len(text.encode())) > SUMMARY_BUDGET:
        return head + (
            f"The whole summary has {size // 1024:,} KiB, more than GitHub shows. "
            "It is `summary.md` in this run's artifact `crucible-evidence`.\n"
        )
    return text if text.endswith("\n") else text + "\n"


def _excerpt(terminal: Path) -> str:
    """The end of what the grader printed, without colours, other control characters, and blank lines."""
    text = terminal.read_text(encoding="utf-8", errors="replace") if terminal.is_file() else ""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)[-EXCERPT:]
    return "\n".join(plain(line, EXCERPT).rstrip() for line in text.split("\n") if line.strip())


def annotations(folder: Path, conclusion: Conclusion, level: commands.Level, settings: Settings) -> Iterator[bytes]:
    """What can be pointed at, and last the verdict; no more of a kind than GitHub shows of a step."""
    try:
        found = pointers.from_json((folder / "annotations.json").read_bytes())
    except (OSError, ValueError):
        found = ()
    room = dict.fromkeys(get_args(commands.Level), commands.MOST_OF_A_KIND) | {level: commands.MOST_OF_A_KIND - 1}
    file = _in_repository(settings.working_directory / "crucible.yaml", settings.workspace)
    for pointer in found:
        if room[pointer.level] > 0:
            room[pointer.level] -= 1
            place = (file, pointer.line) if pointer.line is not None else None
            title, message = plain(pointer.title, commands.TITLE), plain(pointer.message, commands.MESSAGE)
            yield commands.annotation(pointer.level, f"Crucible: {title}", message, place)
    yield commands.annotation(level, "Crucible", conclusion.headline)


def _in_repository(path: Path, workspace: Path) -> str:
    """`path` as GitHub knows it: seen from the checkout that it lies in, which may be a folder of the workspace."""
    for folder in path.parents:
        if (folder / ".git").exists():
            return path.relative_to(folder).as_posix()
    return os.path.relpath(path, workspace)


def has_news(settings: Settings, folder: Path) -> bool:
    """Whether a comment would say what the one on the push before did not; unknown counts as yes."""
    before = settings.previous.with_name("comment")
    try:
        compared = folder / "comparison" / "comparison.json"
        found = comparison.from_json(compared.read_bytes(), compared.name) if compared.is_file() else None
        judged = verdict.from_json((folder / "result.json").read_bytes())
        told = before.read_text() if before.is_file() else ""
        before.parent.mkdir(parents=True, exist_ok=True)
        before.write_text(comment.digest(judged, found))
        return comment.news(judged, found, told)
    except (OSError, ValueError, CrucibleError):
        return True


def write_outputs(settings: Settings, folder: Path, conclusion: Conclusion) -> None:
    """Append the outputs of `action.yml`, and the folder to upload, to the runner's file."""
    files = {"result": "result.json", "summary": "summary.md", "evidence": "evidence.json"}
    values = {"outcome": conclusion.outcome, "fits": ",".join(conclusion.fits), "directory": str(folder)}
    values["news"] = "true" if has_news(settings, folder) else "false"
    values |= {name: str(folder / file) if (folder / file).is_file() else "" for name, file in files.items()}
    with settings.output_file.open("a", encoding="utf-8") as target:
        for name, value in values.items():
            target.write(commands.output(name, value, f"ghadelimiter_{uuid.uuid4()}"))


def main(environ: Mapping[str, str] | None = None, grader: Sequence[str] | None = None) -> int:
    """Run the step; its exit code."""
    environ = os.environ if environ is None else environ
    echo = sys.stdout.buffer
    try:
        settings = read_settings(environ)
    except CrucibleError as error:
        echo.write(commands.annotation("error", "Crucible", f"{error}; {error.fix}"))
        return USAGE
    become_root = sudo() if grader is None else ()
    if settings.suite is not None:
        environ = {**environ, VARIABLE: str(settings.suite)}
    command = tuple(grader or ((*become_root, *AS_ROOT) if become_root else GRADER))
    called = Grader(command, bool(become_root), environ, echo)
    folder = Path(tempfile.mkdtemp(prefix="crucible-", dir=settings.temp)) / "evidence"
    conclusion = grade(settings, folder, called)
    compared = ""
    if settings.compare_with is not None and conclusion.outcome in ("passed", "failed", "inconclusive"):
        compared = compare(settings, settings.compare_with, folder, called)
    text = step_summary(folder, conclusion)
    with settings.summary_file.open("a", encoding="utf-8", errors="replace") as target:
        target.write(text + compared if len((text + compared).encode()) <= SUMMARY_BUDGET else text)
    previous.keep(settings.previous, settings.commit, folder / "result.json")
    write_outputs(settings, folder, conclusion)
    code = step_exit_code(conclusion, settings.fail_on)
    welcome = conclusion.outcome in ("passed", "not_started")
    for line in annotations(folder, conclusion, "error" if code else "notice" if welcome else "warning", settings):
        echo.write(line)
    echo.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
