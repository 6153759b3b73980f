"""Facts that a scenario notes and its judge reads."""

import json
from dataclasses import dataclass, field, replace

import pytest

from crucible.authoring.facts import fact, note, noted
from crucible.authoring.memory_lab import MadeUp, MemoryLab
from crucible.authoring.testing import history_of
from crucible.check import History


@dataclass(frozen=True, slots=True)
class Point:
    at_ns: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Has another record inside, and what JSON has no tuple for."""

    points: tuple[Point, ...]
    share: float | None = None
    sizes: dict[str, int] = field(default_factory=dict)


def lab() -> MemoryLab:
    return MemoryLab(MadeUp())


def seen(there: MemoryLab) -> History:
    """Its facts as evidence keeps them."""
    return history_of((), json.loads(json.dumps(there.facts)))


def test_a_judge_reads_the_record_that_was_noted() -> None:
    there = lab()
    line = Line((Point(1, "a"), Point(2)), 0.5, {"web": 7})
    note(there, line)
    assert fact(seen(there), Line) == line


def test_what_was_not_noted_is_none() -> None:
    there = lab()
    note(there, Point(1), "one")
    assert fact(seen(there), Point) is None
    assert fact(seen(there), Line, "one") is None
    assert noted(seen(there), Line) == {}


def test_facts_of_one_type_are_told_apart_by_name_in_the_order_of_noting() -> None:
    there = lab()
    for number, name in enumerate(("b", "a/c", "")):
        note(there, Point(number), name)
    assert list(noted(seen(there), Point).items()) == [("b", Point(0)), ("a/c", Point(1)), ("", Point(2))]
    assert fact(seen(there), Point, "a/c") == Point(1)
    assert fact(seen(there), Point) == Point(2)


def test_a_later_fact_replaces_an_earlier_one_of_its_name() -> None:
    there = lab()
    note(there, Point(1), "x")
    note(there, Point(2), "x")
    assert noted(seen(there), Point) == {"x": Point(2)}


def test_types_with_the_same_beginning_do_not_mix() -> None:
    @dataclass(frozen=True, slots=True)
    class Pointer:
        at_ns: int

    there = lab()
    note(there, Pointer(1), "x")
    assert noted(seen(there), Point) == {}


def test_what_is_not_what_was_noted_is_said_to_be_so() -> None:
    history = replace(history_of(()), facts={"Point/x": {"at_ns": "soon"}})
    with pytest.raises(ValueError, match="the fact Point is not what was noted: "):
        fact(history, Point, "x")
    with pytest.raises(ValueError, match="the fact Point is not what was noted: "):
        noted(history, Point)
