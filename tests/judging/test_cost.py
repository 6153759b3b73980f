"""The monthly bill, on a price list by hand."""

from dataclasses import replace
from typing import Any

import pytest
from support import evidence_builder as build

from crucible.check import Measure
from crucible.errors import CrucibleError, Fault
from crucible.evidence import Traffic, Usage
from crucible.judging import cost
from crucible.planning import prices
from crucible.planning.prices import Requests, ServicePrices, Storage

PER_KEY = Measure("bytes_per_key", 2_000, 2_000, 2_000, 100)


def bill(rate: float = 200, kept: Measure | None = None, **changes: Any) -> dict[str, float]:
    found = cost.monthly(
        build.evidence(**changes).own, rate, build.MANIFEST.kept, {}, [kept] if kept else [], build.PRICES
    )
    assert found is not None
    return {line.what: line.usd for line in found[0].lines}


def busy(cpu_s: float) -> tuple[Any, ...]:
    return (build.block(process_cpu_s={"web": cpu_s}),) * 3


def test_a_quiet_design_pays_a_machine_for_each_instance_and_the_floor_of_its_service() -> None:
    assert bill() == {"machines": 12, "redis": 9}


def test_what_one_machine_cannot_bear_at_sixty_percent_takes_more_of_them() -> None:
    """600 answers for 9 s are 15 ms each; at 200/s three cores, at 60 % five machines of one."""
    assert bill(load=busy(9)) == {"machines": 30, "redis": 9}


def test_memory_decides_the_size_of_a_machine() -> None:
    fat = (build.block(memory_bytes={"web": 3_000_000_000, "redis": 0}),) * 3
    assert bill(load=fat)["machines"] == 100


def test_a_service_that_was_never_asked_is_not_paid() -> None:
    assert bill(traffic=()) == {"machines": 12}


def test_what_is_kept_is_paid_as_storage_where_a_service_has_that() -> None:
    postgres = Traffic("web", "postgres", 4, 4, 600, 1, 1)
    assert bill(kept=PER_KEY, traffic=(postgres,)) == {
        "machines": 12, "postgres": 12, "postgres storage": pytest.approx(0.2)
    }  # fmt: skip


def test_each_service_pays_for_what_it_keeps_where_that_is_seen() -> None:
    postgres, redis = (Traffic("web", name, 4, 4, 600, 1, 1) for name in ("postgres", "redis"))
    assert build.MANIFEST.kept is not None
    kept = replace(build.MANIFEST.kept, each={"postgres": "in_postgres", "redis": "in_redis"})
    measures = [PER_KEY, replace(PER_KEY, axis="in_postgres"), replace(PER_KEY, axis="in_redis", value=0.0)]
    own = build.evidence(traffic=(postgres, redis)).own
    shared = cost.monthly(own, 200, build.MANIFEST.kept, {}, measures, build.PRICES)
    seen = cost.monthly(own, 200, kept, {}, measures, build.PRICES, times=10)
    assert shared is not None
    assert seen is not None
    assert seen[0].larger is not None
    paid = [{line.what: line.usd for line in lines}["postgres storage"]
            for lines in (shared[0].lines, seen[0].lines, seen[0].larger.lines)]  # fmt: skip
    assert paid == [pytest.approx(0.1), pytest.approx(0.2), pytest.approx(2.0)]


def test_connections_decide_the_tier() -> None:
    postgres = Traffic("web", "postgres", 99, 99, 600, 1, 1)
    assert bill(traffic=(postgres,))["postgres"] == 24


def test_what_no_single_server_bears_takes_as_many_as_would_be_needed() -> None:
    """0.15 s of CPU for 600 answers are 250 us each."""
    redis = build.PRICES.services["redis"]
    tiers = tuple(replace(tier, vcpus=2) for tier in redis.tiers)
    priced = replace(build.PRICES, services={**build.PRICES.services, "redis": replace(redis, tiers=tiers)})
    load = (build.block(service_cpu_s={"redis": 0.15}),) * 3
    found = cost.monthly(build.evidence(load=load).own, 200, None, {}, [], priced, 100)
    assert found is not None
    assert {line.what: line.usd for line in found[0].lines}["redis"] == 9
    larger = found[0].larger
    assert larger is not None
    assert (larger.times, larger.rate) == (100, 20_000)
    assert larger.full is not None
    assert larger.full.rate == pytest.approx(4_800)
    assert larger.full.why == "250 us of CPU time a request, of 2 cores"
    servers = {line.what: line.usd for line in larger.lines}["redis"] / tiers[-1].usd_per_month
    assert servers == 5
    assert "first redis would be full, from 4,800/s on" in larger.words


def test_what_is_kept_in_the_processes_takes_their_memory() -> None:
    much = Measure("bytes_per_key", 4_000, 4_000, 4_000, 100)
    assert bill(kept=much, traffic=())["machines"] == 100


def test_operations_that_are_paid_by_number_are_extrapolated_to_a_month() -> None:
    listed = build.PRICES.services | {
        "s3": ServicePrices(
            (), Storage(usd_per_gb_month=0, **build.SEEN), {"PUT": Requests(usd_per_million=5, **build.SEEN)}
        )
    }
    evidence = build.evidence(
        recordings=(), traffic=(Traffic("web", "s3", 1, 1, 1, 1, 1),),
        usage=(build.OWN.usage[0], Usage("s3", "service", 1, 0, 0, {"PUT": 180, "GET": 999})),
    )  # fmt: skip
    priced = prices.Prices("USD", "test", build.PRICES.machines, listed)
    found = cost.monthly(evidence.own, 10, None, {}, [], priced)
    assert found is None, "nothing was offered at that rate"
    found = cost.monthly(evidence.own, 200, None, {}, [], priced)
    assert found is not None
    lines = {line.what: line.usd for line in found[0].lines}
    assert lines["s3 PUT"] == pytest.approx(180 / 1800 * 200 * 730 * 3600 / 1e6 * 5)
    assert "s3 GET" not in lines


def test_a_service_without_a_price_is_named_and_costs_nothing() -> None:
    evidence = build.evidence(traffic=(Traffic("web", "etcd", 1, 1, 1, 1, 1),))
    found = cost.monthly(evidence.own, 200, None, {}, [], build.PRICES)
    assert found is not None
    assert cost.Charge("etcd", 0.0, "the price list does not have it") in found[0].lines


def test_the_interval_is_that_of_the_blocks() -> None:
    load = (*busy(0.3), build.block(process_cpu_s={"web": 9}))
    found = cost.monthly(build.evidence(load=load).own, 200, None, {}, [], build.PRICES)
    assert found is not None
    assert (found[1].value, found[1].low, found[1].high) == (21, 21, 39)


def test_our_own_price_list_has_a_source_and_a_date_for_everything() -> None:
    ours = prices.read_prices()
    assert {"postgres", "redis", "rabbitmq", "s3"} <= set(ours.services)
    assert all(it.source.startswith("https://") and it.seen.startswith("20") for it in ours.entries)


def test_a_price_list_of_the_users_own_is_the_users_fault(tmp_path: Any) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("currency: USD\nregion: here\nmachines: []\nservices: {}\n")
    with pytest.raises(CrucibleError) as raised:
        prices.read_prices(path)
    assert raised.value.fault is Fault.LEARNER
