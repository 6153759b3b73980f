"""A measure counts whatever its check says, and a profile never fits on one that is missing."""

from dataclasses import replace

import pytest
from support import evidence_builder as build

from crucible.check import Check, Finding, Measure, Outcome
from crucible.evidence import Problem
from crucible.judging import judge as judging
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import GradeOutcome, Verdict
from crucible.planning.manifest import Axis, Limit, Profile

LOST = "lost_per_1000"
WAITED = "wait_ms"
MANIFEST = replace(
    build.MANIFEST,
    axes=(
        *build.MANIFEST.axes,
        Axis(LOST, "lost in a crash", "per 1000", "lower"),
        Axis(WAITED, "time to arrive", "ms", "lower", "noisy"),
        Axis("kept_share", "kept in a crash", "share", "higher"),
    ),
    profiles=(
        Profile("a-few-lost", "A few are no matter.", 2, 200, {LOST: Limit(at_most=50)}),
        *build.MANIFEST.profiles,
    ),
)
CRASH = Check("T-3", "survives-crashes", "Nothing is lost.", "Where is it kept?", True, ("race",), lambda _: None)  # type: ignore[arg-type, return-value]


def lost(value: float, axis: str = LOST, *, samples: int = 1000) -> Measure:
    return Measure(axis, value, value, value, samples)


def saying(outcome: Outcome, *measures: Measure, check: Check = CRASH) -> Check:
    finding = Finding(outcome, "it lost some", (), measures, {"accepted": 1000})
    return replace(check, judge=lambda history: finding)


def graded(*checks: Check, limits: dict[str, Limit] | None = None, **changes: object) -> Verdict:
    profile = replace(MANIFEST.profiles[0], limits=limits) if limits is not None else MANIFEST.profiles[0]
    manifest = replace(MANIFEST, profiles=(profile, *MANIFEST.profiles[1:]))
    asked = tuple(check.id for check in checks)
    seen = build.evidence(profile="a-few-lost", **{"checks": asked, **changes})
    return judging.judge(seen, manifest, build.suite(*checks), build.PRICES)


def fit(found: Verdict) -> tuple[Judgement, str]:
    assert found.fit is not None
    return found.fit.result, found.fit.because


def position(found: Verdict, axis: str = LOST) -> Measure | None:
    return next((measure for measure in found.positions if measure.axis == axis), None)


MEASURED_ONLY = replace(CRASH, id="T-4", gate=False)


def test_what_a_failed_check_that_is_no_gate_measured_counts() -> None:
    found = graded(build.HOLDS, saying(Outcome.FAIL, lost(516), check=MEASURED_ONLY))
    assert position(found) == lost(516)
    assert fit(found) == (Judgement.DOES_NOT, "lost_per_1000 was 516, and this profile needs at most 50")
    assert (found.outcome, found.exit_code) == (GradeOutcome.FAILED, 1)


def test_a_failed_check_that_is_no_gate_is_no_failure_where_its_loss_is_within_the_limit() -> None:
    found = graded(build.HOLDS, saying(Outcome.FAIL, lost(16), check=MEASURED_ONLY))
    assert (fit(found)[0], found.exit_code) == (Judgement.FITS, 0)


def test_a_failed_measure_that_was_asked_for_alone_was_judged() -> None:
    found = graded(saying(Outcome.FAIL, lost(516), check=MEASURED_ONLY))
    assert found.headline == (
        "failed: no gate was judged, but the design does not fit a-few-lost: lost_per_1000 was 516, and this profile "
        "needs at most 50"
    )


def test_what_an_inconclusive_check_counted_is_the_least_there_was() -> None:
    missed = graded(build.HOLDS, saying(Outcome.INCONCLUSIVE, lost(516), check=MEASURED_ONLY))
    assert fit(missed) == (Judgement.DOES_NOT, "lost_per_1000 was at least 516, and this profile needs at most 50")
    assert missed.fit is not None
    assert missed.fit.flips_at == ""
    kept = graded(build.HOLDS, saying(Outcome.INCONCLUSIVE, lost(0), check=MEASURED_ONLY))
    said = "lost_per_1000 was at least 0, and whether it is at most 50 is open: T-4 survives-crashes "
    assert fit(kept) == (Judgement.INCONCLUSIVE, f"{said}came to no conclusion")
    assert kept.exit_code == 4


def test_a_time_that_an_inconclusive_check_measured_has_no_position() -> None:
    found = graded(
        build.HOLDS,
        saying(Outcome.INCONCLUSIVE, lost(9000, WAITED), check=MEASURED_ONLY),
        limits={WAITED: Limit(at_most=1000)},
    )
    assert position(found, WAITED) is None
    assert fit(found) == (
        Judgement.INCONCLUSIVE,
        "wait_ms was not measured: T-4 survives-crashes came to no conclusion",
    )


def test_an_open_share_is_at_most_what_was_seen() -> None:
    limits = {"kept_share": Limit(at_least=0.9)}
    share = lost(0.5, "kept_share")
    found = graded(build.HOLDS, saying(Outcome.INCONCLUSIVE, share, check=MEASURED_ONLY), limits=limits)
    assert fit(found) == (Judgement.DOES_NOT, "kept_share was at most 0.5, and this profile needs at least 0.9")


