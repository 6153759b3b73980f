"""The Action: one grade as a step of a GitHub workflow. The only module that knows the runner's variables and files.

The grade runs as a child process: whatever becomes of it, this step still says so in the summary, the outputs and one
annotation. Where the runner's user may become root, the grader is root, which can keep the solution to itself; this
step, which writes the runner's files, stays the runner's user.
"""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast, get_args

from crucible.errors import CrucibleError, Fault
from crucible.github import as_root, commands
from crucible.github.as_root import GRADER

Mode = Literal["quick", "full"]
FailOn = Literal["gates", "never"]
Outcome = Literal["passed", "failed", "inconclusive", "not_started", "error"]

SUMMARY_BUDGET = 900 * 1024
"""Bytes. Past 1 MiB GitHub drops the whole summary of a step, without a word in it."""
EXCERPT = 20_000
"""Characters of terminal output in the summary of a grade that left none."""
COLUMNS = "120"
"""Width of the report in the step's log, which is no terminal and has none of its own."""
AS_ROOT = (sys.executable, "-I", "-u", "-X", "utf8", "-m", "crucible.github.as_root")
COMMAND_FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_STATE")
"""Variables that name the files by which any process may steer the job."""
USAGE, ERROR, INTERRUPTED = 2, 3, 130

_OUTCOMES_OF_CODE: dict[int, frozenset[str]] = {
    0: frozenset({"passed"}),
    1: frozenset({"failed", "not_started"}),
    3: frozenset({"error"}),
    4: frozenset({"inconclusive"}),
}
_EXIT_CODE: dict[Outcome, int] = {"passed": 0, "not_started": 0, "failed": 1, "error": 3, "inconclusive": 4}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the step is told: the inputs of `action.yml` and the runner's folders and files."""

    working_directory: Path
    mode: Mode
    profile: str
    seed: int | None
    fail_on: FailOn
    temp: Path
    output_file: Path
    summary_file: Path
    private: tuple[Path, ...]
    """The folders of the runner's command files, which are none of the solution's business."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the step says about the grade."""

    outcome: Outcome
    headline: str
    exit_code: int
    """Of the grade; what the step does about it depends on `fail-on`."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in this environment. Raises a CrucibleError for an input that cannot be meant."""
    seed = environ.get("INPUT_SEED", "").strip()
    if seed and not re.fullmatch(r"[0-9]{1,18}", seed):
        raise _bad_input("seed", seed, "give a whole number, or leave it empty")
    return Settings(
        working_directory=_runner_path(environ, "GITHUB_WORKSPACE") / (environ.get("INPUT_WORKING_DIRECTORY") or "."),
        mode=cast(Mode, _choice(environ, "mode", get_args(Mode))),
        profile=environ.get("INPUT_PROFILE", "").strip(),
        seed=int(seed) if seed else None,
        fail_on=cast(FailOn, _choice(environ, "fail-on", get_args(FailOn))),
        temp=_runner_path(environ, "RUNNER_TEMP"),
        output_file=_runner_path(environ, "GITHUB_OUTPUT"),
        summary_file=_runner_path(environ, "GITHUB_STEP_SUMMARY"),
        private=_private(environ),
    )


def _private(environ: Mapping[str, str]) -> tuple[Path, ...]:
    folders = {Path(environ[name]).parent for name in COMMAND_FILES if environ.get(name)}
    return tuple(sorted({*folders, _runner_path(environ, "RUNNER_TEMP") / "_runner_file_commands"}))


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """The value of an input with a closed set of values; the first of them where it is empty."""
    value = environ.get("INPUT_" + name.upper().replace("-", "_"), "").strip() or choices[0]
    if value not in choices:
        raise _bad_input(name, value, "use one of: " + ", ".join(choices))
    return value


def _bad_input(name: str, value: str, fix: str) -> CrucibleError:
    return CrucibleError(
        f"`{value}` is not a {name}", where=f"the Action's input `{name}`", fix=fix, fault=Fault.LEARNER
    )


def _runner_path(environ: Mapping[str, str], name: str) -> Path:
    if value := environ.get(name):
        return Path(value)
    raise CrucibleError(
        f"{name} is not set", where="the environment", fix="run this in a GitHub workflow", fault=Fault.CRUCIBLE
    )


