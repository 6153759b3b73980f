"""The one thing to do after a grade."""

from dataclasses import replace

import pytest
from support import evidence_builder as build

from crucible.evidence import Evidence
from crucible.judging.graded import Graded
from crucible.judging.judge import judge
from crucible.report.next_step import next_step


def told(evidence: Evidence) -> tuple[str, ...]:
    verdict = judge(evidence, build.MANIFEST, build.SUITE, build.PRICES)
    return next_step(Graded(verdict, evidence, build.MANIFEST, build.REFERENCES))


def test_who_fails_a_gate_is_asked_its_question_and_told_how_to_try_it_alone() -> None:
    question, command = told(build.racing(14, profile="public-api"))
    assert question.startswith("T-1: However many ask at once, no more than the limit is allowed. What can happen")
    assert command == "crucible grade --check T-1 --seed 42 --profile public-api"


def test_who_passes_for_nobody_chooses_a_profile() -> None:
    (step,) = told(replace(build.evidence(), profile_chosen=False))
    assert step.endswith("paid-quota, side-project, public-api, edge-shield")


@pytest.mark.parametrize(
    ("predictions", "step"), [({}, "`predictions` in crucible.yaml"), ({"latency_p99_ms": 8.5}, "--with-references")]
)
def test_who_passes_predicts_and_then_compares(predictions: dict[str, float], step: str) -> None:
    (said,) = told(replace(build.evidence(), predictions=predictions))
    assert said.endswith(step)


def test_who_does_not_fit_changes_the_design_or_the_profile() -> None:
    (said,) = told(build.evidence(profile="side-project"))
    assert said.startswith("change what excludes it, or choose")
