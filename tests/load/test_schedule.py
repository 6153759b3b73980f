"""When requests are due."""

import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.load.schedule import arrivals


@given(rate=st.floats(1, 2_000), seconds=st.floats(0.1, 3), seed=st.integers(0, 99), parts=st.integers(1, 5))
def test_parts_send_together_exactly_what_one_would(rate: float, seconds: float, seed: int, parts: int) -> None:
    whole = list(arrivals(rate, seconds, seed))
    pieces = [arrivals(rate, seconds, seed, part=part, parts=parts) for part in range(parts)]
    assert sorted(moment for piece in pieces for moment in piece) == whole


def test_arrivals_are_a_poisson_process_of_the_rate() -> None:
    due = list(arrivals(1_000, 20, 7))
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert len(due) == pytest.approx(20_000, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)
    assert due == sorted(due)
    assert 0 <= due[0] < due[-1] < 20e9


def test_a_seed_chooses_the_arrivals() -> None:
    assert arrivals(100, 1, 1) == arrivals(100, 1, 1)
    assert arrivals(100, 1, 1) != arrivals(100, 1, 2)


@pytest.mark.parametrize(("rate", "seconds", "part", "parts"), [(0, 1, 0, 1), (5, 0, 0, 1), (5, 1, 1, 1), (5, 1, 0, 0)])
def test_what_makes_no_schedule_is_refused(rate: float, seconds: float, part: int, parts: int) -> None:
    with pytest.raises(ValueError, match="no schedule"):
        arrivals(rate, seconds, 1, part=part, parts=parts)
