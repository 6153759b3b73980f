"""The oracle of counts and sums: by hand, against brute force, and on honest histories with one anomaly put in."""

from collections import defaultdict
from itertools import combinations
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from crucible.oracles.tallies import Entry, Reconciled, Tally, reconcile


def entries(*values: int, doubtful: tuple[int, ...] = (), bucket: int = 7) -> list[Entry]:
    sure = [Entry(f"e{value}", bucket, value) for value in values]
    return sure + [Entry(f"d{value}", bucket, value, sure=False) for value in doubtful]


def tallied(counted: list[Entry]) -> dict[int, Tally]:
    found: dict[int, Tally] = defaultdict(Tally)
    for entry in counted:
        before = found[entry.bucket]
        found[entry.bucket] = Tally(before.count + 1, before.sum + entry.value)
    return dict(found)


def named(found: Reconciled) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(wrong.lost, wrong.doubled) for wrong in found.wrong]


def test_what_was_taken_in_and_counted_is_right() -> None:
    found = reconcile(entries(5, 11, -3), {7: Tally(3, 13)})
    assert found.right
    assert found.counted == 3


def test_what_nobody_knows_of_may_be_in_or_not() -> None:
    sent = entries(5, doubtful=(11, 12))
    assert all(reconcile(sent, {7: tally}).right for tally in (Tally(1, 5), Tally(2, 16), Tally(2, 17), Tally(3, 28)))
    assert not reconcile(sent, {7: Tally(2, 18)}).right
    assert not reconcile(sent, {7: Tally(1, 11)}).right, "the event that is sure is missing, and one in doubt is in"


def test_a_count_that_is_right_with_a_sum_that_is_not_is_one_lost_and_another_doubled() -> None:
    found = reconcile(entries(5, 11, 30), {7: Tally(3, 5 + 11 + 11)})
    assert named(found) == [(("e30",), ("e11",))]
    assert (found.lost, found.doubled) == (1, 1)


def test_a_sum_that_no_event_explains_is_said_to_be_off() -> None:
    (wrong,) = reconcile(entries(1 << 39, 3), {7: Tally(2, (1 << 39) + 4)}).wrong
    assert (wrong.lost, wrong.doubled, wrong.off_by) == ((), (), 1)


def test_a_bucket_that_nobody_sent_to_has_to_be_empty() -> None:
    found = reconcile(entries(5), {7: Tally(1, 5), 8: Tally(1, 5)})
    assert [(wrong.bucket, wrong.fewest_doubled) for wrong in found.wrong] == [(8, 1)]
    assert reconcile(entries(5), {7: Tally(1, 5), 8: Tally(0, 0)}).right


def test_more_are_missing_than_can_be_named() -> None:
    (wrong,) = reconcile(entries(*range(100, 200)), {7: Tally(90, sum(range(100, 190)))}).wrong
    assert wrong.fewest_lost == 10


def test_of_very_many_in_doubt_only_the_impossible_is_wrong() -> None:
    sent = entries(1, doubtful=tuple(range(10, 70)))
    assert reconcile(sent, {7: Tally(11, 300)}).open == (7,)
    assert reconcile(sent, {7: Tally(11, 9_000)}).wrong
    assert reconcile(sent, {7: Tally(0, 0)}).wrong


@given(
    st.sets(st.integers(-50, 50), max_size=6), st.sets(st.integers(51, 70), max_size=6), st.integers(0, 8),
    st.integers(-200, 400),
)  # fmt: skip
def test_it_agrees_with_trying_every_subset(sure: set[int], doubtful: set[int], count: int, total: int) -> None:
    possible = any(
        len(sure) + size == count and sum(sure) + sum(chosen) == total
        for size in range(len(doubtful) + 1) for chosen in combinations(doubtful, size)
    )  # fmt: skip
    assert reconcile(entries(*sure, doubtful=tuple(doubtful)), {7: Tally(count, total)}).right == possible


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Entry], Random]:
    """What was sent, each with a value of its own as the suite draws them."""
    rng = Random(draw(st.integers(0, 2**32)))
    number, doubtful = draw(st.integers(2, 300)), draw(st.integers(0, 6))
    values = rng.sample(range(1 << 40), number + doubtful)
    minutes = draw(st.integers(1, 4))
    return [
        Entry(f"e{index}", index % minutes, value, sure=index < number) for index, value in enumerate(values)
    ], rng  # fmt: skip


@given(histories())
def test_an_honest_history_is_never_accused(drawn: tuple[list[Entry], Random]) -> None:
    sent, rng = drawn
    assert reconcile(sent, tallied([entry for entry in sent if entry.sure or rng.random() < 0.5])).right


@given(histories())
def test_one_lost_is_named(drawn: tuple[list[Entry], Random]) -> None:
    sent, rng = drawn
    victim = rng.choice([entry for entry in sent if entry.sure])
    kept = [entry for entry in sent if entry is not victim and (entry.sure or rng.random() < 0.5)]
    assert named(reconcile(sent, tallied(kept))) == [((victim.id,), ())]


@given(histories())
def test_one_doubled_is_named(drawn: tuple[list[Entry], Random]) -> None:
    sent, rng = drawn
    victim = rng.choice([entry for entry in sent if entry.sure])
    kept = [entry for entry in sent if entry.sure or rng.random() < 0.5]
    assert named(reconcile(sent, tallied([*kept, victim]))) == [((), (victim.id,))]


@given(histories())
def test_one_lost_and_another_doubled_are_named(drawn: tuple[list[Entry], Random]) -> None:
    sent, rng = drawn
    lost, doubled = rng.sample([entry for entry in sent if entry.sure], 2)
    kept = [entry for entry in sent if entry is not lost and (entry.sure or rng.random() < 0.5)]
    found = reconcile(sent, tallied([*kept, doubled]))
    if lost.bucket == doubled.bucket:
        assert named(found) == [((lost.id,), (doubled.id,))]
    else:
        assert sorted(named(found)) == sorted([((lost.id,), ()), ((), (doubled.id,))])
