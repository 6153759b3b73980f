"""What differs between two designs, from visits and grades by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import pytest
from support import evidence_builder as build

from crucible.check import Measure, Outcome
from crucible.errors import CrucibleError
from crucible.judging import comparison
from crucible.judging.comparison import Against, Change, Comparison, Observed
from crucible.judging.judge import judge
from crucible.judging.tradeoffs import Fit, Judgement
from crucible.judging.verdict import Verdict
from crucible.planning.manifest import Axis

AXES = {
    "latency_p99_ms": Axis("latency_p99_ms", "", "ms", "lower", "noisy"),
    "cpu_s_per_1000": Axis("cpu_s_per_1000", "", "s", "lower", "cpu"),
    "round_trips_per_request": Axis("round_trips_per_request", "", "round trips", "lower", "counted"),
    "peak_ratio": Axis("peak_ratio", "", "x limit", "lower", "counted"),
    "outage_latency_p99_ms": Axis("outage_latency_p99_ms", "", "ms", "lower", "noisy"),
    "answered": Axis("answered", "", "share", "higher", "counted"),
}
MANIFEST = replace(build.MANIFEST, axes=tuple(AXES.values()))
VERDICT = judge(build.evidence(), build.MANIFEST, build.SUITE, build.PRICES)


def visits(rng: Random, middle: Mapping[str, float], count: int = 6) -> tuple[dict[str, float], ...]:
    """Visits around these values, as far apart as was measured."""
    spread = {"noisy": 0.06, "cpu": 0.03, "counted": 0.0}
    return tuple(
        {axis: value * (1 + rng.gauss(0, spread[AXES[axis].steadiness])) for axis, value in middle.items()}
        for _ in range(count)
    )


def verdict(result: Judgement = Judgement.FITS, failed: Sequence[str] = ()) -> Verdict:
    return placed({}, result, failed)


def placed(values: Mapping[str, float], result: Judgement = Judgement.FITS, failed: Sequence[str] = ()) -> Verdict:
    positions = tuple(Measure(axis, value, value, value, 9) for axis, value in values.items())
    checks = tuple(
        replace(it, finding=replace(it.finding, outcome=Outcome.FAIL if it.id in failed else Outcome.PASS))
        for it in VERDICT.checks
    )
    fit = Fit("paid-quota", result, "because so", "", (), positions, None)
    return replace(VERDICT, fits=(fit,), checks=checks)


def base(rng: Random, *verdicts: Verdict, **middle: float) -> Observed:
    return Observed("base", verdicts or (verdict(), verdict()), visits(rng, middle), visits(rng, middle))


def other(rng: Random, *verdicts: Verdict, **middle: float) -> Observed:
    return Observed("head", verdicts or (verdict(), verdict()), visits(rng, middle))


def changes(one: Observed, two: Observed) -> dict[str, Change]:
    return {row.axis: row.change for row in comparison.against(one, two, MANIFEST).rows}


USUAL = {"latency_p99_ms": 6.0, "cpu_s_per_1000": 0.7, "round_trips_per_request": 1.0}


def test_a_design_does_not_differ_from_itself() -> None:
    rng = Random(1)
    for _ in range(200):
        assert set(changes(base(rng, **USUAL), other(rng, **USUAL)).values()) == {Change.NOISE}


@pytest.mark.parametrize("axis", ["cpu_s_per_1000", "round_trips_per_request"])
@pytest.mark.parametrize(("factor", "change"), [(1.2, Change.WORSE), (1 / 1.2, Change.BETTER)])
def test_a_fifth_more_or_less_is_told_and_nothing_else_is(axis: str, factor: float, change: Change) -> None:
    rng = Random(2)
    for _ in range(100):
        found = changes(base(rng, **USUAL), other(rng, **USUAL | {axis: USUAL[axis] * factor}))
        assert found.pop(axis) is change
        assert set(found.values()) == {Change.NOISE}


def test_what_the_base_differs_from_itself_is_not_held_against_another() -> None:
    rng = Random(3)
    restless = Observed(
        "base", (verdict(), verdict()), visits(rng, {"cpu_s_per_1000": 0.7}), visits(rng, {"cpu_s_per_1000": 0.9})
    )
    assert changes(restless, other(rng, cpu_s_per_1000=0.95))["cpu_s_per_1000"] is Change.NOISE


def test_from_nothing_to_something_is_a_difference_without_a_factor() -> None:
    rng = Random(4)
    none, one = base(rng, round_trips_per_request=0.0), other(rng, round_trips_per_request=1.0)
    (row,) = comparison.against(none, one, MANIFEST).rows
    assert (row.base, row.other, row.ratio, row.change) == (0.0, 1.0, None, Change.WORSE)
    assert changes(none, other(rng, round_trips_per_request=0.0)) == {"round_trips_per_request": Change.NOISE}


def test_what_only_one_of_them_has_is_unknown() -> None:
    rng = Random(5)
    assert changes(base(rng, cpu_s_per_1000=1.0), other(rng)) == {"cpu_s_per_1000": Change.UNKNOWN}
    one, two = base(rng, placed({"peak_ratio": 1}), verdict()), other(rng, verdict(), verdict())
    assert changes(one, two) == {"peak_ratio": Change.UNKNOWN}


@pytest.mark.parametrize(
    ("axis", "one", "two", "change"),
    [
        ("peak_ratio", (1.0, 1.0), (2.0, 2.0), Change.WORSE),
        ("peak_ratio", (2.0, 2.0), (1.0, 1.0), Change.BETTER),
        ("answered", (0.99, 0.99), (0.5, 0.5), Change.WORSE),
        ("peak_ratio", (1.0, 1.02), (1.0, 1.0), Change.NOISE),  # they meet
        ("peak_ratio", (1.2, 1.25), (1.26, 1.27), Change.NOISE),  # neither is exact, and they are near
        ("outage_latency_p99_ms", (0.8, 0.9), (1.6, 1.9), Change.NOISE),  # less than a round trip apart
        ("outage_latency_p99_ms", (250, 254), (280, 284), Change.NOISE),
        ("outage_latency_p99_ms", (250, 254), (1.0, 1.2), Change.BETTER),
    ],
)
def test_two_grades_of_each_must_lie_far_apart(
    axis: str, one: tuple[float, float], two: tuple[float, float], change: Change
) -> None:
    rng = Random(6)
    graded = [tuple(placed({axis: value}) for value in values) for values in (one, two)]
    assert changes(base(rng, *graded[0]), other(rng, *graded[1])) == {axis: change}


def test_the_decision_that_the_numbers_point_at() -> None:
    rng = Random(7)
    does_not = Judgement.DOES_NOT

    def said(one: Observed, two: Observed) -> str:
        return comparison.advice(comparison.against(one, two, MANIFEST), comparison.design(one), "paid-quota")

    usual = base(rng, **USUAL)
    broken = other(rng, verdict(does_not, ["T-1"]), verdict(), **USUAL)
    assert (
        said(usual, broken)
        == "Mend this first, since no business accepts it: T-1 holds-in-a-race failed, and did not before."
    )
    lost = other(rng, verdict(does_not), verdict(does_not), **USUAL)
    assert said(usual, lost) == "paid-quota is lost: because so. Take that back, or choose another profile."
    won = base(rng, verdict(does_not), verdict(does_not), **USUAL)
    assert said(won, usual) == "paid-quota is won. What is left to decide is whether the rest is worth it."
    trade = other(rng, **USUAL | {"cpu_s_per_1000": 0.35, "round_trips_per_request": 2.0})
    assert said(usual, trade).startswith("Is cpu_s_per_1000 from 0.7")
    assert said(usual, trade).endswith("worth round_trips_per_request from 1 to 2, for paid-quota?")
    worse = other(rng, **USUAL | {"round_trips_per_request": 2.0})
    assert said(usual, worse).endswith("Otherwise take it back: round_trips_per_request from 1 to 2.")
    better = other(rng, **USUAL | {"round_trips_per_request": 0.5})
    assert said(usual, better).startswith("Keep it: round_trips_per_request from 1 to 0.5")
    assert said(base(rng, verdict(failed=["T-1"]), verdict(), **USUAL), other(rng, **USUAL)) == (
        "Keep it: T-1 holds-in-a-race no longer fails."
    )
    assert said(usual, other(rng, **USUAL)) == ""


def compared(*them: Against) -> Comparison:
    one = comparison.design(base(Random(8), **USUAL))
    return Comparison(1, "1.0", "toy", "abc", "paid-quota", 1, "Example CPU, 2 cores", 6, one, them)


def test_a_comparison_survives_json_and_nothing_else_is_taken_for_one() -> None:
    rng = Random(9)
    found = compared(comparison.against(base(rng, **USUAL), other(rng, **USUAL), MANIFEST))
    assert comparison.from_json(comparison.to_json(found), "x") == found
    for data in (
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"schema": 2}',
        comparison.to_json(found).replace(b'"rounds"', b'"round"'),
    ):
        with pytest.raises(CrucibleError, match="not a comparison of schema 1"):
            comparison.from_json(data, "comparison.json")
