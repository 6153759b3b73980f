"""Where results may be written, and how a grade is interrupted while it runs."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from rich.console import Console
from support.solutions import crucible, listing, write_solution

from crucible.cli.progress import Steps
from crucible.commands import grade
from crucible.errors import CrucibleError
from crucible.lab import isolation
from crucible.processes.interrupt import InterruptedGradeError, interruptible
from crucible.report import pointers


@pytest.mark.machine
@pytest.mark.parametrize("output", [".", "..", "../.."])
def test_results_never_stand_among_the_learners_own_files(tmp_path: Path, output: str) -> None:
    folder = write_solution(tmp_path / "a" / "s")
    (folder / ".gitignore").write_text("secret\n")
    (folder / "logs").mkdir()
    (folder / "logs" / "mine.log").write_text("mine")
    before = listing(tmp_path)
    done = crucible("grade", str(folder), "--output", str(folder / output))
    assert done.code == 1
    assert "the results would be written over the solution" in done.err
    assert listing(tmp_path) == before


@pytest.mark.machine
def test_a_folder_for_results_keeps_its_own_ignore_file(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s", build="exit 1")
    output = tmp_path / "out"
    output.mkdir()
    (output / ".gitignore").write_text("# mine\n")
    assert crucible("grade", str(folder), "--output", str(output)).code == 1
    assert (output / ".gitignore").read_text() == "# mine\n"
    assert (output / "logs" / "build.log").is_file()


@pytest.mark.machine
def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = crucible("grade", str(write_solution(tmp_path / "s")), "--output", str(tmp_path / "file" / "x"))
    assert (done.code, "results cannot be written there" in done.err) == (1, True)


@pytest.mark.machine
def test_results_are_not_written_to_where_a_link_leads(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s")
    (tmp_path / "elsewhere" / "logs").mkdir(parents=True)
    (tmp_path / "elsewhere" / "logs" / "precious").touch()
    (folder / ".crucible").symlink_to(tmp_path / "elsewhere")
    done = crucible("grade", str(folder))
    assert (done.code, "where a link leads" in done.err) == (1, True)
    assert [path.name for path in (tmp_path / "elsewhere").rglob("*")] == ["logs", "precious"]


@pytest.mark.machine
def test_what_root_writes_belongs_to_whom_the_folder_belongs_that_it_is_in(tmp_path: Path) -> None:
    """And to nobody else: neither what was there before, nor what a link leads to."""
    folder = write_solution(tmp_path / "s", build="echo built; exit 1")
    (folder / ".crucible").mkdir()
    (folder / ".crucible" / "older").symlink_to(folder / "app.py")
    owner = isolation.BUILDER if os.geteuid() == 0 else os.geteuid()
    os.chown(folder, owner, owner if owner != os.geteuid() else -1)
    assert crucible("grade", str(folder)).code == 1
    written = [folder / ".crucible" / name for name in ("", ".gitignore", "logs", "logs/build.log")]
    assert {path.stat().st_uid for path in written} == {owner}
    assert {(folder / "app.py").stat().st_uid, (folder / ".crucible" / "older").lstat().st_uid} == {os.geteuid()}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_waits_for_the_clean_up_and_only_the_first_one_counts(sign: signal.Signals) -> None:
    cleaned: list[int] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), sign)
            await asyncio.sleep(10)
        finally:
            for number in range(3):
                os.kill(os.getpid(), sign)
                await asyncio.sleep(0.01)
                cleaned.append(number)

    with pytest.raises(InterruptedGradeError):
        interruptible(work())
    assert cleaned == [0, 1, 2]


def test_signals_mean_afterwards_what_they_meant_before() -> None:
    async def work() -> int:
        return 7

    def own(_number: int, _frame: FrameType | None) -> None:
        raise NotImplementedError

    before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before[number] = signal.signal(number, own)
        assert interruptible(work()) == 7
        assert {signal.getsignal(number) for number in before} == {own}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_kept_a_solution_from_being_graded_is_pointed_at_among_results_only(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "crucible.yaml").write_text("challenge: rate-limiter\nprofle: x\n")
    for name in ("empty", "results", "theirs"):
        (tmp_path / name).mkdir()
    (tmp_path / "results" / ".gitignore").write_bytes(b"*\n")
    (tmp_path / "theirs" / "thesis.md").write_text("mine")
    for name in ("empty", "results", "theirs", "absent"):
        with pytest.raises(CrucibleError):
            grade.grade(grade.Wanted(mine, tmp_path / name, 1), {}, Steps(Console(quiet=True)))
    (pointer,) = pointers.from_json((tmp_path / "empty" / "annotations.json").read_bytes())
    assert (pointer.level, pointer.line) == ("error", 2)
    assert (tmp_path / "results" / "annotations.json").is_file()
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["thesis.md"]
    assert not (tmp_path / "absent").exists()


def test_an_interruption_is_heard_after_a_group_of_tasks_has_failed() -> None:
    async def fails() -> None:
        raise ValueError

    async def work() -> None:
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(10)

    with pytest.raises(InterruptedGradeError):
        interruptible(work())
