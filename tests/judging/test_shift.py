"""By what factor samples differ, and how sure that is."""

import itertools
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.judging.shift import _arrangements, ratio

VALUES = st.lists(st.floats(0.001, 1000), min_size=6, max_size=12)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 3), (4, 4), (3, 6)])
def test_the_arrangements_are_those_that_can_be_counted(n: int, m: int) -> None:
    counted = [0] * (n * m + 1)
    for mine in itertools.combinations(range(n + m), n):
        others = set(range(n + m)) - set(mine)
        counted[sum(one > two for one in mine for two in others)] += 1
    assert _arrangements(n, m) == counted


def test_the_median_of_all_ratios_is_the_estimate() -> None:
    found = ratio([2, 4, 8, 2, 4, 8], [1, 1, 1, 1, 1, 1], 0.05)
    assert found is not None
    assert found.value == pytest.approx(4)


@given(VALUES, VALUES)
def test_the_interval_holds_the_estimate_and_turns_round_with_the_samples(one: list[float], two: list[float]) -> None:
    found, back = ratio(one, two, 0.05), ratio(two, one, 0.05)
    assert found is not None
    assert back is not None
    assert found.low <= found.value <= found.high
    assert (back.low, back.high) == pytest.approx((1 / found.high, 1 / found.low))


def test_the_interval_misses_the_truth_as_seldom_as_it_says() -> None:
    rng, missed, runs = Random(1), 0, 2_000
    for _ in range(runs):
        one, two = ([math.exp(rng.gauss(0, 0.1)) for _ in range(count)] for count in (6, 12))
        found = ratio(one, two, 0.05)
        assert found is not None
        missed += not found.low <= 1 <= found.high
    assert 0.02 < missed / runs < 0.05


@pytest.mark.parametrize(
    ("one", "two", "error"), [([], [1.0], 0.5), ([1.0], [0.0], 0.5), ([1, 2, 3], [1, 2, 3], 0.002)]
)
def test_where_there_is_no_factor_or_no_interval_there_is_none(
    one: list[float], two: list[float], error: float
) -> None:
    assert ratio(one, two, error) is None
