"""A history with one part taken out, for each part that it has."""

from crucible.authoring.testing import history_of, op, without_each_part
from crucible.evidence import FaultEvent


def test_each_label_and_each_kind_of_event_is_taken_out_once() -> None:
    ops = [op("a", "GET", "/", 200), op("a", "GET", "/", 200, at_s=1), op("b/1", "GET", "/", 200, at_s=2)]
    whole = history_of(ops, events=[FaultEvent("kill", "web.0", 1)])
    found = {name: ([one.name for one in less.ops], len(less.events)) for name, less in without_each_part(whole)}
    assert found == {"a": (["b/1"], 1), "b/1": (["a", "a"], 1), "kill": (["a", "a", "b/1"], 0)}
