"""The grader as root: what passes between the step and it, and a whole step of a user for whom `sudo` asks nothing.

Where this machine has no such `sudo`, or the tests are root already, a stand-in takes its place that keeps no
environment either, and makes nobody root.
"""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.peers import eventually
from support.solutions import SERVER, START, left_behind, temporary_folder, write_solution
from support.users import nobody_special

from crucible.github import actions, as_root, grader
from crucible.github.as_root import pack, unpack

ENVIRON = {"PATH": "/bin", "EMPTY": "", "LINES": "a\nb=c\n", "SECRET": "s3cr3t", "BYTES": os.fsdecode(b"\xff")}
STAND_IN = """#!/bin/sh
[ "$1" = -n ] || exit 1
[ "$2" = true ] && exit 0
[ "$2" = -- ] || exit 1
shift 2
printf '%s\\n' "$@" > "{base}/arguments"
exec env -i "$@"
"""
SAYS_WHAT_IT_GETS = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
UNTOUCHED = SERVER + (
    "def begin(self):\n"
    "    self.body()\n"
    "    self.answer(200 if self.path == '/healthz' else 501, {})\n"
    "Handler.do_GET = Handler.do_PUT = Handler.do_POST = begin\n" + START
)
"""What is not begun is soon graded."""
WAITS = """
import signal, sys, time
def stop(*_): print("cleared away", flush=True); sys.exit(130)
signal.signal(signal.SIGINT, stop); print("ready", flush=True); time.sleep(60)
"""


@dataclass(frozen=True)
class Runner:
    """A runner whose user is not root, in a folder of its own."""

    base: Path

    @property
    def environ(self) -> dict[str, str]:
        runner = {
            "GITHUB_WORKSPACE": "workspace",
            "GITHUB_OUTPUT": "temp/_runner_file_commands/output",
            "GITHUB_STEP_SUMMARY": "temp/_runner_file_commands/summary",
            "RUNNER_TEMP": "temp",
            "TMPDIR": "tmp",
            "HOME": "home",
            "XDG_CACHE_HOME": "home/cache",
        }
        places = {name: str(self.base / place) for name, place in runner.items()}
        return places | {"PATH": f"{self.base / 'bin'}:{os.environ['PATH']}", "GITHUB_TOKEN": "t0k3n", "MINE": "s3cr3t"}

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", "import sys; from crucible.github import actions; sys.exit(actions.main())"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=nobody_special(self.base),
        )

    @property
    def folder(self) -> Path:
        return next((self.base / "temp").glob("crucible-*/evidence"))


