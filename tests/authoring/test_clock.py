"""The wall clock, as scenarios and judges read it."""

import asyncio
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.authoring.clock import MS, aligned_window, epoch_ns, into_first_half, moment, note_epoch, wall_ms
from crucible.authoring.memory_lab import EPOCH_NS, MadeUp, MemoryLab, in_virtual_time
from crucible.authoring.testing import history_of


class ClockLab(MemoryLab):
    """Its wall clock is at `wall` ms when virtual time begins."""

    def __init__(self, wall: int = EPOCH_NS // MS) -> None:
        super().__init__(MadeUp())
        self.began_ms = wall

    def wall_ns(self) -> int:
        return self.began_ms * MS + self.now_ns()


def test_the_epoch_makes_a_moment_of_an_operation_one_of_the_wall_clock() -> None:
    lab = ClockLab()

    async def look() -> None:
        await lab.sleep(1.5)
        note_epoch(lab, "race")
        assert epoch_ns(history_of((), lab.facts), "race") == lab.wall_ns() - lab.now_ns() == EPOCH_NS

    in_virtual_time(look)


def test_each_scenario_has_its_own_epoch_because_a_clock_may_be_set() -> None:
    lab = ClockLab(1_000)

    async def look() -> None:
        note_epoch(lab, "first")
        lab.began_ms = 61_000
        note_epoch(lab, "second")

    in_virtual_time(look)
    history = history_of((), lab.facts)
    assert (epoch_ns(history, "first"), epoch_ns(history, "second")) == (1_000 * MS, 61_000 * MS)
    assert epoch_ns(history, "third") is None


def test_a_moment_is_rfc_3339_in_utc_to_the_millisecond() -> None:
    lab = ClockLab(1_790_000_000_123)

    async def look() -> None:
        assert wall_ms(lab) == 1_790_000_000_123
        assert moment(lab, 0) == "2026-09-21T14:13:20.123Z"
        assert moment(lab, 1.5) == "2026-09-21T14:13:21.623Z"
        assert moment(lab, -86_400) == "2026-09-20T14:13:20.123Z"
        await lab.sleep(2)
        assert datetime.fromisoformat(moment(lab, 1)).timestamp() == pytest.approx(1_790_000_003.123)

    in_virtual_time(look)


@given(at_ms=st.integers(0, 2**41), least_ms=st.integers(100, 60_000))
def test_an_aligned_window_is_the_shortest_that_begins_near_enough(at_ms: int, least_ms: int) -> None:
    window = aligned_window(at_ms, least_ms)
    assert window % 100 == 0
    assert least_ms <= window < 3 * (least_ms + 100)
    shorter = range(-(-least_ms // 100) * 100, window, 100)
    assert not [one for one in shorter if 0.05 <= at_ms % one / one <= 0.2]


@given(at_ms=st.integers(0, 2**41), least_ms=st.integers(100, 60_000))
def test_where_none_begins_near_enough_the_one_that_has_just_begun_is_taken(at_ms: int, least_ms: int) -> None:
    window, first = aligned_window(at_ms, least_ms), -(-least_ms // 100) * 100
    past = at_ms % window / window
    assert 0.05 <= past <= 0.2 or past == min(at_ms % one / one for one in range(first, 3 * first + 1, 100))


def slept(wall: int, window_ms: int) -> float:
    lab = ClockLab(wall)
    found: list[float] = []

    async def wait() -> None:
        await into_first_half(lab, window_ms)
        found.append(asyncio.get_running_loop().time())

    in_virtual_time(wait)
    return found[0]


@pytest.mark.parametrize(
    ("past_ms", "window_ms", "waits_s"),
    [
        (0, 2_000, 0),
        (1_000, 2_000, 0),
        (1_001, 2_000, 1.099),
        (1_900, 2_000, 0.2),
        (55_000, 60_000, 8),
        (54_999, 60_000, 0),
    ],
)
def test_a_window_that_is_half_over_is_waited_out_where_the_next_is_near(
    past_ms: int, window_ms: int, waits_s: float
) -> None:
    assert slept(600_000 + past_ms, window_ms) == pytest.approx(waits_s)
