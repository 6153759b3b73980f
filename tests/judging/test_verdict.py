"""What is said of a run, and which exit code goes with it."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import evidence_builder as build

from crucible import schemas
from crucible.check import Finding, History, Measure, Outcome
from crucible.evidence import Evidence, Problem, Recording, Request
from crucible.judging import judge as judging
from crucible.judging import verdict
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import CheckResult, GradeOutcome, Verdict
from crucible.planning import challenges

OPEN_PROFILE: dict[str, Any] = {"profile": "public-api", "load": ()}


def judge(evidence: Evidence, *checks: Any) -> Verdict:
    return judging.judge(evidence, build.MANIFEST, build.suite(*checks), build.PRICES)


def of(found: Verdict, check: str) -> CheckResult:
    return next(result for result in found.checks if result.id == check)


def saying(finding: Any) -> Any:
    """The race's check, with a judge that says `finding`."""
    return replace(build.HOLDS, judge=lambda history: finding)


def cut_short(kind: Any, evidence: Evidence = build.EVIDENCE) -> Evidence:
    race = replace(evidence.own.recordings[1], problem=Problem(kind, "it took longer than 10 s"))
    return build.changed(evidence, recordings=(evidence.own.recordings[0], race, evidence.own.recordings[2]))


def test_a_run_that_keeps_every_gate_and_fits_passes() -> None:
    found = judge(build.evidence())
    assert (found.outcome, found.exit_code) == (GradeOutcome.PASSED, 0)
    assert found.headline == "passed: the one gate holds, and the design fits paid-quota"


def test_a_failed_gate_fails_and_shows_at_most_three_operations() -> None:
    found = judge(build.racing(14))
    assert (found.outcome, found.exit_code) == (GradeOutcome.FAILED, 1)
    assert found.headline == "failed: T-1 holds-in-a-race: 14 units were allowed on one key whose limit is 10"
    many = saying(Finding(Outcome.FAIL, "it did", build.ops(9)))
    assert len(of(judge(build.evidence(), many), "T-1").finding.examples) == 3


def test_a_profile_that_was_not_chosen_does_not_count() -> None:
    found = judge(build.evidence(profile="side-project", profile_chosen=False))
    assert found.fit is not None
    assert found.fit.result is Judgement.DOES_NOT
    assert (found.headline, found.exit_code) == ("passed: the one gate holds", 0)


def test_a_chosen_profile_that_does_not_fit_fails() -> None:
    found = judge(build.evidence(profile="side-project"))
    assert found.exit_code == 1
    assert found.headline.endswith("backing_services was 1, and this profile needs at most 0")


def test_a_chosen_profile_that_is_open_is_inconclusive() -> None:
    assert judge(build.evidence(**OPEN_PROFILE)).exit_code == 4


def test_a_profile_that_the_challenge_no_longer_has_is_inconclusive() -> None:
    assert judge(build.evidence(profile="gone")).exit_code == 4


def test_a_judge_that_raises_is_the_authors_fault() -> None:
    def broken(history: History) -> Finding:
        raise KeyError("limit")

    found = judge(build.evidence(), replace(build.HOLDS, judge=broken))
    assert (found.outcome, found.exit_code) == (GradeOutcome.ERROR, 3)
    assert of(found, "T-1").finding.what == "the judge of T-1 raised KeyError: 'limit': the author's fault"


def test_a_judge_that_raises_in_a_suite_says_on_which_line(tmp_path: Path) -> None:
    (tmp_path / "toy" / "hidden").mkdir(parents=True)
    (tmp_path / "toy" / "hidden" / "races.py").write_text("def broken(history):\n    return [][3]\n")
    text = "from crucible.check import Suite\nfrom .races import broken\n\nSUITE = Suite((), ())\n"
    (tmp_path / "toy" / "hidden" / "checks.py").write_text(text)
    suite = challenges.Challenge(tmp_path / "toy", build.MANIFEST).suite
    assert suite.checks == ()
    broken = sys.modules["crucible_suite_toy.races"].broken
    found = judge(build.evidence(), replace(build.HOLDS, judge=broken))
    assert "raised IndexError at hidden/races.py:2: list index out of range" in of(found, "T-1").finding.what


