"""What is graded after a save, and what is not."""

import io
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from support import evidence_builder as build
from support.solutions import write_solution

from crucible.commands.watch import Wanted, Watch
from crucible.judging import verdict
from crucible.judging.judge import judge
from crucible.judging.verdict import Verdict

pytestmark = pytest.mark.machine

FAILED = replace(judge(build.racing(14), build.MANIFEST, build.SUITE, build.PRICES), challenge="rate-limiter")
PASSED = replace(judge(build.evidence(), build.MANIFEST, build.SUITE, build.PRICES), challenge="rate-limiter")


class Watching(Watch):
    """Does not grade: says with which options it would have."""

    def __init__(self, folder: Path, *checks: str, lasts: bool = False) -> None:
        self.graded: list[tuple[str, ...]] = []
        self.lasts = lasts
        self.said = io.StringIO()
        super().__init__(Wanted(folder, checks), {}, Console(file=self.said, width=100))

    def begin(self, options: Sequence[str]) -> "subprocess.Popen[bytes]":
        self.graded.append(tuple(options))
        seconds = 60 if self.lasts else 0
        return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])

    def settled(self) -> list[tuple[str, ...]]:
        """What has been graded when there is nothing left to grade."""
        for _ in range(20):
            self.look("")
            if self.running is not None and not self.lasts:
                self.running.wait()
        return self.graded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_solution(tmp_path / "s")


def save(folder: Path, text: str = "# saved\n") -> None:
    with (folder / "app.py").open("a") as file:
        file.write(text)


def keep(folder: Path, last: Verdict) -> None:
    (folder / ".crucible").mkdir(exist_ok=True)
    (folder / ".crucible" / "result.json").write_bytes(verdict.to_json(last))


def test_at_first_everything_is_graded_and_then_nothing_until_a_save(folder: Path) -> None:
    watch = Watching(folder)
    watch.everything()
    assert watch.settled() == [()]
    assert watch.settled() == [()]
    assert "waiting for a save" in watch.said.getvalue()


def test_after_a_save_what_failed_comes_first(folder: Path) -> None:
    watch = Watching(folder)
    keep(folder, FAILED)  # results are no files of the solution
    assert watch.settled() == []
    save(folder)
    assert watch.settled() == [("--failed",), ()]


def test_where_nothing_had_failed_everything_is_graded(folder: Path) -> None:
    watch = Watching(folder)
    keep(folder, PASSED)
    save(folder)
    assert watch.settled() == [()]


def test_a_check_that_was_named_comes_first(folder: Path) -> None:
    watch = Watching(folder, "RL-3", "RL-4")
    save(folder)
    assert watch.settled() == [("--check", "RL-3", "--check", "RL-4"), ()]


def test_a_save_interrupts_what_runs(folder: Path) -> None:
    watch = Watching(folder, lasts=True)
    watch.everything()
    watch.look("")
    first = watch.running
    assert first is not None
    save(folder)
    watch.look("")
    assert first.poll() is not None
    assert watch.graded == [(), ()]
    watch.interrupt()


def test_a_mistake_in_crucible_yaml_is_told_and_nothing_is_graded(folder: Path) -> None:
    watch = Watching(folder)
    with (folder / "crucible.yaml").open("a") as file:
        file.write("challange: x\n")
    assert watch.settled() == []
    assert "`challange` is not a key here" in " ".join(watch.said.getvalue().split())


def test_keys(folder: Path) -> None:
    watch = Watching(folder)
    watch.look("l")
    watch.look("o")
    watch.look("?")
    assert "there is no report yet" in watch.said.getvalue()
    watch.look("a")
    assert watch.settled() == [()]
    watch.look("q")
    assert watch.over
