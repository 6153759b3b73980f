"""Runs in which a process ends at its start, once or for good, and runs that a scenario gives up."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from support.solutions import SERVER, START, temporary_folder, write_solution
from test_run_load import Silent

from crucible.authoring import deaths
from crucible.check import Call, Check, Finding, History, Lab, Outcome, Scenario, Suite
from crucible.errors import CrucibleError
from crucible.evidence import Evidence, Recording
from crucible.judging.judge import judge
from crucible.judging.verdict import GradeOutcome
from crucible.planning import challenges
from crucible.planning.defaults import Deadlines
from crucible.planning.plan import LoadPlan, make_plan
from crucible.planning.prices import read_prices
from crucible.planning.solution import read_solution
from crucible.run import run

pytestmark = pytest.mark.machine

CHALLENGE = challenges.find("rate-limiter", {}, where="tests")
FALLS = """
starts = STATE + "/" + os.environ["INSTANCE_ID"]
with open(starts, "a") as file:
    file.write("x")
if os.path.getsize(starts) in FALLS_AT:
    raise SystemExit("ConnectionError: the store answered too late")
"""
"""Statements that end the process at its starts of these numbers."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as path:
        state = path / "state"
        state.mkdir()
        state.chmod(0o777)  # the solution's users count their starts in it
        yield path


def falling(folder: Path, *at: int) -> str:
    """A right solution whose processes end at their starts of these numbers."""
    return SERVER + FALLS.replace("STATE", repr(str(folder / "state"))).replace("FALLS_AT", repr(at)) + START


async def contact(lab: Lab, rng: Random) -> None:
    await lab.call(Call("web.0", "PUT", "/v1/limits/a", {"limit": 5, "window_ms": 60_000}, "put"))


async def restart(lab: Lab, rng: Random) -> None:
    await contact(lab, rng)
    await lab.kill("web.0")
    await lab.start("web.0")
    await contact(lab, rng)


async def kill(lab: Lab, rng: Random) -> None:
    await lab.kill("web.0")


async def hopeless(lab: Lab, rng: Random) -> None:
    await contact(lab, rng)
    lab.give_up("nothing ever arrived")


def holds(history: History) -> Finding:
    if all(op.status == 200 for op in history.ops) and history.ops:
        return Finding(Outcome.PASS, "all was answered", evidence={"requests": len(history.ops)})
    return Finding(Outcome.INCONCLUSIVE, "not all was answered")


def graded(
    folder: Path, program: str, *scenarios: Scenario, boot_s: float = 30, load: LoadPlan | None = None
) -> tuple[Evidence, Suite]:
    """What a run of these scenarios records, each of which has a gate of its own."""
    checks = tuple(
        Check(f"T-{i}", one.id, "It answers.", "Does it?", True, (one.id,), holds) for i, one in enumerate(scenarios)
    )
    suite = Suite(scenarios, checks)
    solution = read_solution(write_solution(folder / "s", program), {})
    plan = make_plan(solution, suite, seed=1, profile="side-project", deadlines=Deadlines(boot=boot_s))
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder)}
    return asyncio.run(run(replace(plan, load=load), folder / "logs", environ, Silent())), suite


def the(evidence: Evidence, scenario: str) -> Recording:
    return next(it for it in evidence.own.recordings if it.scenario == scenario)


CONTACT = Scenario("contact", "contact", contact, 10, 1)
RESTART = Scenario("restart", "fault", restart, 3, 1)
LATER = tuple(Scenario(name, "fault", contact, 10, 1) for name in ("later", "latest"))


def test_who_ends_at_a_later_start_is_started_again_and_the_scenario_keeps_its_time(folder: Path) -> None:
    evidence, _ = graded(folder, falling(folder, 2, 3, 4), CONTACT, RESTART, LATER[0])
    found = the(evidence, "restart")
    assert (found.problem, [op.status for op in found.ops]) == (None, [200, 200])
    assert [event.kind for event in found.events if event.subject == "web.0"][:3] == ["kill", "died", "restarted"]
    assert found.ended_ns - found.started_ns > 3e9
    assert deaths.of(History(found.ops, found.events, {}, 2, (), {})) == ()
    died = next(event for event in found.events if event.kind == "died")
    assert died.detail["log"] == "ConnectionError: the store answered too late\n"
    assert the(evidence, "later").problem is None


