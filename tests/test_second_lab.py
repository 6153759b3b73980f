"""Two labs side by side: who sees what, and what becomes of it where there is no second one."""

import asyncio
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.peers import unused_port
from support.solutions import SERVER, START, left_behind, temporary_folder, write_solution
from test_run_load import Silent

from crucible import services
from crucible.errors import CrucibleError
from crucible.evidence import Attempt, Evidence, Part, Recording
from crucible.planning import challenges
from crucible.planning.plan import make_plan
from crucible.planning.solution import read_solution
from crucible.run import run
from crucible.second import first
from crucible.second.records import Seen

pytestmark = pytest.mark.machine

SUITE = """
import os, signal, sys
from crucible.check import Call, Check, Finding, Outcome, Scenario, Suite

IS_SECOND = "crucible.second.child" in " ".join(sys.orig_argv)
if IS_SECOND and os.path.exists(FOLDER + "/breaks"):
    raise RuntimeError("it breaks")

async def contact(lab, rng):
    await lab.call(Call("web.0", "PUT", "/v1/limits/a", {"limit": 5, "window_ms": 60_000}, "put"))

async def here(lab, rng):
    lab.note("here", os.getpid())

async def there(lab, rng):
    lab.note("there", os.getpid())
    lab.note("asked", [op.name for op in lab.recorded("contact")])
    await lab.kill("web.1")
    if IS_SECOND and os.path.exists(FOLDER + "/ends"):
        os.kill(os.getpid(), signal.SIGKILL)

async def last(lab, rng):
    await lab.call(Call("web.0", "GET", "/v1/limits/a", None, "get"))
    lab.note("last", os.getpid())

SCENARIOS = (
    Scenario("contact", "contact", contact, 10, 1), Scenario("here", "fault", here, 10, 9),
    Scenario("there", "fault", there, 10, 9), Scenario("last", "fault", last, 10, 1, after="contact"),
)
SUITE = Suite(SCENARIOS, (
    Check("T-1", "all", "It answers.", "Does it?", True, tuple(it.id for it in SCENARIOS),
          lambda history: Finding(Outcome.PASS, "all was answered", evidence={"requests": 1})),
))
"""
ONLY_ONCE = """
import socket
if os.environ["INSTANCE_ID"] == "web.0":
    held = socket.create_server(("127.0.0.1", ONLY))
"""
"""Statements that end the process where another one has run them."""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with temporary_folder() as path:
        monkeypatch.setattr(tempfile, "tempdir", str(path))
        challenge = shutil.copytree(challenges.find("rate-limiter", {}, where="tests").folder, path / "rate-limiter")
        (challenge / "hidden" / "checks.py").write_text(SUITE.replace("FOLDER", repr(str(path))))
        yield path


def graded(folder: Path, program: str = SERVER + START, place: Path | None = None) -> Evidence:
    environ = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder),
        "CRUCIBLE_CHALLENGES": str(folder),
    }  # fmt: skip
    solution = read_solution(place or write_solution(folder / "s", program), environ)
    plan = make_plan(solution, solution.challenge.suite, seed=1, profile="side-project")
    found = asyncio.run(run(plan, folder / "logs", environ, Silent()))
    assert [it for it in left_behind(folder) if not it.startswith(f"{os.getpid()} ")] == []
    return found


def the(evidence: Evidence, scenario: str) -> Recording:
    return next(it for it in evidence.own.recordings if it.scenario == scenario)


def test_each_lab_has_its_own_scenarios_and_one_clock(folder: Path) -> None:
    evidence = graded(folder)
    assert (evidence.own.beside.scenarios if evidence.own.beside else ()) == ("there",)
    places = [the(evidence, name).facts[name] for name in ("here", "there", "last")]
    assert places[0] == places[2] != places[1]
    assert the(evidence, "there").facts["asked"] == ["put"]
    assert [event.kind for event in the(evidence, "there").events] == ["kill"]
    assert the(evidence, "last").events == ()
    assert [op.status for op in the(evidence, "last").ops] == [200]
    assert the(evidence, "there").started_ns > the(evidence, "contact").ended_ns
    assert "one lab" not in " ".join(evidence.notes)
    assert (folder / "logs" / "second-lab" / "web.0.log").is_file()


def test_a_folder_may_be_named_from_where_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_solution(folder / "s", SERVER + START)
    monkeypatch.chdir(folder / "s")
    evidence = graded(folder, place=Path())
    assert (evidence.own.beside.scenarios if evidence.own.beside else ()) == ("there",)


def test_a_second_lab_that_fails_says_so_and_the_first_sees_everything(folder: Path) -> None:
    (folder / "breaks").touch()
    evidence = graded(folder)
    assert [it.scenario for it in evidence.own.recordings] == ["contact", "here", "there", "last"]
    assert any("the second one ended early: the suite cannot be imported" in note for note in evidence.notes)


def test_a_design_that_can_be_there_only_once_is_seen_in_one_lab(folder: Path) -> None:
    evidence = graded(folder, SERVER + ONLY_ONCE.replace("ONLY", str(unused_port())) + START)
    assert evidence.own.beside is None
    assert [it.scenario for it in evidence.own.recordings] == ["contact", "here", "there", "last"]
    (note,) = [note for note in evidence.notes if note.startswith("everything ran in one lab: ")]
    assert "the second one did not come up: web.0 ended with status 1" in note


def test_what_a_second_lab_that_ended_early_has_not_seen_is_seen_by_the_first(folder: Path) -> None:
    (folder / "ends").touch()
    evidence = graded(folder)
    assert [it.scenario for it in evidence.own.recordings] == ["contact", "here", "there", "last"]
    assert the(evidence, "there").facts["there"] == the(evidence, "here").facts["here"]
    assert "everything ran in one lab: the second one ended early" in evidence.notes


def test_there_is_one_lab_where_memory_is_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first, "ROOM_BYTES", 1 << 60)
    evidence = graded(folder)
    assert evidence.own.beside is None
    assert any("MiB of memory were free" in note for note in evidence.notes)


def test_a_server_that_is_missing_is_told_before_there_is_a_second_lab(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "find", lambda name, environ: None)
    with pytest.raises(CrucibleError, match="no server for"):
        graded(folder, place=write_solution(folder / "s", SERVER + START, services="[redis]"))


def test_what_its_sink_has_heard_counts_before_it_has_ended() -> None:
    async def work() -> tuple[Attempt, ...]:
        second = first.Second()
        call = Attempt(0, "/job/events", None, {"event_id": 1}, 5, 200, effect=True, why="delivered", answered_ns=6)
        recording = Recording("s", "fault", 0, 9, (), (), {}, None, 0.0)
        second._untold = [pickle.dumps(Seen((recording,), (call,)))]
        second.look()
        return first.with_second(Part(2, (), ()), second).attempts_of(["s"])

    assert [it.path for it in asyncio.run(work())] == ["/job/events"]