def test_a_measure_on_no_axis_of_the_challenge_is_the_authors_fault_and_not_dropped() -> None:
    measure = Measure("long_run_ration", 1, 1, 1, 50)
    found = judge(build.evidence(), saying(Finding(Outcome.PASS, "fine", (), (measure,), {"n": 1})))
    assert (of(found, "T-1").finding.outcome, found.exit_code) == (Outcome.ERROR, 3)
    assert of(found, "T-1").finding.what == (
        "the judge of T-1 measures `long_run_ration`, which is no axis of the manifest; is `long_run_ratio` meant?: "
        "the author's fault"
    )


def test_an_error_outranks_a_failed_gate() -> None:
    failing = saying(Finding(Outcome.FAIL, "it did"))
    assert judge(build.evidence(), failing, replace(saying(None), id="T-2")).exit_code == 3


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "pass",
        Finding(Outcome.PASS, "fine"),
        Finding(Outcome.PASS, "fine", (), (Measure("long_run_ratio", float("nan"), 0, 0, 1),), {"n": 1}),
        Finding(Outcome.PASS, "fine", (), (), {"n": float("inf")}),
        Finding(Outcome.PASS, "fine", (), (), {"n": "many"}),  # type: ignore[dict-item]
    ],
)
def test_an_unusable_answer_of_a_judge_is_the_authors_fault(answer: Any) -> None:
    assert of(judge(build.evidence(), saying(answer)), "T-1").finding.outcome is Outcome.ERROR


def test_a_scenario_that_broke_is_the_authors_fault() -> None:
    found = judge(cut_short("author"))
    assert found.exit_code == 3
    assert "the scenario `race` broke" in found.headline


def test_a_fact_that_two_scenarios_of_a_check_note_otherwise_is_the_authors_fault() -> None:
    first, *others = build.evidence().own.recordings
    both = replace(build.HOLDS, scenarios=(first.scenario, others[0].scenario))
    noted = [replace(one, facts={**one.facts, "epoch": at}) for at, one in enumerate((first, others[0]))]
    seen = build.changed(build.evidence(), recordings=(*noted, *others[1:]))
    finding = of(judge(seen, both), "T-1").finding
    assert finding.outcome is Outcome.ERROR
    said = f"the scenarios `{first.scenario}` and `{others[0].scenario}` noted the fact `epoch` differently"
    assert finding.what == f"{said}: the author's fault"


def test_a_pass_on_an_incomplete_recording_is_inconclusive() -> None:
    found = judge(cut_short("budget"))
    assert (of(found, "T-1").finding.outcome, found.exit_code) == (Outcome.INCONCLUSIVE, 4)
    assert "the scenario `race`" in found.headline


def test_a_failure_in_an_incomplete_recording_stands() -> None:
    assert judge(cut_short("budget", build.racing(14))).exit_code == 1


def test_measures_of_an_incomplete_recording_keep_no_limit() -> None:
    steady = replace(build.PASSING[2], problem=Problem("budget", "20 s"))
    found = judge(build.evidence(recordings=(*build.PASSING[:2], steady)))
    assert [measure.open for measure in found.positions if measure.axis == "long_run_ratio"] == [True]
    assert found.exit_code == 4


def test_a_check_that_was_not_asked_for_is_not_run_and_not_missed() -> None:
    found = judge(build.evidence(checks=("T-1",), recordings=build.PASSING[:2], profile_chosen=False))
    assert of(found, "T-2").finding == Finding(Outcome.NOT_RUN, "it was not asked for")
    assert found.exit_code == 0


def test_a_scenario_of_the_full_grade_is_not_missed_in_a_quick_one() -> None:
    scenarios = (build.CONTACT, replace(build.RACE, modes=frozenset({"full"})), build.STEADY)
    evidence = build.evidence(recordings=(build.PASSING[0], build.PASSING[2]))
    found = judging.judge(evidence, build.MANIFEST, build.suite(scenarios=scenarios), build.PRICES)
    assert of(found, "T-1").finding == Finding(Outcome.NOT_RUN, "only a full grade runs it")
    assert found.exit_code == 0