@pytest.mark.parametrize(
    "never_measured",
    [
        saying(Outcome.PASS, check=MEASURED_ONLY),
        saying(Outcome.FAIL, check=MEASURED_ONLY),
        saying(Outcome.NOT_RUN, check=MEASURED_ONLY),
        saying(Outcome.INCONCLUSIVE, check=MEASURED_ONLY),
        saying(Outcome.PASS, lost(0, samples=0), check=MEASURED_ONLY),
    ],
)
def test_no_profile_fits_on_a_measure_that_is_missing(never_measured: Check) -> None:
    found = graded(build.HOLDS, replace(never_measured, axes=(LOST,)))
    assert (fit(found)[0], found.exit_code) == (Judgement.INCONCLUSIVE, 4)
    assert "lost_per_1000 was not measured" in fit(found)[1]


@pytest.mark.parametrize("outcome", [Outcome.NOT_RUN, Outcome.INCONCLUSIVE, Outcome.ERROR])
def test_no_profile_fits_on_what_one_of_two_checks_measured_while_the_other_says_nothing(outcome: Outcome) -> None:
    silent = replace(saying(outcome, check=MEASURED_ONLY), axes=(LOST,))
    found = graded(build.HOLDS, saying(Outcome.PASS, lost(0)), silent)
    assert fit(found)[0] is Judgement.INCONCLUSIVE
    assert graded(build.HOLDS, saying(Outcome.PASS, lost(516)), silent).fit.result is Judgement.DOES_NOT  # type: ignore[union-attr]


def test_no_profile_fits_on_what_one_of_two_checks_measured_while_the_other_was_not_asked_for() -> None:
    silent = replace(saying(Outcome.PASS, lost(0), check=MEASURED_ONLY), axes=(LOST,))
    found = graded(saying(Outcome.PASS, lost(0)), silent, checks=("T-3",))
    assert fit(found)[1].endswith("is open: T-4 survives-crashes was not run")


def test_what_a_check_measured_before_it_could_not_go_on_counts() -> None:
    found = graded(build.HOLDS, replace(saying(Outcome.NOT_RUN, lost(0), check=MEASURED_ONLY), axes=(LOST,)))
    assert fit(found)[0] is Judgement.FITS


def test_what_an_interrupted_scenario_counted_keeps_no_limit_and_may_miss_one() -> None:
    race = replace(build.PASSING[1], problem=Problem("budget", "it took longer than 10 s"))
    recordings = (build.PASSING[0], race, build.PASSING[2])
    gate = replace(build.HOLDS, scenarios=("contact",))
    for value, result in ((0, Judgement.INCONCLUSIVE), (516, Judgement.DOES_NOT)):
        check = saying(Outcome.PASS, lost(value), check=MEASURED_ONLY)
        assert fit(graded(gate, check, recordings=recordings))[0] is result


def test_what_a_failed_check_counted_before_it_was_cut_short_keeps_no_limit_either() -> None:
    race = replace(build.PASSING[1], problem=Problem("stopped", "web.0 ended"))
    recordings = (build.PASSING[0], race, build.PASSING[2])
    gate = replace(build.HOLDS, scenarios=("contact",))
    found = graded(gate, saying(Outcome.FAIL, lost(0), check=MEASURED_ONLY), recordings=recordings)
    assert fit(found)[0] is Judgement.INCONCLUSIVE
    assert fit(found)[1].endswith("T-4 survives-crashes was cut short")


# What was not waited for any longer


@pytest.mark.parametrize(
    ("at_most", "result"), [(5, Judgement.DOES_NOT), (20, Judgement.DOES_NOT), (21, Judgement.INCONCLUSIVE)]
)
def test_who_never_recovered_misses_what_was_waited_for_and_keeps_nothing(at_most: float, result: Judgement) -> None:
    beyond = Measure(WAITED, 20, 0.3, 20, 2, beyond=True)
    found = graded(build.HOLDS, saying(Outcome.PASS, beyond), limits={WAITED: Limit(at_most=at_most)})
    assert fit(found)[0] is result
    assert fit(found)[1].startswith("wait_ms was longer than 20, and ")
    assert position(found, WAITED) == beyond
    assert found.fit is not None
    assert found.fit.flips_at == ""


def test_of_a_measure_and_one_beyond_it_the_worse_is_open() -> None:
    beyond, worse = Measure(LOST, 20, 20, 20, 9, beyond=True), lost(30)
    other = saying(Outcome.PASS, worse, check=MEASURED_ONLY)
    assert position(graded(build.HOLDS, saying(Outcome.PASS, beyond), other)) == replace(
        worse, low=30, high=30, open=True
    )
    less = saying(Outcome.PASS, lost(20), check=MEASURED_ONLY)
    assert position(graded(build.HOLDS, less, saying(Outcome.PASS, beyond))) == replace(beyond, samples=9)


# A gate for some


EXCUSED = replace(CRASH, unless={"delivery": "at-most-once"})


def test_a_gate_is_a_measure_for_who_declares_that() -> None:
    failing = saying(Outcome.FAIL, lost(16), check=EXCUSED)
    for declares, gate, outcome in (
        ({}, True, GradeOutcome.FAILED),
        ({"delivery": "at-least-once"}, True, GradeOutcome.FAILED),
        ({"delivery": "at-most-once"}, False, GradeOutcome.PASSED),
    ):
        found = graded(build.HOLDS, failing, declares=declares)
        assert ([it.gate for it in found.checks if it.id == "T-3"], found.outcome) == ([gate], outcome)
