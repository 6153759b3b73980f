"""What blocks of load say, and what they do not."""

from dataclasses import replace
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import evidence_builder as build

from crucible.check import Measure
from crucible.evidence import Counts, LoadBlock
from crucible.judging import blocks


def measure(axis: str, *load: LoadBlock) -> Measure:
    return next(it for it in blocks.measures(load, 200) if it.axis == axis)


def late(ms: int, many: int = 600) -> LoadBlock:
    return build.block(latency_us=((ms * 1000, many),))


def test_the_median_of_the_blocks_counts_and_the_extremes_are_its_interval() -> None:
    assert measure("latency_p99_ms", late(9), late(4), late(30)) == Measure("latency_p99_ms", 9, 4, 30, 1800)


def test_of_eight_blocks_the_outermost_are_left_out_without_becoming_less_sure() -> None:
    assert blocks.around_median([9, 1, 2, 3, 4, 5, 6, 7]) == (2, 7)
    assert blocks.around_median([1, 2, 3, 4, 5, 6, 9]) == (1, 9)
    assert blocks.around_median([4]) == (4, 4)
    hit = measure("latency_p99_ms", *(late(ms) for ms in (4, 5, 4, 5, 4, 5, 4, 30)))
    assert (hit.value, hit.low, hit.high) == (4.5, 4, 5)


def test_times_of_courses_that_are_told_apart_are_an_axis_of_their_own() -> None:
    load = [replace(late(4), apart_us={"first_byte": ((ms * 1000, 100),)}) for ms in (20, 30, 40)]
    assert measure("first_byte_p95_ms", *load) == Measure("first_byte_p95_ms", 30, 20, 40, 300)
    assert blocks.values(load)["first_byte_p95_ms"] == 40
    assert "first_byte_p95_ms" not in blocks.values([*load, late(4)]), "not all of them have it"


@given(st.integers(8, 30))
def test_the_interval_holds_the_median_with_93_percent(number: int) -> None:
    least, _ = blocks.around_median(list(range(number)))
    outside = 2 * sum(comb(number, below) for below in range(int(least) + 1)) / 2**number
    assert outside <= blocks.MOST_OUTSIDE


def test_fewer_than_three_good_blocks_say_nothing_but_what_was_counted() -> None:
    bad = replace(late(4), spoiled="another machine took 9% of this one's time")
    counts = {"round_trips_per_request", "bytes_per_request"}
    assert {measure.axis for measure in blocks.measures((late(4), late(4), bad), 200)} == counts
    assert set(blocks.values([bad])) == counts
    assert blocks.measures((late(4), late(4)), 200) == ()
    assert blocks.why_none((late(4), late(4), bad), 200) == (
        "1 of 3 blocks of load were spoiled: another machine took 9% of this one's time"
    )
    assert blocks.why_none((late(4),) * 3, 200) is None


def test_a_block_without_any_answer_says_why_nothing_was_measured() -> None:
    dead = build.block(latency_us=(), unanswered_us=((1_000, 600),))
    assert blocks.measures((late(4), late(4), dead), 200) == ()
    assert blocks.why_none((late(4), late(4), dead), 200) == "a whole block of load had no answer"


def test_what_a_request_costs_is_reckoned_on_answers() -> None:
    silent = build.block(latency_us=((4_000, 300),), unanswered_us=((1_000, 300),))
    assert measure("round_trips_per_request", *(silent,) * 3).value == 2
    assert measure("cpu_s_per_1000", *(silent,) * 3).value == 1
    assert measure("store_cpu_s_per_1000", *(silent,) * 3).value == pytest.approx(0.2)
    assert measure("total_cpu_s_per_1000", *(silent,) * 3).value == pytest.approx(1.2)
    assert measure("bytes_per_request", *(silent,) * 3).value == 300
    assert measure("memory_mb", *(silent,) * 3).value == 90


def test_cpu_time_is_told_as_if_the_machine_had_been_as_fast_as_any_other() -> None:
    fast = build.block(pace_us=40)
    slow = build.block(pace_us=60, process_cpu_s={"web": 0.45}, service_cpu_s={"redis": 0.09})
    for axis in ("cpu_s_per_1000", "store_cpu_s_per_1000", "total_cpu_s_per_1000"):
        found = measure(axis, fast, slow, slow)
        assert found.low == pytest.approx(found.high)
    assert blocks.values([slow]) == pytest.approx(blocks.values([fast]))
    unseen = build.block(pace_us=0)
    assert measure("cpu_s_per_1000", *(unseen,) * 3).value == measure("cpu_s_per_1000", *(fast,) * 3).value


def test_what_a_service_took_whose_processes_are_not_seen_is_unknown_and_not_nought() -> None:
    attached = build.block(service_cpu_s={})
    found = {it.axis for it in blocks.measures((attached,) * 3, 200)}
    assert "cpu_s_per_1000" in found
    assert not found & {"store_cpu_s_per_1000", "total_cpu_s_per_1000"}
    assert "store_cpu_s_per_1000" not in blocks.values([attached])


def test_a_few_fast_errors_leave_the_slowest_percent_open_and_many_are_as_slow_as_the_time_out() -> None:
    few = build.block(latency_us=((4_000, 588),), unanswered_us=((1_000, 12),))
    assert blocks.latency_ms(few, 99) == (4, 2_000)
    assert blocks.latency_ms(few, 50) == (4, 4)
    many = build.block(latency_us=((4_000, 560),), unanswered_us=((1_000, 40),))
    assert blocks.latency_ms(many, 99) == (2_000, 2_000)


