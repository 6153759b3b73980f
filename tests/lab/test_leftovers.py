"""Whose a run's folder is decides whether it is cleared."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.peers import eventually, gone
from support.solutions import temporary_folder

from crucible.lab import leftovers


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with temporary_folder() as folder:
        monkeypatch.setattr(leftovers, "_base", lambda: folder)
        yield folder


def owned_by(base: Path, pid: int) -> Path:
    folder = base / f"{leftovers.PREFIX}{pid}-abc"
    folder.mkdir()
    return folder


def ended() -> int:
    """A process that has ended and been collected."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_nothing_to_clear_is_nothing_to_say() -> None:
    assert leftovers.clear() is None


def test_a_run_that_goes_on_is_left_alone() -> None:
    folder = leftovers.make_run_folder()
    assert folder.stat().st_mode & 0o777 == 0o711
    assert leftovers.clear() is None
    assert folder.is_dir()


@pytest.mark.machine
def test_what_an_ended_run_has_left_is_ended_and_removed(base: Path) -> None:
    folder = owned_by(base, ended())
    (folder / "work").mkdir()
    there = subprocess.Popen(["sleep", "4719"], cwd=folder / "work")
    at_home = subprocess.Popen(["sleep", "4719"], env={**os.environ, "HOME": str(folder)})
    elsewhere = subprocess.Popen(["sleep", "4719"], env={**os.environ, "HOME": f"{folder}-another"})
    try:
        assert leftovers.clear() == "cleared what an interrupted grade had left: 2 processes, 1 folders"
        assert not folder.exists()
        eventually(lambda: gone(there.pid) and gone(at_home.pid), what="the end of both")
        assert elsewhere.poll() is None
    finally:
        for process in (there, at_home, elsewhere):
            process.kill()
            process.wait()


@pytest.mark.machine
def test_a_grader_that_nobody_collects_has_ended(base: Path) -> None:
    zombie = subprocess.Popen(["true"])
    eventually(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE, what="the end of it")
    folder = owned_by(base, zombie.pid)
    assert leftovers.clear() is not None
    assert not folder.exists()
    zombie.wait()


@pytest.mark.machine
def test_another_process_with_the_same_number_is_not_the_owner() -> None:
    folder = leftovers.make_run_folder()
    os.utime(folder, (1.0, 1.0))
    assert leftovers.clear() is not None
    assert not folder.exists()


@pytest.mark.parametrize("name", ["", "x-abc", "1"])
def test_a_folder_that_names_no_process_is_left_alone(base: Path, name: str) -> None:
    (base / f"{leftovers.PREFIX}{name}").mkdir()
    assert leftovers.clear() is None


@pytest.mark.machine
def test_a_link_that_is_called_like_a_run_is_left_alone(base: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    (base / f"{leftovers.PREFIX}{ended()}-link").symlink_to(tmp_path)
    assert leftovers.clear() is None
    assert (tmp_path / "precious").exists()
