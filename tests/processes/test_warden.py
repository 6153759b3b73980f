"""The warden and its grader as two real processes, hit by signals."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.peers import eventually, gone

pytestmark = pytest.mark.machine

PREFACE = """
import os, signal, sys, time
from pathlib import Path
from crucible.processes import warden
from crucible.processes.child import Child
folder = Path(sys.argv[1])

def say(name, value=""):
    part = folder / f".{name}"
    part.write_text(str(value))
    part.rename(folder / name)

def clear():
    say("cleared")
"""
WAITS = """
def grader():
    child = Child.start(["/bin/sh", "-c", "setsid sleep 4717 & sleep 4717"], cwd=folder, log=folder / "log")
    say("child", child.pid)
    say("grader", os.getpid())
    try:
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        say("cleaning")
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            time.sleep(0.01)
        child.kill()
        say("clean")
        return 130
"""


@contextmanager
def guarded(folder: Path, grader: str = WAITS) -> Iterator["subprocess.Popen[str]"]:
    """A warden with that grader, in a process group of its own."""
    text = PREFACE + textwrap.dedent(grader) + "\nsys.exit(warden.guard(grader, clear))\n"
    process = subprocess.Popen(
        [sys.executable, "-c", text, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(folder: Path, name: str) -> int:
    """A number that the grader has written, once it has."""
    path = folder / name
    eventually(path.exists, 20, f"`{name}`")
    return int(path.read_text())


def sleepers(folder: Path) -> list[int]:
    """Living processes that stand in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("code", [0, 1, 3, 4])
def test_the_graders_exit_code_is_passed_on(tmp_path: Path, code: int) -> None:
    with guarded(tmp_path, f"def grader():\n    print('said')\n    return {code}\n") as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (code, "said\n", "")
    assert not (tmp_path / "cleared").exists()


def test_a_mistake_of_the_graders_own_is_shown(tmp_path: Path) -> None:
    with guarded(tmp_path, "def grader():\n    raise RuntimeError('a mistake')\n") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "RuntimeError: a mistake" in err


def test_a_killed_grader_leaves_nothing(tmp_path: Path) -> None:
    with guarded(tmp_path) as process:
        grader = told(tmp_path, "grader")
        eventually(lambda: len(sleepers(tmp_path)) >= 2, what="the children")
        os.kill(grader, signal.SIGKILL)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGKILL
    assert "the grader was ended by SIGKILL" in err
    assert (tmp_path / "cleared").exists()
    assert sleepers(tmp_path) == []


def test_a_grader_whose_warden_is_killed_stops_cleanly(tmp_path: Path) -> None:
    with guarded(tmp_path) as process:
        grader = told(tmp_path, "grader")
        process.kill()
        eventually(lambda: gone(grader), what="the end of the grader")
        assert (tmp_path / "clean").exists()
        eventually(lambda: sleepers(tmp_path) == [], what="the end of the children")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("to_group", [False, True], ids=["to-the-warden", "to-the-group"])
def test_an_interruption_is_passed_on_and_comes_back_as_130(
    tmp_path: Path, sign: signal.Signals, to_group: bool
) -> None:
    with guarded(tmp_path) as process:
        told(tmp_path, "grader")
        (os.killpg if to_group else os.kill)(process.pid, sign)
        eventually((tmp_path / "cleaning").exists, what="the clean-up")
        (os.killpg if to_group else os.kill)(process.pid, sign)  # an impatient second one changes nothing
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")
    assert (tmp_path / "clean").exists()
    assert sleepers(tmp_path) == []


def test_what_the_grader_forgets_the_warden_ends(tmp_path: Path) -> None:
    forgets = """
        def grader():
            if os.fork() == 0:
                os.setsid()
                os.chdir(folder)
                os.execvp("sleep", ["sleep", "4717"])
            return 0
    """
    with guarded(tmp_path, forgets) as process:
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert sleepers(tmp_path) == []