@pytest.mark.parametrize(
    ("steal", "lag_us", "network", "pace", "used", "said"),
    [
        (0.01, 900, 0.1, 40, 0.5, None),
        (0.06, 900, 0.1, 40, 0.5, "another machine took 6% of this one's time"),
        (0.01, 900, 0.7, 40, 0.5, "the lab network itself used 70% of a core"),
        (0.01, 900, 0.1, 0, 0.5, "the machine's speed could not be seen"),
        (0.01, 8_000, 0.1, 40, 0.5, "requests were sent 8 ms late (99th percentile)"),
        (
            0.01, 8_000, 0.1, 40, 1.8,
            "requests were sent 8 ms late (99th percentile), while the design and its services used 1.8 of 2 cores",
        ),
    ],
)  # fmt: skip
def test_what_spoils_a_block_is_said(
    steal: float, lag_us: int, network: float, pace: float, used: float, said: str | None
) -> None:
    assert (
        blocks.spoiled(steal=steal, lag_us=((lag_us, 600),), network_cpu=network, pace_us=pace, used=used, cores=2)
        == said
    )


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.sampled_from([50, 90, 99, 99.9]))
def test_a_percentile_is_the_nearest_rank(values: list[int], share: float) -> None:
    counts: Counts = tuple((value, values.count(value)) for value in sorted(set(values)))
    found = blocks.percentile(counts, share)
    assert sum(value <= found for value in values) >= len(values) * share / 100 - 1e-9
    assert sum(value < found for value in values) < len(values) * share / 100


def test_nothing_has_no_percentile() -> None:
    assert blocks.percentile((), 99) == 0


def ramp(*steps: tuple[float, int]) -> tuple[LoadBlock, ...]:
    return tuple(build.block(rate, latency_us=((ms * 1000, 600),)) for rate, ms in steps)


def test_a_knee_is_a_bracket() -> None:
    found = blocks.knee(ramp((200, 5)), ramp((400, 6), (800, 90), (800, 80), (500, 9), (625, 31), (625, 32)), 30)
    assert found is not None
    assert (found.held, found.failed) == (500, 625)
    assert found.why == "the 99th percentile was 32 ms, and 0.0% had no answer"


def test_one_bad_block_is_no_end_of_a_ramp() -> None:
    found = blocks.knee((), ramp((400, 90), (400, 6), (800, 90), (800, 90)), 30)
    assert found is not None
    assert (found.held, found.failed) == (400, 800)


def test_a_ramp_that_the_machine_ended_leaves_the_bracket_open() -> None:
    bad = tuple(replace(it, spoiled="requests were sent 9 ms late") for it in ramp((800, 90)))
    found = blocks.knee((), (*ramp((400, 6)), *bad), 30)
    assert found is not None
    assert (found.held, found.failed, found.why) == (400, None, "at 800/s requests were sent 9 ms late")


def test_a_ramp_to_its_end_leaves_the_bracket_open() -> None:
    found = blocks.knee((), ramp((400, 6)), 30)
    assert found is not None
    assert (found.held, found.failed) == (400, None)


def test_a_design_that_holds_nothing_has_no_knee() -> None:
    assert blocks.knee(ramp((200, 90)), ramp((400, 90), (400, 90)), 30) is None
    assert blocks.knee(ramp((200, 5)), (), 30) is None


def test_a_rate_with_errors_is_not_held() -> None:
    assert not blocks.holds(build.block(unanswered_us=((1_000, 1),)), 30)
    assert not blocks.holds(build.block(latency_us=()), 30)
    assert blocks.holds(build.block(), 30)


mixes = st.lists(st.tuples(st.integers(1, 3_000_000), st.integers(1, 400)), min_size=1, max_size=8)


@given(answered=mixes, lost=st.integers(1, 400), how=st.sampled_from([500, 900_000, 2_000_000]))
def test_turning_answers_into_errors_never_makes_latency_surely_lower(
    answered: list[tuple[int, int]], lost: int, how: int
) -> None:
    """The slowest become errors that come at any time: what was surely over a limit is never surely under it."""
    latency = tuple(sorted(dict(answered).items()))
    honest = build.block(latency_us=latency)
    left, taken = _without_slowest(latency, lost)
    lying = build.block(latency_us=left, unanswered_us=((how, taken),))
    for share in (50, 99):
        low, _ = blocks.latency_ms(honest, share)
        _, high = blocks.latency_ms(lying, share)
        assert high >= min(low, honest.timeout_us / 1000)


def _without_slowest(latency: Counts, number: int) -> tuple[Counts, int]:
    left, taken = [], 0
    for value, count in reversed(latency):
        gone = min(count, number - taken)
        taken += gone
        if count > gone:
            left.append((value, count - gone))
    return tuple(reversed(left)), taken


def test_beside_other_programs_a_latency_that_is_kept_is_kept_and_one_that_is_missed_is_open() -> None:
    def p99(foreign: float) -> Measure:
        load = [build.block(foreign=foreign)] * blocks.ENOUGH
        return next(it for it in blocks.measures(load, 200) if it.axis == "latency_p99_ms")

    quiet, busy = p99(blocks.MOST_FOREIGN), p99(0.5)
    assert (quiet.low, quiet.high) == (9, 9)
    assert (busy.low, busy.value, busy.high) == (0, 9, 9)
