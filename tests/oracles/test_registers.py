"""Orders of reads and writes: by hand, and against every order that there is."""

import itertools
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.oracles.registers import Access, anomaly
from crucible.oracles.windows import NEVER_NS

FIRST = "first"


def write(sent: int, received: int, value: object) -> Access:
    return Access(sent, received, str(value), write=True)


def read(sent: int, received: int, value: object) -> Access:
    return Access(sent, received, str(value), write=False)


@pytest.mark.parametrize(
    "accesses",
    [
        (),
        (read(0, 1, FIRST),),
        (write(0, 1, 1), read(2, 3, 1)),
        (write(0, 9, 1), read(1, 2, FIRST), read(3, 4, 1)),
        (write(0, 9, 1), write(0, 9, 2), read(10, 11, 1), read(12, 13, 1)),
        (write(0, NEVER_NS, 1), read(5, 6, FIRST), read(7, 8, 1)),
        (write(0, NEVER_NS, 1), read(5, 6, FIRST)),
        (write(0, 1, 1), write(2, 9, 2), read(3, 4, 1), read(5, 6, 2)),
        (write(0, 5, 1), read(5, 6, FIRST)),  # they touch, and so are at the same time
    ],
)
def test_what_has_an_order_has_no_anomaly(accesses: Sequence[Access]) -> None:
    assert anomaly(accesses, FIRST) is None


@pytest.mark.parametrize(
    ("accesses", "what"),
    [
        ((read(0, 1, 7),), "'7' was read, and nobody wrote it"),
        ((read(0, 1, 1), write(2, 3, 1)), "'1' was read before it was written"),
        ((write(0, 1, 1), read(2, 3, FIRST)), "a value came back"),
        ((write(0, 1, 1), write(2, 3, 2), read(4, 5, 1)), "a value came back"),
        ((write(0, 9, 1), read(1, 2, 1), read(3, 4, FIRST)), "a value came back"),
        (
            (write(0, 9, 1), write(0, 9, 2), read(10, 11, 1), read(12, 13, 2), read(14, 15, 1)),
            "each seen before and after",
        ),
        ((write(0, NEVER_NS, 1), read(5, 6, 1), read(7, 8, FIRST)), "a value came back"),
    ],
)
def test_what_has_none_says_why(accesses: Sequence[Access], what: str) -> None:
    found = anomaly(accesses, FIRST)
    assert found is not None
    assert what in found.what
    assert found.shown_by


@pytest.mark.parametrize("accesses", [(write(0, 1, 1), write(2, 3, 1)), (write(0, 1, FIRST),)])
def test_values_must_be_written_once(accesses: Sequence[Access]) -> None:
    with pytest.raises(ValueError, match="was written twice"):
        anomaly(accesses, FIRST)


def test_an_interval_must_be_one() -> None:
    with pytest.raises(ValueError, match="not an interval"):
        Access(2, 1, "x", write=False)


def ordered(accesses: Iterable[Access]) -> bool:
    """Whether any order explains them: every order that respects time is tried, each write without an answer or not."""
    them = tuple(accesses)
    open_writes = [it for it in them if it.received_ns == NEVER_NS]
    for count in range(len(open_writes) + 1):
        for dropped in itertools.combinations(open_writes, count):
            if _explained(tuple(it for it in them if it not in dropped), FIRST):
                return True
    return False


def _explained(left: tuple[Access, ...], value: object) -> bool:
    if not left:
        return True
    soonest = min(it.received_ns for it in left)
    for index, it in enumerate(left):
        possible = it.sent_ns <= soonest and (it.write or it.value == value)
        if possible and _explained(left[:index] + left[index + 1 :], it.value if it.write else value):
            return True
    return False


@st.composite
def histories(draw: st.DrawFn) -> tuple[Access, ...]:
    """Up to eight accesses, close together, some writes without an answer."""
    times = st.tuples(st.integers(0, 12), st.integers(0, 5))
    written = draw(st.lists(st.tuples(times, st.booleans()), max_size=4))
    writes = [
        write(sent, sent + length if answered else NEVER_NS, index)
        for index, ((sent, length), answered) in enumerate(written)
    ]
    values = st.sampled_from([FIRST, *(str(index) for index in range(len(writes)))])
    reads = draw(st.lists(st.tuples(times, values), max_size=4))
    return (*writes, *(read(sent, sent + length, value) for (sent, length), value in reads))


@settings(max_examples=400)
@given(histories())
def test_it_says_what_trying_every_order_says(accesses: tuple[Access, ...]) -> None:
    assert (anomaly(accesses, FIRST) is None) is ordered(accesses)
