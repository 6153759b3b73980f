"""Positions on axes, and profiles judged on them."""

from dataclasses import replace

import pytest
from support import evidence_builder as build

from crucible import tradeoffs
from crucible.check import Measure
from crucible.evidence import Traffic, Usage
from crucible.manifest import Limit, Profile
from crucible.tradeoffs import Judgement


def position(axis: str, *measures: Measure, **changes: object) -> Measure | None:
    found = tradeoffs.positions(build.evidence(**changes), measures, build.MANIFEST)
    return next((measure for measure in found if measure.axis == axis), None)


def fit(limit: Limit, *measures: Measure, replicas: int = 2) -> tradeoffs.Fit:
    profile = Profile("p", "", 2, 50, {"long_run_ratio": limit})
    return tradeoffs.fit(profile, replicas, measures, build.MANIFEST)


def ratio(value: float, low: float, high: float, samples: int = 9) -> Measure:
    return Measure("long_run_ratio", value, low, high, samples)


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


def test_round_trips_are_counted_per_request_to_the_web_processes() -> None:
    assert position("round_trips_per_check") == Measure("round_trips_per_check", 2.0, 2.0, 2.0, 292)


def test_a_worker_makes_no_round_trips_per_check() -> None:
    worker = Traffic("worker", "redis", 1, 1, 10_000, 0, 0)
    found = position("round_trips_per_check", traffic=(*build.EVIDENCE.traffic, worker))
    assert found is not None
    assert found.value == 2.0


def test_a_service_without_traffic_is_no_moving_part() -> None:
    silent = Traffic("web", "postgres", 0, 0, 0, 0, 0)
    found = position("moving_parts", traffic=(*build.EVIDENCE.traffic, silent), process_types=("web", "worker"))
    assert found is not None
    assert found.value == 3


def test_a_design_without_services_makes_no_round_trips() -> None:
    found = position("round_trips_per_check", traffic=(), services=())
    assert found is not None
    assert found.value == 0


def test_cpu_time_is_not_told_from_few_requests() -> None:
    few = (build.PASSING[0], build.recording("steady", build.ops(100)))
    assert position("cpu_s_per_1000", recordings=few) is None
    assert position("cpu_s_per_1000") == Measure("cpu_s_per_1000", 2.5, 2.5, 2.5, 292)


def test_cpu_time_is_not_told_where_a_process_was_not_accounted() -> None:
    assert position("cpu_s_per_1000", process_types=("web", "worker")) is None
    assert position("store_cpu_s_per_1000", usage=(Usage("web", "process", 2, 0.1, 1),)) is None


def test_nothing_is_told_per_request_where_many_were_not_answered() -> None:
    errors = (build.PASSING[0], build.recording("steady", (*build.ops(900), *build.ops(100, status=503))))
    assert position("round_trips_per_check", recordings=errors) is None
    assert position("backing_services", recordings=errors) is not None


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
    assert fit(Limit(at_most=1.1), ratio(1.1, low, high)).result is result


def test_a_lower_limit_is_judged_from_below() -> None:
    assert fit(Limit(at_least=0.99), ratio(1, 0.99, 1)).result is Judgement.FITS
    assert fit(Limit(at_least=0.99), ratio(1, 0.98, 1)).result is Judgement.INCONCLUSIVE
    assert fit(Limit(at_least=0.99), ratio(1, 0.5, 0.98)).result is Judgement.DOES_NOT


def test_an_axis_without_a_measure_is_inconclusive_and_says_so() -> None:
    found = fit(Limit(at_most=1.1))
    assert (found.result, found.because) == (Judgement.INCONCLUSIVE, "long_run_ratio was not measured")


def test_a_misfit_outranks_what_is_open() -> None:
    profile = Profile("p", "", 2, 50, {"latency_p99_ms": Limit(at_most=9), "long_run_ratio": Limit(at_most=1)})
    found = tradeoffs.fit(profile, 2, [ratio(2, 1.9, 2.1)], build.MANIFEST)
    assert found.result is Judgement.DOES_NOT
    assert found.because == "long_run_ratio was 2 (1.9 to 2.1), and this profile needs at most 1"
    assert [limit.result for limit in found.limits] == [Judgement.INCONCLUSIVE, Judgement.DOES_NOT]


def test_another_number_of_replicas_leaves_a_profile_open() -> None:
    found = fit(Limit(at_most=1.1), ratio(9, 9, 9), replicas=4)
    assert found.result is Judgement.INCONCLUSIVE
    assert "4 replicas" in found.because


def test_a_profile_without_limits_fits() -> None:
    profile = replace(build.MANIFEST.profiles[0], limits={})
    assert tradeoffs.fit(profile, 2, [], build.MANIFEST).result is Judgement.FITS


@pytest.mark.parametrize(
    ("value", "text"), [(2, "2"), (0.31, "0.31"), (1204.4, "1,204"), (1.9449, "1.945"), (0.00001, "1e-05")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert tradeoffs.number(value) == text
