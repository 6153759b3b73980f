"""A grade that is ended at any moment leaves nothing running, nothing half written, and the solution as it was."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from support.peers import eventually
from support.solutions import (
    GOOD,
    START,
    crucible,
    hides,
    left_behind,
    listing,
    sleeping,
    start_crucible,
    temporary_folder,
)
from support.solutions import write_solution as write
from support.valkey import rules, somebodys_valkey

from crucible import evidence
from crucible.lab.leftovers import PREFIX

pytestmark = pytest.mark.machine

RNG = Random(20)
BOOTING = [round(RNG.uniform(0.1, 1.5), 2) for _ in range(3)]
GRADING = [round(RNG.uniform(1.5, 6.0), 2) for _ in range(2)]
"""Seconds after the start: while it starts the services, and while it grades."""
HITS = [
    (moment, RNG.choice([signal.SIGINT, signal.SIGTERM]), index % 2 == 1)
    for index, moment in enumerate([*BOOTING, *GRADING, GRADING[1]])
]
HIDDEN_S = f"4718.{os.getpid()}"


@pytest.fixture
def base() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


def solution(base: Path) -> Path:
    """One that uses both services, builds, and has a child in a session of its own."""
    program = GOOD.replace(START, hides(HIDDEN_S) + START)
    folder = write(base / "s", program, services="[redis, postgres]", build="sleep 0.2")
    (folder / ".crucible").mkdir()
    return folder


def interrupted(
    folder: Path, runs: Path, moment: float, sign: signal.Signals, *, group: bool = False
) -> tuple[int, str]:
    """Hit a grade after `moment` seconds; its exit code and what it said."""
    process = start_crucible(
        "grade", str(folder), TMPDIR=str(runs), XDG_CACHE_HOME=str(folder.parent / "cache"),
    )  # fmt: skip
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(moment)
        (os.killpg if group else os.kill)(process.pid, sign)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, out + err


def results_are_whole(folder: Path) -> None:
    results = folder / ".crucible"
    for name in ("result.json", "evidence.json"):
        if (results / name).exists():
            json.loads((results / name).read_bytes())
    if (results / "evidence.json").exists():
        evidence.from_json(results / "evidence.json")
    assert [path.name for path in results.iterdir() if path.name.startswith(".") and path.name != ".gitignore"] == []


@pytest.mark.parametrize(("moment", "sign", "group"), HITS)
def test_an_interrupted_grade_cleans_up_after_itself(
    base: Path, moment: float, sign: signal.Signals, group: bool
) -> None:
    folder = solution(base)
    before = listing(folder)
    runs = base / "runs"
    runs.mkdir(mode=0o711)
    code, said = interrupted(folder, runs, moment, sign, group=group)
    assert left_behind(runs) + sleeping(HIDDEN_S) == []
    assert code in (130, -sign)  # the interpreter itself may not have been up yet
    if code == 130:
        assert "Traceback" not in said
        assert "interrupted" in said
    assert listing(folder) == before
    results_are_whole(folder)
    assert not (folder / ".crucible" / "result.json").exists()


@pytest.mark.parametrize("moment", [BOOTING[0], GRADING[1]])
def test_a_killed_grade_is_cleared_up_at_once(base: Path, moment: float) -> None:
    """The process that the user sees is the warden: the kernel tells the grader that it is gone."""
    folder = solution(base)
    before = listing(folder)
    runs = base / "runs"
    runs.mkdir(mode=0o711)
    interrupted(folder, runs, moment, signal.SIGKILL)
    eventually(lambda: left_behind(runs) + sleeping(HIDDEN_S) == [], 10, "the end of everything")
    assert listing(folder) == before
    results_are_whole(folder)


@pytest.mark.parametrize("moment", [*BOOTING, GRADING[1]])
def test_what_a_group_that_was_killed_left_is_cleared_by_the_next_start(base: Path, moment: float) -> None:
    folder = solution(base)
    before = listing(folder)
    runs = base / "runs"
    runs.mkdir(mode=0o711)
    interrupted(folder, runs, moment, signal.SIGKILL, group=True)
    begun = list(runs.glob(f"{PREFIX}*"))  # Python itself tries a temporary folder by a file of its own
    next_one = write(base / "next", build="exit 7")
    again = crucible("grade", str(next_one), TMPDIR=str(runs), XDG_CACHE_HOME=str(base / "cache"))
    assert "the build ended with status 7" in again.err
    assert ("cleared what an interrupted grade had left" in again.out) is bool(begun)
    assert left_behind(runs) + sleeping(HIDDEN_S) == []
    assert listing(folder) == before
    results_are_whole(folder)


def test_firewall_rules_that_a_killed_group_left_are_lifted_by_the_next_start(base: Path) -> None:
    runs = base / "runs"
    runs.mkdir(mode=0o711)
    places = {"TMPDIR": str(runs), "XDG_CACHE_HOME": str(base / "cache")}
    with somebodys_valkey() as port:
        folder = write(base / "s", services="[redis]")
        process = start_crucible("grade", str(folder), **places, CRUCIBLE_REDIS_URL=f"redis://127.0.0.1:{port}")
        try:
            eventually(lambda: list(runs.glob("*/work/web.0")), 60, "the start of the solution")
            os.killpg(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            process.communicate()
    (run,) = runs.iterdir()
    assert bool(rules(run.name)) is (os.geteuid() == 0 and shutil.which("iptables") is not None)
    crucible("grade", str(write(base / "next", build="exit 7")), **places)
    assert rules(run.name) == []
    assert left_behind(runs) == []


def test_an_impatient_second_interruption_changes_nothing(base: Path) -> None:
    folder = solution(base)
    runs = base / "runs"
    runs.mkdir(mode=0o711)
    process = start_crucible("grade", str(folder), TMPDIR=str(runs), XDG_CACHE_HOME=str(base / "cache"))
    eventually(lambda: list(runs.glob("*/services/postgres/data/PG_VERSION")), 30, "the start of PostgreSQL")
    for _ in range(5):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.002)  # signals that wait for delivery are merged into one
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines() == ["interrupted: nothing was graded, and everything that was started has been ended"]
    assert left_behind(runs) == []


def test_an_earlier_result_stays_or_goes_but_is_never_half(base: Path) -> None:
    folder = solution(base)
    (folder / ".crucible" / "result.json").write_text('{"old": true}')
    runs = base / "runs"
    runs.mkdir(mode=0o711)
    interrupted(folder, runs, GRADING[1], signal.SIGTERM)
    assert json.loads((folder / ".crucible" / "result.json").read_text()) == {"old": True}
