"""What a reader has to know of a figure stands below it."""

from dataclasses import replace

from support import evidence_builder as build

from crucible.check import Finding, Measure, Outcome
from crucible.evidence import Evidence
from crucible.judging.judge import judge
from crucible.planning.manifest import Limit
from crucible.report import render_html, render_summary, standing

BUSY = build.disagreeing(profile="public-api")
SHARED = (
    "latency_p99_ms from 0 on: other programs took up to 37% of the machine, without which it may have been shorter by "
    "any amount"
)
OPEN = "long_run_ratio: a check that measures it did not see enough, or was not run, so it may be worse"


def notes(seen: Evidence, *, limited: bool = False) -> tuple[str, ...]:
    graded = build.graded(seen)
    assert graded.verdict.fit is not None
    return standing.footnotes(graded.verdict.fit, seen, build.MANIFEST, limited=limited)


def test_a_latency_that_others_disturbed_says_so_wherever_it_is_shown() -> None:
    assert notes(BUSY) == notes(BUSY, limited=True) == (SHARED,)
    assert notes(build.disagreeing()) == (SHARED,)
    assert notes(build.disagreeing(), limited=True) == ()
    assert notes(build.evidence()) == ()
    assert render_html(build.graded(BUSY)).count("any amount.</p>") == 2
    assert "by any amount.\n" in render_summary(build.graded(BUSY))


def test_a_limit_that_a_disturbed_latency_may_have_missed_says_why_it_is_open() -> None:
    profile = replace(build.MANIFEST.profiles[2], limits={"latency_p99_ms": Limit(at_most=8)})
    manifest = replace(build.MANIFEST, profiles=(profile,))
    found = judge(BUSY, manifest, build.SUITE, build.PRICES)
    assert found.fit is not None
    assert found.fit.because == (
        "latency_p99_ms was 9 (0 to 11), on both sides of the limit of at most 8: other programs took up to 37% of the "
        "machine, without which it may have been shorter by any amount"
    )


def test_a_measure_of_which_too_little_was_seen_says_so() -> None:
    measure = Measure("long_run_ratio", 1, 1, 1, 9)
    said = Finding(Outcome.INCONCLUSIVE, "too little", (), (measure,))
    graded = build.graded(build.evidence(), judged_by=build.suite(replace(build.HOLDS, judge=lambda history: said)))
    assert graded.verdict.fit is not None
    assert standing.footnotes(graded.verdict.fit, graded.evidence, build.MANIFEST) == (OPEN,)
    seen = next(it for it in standing.positions(graded.verdict, build.MANIFEST) if it.axis == "long_run_ratio")
    assert (seen.seen, seen.result) == ("at least 1", "open")


def test_a_prediction_of_what_was_not_waited_for_is_open() -> None:
    measure = Measure("long_run_ratio", 2, 2, 2, 9, beyond=True)
    said = Finding(Outcome.PASS, "fine", (), (measure,), {"n": 1})
    seen = build.evidence(predictions={"long_run_ratio": 2.0})
    graded = build.graded(seen, judged_by=build.suite(replace(build.HOLDS, judge=lambda history: said)))
    (guess,) = standing.predictions(graded.verdict, build.MANIFEST)
    assert (guess.measured, guess.result) == ("more than 2", "open")
