"""The price of what a design may keep by its own word, such as with a clean-up once an hour."""

from dataclasses import replace

from support import evidence_builder as build

from crucible.check import Measure
from crucible.evidence import Traffic
from crucible.judging import cost
from crucible.planning.manifest import Kept

PER_KEY = Measure("bytes_per_key", 2_000, 2_000, 2_000, 2_000)
KEPT = Kept("bytes_per_key", 10_001, "forgets_within_s")


def storage(rate: float, declares: dict[str, str]) -> float:
    postgres = Traffic("web", "postgres", 4, 4, 600, 1, 1)
    block = replace(build.block(), rate=rate)
    part = build.evidence(traffic=(postgres,), load=(block,) * 3).own
    found = cost.monthly(part, rate, KEPT, declares, [PER_KEY], build.PRICES)
    assert found is not None
    return sum(line.usd for line in found[0].lines if line.what == "postgres storage")


def test_a_clean_up_once_an_hour_costs_more_than_one_every_ten_seconds_and_less_than_one_a_day() -> None:
    promptly, hourly, daily = (storage(200, {"forgets_within_s": text}) for text in ("10", "3600", "86400"))
    assert promptly == storage(200, {}) < hourly < daily


def test_what_is_kept_grows_with_the_rate() -> None:
    assert storage(50, {"forgets_within_s": "86400"}) < storage(200, {"forgets_within_s": "86400"})
