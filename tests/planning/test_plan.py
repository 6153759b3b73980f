"""What will run, decided from records alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.evidence_builder import AGREES, CONTACT, HOLDS, RACE, STEADY, suite
from support.evidence_builder import challenge as build_challenge

from crucible.check import Scenario, Suite
from crucible.planning import challenges
from crucible.planning.defaults import Deadlines
from crucible.planning.names import UnknownNameError
from crucible.planning.plan import Instance, LoadLimit, LoadPlan, Plan, make_plan, minutes, rests_on
from crucible.planning.solution import ProcessType, Solution

LATE = replace(STEADY, id="late", phase="fault", estimate_s=7)
BESIDE = replace(STEADY, id="beside", estimate_s=9)


def solution(**changes: object) -> Solution:
    plain = Solution(
        folder=Path("/nonexistent"),
        challenge=build_challenge(),
        processes={"web": ProcessType("serve"), "worker": ProcessType("work", 3), "clock": ProcessType("tick")},
        build=None,
        services=("redis",),
        declares={},
        profile=None,
        predictions={},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_profile_decides_how_many_answer_and_the_solution_how_many_work() -> None:
    plan = make_plan(solution(), suite(), seed=1, profile="edge-shield")
    assert [i.name for i in plan.instances] == [
        "web.0", "web.1", "web.2", "web.3", "worker.0", "worker.1", "worker.2", "clock.0",
    ]  # fmt: skip
    assert plan.replicas == 4
    assert [i.answers_http for i in plan.instances] == [True] * 4 + [False] * 4
    assert plan.instances[4] == Instance("worker", 0, "work")


def test_contact_comes_first_and_faults_come_last() -> None:
    scenarios = (LATE, STEADY, RACE, CONTACT, BESIDE)
    checks = (replace(HOLDS, scenarios=("late", "race", "steady", "beside")),)
    plan = make_plan(solution(), Suite(scenarios, checks), seed=1)
    assert [s.id for s in plan.scenarios] == ["contact", "race", "steady", "beside", "late"]


def test_steady_scenarios_take_the_time_of_the_longest() -> None:
    scenarios = (CONTACT, RACE, STEADY, BESIDE, LATE)
    checks = (replace(HOLDS, scenarios=tuple(s.id for s in scenarios)),)
    assert make_plan(solution(), Suite(scenarios, checks), seed=1).in_one_lab.estimate_s == 1 + 4 + 16 + 7
    assert make_plan(solution(), Suite((CONTACT,), ()), seed=1).estimate_s == 1


def beside(*scenarios: Scenario) -> tuple[float, tuple[str, ...]]:
    checks = (replace(HOLDS, scenarios=tuple(s.id for s in scenarios)),)
    plan = make_plan(solution(), Suite(scenarios, checks), seed=1)
    return plan.estimate_s, plan.beside


def test_a_second_lab_sees_the_last_faults_where_that_saves_enough() -> None:
    faults = [replace(LATE, id=f"fault-{seconds}", estimate_s=seconds) for seconds in (6, 7, 8)]
    assert beside(CONTACT, STEADY, *faults) == (6 + 7 + 8, ("fault-6", "fault-7", "fault-8"))
    assert beside(CONTACT, replace(STEADY, estimate_s=2), *faults) == (7 + 8, ("fault-7", "fault-8"))
    assert beside(CONTACT, replace(STEADY, estimate_s=4), replace(LATE, estimate_s=7)) == (1 + 4 + 7, ())
    assert beside(CONTACT, STEADY) == (1 + 16, ())


def test_what_goes_on_with_another_scenario_stays_with_it() -> None:
    faults = [replace(LATE, id="fault", estimate_s=9), replace(LATE, id="again", estimate_s=3, after="steady")]
    assert beside(CONTACT, STEADY, *faults) == (1 + 16 + 3, ("fault",))


def test_a_scenario_that_no_chosen_check_needs_is_left_out() -> None:
    plan = make_plan(solution(), suite(), seed=1, checks=["T-1"])
    assert [s.id for s in plan.scenarios] == ["contact", "race"]
    assert [c.id for c in plan.checks] == ["T-1"]


def test_a_scenario_of_the_other_mode_is_left_out() -> None:
    full_only = replace(STEADY, modes=frozenset({"full"}))
    both = Suite((CONTACT, RACE, full_only), (HOLDS, AGREES))
    assert [s.id for s in make_plan(solution(), both, seed=1).scenarios] == ["contact", "race"]
    assert [s.id for s in make_plan(solution(), both, seed=1, mode="full").scenarios] == ["contact", "race", "steady"]


@pytest.mark.parametrize("names", [["T-2"], ["t-2"], ["replicas-agree"], ["T-2", "replicas-agree", "t-2"]])
def test_a_check_is_found_by_its_id_or_name_and_taken_once(names: list[str]) -> None:
    assert make_plan(solution(), suite(), seed=1, checks=names).checks == (AGREES,)


def test_without_a_name_every_check_is_asked() -> None:
    assert make_plan(solution(), suite(), seed=1).checks == (HOLDS, AGREES)


@pytest.mark.parametrize(
    ("own", "asked", "profile", "chosen"),
    [
        (None, None, "paid-quota", False),
        ("public-api", None, "public-api", True),
        ("public-api", "edge-shield", "edge-shield", True),
    ],
)
def test_the_command_line_goes_before_the_file(own: str | None, asked: str | None, profile: str, chosen: bool) -> None:
    plan = make_plan(solution(profile=own), suite(), seed=1, profile=asked)
    assert (plan.profile.id, plan.profile_chosen) == (profile, chosen)


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"no check `T-9`; there are: T-1 \(holds-in-a-race\), T-2"):
        make_plan(solution(), suite(), seed=1, checks=["T-1", "T-9"])
    with pytest.raises(UnknownNameError, match="no profile `x`; there are: paid-quota, side-project"):
        make_plan(solution(), suite(), seed=1, profile="x")


def test_what_is_asked_for_is_in_the_plan() -> None:
    plan = make_plan(solution(), suite(), seed=7, mode="full", network_ms=3, deadlines=Deadlines(1, 2))
    assert (plan.seed, plan.mode, plan.network_ms, plan.deadlines) == (7, "full", 3, Deadlines(1, 2))


def full(profile: str = "paid-quota", **changes: object) -> Plan:
    axes = replace(HOLDS, axes=("long_run_ratio",)), AGREES
    return make_plan(solution(**changes), suite(*axes), seed=1, profile=profile, mode="full", loaded=True)


def test_a_quick_grade_offers_load_at_the_rate_of_its_profile_alone() -> None:
    plan = make_plan(solution(), suite(), seed=1, profile="side-project", loaded=True)
    assert plan.load is not None
    assert replace(plan.load, limits=()) == LoadPlan((50,), 3, 3.0, ramp=False)
    assert plan.others == ()


def test_a_full_grade_offers_load_at_the_rate_of_every_profile_with_as_many_replicas_and_raises_it() -> None:
    two, four = full().load, full("edge-shield").load
    assert two is not None
    assert four is not None
    assert replace(two, limits=()) == LoadPlan((50, 200), 5, 5.0, ramp=True)
    assert LoadLimit(200, "latency_p99_ms", 20) in two.limits
    assert replace(four, limits=()) == LoadPlan((600,), 5, 5.0, ramp=True)


def test_a_full_grade_also_runs_what_profiles_with_other_replicas_rest_on_and_no_more() -> None:
    (four,) = full().others
    assert (four.replicas, four.profile.id) == (4, "edge-shield")
    assert [check.id for check in four.checks] == ["T-1"]
    assert [scenario.id for scenario in four.scenarios] == ["contact", "race"]
    assert four.load is not None
    assert replace(four.load, limits=()) == LoadPlan((600,), 5, 5.0, ramp=False)
    assert four.others == ()
    assert full().estimate_s > four.estimate_s


def test_named_checks_are_run_alone() -> None:
    plan = make_plan(solution(), suite(), seed=1, checks=["T-1"], mode="full", loaded=True)
    assert (plan.load, plan.others) == (None, ())


def test_a_challenge_without_a_load_has_none() -> None:
    plan = make_plan(solution(), suite(), seed=1, mode="full")
    assert plan.load is None
    assert [other.load for other in plan.others] == [None]


def test_the_minutes_of_a_job_are_those_of_its_plan_and_what_a_job_takes_besides() -> None:
    challenge = challenges.find("rate-limiter", {}, where="tests")
    without = challenges.Challenge(Path("/nonexistent"), challenge.manifest)
    vars(without)["suite"] = challenge.suite
    loaded, bare = minutes(challenge), minutes(without)
    assert set(loaded) == {"quick", "full", "compare"}
    assert 2 <= bare["quick"] <= loaded["quick"] < loaded["full"] < 15
    assert loaded["quick"] < loaded["compare"] < 20


def test_what_a_profile_limits_rests_on_checks_alone_or_on_everything() -> None:
    challenge = challenges.find("upload-store", {}, where="tests")
    found = {profile.id: rests_on(profile, challenge.suite) for profile in challenge.manifest.profiles}
    assert found == {
        "profile-pictures": (),  # the load measures the first byte
        "legal-documents": ("UP-9",),
        "video-drafts": (),  # one by a check, and one by the load
    }
