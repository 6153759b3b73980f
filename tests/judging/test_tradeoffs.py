"""Positions on axes, and profiles judged on them."""

from dataclasses import replace

import pytest
from support import evidence_builder as build

from crucible.check import Measure
from crucible.evidence import LoadBlock, Traffic
from crucible.judging import blocks, tradeoffs
from crucible.judging.tradeoffs import Checked, Judgement, Terms
from crucible.judging.words import number
from crucible.planning.manifest import Limit, Profile


def judged(profile: Profile, checked: Checked, **changes: object) -> tradeoffs.Fit:
    seen = build.evidence(**changes)
    knee = blocks.knee(seen.own.load, seen.own.ramp, profile.knee_p99_ms)
    return tradeoffs.fit(profile, seen.own, checked, Terms(build.MANIFEST, build.PRICES, seen.process_types), knee)


def position(axis: str, *measures: Measure, **changes: object) -> Measure | None:
    found = judged(Profile("p", "", 2, 200, {}), Checked(measures), **changes).positions
    return next((measure for measure in found if measure.axis == axis), None)


def fit(
    limits: dict[str, Limit], *measures: Measure, failed: str = "", open: str = "", rate: float = 200, **changes: object
) -> tradeoffs.Fit:
    return judged(Profile("p", "", 2, rate, limits), Checked(measures, {}, failed, open), **{"load": (), **changes})


def ratio(value: float, low: float, high: float, samples: int = 9) -> Measure:
    return Measure("long_run_ratio", value, low, high, samples)


def at_most(value: float) -> dict[str, Limit]:
    return {"long_run_ratio": Limit(at_most=value)}


def test_of_several_measures_of_an_axis_where_lower_is_better_the_upper_sides_count() -> None:
    assert position("long_run_ratio", ratio(1.2, 0.9, 1.3, 7), ratio(1.0, 1.0, 1.5, 900)) == ratio(1.2, 1.0, 1.5, 7)


def test_of_several_measures_of_an_axis_where_higher_is_better_the_lower_sides_count() -> None:
    good = Measure("answered_in_outage", 0.99, 0.98, 1.0, 5)
    bad = Measure("answered_in_outage", 0.5, 0.4, 0.6, 6)
    assert position("answered_in_outage", good, bad) == bad


def test_an_axis_that_the_manifest_does_not_have_has_no_position() -> None:
    assert position("made_up", Measure("made_up", 1, 1, 1, 1)) is None


def test_a_measure_without_samples_is_none() -> None:
    assert position("long_run_ratio", ratio(0, 0, 0, 0)) is None


def test_a_service_without_traffic_is_no_moving_part() -> None:
    silent = Traffic("web", "postgres", 0, 0, 0, 0, 0)
    found = position("moving_parts", traffic=(*build.OWN.traffic, silent), process_types=("web", "worker"))
    assert found is not None
    assert found.value == 3


def test_what_a_request_costs_comes_from_the_load_and_from_nothing_else() -> None:
    found = position("round_trips_per_request")
    assert found is not None
    assert (found.value, found.samples) == (1.0, 1800)
    assert position("round_trips_per_request", load=()) is None
    assert position("backing_services", load=()) is not None


def test_the_load_of_another_rate_says_nothing() -> None:
    assert position("latency_p99_ms", load=(build.block(50),) * 3) is None


@pytest.mark.parametrize(
    ("low", "high", "result"),
    [
        (1.0, 1.1, Judgement.FITS),
        (1.0, 1.11, Judgement.INCONCLUSIVE),
        (1.1, 1.2, Judgement.INCONCLUSIVE),
        (1.11, 1.2, Judgement.DOES_NOT),
    ],
)
def test_a_limit_is_judged_with_the_whole_interval(low: float, high: float, result: Judgement) -> None:
    assert fit(at_most(1.1), ratio(1.1, low, high)).result is result


def test_a_lower_limit_is_judged_from_below() -> None:
    least = {"long_run_ratio": Limit(at_least=0.99)}
    assert fit(least, ratio(1, 0.99, 1)).result is Judgement.FITS
    assert fit(least, ratio(1, 0.98, 1)).result is Judgement.INCONCLUSIVE
    assert fit(least, ratio(1, 0.5, 0.98)).result is Judgement.DOES_NOT


