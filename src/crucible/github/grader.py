"""The grader as a child of a step: what it gets of the runner's environment, whom it runs as, and how it is ended."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from crucible.github import as_root

COLUMNS = "120"
"""Width of the report in the step's log, which is no terminal and has none of its own."""
AS_ROOT = (sys.executable, "-I", "-u", "-X", "utf8", "-m", "crucible.github.as_root")


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