def test_a_gate_whose_scenario_never_ran_is_no_pass() -> None:
    over = build.changed(build.evidence(), given_up="nothing arrived", recordings=(build.PASSING[0], build.PASSING[2]))
    found = judge(over)
    assert of(found, "T-1").finding.what == "the scenario `race` did not run: nothing arrived"
    assert (of(found, "T-1").finding.outcome, found.exit_code) == (Outcome.NOT_RUN, 4)


def test_a_gate_that_does_not_apply_is_none_to_miss() -> None:
    absent = saying(Finding(Outcome.NOT_RUN, "it uses no service"))
    both = build.evidence(checks=("T-1", "T-2", "T-3"))
    found = judge(both, absent, build.AGREES, replace(build.HOLDS, id="T-3"))
    assert found.headline.startswith("passed: 1 of 2 gates hold, and the others do not apply")
    assert judge(build.evidence(), absent, build.AGREES).headline.startswith("passed: no gate was judged")


def test_a_run_in_which_nothing_was_judged_is_inconclusive() -> None:
    assert judge(build.evidence(checks=())).exit_code == 4


def test_an_untouched_starter_is_not_started() -> None:
    found = judge(build.unfinished(status=501))
    assert (found.outcome, found.exit_code) == (GradeOutcome.NOT_STARTED, 1)
    assert {check.finding.outcome for check in found.checks} == {Outcome.NOT_RUN}
    assert (found.positions, found.fit) == ((), None)


def test_a_solution_that_never_answers_fails_and_the_headline_says_what_came_instead() -> None:
    found = judge(build.unfinished(status=None))
    assert found.exit_code == 1
    assert found.headline == (
        "failed: no request of the contract was answered: PUT /v1/limits/k-0 on web.0 timed out after 5.0 s"
    )


def test_the_headline_names_the_most_common_answer() -> None:
    contact = (
        build.op(1, status=500),
        *(build.op(at, status=404, request=Request("PUT", "/v1/" + "x" * 90)) for at in (2, 3)),
    )
    found = judge(build.evidence(recordings=(build.recording("contact", contact),)))
    assert found.headline.startswith("failed: no request of the contract succeeded: PUT /v1/xxx")
    assert found.headline.endswith("xxx… on web.0 answered 404")


def test_one_answer_is_contact_enough() -> None:
    first = build.recording("contact", (build.op(1, status=501), build.op(2)))
    assert judge(build.evidence(recordings=(first, *build.PASSING[1:]))).exit_code == 0


def test_a_judge_sees_its_scenarios_as_one_history() -> None:
    seen: list[History] = []

    def watch(history: History) -> Finding:
        seen.append(history)
        return Finding(Outcome.PASS, "fine", (), (), {"n": 1})

    late, early = build.recording("race", (build.op(9),), a=1), build.recording("steady", (build.op(3),), b=2)
    both = replace(build.HOLDS, scenarios=("race", "steady"), judge=watch)
    judge(build.evidence(recordings=(build.PASSING[0], late, early)), both)
    assert [op.sent_ns for op in seen[0].ops] == [3 * build.MS, 9 * build.MS]
    assert (seen[0].facts, seen[0].replicas, seen[0].services) == ({"a": 1, "b": 2}, 2, ("redis",))


def test_the_same_evidence_gives_the_same_result_file() -> None:
    first, again = (verdict.to_json(judge(build.racing(14))) for _ in range(2))
    assert first == again
    assert json.loads(first)["checks"][0]["finding"]["outcome"] == "fail"


def test_the_schemas_in_the_repository_are_current() -> None:
    assert schemas.stale() == [], "run `python -m crucible.schemas --write`"


def test_a_broken_load_is_the_authors_and_what_was_seen_stays() -> None:
    broken = Recording("load", "load", 0, 1, problem=Problem("author", "the load failed: it ended (x/hidden/load.py)"))
    found = judge(build.evidence(recordings=(*build.PASSING, broken), load=()))
    assert (found.outcome, found.exit_code) == (GradeOutcome.ERROR, 3)
    assert found.headline == "error, and not yours: the load failed: it ended (x/hidden/load.py)"
    assert of(found, "T-1").finding.outcome is Outcome.PASS
