"""What a judge says, and how answers are sorted by what is known of them."""

from dataclasses import replace

import pytest

from crucible.authoring.outcomes import (
    SHOWN,
    answered,
    exactly,
    failed,
    inconclusive,
    not_run,
    passed,
    percentile,
    settled,
    taken,
    why_none,
    worst,
)
from crucible.authoring.testing import op
from crucible.check import Measure, Outcome
from crucible.evidence import Op, Result

OPS = [op("asked", "GET", "/x", 200, at_s=at) for at in (3.0, 1.0, 2.0, 0.0)]


def asked(status: int | None) -> Op:
    return op("asked", "POST", "/x", status)


def test_a_finding_shows_the_first_few_examples_in_the_order_of_time() -> None:
    finding = failed("it broke", *OPS)
    assert (finding.outcome, finding.what) == (Outcome.FAIL, "it broke")
    assert finding.examples == (OPS[1], OPS[2], OPS[0])
    assert len(finding.examples) == SHOWN


def test_a_finding_keeps_its_counters_and_measures() -> None:
    measure = exactly("lost", 2, 10)
    for say, outcome in ((passed, Outcome.PASS), (failed, Outcome.FAIL), (inconclusive, Outcome.INCONCLUSIVE)):
        finding = say("so it was", counted={"looked at": 3}, measures=[measure])
        assert (finding.outcome, finding.evidence, finding.measures) == (outcome, {"looked at": 3}, (measure,))
    finding = not_run("nobody could", counted={"looked at": 0}, measures=[measure])
    assert (finding.outcome, finding.examples, finding.measures) == (Outcome.NOT_RUN, (), (measure,))


def test_a_counter_that_changes_later_changes_no_finding() -> None:
    counted = {"looked at": 3}
    finding = passed("it held", counted=counted)
    counted["looked at"] = 0
    assert finding.evidence == {"looked at": 3}


def test_an_exact_measure_has_no_interval() -> None:
    assert exactly("lost", 2, 10) == Measure("lost", 2, 2, 2, 10)


def test_the_worst_of_several_findings_is_what_is_said_and_all_is_counted() -> None:
    one = passed("it held", OPS[0], counted={"a": 1}, measures=[exactly("x", 1, 1)])
    two = failed("it broke", OPS[1], counted={"b": 2})
    three = failed("it broke again", OPS[2], counted={"c": 3}, measures=[exactly("y", 1, 1)])
    found = worst(one, two, three)
    assert (found.outcome, found.what) == (Outcome.FAIL, "it broke; it broke again")
    assert found.examples == (OPS[1],)
    assert found.evidence == {"a": 1, "b": 2, "c": 3}
    assert [measure.axis for measure in found.measures] == ["x", "y"]


@pytest.mark.parametrize(
    ("better", "worse"), [(passed, not_run), (not_run, inconclusive), (inconclusive, failed), (passed, failed)]
)
def test_outcomes_have_an_order(better, worse) -> None:  # type: ignore[no-untyped-def]
    good, bad = better("good", counted={"a": 1}), worse("bad", counted={})
    assert worst(good, bad).what == worst(bad, good).what == "bad"


@pytest.mark.parametrize(("status", "known"), [(200, True), (404, True), (429, True), (503, False), (None, False)])
def test_an_answer_says_what_became_of_it(status: int | None, known: bool) -> None:
    assert answered(asked(status)) is known


def test_what_never_left_has_no_answer() -> None:
    """It is definitely not done, and yet nobody said so."""
    assert not answered(replace(asked(None), result=Result.REFUSED, error="connection refused"))


@pytest.mark.parametrize(("status", "is_taken"), [(200, True), (202, True), (301, False), (404, False), (None, False)])
def test_taken_is_2xx_whatever_the_body_says(status: int | None, is_taken: bool) -> None:
    assert taken(asked(status)) is is_taken


def test_operations_are_sorted_by_what_is_known_of_their_effect() -> None:
    done, refused, failing, silent = asked(200), asked(404), asked(503), asked(None)
    found = settled([done, refused, failing, silent])
    assert (found.done, found.maybe, found.not_done) == ((done,), (failing, silent), (refused,))


def test_a_2xx_that_does_not_say_so_may_have_been_done() -> None:
    says, silent = op("put", "PUT", "/x", 200, {"done": True}), op("put", "PUT", "/x", 200, {})
    found = settled([says, silent], done=lambda one: one.field("done", bool) is True)
    assert (found.done, found.maybe) == ((says,), (silent,))


def test_the_most_frequent_reason_is_told_and_the_first_of_equals() -> None:
    assert why_none([asked(200), asked(None), asked(503), asked(503)]) == "answered 503"
    assert why_none([asked(None), asked(503)]) == "timed out after 5 s"
    assert why_none([asked(200), asked(404)]) == ""


def test_what_counts_as_an_answer_is_the_suites_to_say() -> None:
    assert why_none([asked(404)], answers=taken) == "status 404"


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.99, 0.0), ([7.0], 0.5, 7.0), ([4, 1, 3, 2], 0.5, 2), ([4, 1, 3, 2], 0.51, 3), ([4, 1, 3, 2], 1.0, 4),
     (list(range(1, 101)), 0.99, 99), (list(range(1, 102)), 0.99, 100), ([1, 2], 0.0, 1)],
)  # fmt: skip
def test_a_percentile_is_the_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected
