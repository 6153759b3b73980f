"""The load on a real lab: what its blocks say of a small design, and what becomes of those that the machine spoiled."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.solutions import GOOD, SERVER, START, temporary_folder, write_solution

from crucible.check import Measure, Suite
from crucible.evidence import Evidence
from crucible.judging import blocks
from crucible.judging.judge import judge
from crucible.planning import challenges
from crucible.planning.manifest import KNEE_P99_MS
from crucible.planning.plan import LoadLimit, LoadPlan, Plan, make_plan
from crucible.planning.prices import read_prices
from crucible.planning.solution import read_solution
from crucible.run import run

pytestmark = pytest.mark.machine

CHALLENGE = challenges.find("rate-limiter", {}, where="tests")
SUITE = CHALLENGE.suite
CONTACT = Suite(tuple(scenario for scenario in SUITE.scenarios if scenario.phase == "contact"), ())


class Silent:
    def plan(self, plan: Plan, cleared: str | None) -> None: ...

    def step(self, what: str, estimate_s: float | None = None) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def observed(self, sofar: Evidence) -> None: ...


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as path:
        yield path


def offered(
    folder: Path, load: LoadPlan, program: str = GOOD, challenge: challenges.Challenge = CHALLENGE, **changes: object
) -> Evidence:
    """What a run records that makes contact, offers `load`, and does nothing else."""
    solution = read_solution(write_solution(folder / "s", program), {})
    solution = replace(solution, challenge=challenge)
    plan = replace(make_plan(solution, CONTACT, seed=1, profile="side-project"), load=load, **changes)  # type: ignore[arg-type]
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder)}
    return asyncio.run(run(plan, folder / "logs", environ, Silent()))


def test_blocks_say_what_was_offered_what_came_of_it_and_what_it_took(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "spoiled", lambda **_: None)  # this machine may be busy with other things
    evidence = offered(folder, LoadPlan((60.0,), 3, 1.0, ramp=False))
    assert [block.rate for block in evidence.own.load if block.spoiled is None] == [60] * 3
    for block in evidence.own.load:
        assert block.answered + block.unanswered == sum(block.outcomes.values()) > 30
        assert set(block.outcomes) <= {"allowed", "refused"}
        assert block.process_cpu_s["web"] > 0
        assert block.memory_bytes["web"] > 1_000_000
        assert (block.service_cpu_s, block.round_trips) == ({}, {})
        assert 0.9 < block.seconds < 1.5
        assert 1 < block.pace_us < 5_000
    found = {measure.axis: measure for measure in blocks.measures(evidence.own.load, 60)}
    assert 0 < found["latency_p50_ms"].value < 100
    assert {recording.scenario for recording in evidence.own.recordings} == {"contact", "load"}


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("address", ["::1", "::"])
def test_load_finds_who_listens_on_ipv6(folder: Path, address: str) -> None:
    program = SERVER + "Server.address_family = socket.AF_INET6\n" + START.replace("127.0.0.1", address)
    evidence = offered(folder, LoadPlan((50.0,), 1, 0.5, ramp=False), "import socket\n" + program)
    assert sum(block.answered for block in evidence.own.load) > 10


def test_a_ramp_ends_where_the_design_no_longer_keeps_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is held for 16 ms answers at most 62 requests per second on each of two replicas."""
    monkeypatch.setattr("crucible.load.offer.RAMP_S", 0.5)
    slow = GOOD.replace("status, body = check(self.body())", "time.sleep(0.016); status, body = check(self.body())")
    evidence = offered(folder, LoadPlan((30.0,), 3, 1.0, ramp=True), slow)
    knee = blocks.knee(evidence.own.load, evidence.own.ramp, KNEE_P99_MS)
    assert knee is not None
    assert knee.held <= 125
    assert knee.failed is None or knee.failed <= 250


def test_a_process_that_dies_under_load_is_told_and_its_requests_are_unanswered(folder: Path) -> None:
    dying = GOOD.replace(
        "status, body = check(self.body())",
        'status, body = check(self.body())\n            self.server.n = getattr(self.server, "n", 0) + 1\n'
        "            self.server.n > 40 and os._exit(7)",
    )
    evidence = offered(folder, LoadPlan((60.0,), 3, 1.0, ramp=False), dying)
    assert any(event.kind == "died" for recording in evidence.own.recordings for event in recording.events)
    assert sum(block.unanswered for block in evidence.own.load) > 30
    assert blocks.measures(evidence.own.load, 60) == ()


def test_a_spoiled_block_is_repeated_and_then_nothing_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_LAG_MS", 0.0)
    evidence = offered(folder, LoadPlan((50.0,), 3, 0.5, ramp=False))
    assert len(evidence.own.load) == 6
    judged = judge(evidence, CHALLENGE.manifest, SUITE, read_prices())
    assert judged.fit is not None
    assert not {"latency_p99_ms", "cpu_s_per_1000"} & {measure.axis for measure in judged.positions}
    assert "6 of 6 blocks of load were spoiled" in str(blocks.why_none(evidence.own.load, 50))


@pytest.mark.parametrize(("at_most", "sent"), [(2.0, 8), (4.0, 3), (0.5, 3)])
def test_more_blocks_are_sent_where_a_limit_lies_between_those_that_were(
    folder: Path, monkeypatch: pytest.MonkeyPatch, at_most: float, sent: int
) -> None:
    monkeypatch.setattr(blocks, "spoiled", lambda **_: None)
    monkeypatch.setattr(blocks, "measures", lambda load, rate: (Measure("latency_p99_ms", 2, 1, 3, 90),))
    limits = (LoadLimit(50.0, "latency_p99_ms", at_most), LoadLimit(60.0, "latency_p99_ms", 2.0))
    assert len(offered(folder, LoadPlan((50.0,), 3, 0.2, ramp=False, limits=limits)).own.load) == sent


def test_each_number_of_replicas_has_a_lab_of_its_own(folder: Path) -> None:
    load = LoadPlan((40.0,), 3, 0.5, ramp=False)
    solution = read_solution(write_solution(folder / "s"), {})
    four = replace(make_plan(solution, CONTACT, seed=1, profile="edge-shield"), load=load)
    evidence = offered(folder, load, others=(four,))
    part = evidence.part(4)
    assert part is not None
    assert ({block.replicas for block in part.load}, part.replicas) == ({4}, 4)
    assert {usage.instances for usage in part.usage} == {4}
    assert (folder / "logs" / "4-replicas" / "web.3.log").is_file()
    assert evidence.part(3) is None


def test_a_load_file_that_fails_loses_nothing_and_is_the_authors(folder: Path) -> None:
    broken = folder / "hidden" / "load.py"
    broken.parent.mkdir()
    broken.write_text("raise RuntimeError\n")
    challenge = replace(CHALLENGE, folder=folder)
    evidence = offered(folder, LoadPlan((50.0,), 3, 0.5, ramp=False), challenge=challenge)
    problem = evidence.own.recordings[-1].problem
    assert problem is not None
    assert problem.kind == "author"
    assert evidence.own.recordings[0].ops