def test_what_was_seen_is_judged_of_a_solution_that_never_comes_back(folder: Path) -> None:
    evidence, suite = graded(folder, falling(folder, *range(2, 99)), CONTACT, RESTART, *LATER, boot_s=3)
    assert [it.scenario for it in evidence.own.recordings] == ["contact", "restart", "later"]
    problem = the(evidence, "restart").problem
    assert problem is not None
    assert problem.kind == "stopped"
    assert problem.what.startswith("web.0 ended with status 1 before it answered GET /healthz; it was started ")
    assert problem.what.endswith("(the last it printed: ConnectionError: the store answered too late)")
    verdict = judge(evidence, CHALLENGE.manifest, suite, read_prices())
    outcomes = [check.finding.outcome for check in verdict.checks]
    assert outcomes == [Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.NOT_RUN]
    assert verdict.outcome is GradeOutcome.FAILED
    assert "the store answered too late" in verdict.headline
    assert "the scenario `latest` did not run: web.0 ended" in verdict.checks[3].finding.what


def test_who_does_not_come_back_between_two_scenarios_fails_the_grade_without_any_load(folder: Path) -> None:
    killed = Scenario("killed", "race", kill, 10, 1)
    load = LoadPlan((50.0,), 3, 0.5, ramp=False)
    evidence, suite = graded(folder, falling(folder, *range(2, 99)), CONTACT, killed, *LATER, boot_s=3, load=load)
    assert [it.scenario for it in evidence.own.recordings] == ["contact", "killed", "load"]
    assert evidence.own.load == ()
    assert judge(evidence, CHALLENGE.manifest, suite, read_prices()).outcome is GradeOutcome.FAILED


def test_the_first_start_has_a_second_chance(folder: Path) -> None:
    evidence, _ = graded(folder, falling(folder, 1), CONTACT)
    assert the(evidence, "contact").problem is None


def test_who_cannot_be_started_at_all_is_told_soon(folder: Path) -> None:
    with pytest.raises(CrucibleError, match="ended with status 1 before it answered GET /healthz") as caught:
        graded(folder, falling(folder, *range(1, 99)), CONTACT, boot_s=60)
    assert "the store answered too late" in caught.value.excerpt


def test_nothing_runs_once_a_scenario_has_given_up_and_the_grade_does_not_pass(folder: Path) -> None:
    giving_up = Scenario("hopeless", "steady", hopeless, 10, 1)
    beside = Scenario("beside", "steady", contact, 10, 1)
    load = LoadPlan((50.0,), 3, 0.5, ramp=False)
    evidence, suite = graded(folder, SERVER + START, CONTACT, giving_up, beside, *LATER, load=load)
    assert [it.scenario for it in evidence.own.recordings] == ["contact", "hopeless", "beside"]
    assert (the(evidence, "hopeless").problem, evidence.own.load) == (None, ())
    verdict = judge(evidence, CHALLENGE.manifest, suite, read_prices())
    assert [check.finding.outcome for check in verdict.checks][1:] == [
        Outcome.PASS, Outcome.PASS, Outcome.NOT_RUN, Outcome.NOT_RUN,
    ]  # fmt: skip
    assert verdict.outcome is GradeOutcome.INCONCLUSIVE
    assert "nothing ever arrived" in verdict.headline


async def remembers(lab: Lab, rng: Random) -> None:
    lab.note("before", [op.name for op in lab.recorded("contact")])
    lab.note("never ran", len(lab.recorded("latest")))


def test_a_scenario_sees_what_an_earlier_one_asked(folder: Path) -> None:
    evidence, _ = graded(folder, SERVER + START, CONTACT, Scenario("remembers", "fault", remembers, 10, 1))
    assert the(evidence, "remembers").facts == {"before": ["put"], "never ran": 0}
