"""What failed, how much of it, and which of it comes first."""

from dataclasses import replace

from support import evidence_builder as build

from crucible.authoring import outcomes
from crucible.check import Check, Finding, Outcome
from crucible.judging.comparison import Observed, design
from crucible.judging.graded import Graded
from crucible.judging.judge import judge
from crucible.judging.references import NONE
from crucible.judging.verdict import Verdict, from_json, to_json
from crucible.report import model, pointers, render_html, render_summary


def check(name: str, outcome: Outcome, *causes: str, question: str = "") -> Check:
    finding = Finding(outcome, f"{name} was seen to {outcome}", evidence={"looked at": 1}, question=question)
    return replace(build.HOLDS, id=name, slug="word", judge=lambda history: finding, explained_by=causes)


LOSES = (
    check("N-1", Outcome.FAIL, "N-12"),
    check("N-2", Outcome.PASS),
    check("N-5", Outcome.FAIL, "N-1", "N-12", question="Whose state is it?"),
    check("N-6", Outcome.PASS, "N-12"),
    check("N-7", Outcome.FAIL, "N-2"),
    check("N-12", Outcome.FAIL),
)


def graded(*checks: Check) -> Graded:
    seen = build.evidence(checks=tuple(it.id for it in checks))
    return Graded(judge(seen, build.MANIFEST, build.suite(*checks), build.PRICES), seen, build.MANIFEST, NONE)


def verdict(*checks: Check) -> Verdict:
    return graded(*checks).verdict


def test_the_headline_says_how_many_gates_failed() -> None:
    assert verdict(*LOSES).headline == "failed: 4 of 6 gates: N-7 word: N-7 was seen to fail"


def test_the_headline_begins_with_the_cause() -> None:
    without = tuple(it for it in LOSES if it.id != "N-7")
    assert verdict(*without).headline == "failed: 3 of 5 gates: N-12 word: N-12 was seen to fail"


def test_one_failed_gate_is_told_without_a_count() -> None:
    assert verdict(*LOSES[:2]).headline == "failed: N-1 word: N-1 was seen to fail"


def test_a_check_that_passed_or_explains_itself_is_no_cause() -> None:
    found = verdict(check("N-1", Outcome.FAIL, "N-1", "N-2"), check("N-2", Outcome.PASS), check("N-3", Outcome.FAIL))
    assert found.headline == "failed: 2 of 3 gates: N-1 word: N-1 was seen to fail"


def test_checks_that_explain_each_other_keep_the_suites_order() -> None:
    found = verdict(check("N-1", Outcome.FAIL, "N-2"), check("N-2", Outcome.FAIL, "N-1"))
    assert found.headline.startswith("failed: 2 of 2 gates: N-1 word")


def test_a_profile_names_the_cause_and_nothing_would_make_it_fit() -> None:
    found = verdict(*LOSES)
    assert found.fit is not None
    assert found.fit.because == "no business accepts a failed gate: N-7 word (and 3 more)"
    assert found.fit.flips_at == "nothing would make it fit while a gate fails"


def test_a_report_shows_causes_first_and_where_to_look() -> None:
    details = model.details(verdict(*LOSES))
    assert [(it.name, it.cause) for it in details] == [
        ("N-7 word", ""),
        ("N-12 word", ""),
        ("N-1 word", "N-12 word: that failed too, and may be why"),
        ("N-5 word", "N-1 word, N-12 word: that failed too, and may be why"),
    ]
    for text in (render_summary(graded(*LOSES)), render_html(graded(*LOSES))):
        assert "N-12 word: that failed too, and may be why" in text


def test_annotations_and_comparisons_begin_with_the_cause() -> None:
    found = graded(*LOSES)
    assert next(iter(pointers.of_grade(found.verdict, found.evidence, lambda keys: None))).title == "N-7 word"
    assert design(Observed("mine", (found.verdict,), ())).failed[:2] == ("N-7 word", "N-12 word")


def test_the_findings_own_question_is_asked_in_place_of_the_checks() -> None:
    found = graded(*LOSES)
    asked = {it.name: it.question for it in model.details(found.verdict)}
    assert asked["N-5 word"] == "Whose state is it?"
    assert asked["N-1 word"] == build.HOLDS.hint
    assert "**A question:** Whose state is it?" in render_summary(found)
    assert 'class="question">Whose state is it?<' in render_html(found)
    said = {it.title: it.message for it in pointers.of_grade(found.verdict, found.evidence, lambda keys: None)}
    assert said["N-5 word"] == "N-5 was seen to fail. Whose state is it?"


def test_a_question_goes_through_outcomes() -> None:
    asked = outcomes.failed("it lost one", question="Where was it kept?")
    assert (asked.question, outcomes.inconclusive("too few", question="And then?").question) == (
        "Where was it kept?",
        "And then?",
    )
    fine = outcomes.passed("all arrived", counted={"n": 1})
    assert outcomes.worst(fine, outcomes.failed("one"), asked).question == "Where was it kept?"
    assert outcomes.worst(fine, fine).question == ""


def test_a_result_file_keeps_question_and_causes() -> None:
    found = from_json(to_json(verdict(*LOSES)))
    assert [(it.question, it.explained_by) for it in found.checks][2] == ("Whose state is it?", ("N-1", "N-12"))