def grader_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What the grader gets of the runner's environment: no command file, token or input.

    The tracking id stays: by it the runner finds what a killed grader left behind.
    """
    private = ("GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_")
    kept = {
        name: value
        for name, value in environ.items()
        if name == "RUNNER_TRACKING_ID" or not name.upper().startswith(private)
    }
    return {"COLUMNS": COLUMNS} | kept


def sudo() -> tuple[str, ...]:
    """The command by which this user becomes root without being asked anything; empty where it cannot, or is root."""
    program = shutil.which("sudo")
    if sys.platform != "linux" or os.geteuid() == 0 or program is None:
        return ()
    may = subprocess.run([program, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return (program, "-n", "--") if may.returncode == 0 else ()


def run_grader(command: Sequence[str], log: Path, environ: Mapping[str, str], echo: BinaryIO, *, told: bool) -> int:
    """Run `command`, its output in `log` and, as it comes, in `echo`; its exit code, 128 + n where signal n ended it.

    SIGINT and SIGTERM are passed on, and the grader is waited for: it has things to clear away. `told`: `as_root` is
    between, which is told the environment, and to stop, on its standard input.
    """
    wanted = grader_environment(environ)
    with log.open("wb") as sink:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE if told else subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            env=wanted,
        )  # fmt: skip
    arrived: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda sent, _frame: arrived.append(sent)) for number in signals]
    try:
        if child.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended, and will say with what
                child.stdin.write(as_root.pack(wanted))
                child.stdin.flush()
        with log.open("rb") as source:
            code = None
            while code is None:
                with suppress(subprocess.TimeoutExpired):
                    code = child.wait(timeout=0.2)
                if arrived:
                    _stop(child, arrived.pop())
                echo.write(source.read())
                echo.flush()
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _stop(child: "subprocess.Popen[bytes]", number: int) -> None:
    if child.stdin is not None:
        child.stdin.close()
    else:
        child.send_signal(number)


def grade(
    settings: Settings, folder: Path, grader: Sequence[str], environ: Mapping[str, str], echo: BinaryIO, *, told: bool
) -> Conclusion:
    """Grade into `folder`, show the terminal output where no line of it can be a command, and say what came of it."""
    command = [*grader, "grade", f"--{settings.mode}", f"--output={folder}"]
    command += [f"--profile={settings.profile}"] if settings.profile else []
    command += [f"--seed={settings.seed}"] if settings.seed is not None else []
    command += [f"--private={it}" for it in settings.private]
    command += ["--", str(settings.working_directory)]
    folder.mkdir()
    log = folder.with_suffix(".terminal")
    with commands.stopped(echo, uuid.uuid4().hex):
        code = run_grader(command, log, environ, echo, told=told)
    log.replace(folder / "terminal.txt")
    return conclude(folder / "result.json", code)


def conclude(result: Path, code: int) -> Conclusion:
    """What `result.json` says, where it says what the exit code says; otherwise nothing is passed, whatever it says."""
    if code in (INTERRUPTED, 128 + signal.SIGTERM):
        return Conclusion("error", "The grade was interrupted.", INTERRUPTED)
    try:
        said = json.loads(result.read_bytes())
        outcome, headline = said["outcome"], said["headline"]
        if not isinstance(outcome, str) or not isinstance(headline, str):
            raise TypeError("outcome and headline are strings")
    except (OSError, ValueError, TypeError, KeyError):
        if code in (1, USAGE):
            headline = "This could not be graded. The log of this step says why."
            return Conclusion("failed" if code == 1 else "error", headline, code)
        return Conclusion("error", f"Crucible ended with exit code {code} and no result.", ERROR)
    if outcome not in _OUTCOMES_OF_CODE.get(code, ()):
        return Conclusion("error", f"Crucible said `{outcome}`, but ended with exit code {code}.", ERROR)
    return Conclusion(cast(Outcome, outcome), headline, code)


def step_exit_code(conclusion: Conclusion, fail_on: FailOn) -> int:
    """The step's exit code. A result that nobody can trust is not green; Crucible's own error is never green."""
    if conclusion.outcome == "error":
        return conclusion.exit_code
    return 0 if fail_on == "never" else _EXIT_CODE[conclusion.outcome]


def step_summary(folder: Path, conclusion: Conclusion) -> str:
    """The Markdown for the job's summary: the report, or a short one where there is none or it is too long."""
    headline = html.escape(" ".join(conclusion.headline[: commands.MESSAGE].split()))
    head = f"<p><strong>Crucible: {headline}</strong></p>\n\n"
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
    text = "".join(character for character in text if character.isprintable() or character == "\n")
    return re.sub(r"\n\s*\n", "\n", text).strip()


def write_outputs(settings: Settings, folder: Path, outcome: str) -> None:
    """Append the outputs of `action.yml`, and the folder to upload, to the runner's file."""
    files = {"result": "result.json", "summary": "summary.md", "evidence": "evidence.json"}
    values = {"outcome": outcome, "directory": str(folder)}
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
    if grader is None:
        grader = (*become_root, *AS_ROOT) if become_root else GRADER
    folder = Path(tempfile.mkdtemp(prefix="crucible-", dir=settings.temp)) / "evidence"
    conclusion = grade(settings, folder, grader, environ, echo, told=bool(become_root))
    with settings.summary_file.open("a", encoding="utf-8", errors="replace") as target:
        target.write(step_summary(folder, conclusion))
    write_outputs(settings, folder, conclusion.outcome)
    code = step_exit_code(conclusion, settings.fail_on)
    welcome = conclusion.outcome in ("passed", "not_started")
    level: commands.Level = "error" if code else "notice" if welcome else "warning"
    echo.write(commands.annotation(level, "Crucible", conclusion.headline))
    echo.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
