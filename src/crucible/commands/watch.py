"""Grades again whenever a file is saved: first what failed last, then everything.

Each grade is a command of its own, in a lab of its own: nothing of what was saved before is in what is told. A save
while it runs interrupts it, as Ctrl-C would, and it ends what it started.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import termios
import tty
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from crucible.commands import results
from crucible.errors import CrucibleError
from crucible.lab.logs import tail
from crucible.lab.workspace import state_of
from crucible.planning.solution import read_solution

LOOK_S = 0.25
"""How often files and keys are looked at."""
SETTLE_S = 0.3
"""For so long after a save nothing else may be saved: editors and formatters write several files."""
KEYS = "a: all · o: open the report · l: the end of web.0's log · q: quit"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asks for."""

    folder: Path
    checks: tuple[str, ...] = ()
    """Only these, after a save; what failed last, where none is named."""
    options: tuple[str, ...] = ()
    """Of `crucible grade`, for every grade."""


class Watch:
    """What is being done, and what is to be done next."""

    def __init__(self, wanted: Wanted, environ: Mapping[str, str], console: Console) -> None:
        self.wanted, self.console = wanted, console
        self._environ = dict(environ)
        self.running: subprocess.Popen[bytes] | None = None
        self._next: list[tuple[str, ...]] = []
        """Options of the grades that are still to come."""
        self._seen = state_of(wanted.folder)
        self.over = False
        """Whether somebody has quit."""

    def run(self) -> int:
        """Until a key or Ctrl-C ends it."""
        self.console.print(KEYS, markup=False)
        self.everything()
        with _keys() as pressed:
            try:
                while not self.over:
                    self.look(pressed(LOOK_S))
            except KeyboardInterrupt:
                pass
            finally:
                self.interrupt()
        return 0

    def look(self, key: str) -> None:
        """Once: what was saved, what was pressed, what has ended."""
        if self._changed():
            self.console.print("saved", style="bold cyan")
            self.interrupt()
            self._next = [*self._first(), ()]
        if action := {"a": self.everything, "o": self._open, "l": self._log, "q": self._quit}.get(key):
            action()
        if self.running is not None and self.running.poll() is not None:
            self.running = None
            if not self._next:
                self.console.print(f"waiting for a save · {KEYS}", markup=False)
        if self.running is None and self._next:
            self._start(self._next.pop(0))

    def _first(self) -> list[tuple[str, ...]]:
        """What is graded before everything."""
        if self.wanted.checks:
            return [tuple(word for name in self.wanted.checks for word in ("--check", name))]
        last = results.last(self.wanted.folder / results.FOLDER)
        failed = last is not None and any(check.unsettled for check in last.checks)
        return [("--failed",)] if failed else []

    def _changed(self) -> bool:
        now = state_of(self.wanted.folder)
        if now == self._seen:
            return False
        while True:
            self._seen = now
            select.select([], [], [], SETTLE_S)
            if (now := state_of(self.wanted.folder)) == self._seen:
                return True

    def _start(self, options: Sequence[str]) -> None:
        try:
            read_solution(self.wanted.folder, self._environ)
        except CrucibleError as error:  # told at once, without a grade's own start
            self.console.print(f"{error.where}: {error.what}: {error.fix}", markup=False, style="red")
            self._next = []
            return
        self.running = self.begin(options)

    def begin(self, options: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a grade."""
        command = [sys.executable, "-m", "crucible.cli.main", "grade", "--on-top", str(self.wanted.folder)]
        return subprocess.Popen([*command, *self.wanted.options, *options], env=self._environ)

    def interrupt(self) -> None:
        """End what runs, as Ctrl-C would."""
        if self.running is not None:
            with contextlib.suppress(ProcessLookupError):
                self.running.send_signal(signal.SIGTERM)
            self.running.wait()
            self.running = None

    def everything(self) -> None:
        """Grade everything, now."""
        self.interrupt()
        self._next = [()]

    def _open(self) -> None:
        report = self.wanted.folder.resolve() / results.FOLDER / results.REPORT
        if not report.is_file():
            self.console.print("there is no report yet")
        elif not webbrowser.open(report.as_uri()):
            self.console.print(str(report), markup=False)

    def _log(self) -> None:
        text = tail(self.wanted.folder / results.FOLDER / "logs" / "web.0.log")
        for line in text.splitlines()[-20:]:
            self.console.print(f"  | {line}", markup=False)
        if not text:
            self.console.print("web.0 has printed nothing, or no grade has ended yet")

    def _quit(self) -> None:
        self.over = True


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """While open, a function that waits so many seconds at most for a key, and returns it, or nothing."""
    if not sys.stdin.isatty():
        yield lambda seconds: _wait(seconds)
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield lambda seconds: os.read(terminal, 1).decode(errors="replace") if _ready(terminal, seconds) else ""
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _wait(seconds: float) -> str:
    select.select([], [], [], seconds)
    return ""


def _ready(terminal: int, seconds: float) -> bool:
    return bool(select.select([terminal], [], [], seconds)[0])
