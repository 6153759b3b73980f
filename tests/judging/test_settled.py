"""Of a run that goes on: a check is judged as soon as all that it rests on has been seen, and no sooner."""

from dataclasses import replace

from support import evidence_builder as build

from crucible.evidence import Evidence
from crucible.judging.judge import judge, settled

WHOLE = build.evidence()


def sofar(*scenarios: str, of: Evidence = WHOLE) -> Evidence:
    own = of.own
    seen = tuple(recording for recording in own.recordings if recording.scenario in scenarios)
    return replace(of, parts=(replace(own, recordings=seen, load=(), traffic=(), usage=(), ramp=()),))


def ids(evidence: Evidence, told: tuple[str, ...] = ()) -> list[str]:
    return [check.id for check in settled(evidence, build.MANIFEST, build.SUITE, told)]


def test_a_check_is_told_when_its_scenarios_have_run() -> None:
    assert ids(sofar("contact")) == []
    assert ids(sofar("contact", "race")) == ["T-1"]
    assert ids(sofar("contact", "race", "steady")) == ["T-1", "T-2"]


def test_what_was_told_is_not_told_again() -> None:
    assert ids(sofar("contact", "race", "steady"), told=("T-1",)) == ["T-2"]


def test_nothing_is_told_of_who_answers_nothing_of_the_contract() -> None:
    assert ids(build.unfinished(status=501)) == []


def test_a_check_that_was_not_asked_for_is_not_told() -> None:
    asked = replace(WHOLE, parts=(replace(WHOLE.own, checks=("T-2",)),))
    assert ids(asked) == ["T-2"]


def test_in_the_end_it_is_what_the_verdict_says() -> None:
    for evidence in (WHOLE, build.racing(14), build.disagreeing()):
        verdict = judge(evidence, build.MANIFEST, build.SUITE, build.PRICES)
        assert settled(evidence, build.MANIFEST, build.SUITE) == list(verdict.checks)
