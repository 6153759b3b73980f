"""Two grades at once on one machine: neither takes anything from the other."""

from pathlib import Path

import pytest
from support.solutions import (
    DEADLINE_S,
    GOOD,
    Finished,
    crucible,
    left_behind,
    start_crucible,
    temporary_folder,
    write_solution,
)

from crucible.evidence import ENDINGS, from_json

pytestmark = pytest.mark.machine

BUILD = "sleep 1 && echo built > built.txt"


def mishaps(folder: Path) -> list[str]:
    """What happened to the processes of a grade that it did not do itself."""
    part = from_json(folder / ".crucible" / "evidence.json").own
    events = [event for recording in part.recordings for event in recording.events]
    return [*part.bypasses, *(it.kind for it in events if it.kind in ENDINGS | {"restarted"})]


@pytest.mark.parametrize("same", [True, False])
def test_two_grades_at_once_take_nothing_from_each_other(tmp_path: Path, same: bool) -> None:
    """Of the same solution, whose build one of them waits for, and of two; with a service and restarts each."""
    programs = (GOOD, GOOD if same else GOOD + "# another one\n")
    folders = [
        write_solution(tmp_path / f"s{i}", program, build=BUILD, services="[redis]")
        for i, program in enumerate(programs)
    ]
    with temporary_folder() as base:
        environ = {"TMPDIR": str(base), "XDG_CACHE_HOME": str(base / "cache")}
        (base / "cache").mkdir()
        running = [start_crucible("grade", str(it), "--check", "RL-13", **environ) for it in folders]
        done = [(it.communicate(timeout=DEADLINE_S), it.returncode) for it in running]
        assert left_behind(base) == []
    for (out, err), code in done:
        assert code == 0, out + err
    for folder in folders:
        assert mishaps(folder) == []


def test_a_grade_that_ends_while_another_runs_leaves_it_alone(tmp_path: Path) -> None:
    """What it clears away when it begins, and when it ends, is its own."""
    long, short = write_solution(tmp_path / "long"), write_solution(tmp_path / "short", services="[redis]")
    with temporary_folder() as base:
        environ = {"TMPDIR": str(base)}
        running = start_crucible("grade", str(long), "--check", "RL-13", "--check", "RL-11", **environ)
        shorts: list[Finished] = []
        while running.poll() is None and len(shorts) < 4:
            shorts.append(crucible("grade", str(short), "--check", "RL-13", **environ))
        (out, err), code = running.communicate(timeout=DEADLINE_S), running.returncode
        assert left_behind(base) == []
    assert code in (0, 4), out + err  # a machine so busy may leave open what was measured
    assert mishaps(long) == []
    assert shorts
    for it in shorts:
        assert it.code == 0, it.out + it.err
