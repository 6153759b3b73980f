"""Reads of a file that is replaced: by hand, and in histories that are generated honest and then spoiled."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.oracles.files import Read, Version, impossible
from crucible.oracles.windows import NEVER_NS

A, B = Version("a", 10, 20), Version("b", 30, 40)


@pytest.mark.parametrize(
    "read",
    [
        Read(None, 5, 15),  # before the first is complete
        Read("a", 15, 18),  # while it is completed
        Read("a", 25, 28),
        Read("a", 35, 36),  # while its successor is completed
        Read("a", 25, 90),  # a slow one, that began with it
        Read("a", 40, 41),  # they touch, and so are at the same time
        Read("b", 35, 36),
        Read("b", 90, 99),
        Read("b", 25, 31),
    ],
)
def test_a_version_that_was_current_at_an_instant_is_right(read: Read) -> None:
    assert impossible([read], [A, B]) == []


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (Read("a", 41, 50), "brought a version that had been replaced"),
        (Read("b", 22, 29), "brought a version before it was completed"),
        (Read("ab", 22, 50), "brought no version whole"),
        (Read(None, 21, 29), "brought nothing that had been replaced"),
    ],
)
def test_what_was_never_current_is_named(read: Read, what: str) -> None:
    assert [it.what[: len(what)] for it in impossible([read], [A, B])] == [what]


def test_a_replacement_without_an_answer_may_happen_at_any_time_or_never() -> None:
    unknown = Version("b", 30, NEVER_NS)
    reads = [Read("a", 100, 110), Read("b", 35, 36), Read("b", 200, 210), Read("a", 220, 230)]
    assert impossible(reads, [A, unknown]) == []
    assert len(impossible(reads, [A, unknown, Version("c", 50, 60)])) == 2  # `a` is over then, `b` still may come


def test_a_deletion_is_a_version_of_nothing() -> None:
    deleted = Version(None, 30, 40)
    assert impossible([Read(None, 50, 60), Read("a", 35, 36)], [A, deleted]) == []
    assert len(impossible([Read("a", 50, 60)], [A, deleted])) == 1


def test_what_is_no_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="not an interval"):
        Version("a", 5, 4)


@st.composite
def honest(draw: st.DrawFn) -> tuple[list[Version], list[Read]]:
    """Versions at instants of their own, some without an answer, and reads that each look at one instant."""
    instants = sorted(draw(st.lists(st.integers(10, 1000), min_size=1, max_size=8, unique=True)))
    versions: list[Version] = []
    at: list[tuple[int, str | None]] = [(0, None)]
    for number, instant in enumerate(instants):
        asked = draw(st.integers(max(0, instant - 40), instant))
        known = draw(st.booleans()) or number == 0
        versions.append(Version(str(number), asked, draw(st.integers(instant, instant + 40)) if known else NEVER_NS))
        at.append((instant, str(number)))
    reads = []
    for _ in range(draw(st.integers(0, 12))):
        look = draw(st.integers(0, 1100))
        digest = [digest for instant, digest in at if instant <= look][-1]
        reads.append(Read(digest, draw(st.integers(max(0, look - 60), look)), draw(st.integers(look, look + 60))))
    return versions, reads


@settings(max_examples=400, deadline=None)
@given(honest())
def test_an_honest_history_is_never_accused(history: tuple[list[Version], list[Read]]) -> None:
    versions, reads = history
    assert impossible(reads, versions) == []


@settings(max_examples=200, deadline=None)
@given(honest(), st.data())
def test_a_read_of_what_was_certainly_over_is_always_named(
    history: tuple[list[Version], list[Read]], data: st.DataObject
) -> None:
    versions, reads = history
    last = Version("last", 2000, 2010)
    old = data.draw(st.sampled_from([it for it in versions if it.answered_ns != NEVER_NS]))
    stale = Read(old.digest, 2011, data.draw(st.integers(2011, 3000)))
    torn = Read("torn", 0, 3000)
    found = impossible([*reads, stale, torn], [*versions, last])
    assert {it.read for it in found} == {stale, torn}