@pytest.fixture
def runner() -> Iterator[Runner]:
    with temporary_folder() as base:
        for name in ("workspace", "temp/_runner_file_commands", "tmp", "home", "bin"):
            (base / name).mkdir(parents=True)
        may = subprocess.run(["sh", "-c", "sudo -n true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if os.geteuid() == 0 or may.returncode != 0:
            stand_in = base / "bin" / "sudo"
            stand_in.write_text(STAND_IN.format(base=base))
            stand_in.chmod(0o755)
        yield Runner(base)


def pipe(content: bytes) -> tuple[io.FileIO, int]:
    """What can be read of `content`, and the end that keeps it from ending."""
    reading, writing = os.pipe()
    os.write(writing, content)
    return io.FileIO(reading), writing


def end_the_step(writing: int) -> None:
    """Close the pipe, and wait until that has been noticed."""
    os.close(writing)
    for thread in threading.enumerate():
        if thread.name == as_root.LISTENER:
            thread.join(20)


def test_an_environment_is_read_as_it_was_written_and_no_further() -> None:
    source = io.BytesIO(pack(ENVIRON) + b"rest")
    assert unpack(source) == ENVIRON
    assert source.read() == b"rest"
    assert unpack(io.BytesIO(pack({}))) == {}


@pytest.mark.parametrize("length", [0, 1, 9, len(pack(ENVIRON)) - 1])
def test_an_environment_that_is_cut_off_starts_nothing(length: int) -> None:
    cut = io.BytesIO(pack(ENVIRON)[:length])
    assert as_root.main((), cut, ("/bin/sh", "-c", "exit 1")) == actions.INTERRUPTED


@pytest.mark.machine
def test_the_grader_gets_the_environment_that_was_sent_and_the_arguments(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    source, alive = pipe(pack(ENVIRON | {"XDG_CACHE_HOME": "/c"}))
    with source:
        code = as_root.main(("grade", "--quick"), source, (sys.executable, "-E", "-c", SAYS_WHAT_IT_GETS))
        end_the_step(alive)
    arguments, environ = json.loads(capfdbinary.readouterr().out)
    assert (code, arguments) == (0, ["grade", "--quick"])
    assert {name: environ[name] for name in (*ENVIRON, "XDG_CACHE_HOME")} == ENVIRON | {"XDG_CACHE_HOME": "/c"}
    assert "HOME" not in environ


@pytest.mark.machine
def test_the_end_of_the_step_interrupts_the_grader_which_is_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    source, alive = pipe(pack({}))
    ended: list[int] = []
    with source:
        step = threading.Thread(target=lambda: ended.append(as_root.main((), source, (sys.executable, "-c", WAITS))))
        step.start()
        said = ""

        def ready() -> bool:
            nonlocal said
            said += capfd.readouterr().out
            return "ready" in said

        eventually(ready, 20, "the start of the grader")
        os.close(alive)
        step.join(20)
    assert ended == [130]
    assert "cleared away" in capfd.readouterr().out


@pytest.mark.machine
def test_a_grader_that_is_killed_is_told_by_its_signal() -> None:
    source, alive = pipe(pack({}))
    with source:
        assert as_root.main((), source, ("/bin/sh", "-c", "kill -9 $$")) == 128 + signal.SIGKILL
        end_the_step(alive)


@pytest.mark.machine
def test_who_is_root_or_has_no_sudo_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert grader.sudo() == ()
    refuses = tmp_path / "sudo"
    refuses.write_text("#!/bin/sh\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert grader.sudo() == ()
    refuses.write_text("#!/bin/sh\nexit 0\n")
    assert grader.sudo() == ((str(refuses), "-n", "--") if sys.platform == "linux" else ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert grader.sudo() == ()


@pytest.mark.machine
def test_a_step_grades_through_sudo_and_leaves_readable_results(runner: Runner) -> None:
    """No secret is an argument, the step's own files are written by its user, and the results are there for it."""
    write_solution(runner.base / "workspace", UNTOUCHED)
    (runner.base / "temp" / "_runner_file_commands" / "output").touch()
    before = {path.name: path.stat() for path in (runner.base / "workspace").iterdir()}
    step = runner.start()
    said, _ = step.communicate(timeout=180)
    owner = (runner.base / "workspace").stat().st_uid
    assert step.returncode == 0, said
    assert "outcome<<" in (runner.base / "temp" / "_runner_file_commands" / "output").read_text()
    assert "Welcome" in (runner.base / "temp" / "_runner_file_commands" / "summary").read_text()
    assert {path.name for path in runner.folder.iterdir()} > {"result.json", "evidence.json", "summary.md", "logs"}
    assert {path.stat().st_uid for path in (runner.folder, *runner.folder.rglob("*"))} == {owner}
    assert {path.name: path.stat().st_mtime for path in (runner.base / "workspace").iterdir()} == {
        name: about.st_mtime for name, about in before.items()
    }
    if (runner.base / "arguments").exists():
        arguments = (runner.base / "arguments").read_text()
        assert f"--private={runner.base}/temp/_runner_file_commands" in arguments
        assert "crucible.github.as_root" in arguments
        assert "s3cr3t" not in arguments
        assert "t0k3n" not in arguments
    assert left_behind(runner.base / "tmp") == []


@pytest.mark.machine
def test_cancelling_a_step_reaches_a_grader_that_only_root_may_signal(runner: Runner) -> None:
    write_solution(runner.base / "workspace", "import time; time.sleep(4711)")
    step = runner.start()
    try:
        eventually(
            lambda: list((runner.base / "tmp").glob("crucible-run-*/work/web.1")), 60, "the start of the solution"
        )
        step.send_signal(signal.SIGINT)
        said, _ = step.communicate(timeout=60)
    finally:
        step.kill()
    assert step.returncode == actions.INTERRUPTED
    assert said.splitlines()[-1] == "::error title=Crucible::The grade was interrupted."
    assert "interrupted: nothing was graded, and everything that was started has been ended" in said
    assert left_behind(runner.base / "tmp") == []


@pytest.mark.machine
def test_a_step_that_is_killed_takes_its_grader_with_it(runner: Runner) -> None:
    write_solution(runner.base / "workspace", "import time; time.sleep(4711)")
    step = runner.start()
    try:
        eventually(
            lambda: list((runner.base / "tmp").glob("crucible-run-*/work/web.1")), 60, "the start of the solution"
        )
    finally:
        step.kill()
        step.communicate()
    eventually(lambda: left_behind(runner.base / "tmp") == [], 20, "the end of the grader")
