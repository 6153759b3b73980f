"""What becomes of a verdict where a process ended by itself, did not come back, or nothing further was tried."""

from dataclasses import replace

import pytest
from support import evidence_builder as build

from crucible.check import Check, Finding, History, Outcome
from crucible.evidence import Evidence, FaultEvent, Part, Problem, Result
from crucible.judging.judge import judge
from crucible.judging.verdict import GradeOutcome, Verdict

S = 1_000_000_000
DIED = FaultEvent("died", "web.0", 0, detail={"status": 1, "log": "panic: no store\n"})
SAID = "web.0 ended with status 1, and did not come back (the last it printed: panic: no store)"
SILENT = build.op(5, status=None, error="connection refused")


def judged(seen: Evidence, check: Check = build.HOLDS) -> tuple[Verdict, Finding]:
    verdict = judge(seen, build.MANIFEST, build.suite(check, build.AGREES), build.PRICES)
    return verdict, verdict.checks[0].finding


def race(*ops: object, events: tuple[FaultEvent, ...] = (DIED,), problem: Problem | None = None) -> Evidence:
    made = replace(build.recording("race", ops, problem), events=events)  # type: ignore[arg-type]
    return build.evidence(recordings=(build.PASSING[0], made, build.PASSING[2]))


def saying(finding: Finding) -> Check:
    def always(history: History) -> Finding:
        return finding

    return replace(build.HOLDS, judge=always)


def test_what_could_not_be_judged_since_a_process_was_gone_is_a_failure_that_names_it() -> None:
    unread = saying(Finding(Outcome.INCONCLUSIVE, "8 states were not read"))
    verdict, finding = judged(race(SILENT), unread)
    assert (finding.outcome, finding.what) == (Outcome.FAIL, f"{SAID}: 8 states were not read")
    assert verdict.outcome is GradeOutcome.FAILED
    assert SAID in verdict.headline


def test_what_could_not_be_judged_for_another_reason_stays_open_and_names_it() -> None:
    few = saying(Finding(Outcome.INCONCLUSIVE, "only 3 were in flight"))
    _, finding = judged(race(*build.ops(4)), few)
    assert (finding.outcome, finding.what) == (Outcome.INCONCLUSIVE, f"only 3 were in flight; {SAID}")


def test_a_failure_names_its_cause_first() -> None:
    lost = saying(Finding(Outcome.FAIL, "8 were lost"))
    assert judged(race(SILENT), lost)[1].what == f"{SAID}: 8 were lost"
    assert judged(race(*build.ops(4)), lost)[1].what == f"8 were lost; {SAID}"


def test_a_sentence_that_tells_of_the_end_is_left_alone() -> None:
    told = Finding(Outcome.FAIL, "half an object ended the process web.0")
    assert judged(race(SILENT), saying(told))[1].what == told.what


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.NOT_RUN])
def test_what_held_all_the_same_is_left_alone(outcome: Outcome) -> None:
    finding = Finding(outcome, "fine", evidence={"requests": 1})
    assert judged(race(SILENT), saying(finding))[1] == finding


def test_a_solution_that_does_not_come_back_fails_what_had_begun_and_the_grade() -> None:
    problem = Problem("stopped", "web.0 ended with status 1 before it answered GET /healthz; it was started 55 times")
    verdict, finding = judged(race(*build.ops(10), events=(), problem=problem))
    assert finding.outcome is Outcome.FAIL
    assert finding.what.startswith(f"the scenario `race` was stopped: {problem.what}. Until then: ")
    assert verdict.outcome is GradeOutcome.FAILED
    assert verdict.checks[1].finding.outcome is Outcome.PASS


def test_a_scenario_that_could_not_begin_since_nothing_came_back_fails_the_grade_and_says_why() -> None:
    problem = Problem("stopped", "web.0 ended with status 1 before it answered GET /healthz")
    verdict, finding = judged(race(events=(), problem=problem))
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert problem.what in finding.what
    assert (verdict.outcome, verdict.headline) == (GradeOutcome.FAILED, f"failed: {problem.what}")


def test_what_was_not_tried_any_more_says_why_and_lets_no_grade_pass() -> None:
    seen = build.evidence(recordings=(build.PASSING[0], build.PASSING[2]), given_up="nothing ever arrived", load=())
    verdict, finding = judged(seen)
    assert finding == Finding(Outcome.NOT_RUN, "the scenario `race` did not run: nothing ever arrived")
    assert verdict.outcome is GradeOutcome.INCONCLUSIVE
    assert "nothing ever arrived" in verdict.headline


def test_a_failure_before_it_was_given_up_stands() -> None:
    seen = build.changed(build.racing(14), given_up="nothing ever arrived")
    assert judged(seen)[0].outcome is GradeOutcome.FAILED


def test_what_was_seen_before_it_was_given_up_convicts_and_acquits_nobody() -> None:
    """Of a check that rests on a scenario which did not run as well."""
    both = replace(build.HOLDS, scenarios=("race", "steady"))
    part = build.changed(build.racing(14), given_up="nothing ever arrived")
    for seen, outcome in ((part, Outcome.FAIL), (build.evidence(given_up="nothing ever arrived"), Outcome.NOT_RUN)):
        cut = build.changed(seen, recordings=[it for it in seen.own.recordings if it.scenario in ("contact", "race")])
        finding = judge(cut, build.MANIFEST, build.suite(both, build.AGREES), build.PRICES).checks[0].finding
        assert finding.outcome is outcome, finding.what


def test_no_grade_passes_that_was_given_up_however_little_was_missed() -> None:
    verdict, _ = judged(build.evidence(given_up="nothing ever arrived", profile_chosen=False))
    assert verdict.headline == "inconclusive: not everything was tried: nothing ever arrived"


def test_replicas_that_did_not_start_leave_their_profiles_open_with_the_reason() -> None:
    four = Part(4, ("T-1", "T-2"), (), given_up="web.3 ended with status 1 before it answered GET /healthz")
    seen = build.changed(build.evidence(mode="full"), others=(four,))
    verdict = judge(seen, build.MANIFEST, build.SUITE, build.PRICES)
    assert verdict.outcome is GradeOutcome.PASSED
    assert {fit.profile: fit.because for fit in verdict.fits}["edge-shield"] == four.given_up


def test_lost_answers_acquit_nobody_whose_process_ended() -> None:
    lost = [replace(it, result=Result.UNKNOWN, status=None, reply=None) for it in build.ops(10)]
    unread = saying(Finding(Outcome.INCONCLUSIVE, "8 states were not read"))
    assert judged(race(*lost), unread)[1].outcome is Outcome.FAIL
