"""The judges over windows, by hand, against slow twins, and on an honest limiter that decides whenever it likes."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.oracles.windows import (
    NEVER_NS,
    Claim,
    LongRun,
    Peak,
    long_run,
    most_in_flight,
    peak_units,
    wrong_refusals,
)

WINDOW = 100


@dataclass(frozen=True)
class Seen:
    """What clients saw of an honest sliding log."""

    granted: tuple[Claim, ...]
    refused: tuple[Claim, ...]
    unanswered: tuple[Claim, ...]


@dataclass(frozen=True)
class Request:
    decided_ns: int
    before: int
    after: int
    units: int
    fate: str


REQUESTS = st.lists(
    st.builds(
        Request,
        decided_ns=st.integers(0, 6 * WINDOW),
        before=st.integers(0, 2 * WINDOW),
        after=st.integers(0, 2 * WINDOW),
        units=st.integers(1, 3),
        fate=st.sampled_from(["answered"] * 6 + ["answer lost", "never arrived"]),
    ),
    max_size=60,
)
CLAIMS = st.lists(
    st.builds(
        lambda sent, took, units: Claim(sent, sent + took, units),
        st.integers(0, 300),
        st.integers(0, 150),
        st.integers(0, 4),
    ),
    max_size=40,
)


def watch_sliding_log(requests: list[Request], limit: int) -> Seen:
    """An exact sliding log over the closed window that ends at each decision; several clients overlap at will."""
    log: list[tuple[int, int]] = []
    granted: list[Claim] = []
    refused: list[Claim] = []
    unanswered: list[Claim] = []
    for request in sorted(requests, key=lambda request: request.decided_ns):
        sent, received = request.decided_ns - request.before, request.decided_ns + request.after
        used = sum(units for at, units in log if at >= request.decided_ns - WINDOW)
        fits = request.fate != "never arrived" and used + request.units <= limit
        if fits:
            log.append((request.decided_ns, request.units))
        if request.fate != "answered":
            unanswered.append(Claim(sent, NEVER_NS, request.units))
        else:
            (granted if fits else refused).append(Claim(sent, received, request.units))
    return Seen(tuple(granted), tuple(refused), tuple(unanswered))


def slow_peak(claims: list[Claim], window_ns: int) -> int:
    return max(
        (
            sum(c.units for c in claims if start.sent_ns <= c.sent_ns and c.received_ns <= start.sent_ns + window_ns)
            for start in claims
        ),
        default=0,
    )


@given(REQUESTS, st.integers(1, 8))
def test_an_honest_sliding_log_is_never_accused(requests: list[Request], limit: int) -> None:
    seen = watch_sliding_log(requests, limit)
    assert peak_units(seen.granted, WINDOW).units <= limit
    assert wrong_refusals(seen.refused, seen.granted + seen.unanswered, limit, WINDOW) == ()
    run = long_run(seen.granted, start_ns=0, window_ns=WINDOW, tiles=6)
    assert max(run.per_tile) <= limit
    assert sum(run.per_tile) <= run.total <= 6 * limit


@given(REQUESTS, st.integers(1, 8), st.data())
def test_one_grant_too_many_in_a_window_is_always_named_with_its_members(
    requests: list[Request], limit: int, data: st.DataObject
) -> None:
    start = 20 * WINDOW
    ends = st.tuples(st.integers(0, WINDOW), st.integers(0, WINDOW)).map(sorted)
    planted = [Claim(start + a, start + b) for a, b in data.draw(st.lists(ends, min_size=limit + 1, max_size=12))]
    peak = peak_units([*planted, *watch_sliding_log(requests, limit).granted], WINDOW)
    assert peak.units == len(planted) > limit
    assert sorted(peak.members, key=repr) == sorted(planted, key=repr)


@given(REQUESTS, st.integers(1, 8), st.integers(0, 50))
def test_a_refusal_on_an_idle_key_is_always_named(requests: list[Request], limit: int, took: int) -> None:
    seen = watch_sliding_log(requests, limit)
    idle_since = max((claim.received_ns for claim in seen.granted), default=0)
    planted = Claim(idle_since + WINDOW + 1, idle_since + WINDOW + 1 + took)
    assert wrong_refusals([*seen.refused, planted], seen.granted, limit, WINDOW)[-1:] == (planted,)


@given(CLAIMS, st.integers(1, 200))
def test_the_fast_peak_is_the_slow_one(claims: list[Claim], window_ns: int) -> None:
    peak = peak_units(claims, window_ns)
    assert peak.units == slow_peak(claims, window_ns) == sum(claim.units for claim in peak.members)
    assert all(peak.start_ns <= c.sent_ns and c.received_ns <= peak.start_ns + window_ns for c in peak.members)


@given(CLAIMS, CLAIMS, st.integers(1, 20))
def test_the_fast_wrong_refusals_are_the_slow_ones(refused: list[Claim], granted: list[Claim], limit: int) -> None:
    def possible(refusal: Claim) -> int:
        since = refusal.sent_ns - WINDOW
        return sum(c.units for c in granted if c.sent_ns <= refusal.received_ns and c.received_ns >= since)

    wrong = [c for c in refused if possible(c) < 0.9 * limit and possible(c) + c.units <= limit]
    assert list(wrong_refusals(refused, granted, limit, WINDOW)) == wrong


def test_the_window_is_closed_at_both_ends() -> None:
    claims = [Claim(0, 0), Claim(100, 100)]
    assert peak_units(claims, 100) == Peak(2, 0, (claims[0], claims[1]))
    assert peak_units(claims, 99).units == 1


def test_a_window_may_start_between_two_grants_and_the_earliest_fullest_is_named() -> None:
    claims = [Claim(0, 10), Claim(50, 60, 2), Claim(120, 150, 2), Claim(400, 410, 4)]
    assert peak_units(claims, 100) == Peak(4, 50, (claims[1], claims[2]))


def test_a_grant_that_took_longer_than_the_window_is_in_none() -> None:
    assert peak_units([Claim(0, 101, 9)], 100) == Peak(0, 0, ())


def test_grants_sent_at_the_same_instant_count_together() -> None:
    assert peak_units([Claim(5, 9), Claim(5, 7), Claim(5, 200)], 100).units == 2


def test_without_grants_there_is_no_peak() -> None:
    assert peak_units([], 100) == Peak(0, 0, ())


def test_a_refusal_is_deserved_by_what_an_unanswered_request_may_have_taken() -> None:
    refusal, unanswered = Claim(5_000, 5_001), Claim(0, NEVER_NS, 10)
    assert wrong_refusals([refusal], [unanswered], limit=10, window_ns=100) == ()
    assert wrong_refusals([refusal], [Claim(0, 4_899, 10)], limit=10, window_ns=100) == (refusal,)
    assert wrong_refusals([refusal], [Claim(0, 4_900, 10)], limit=10, window_ns=100) == ()


def test_a_request_sent_after_the_refusal_does_not_excuse_it() -> None:
    refusal = Claim(100, 110)
    assert wrong_refusals([refusal], [Claim(111, NEVER_NS, 10)], limit=10, window_ns=100) == (refusal,)


@pytest.mark.parametrize(("granted", "wrong"), [(8, True), (9, False), (10, False)])
def test_a_tenth_of_the_limit_is_tolerance(granted: int, wrong: bool) -> None:
    assert bool(wrong_refusals([Claim(50, 51)], [Claim(40, 41, granted)], limit=10, window_ns=100)) is wrong


def test_a_cost_that_does_not_fit_is_refused_rightly() -> None:
    assert wrong_refusals([Claim(50, 51, 5), Claim(50, 51, 11)], [Claim(40, 41, 6)], limit=10, window_ns=100) == ()


def test_tiles_count_what_lies_wholly_in_them_and_the_total_what_crosses_their_borders() -> None:
    claims = [Claim(90, 95), Claim(100, 110), Claim(150, 199), Claim(195, 205), Claim(300, 300), Claim(299, 301)]
    assert long_run(claims, start_ns=100, window_ns=100, tiles=2) == LongRun((2, 1), 4)


def test_two_counters_show_in_every_tile_and_a_burst_at_the_start_does_not() -> None:
    twice = [Claim(at, at + 1) for at in range(0, 400, 5)]
    assert long_run(twice, 100, 100, 3).per_tile == (20, 20, 20)
    burst = [Claim(0, 1, 20), *(Claim(at, at + 1) for at in range(100, 400, 10))]
    assert long_run(burst, 100, 100, 3).per_tile == (10, 10, 10)


def test_the_most_in_flight_counts_intervals_that_touch() -> None:
    assert most_in_flight([Claim(0, 5), Claim(5, 9), Claim(5, 5), Claim(10, 12)]) == 3
    assert most_in_flight([]) == 0


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 0 ns"):
        peak_units([], 0)
    with pytest.raises(ValueError, match="a limit of 0 units"):
        wrong_refusals([], [], 0, 100)
    with pytest.raises(ValueError, match="a span of 0 windows"):
        long_run([], 0, 100, 0)
    with pytest.raises(ValueError, match="not a claim"):
        Claim(2, 1)