def test_an_axis_without_a_measure_is_inconclusive_and_says_so() -> None:
    found = fit(at_most(1.1))
    assert (found.result, found.because) == (Judgement.INCONCLUSIVE, "long_run_ratio was not measured")


def test_a_spoiled_load_is_inconclusive_and_says_what_spoiled_it() -> None:
    bad = build.block(spoiled="requests were sent 9 ms late (99th percentile)")
    found = fit({"latency_p99_ms": Limit(at_most=9)}, load=(build.block(), build.block(), bad, bad))
    assert found.result is Judgement.INCONCLUSIVE
    assert found.because == (
        "latency_p99_ms was not measured: 2 of 4 blocks of load were spoiled: requests were sent 9 ms late "
        "(99th percentile)"
    )


def test_a_misfit_outranks_what_is_open() -> None:
    found = fit({"latency_p99_ms": Limit(at_most=9)} | at_most(1), ratio(2, 1.9, 2.1))
    assert found.result is Judgement.DOES_NOT
    assert found.because == "long_run_ratio was 2 (1.9 to 2.1), and this profile needs at most 1"
    assert [limit.result for limit in found.limits] == [Judgement.INCONCLUSIVE, Judgement.DOES_NOT]


def test_no_business_accepts_a_failed_gate_and_none_is_sure_of_an_open_one() -> None:
    failed = fit(at_most(2), ratio(1, 1, 1), failed="T-1: it did")
    assert (failed.result, failed.because) == (Judgement.DOES_NOT, "no business accepts a failed gate: T-1: it did")
    assert fit(at_most(2), ratio(1, 1, 1), open="T-1: perhaps").result is Judgement.INCONCLUSIVE
    assert fit(at_most(0.5), ratio(1, 1, 1), open="T-1: perhaps").result is Judgement.DOES_NOT


def test_a_misfit_says_at_which_limits_it_would_fit() -> None:
    limits = at_most(1) | {"answered_in_outage": Limit(at_least=0.9)}
    found = fit(limits, ratio(2, 1.9, 2.1), Measure("answered_in_outage", 0.5, 0.4, 0.6, 9))
    assert found.flips_at == (
        "it would fit with a limit on long_run_ratio of at most 2.1 and answered_in_outage of at least 0.4"
    )


def test_a_misfit_on_latency_alone_says_at_which_lower_rate_it_would_fit() -> None:
    def load(rate: float, ms: int) -> tuple[LoadBlock, ...]:
        return (build.block(rate, latency_us=((ms * 1000, 600),)),) * 3

    late = Measure("latency_p99_ms", 30, 30, 30, 9)
    found = fit({"latency_p99_ms": Limit(at_most=20)}, late, load=(*load(50, 5), *load(100, 15), *load(200, 30)))
    assert found.flips_at == (
        "no limit that a business here has would admit it: the loosest is at most 20 on latency_p99_ms; "
        "it would fit at a rate of 100/s"
    )


def test_a_fit_says_which_limit_is_the_nearest_and_which_rate_it_no_longer_holds() -> None:
    limits = at_most(4) | {"latency_p99_ms": Limit(at_most=20)}
    late = Measure("latency_p99_ms", 8, 7, 10, 9)
    ramp = (build.block(400), *(build.block(800, latency_us=((90_000, 600),)),) * 2)
    found = fit(limits, ratio(1, 1, 1), late, ramp=ramp)
    assert found.flips_at == (
        "it would no longer fit with a limit on latency_p99_ms below 10, or beyond a rate between 400/s and 800/s"
    )


def test_a_profile_without_limits_fits() -> None:
    assert fit({}).result is Judgement.FITS


@pytest.mark.parametrize(
    ("value", "text"), [(2, "2"), (0.31, "0.31"), (1204.4, "1,204"), (1.9449, "1.945"), (0.00001, "1e-05")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_rate_is_held_with_the_profiles_own_latency() -> None:
    profile = build.MANIFEST.profiles[0]
    assert profile.knee_p99_ms == 100
    assert replace(profile, limits={"latency_p99_ms": Limit(at_most=7)}).knee_p99_ms == 7
