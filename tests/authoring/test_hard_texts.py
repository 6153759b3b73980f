"""Valid JSON that a store may choke on, and what it may be answered with."""

import json

import pytest

from crucible.authoring.malformed import Bad, Route, extra_field, hard_texts, judge_bad, offence
from crucible.authoring.testing import history_of, op
from crucible.check import Outcome
from crucible.evidence import FaultEvent

ROUTE = Route("POST", "/v1/things", {"name": "x", "size": 1})


def body(bad: Bad) -> object:
    assert bad.raw is not None
    return json.loads(bad.raw)


def test_they_are_valid_json_with_what_utf_8_or_a_database_has_no_text_for() -> None:
    nul, half = hard_texts(ROUTE, text="name", word="a name")
    assert body(nul) == {"name": "a\0b", "size": 1}
    assert body(half) == {"name": "a\ud800b", "size": 1}
    assert nul.raw is not None
    assert b"\\u0000" in nul.raw, "escaped, as JSON has it"
    assert nul.words == "a name with the character U+0000"


def test_they_may_lie_deeper() -> None:
    nul, half = hard_texts(ROUTE, text="extra", word="extras", within='{{"note": [{}]}}')
    assert body(nul) == {"name": "x", "size": 1, "extra": {"note": ["a\0b"]}}
    assert body(half) == {"name": "x", "size": 1, "extra": {"note": ["a\ud800b"]}}


@pytest.mark.parametrize(
    ("legal", "status", "offends"),
    [(False, 400, False), (False, 200, True), (False, 500, True), (True, 400, False), (True, 200, False),
     (True, 500, True), (True, 429, True)],
)  # fmt: skip
def test_where_any_text_is_legal_they_may_be_taken_or_refused(legal: bool, status: int, offends: bool) -> None:
    for bad in hard_texts(ROUTE, text="name", word="a name", legal=legal):
        assert (offence(bad, [op(f"bad/{bad.slug}", "POST", "/v1/things", status)]) is not None) == offends


@pytest.mark.parametrize(("status", "offends"), [(200, False), (400, False), (500, True), (None, True)])
def test_a_field_that_nobody_asked_for_wants_a_definite_answer(status: int | None, offends: bool) -> None:
    bad = extra_field(ROUTE)
    assert body(bad) == {"name": "x", "size": 1, "note": ["\0", "\ud800", {"__proto__": {"a": 1}}]}
    assert (offence(bad, [op("bad/extra-field", "POST", "/v1/things", status)]) is not None) == offends


TABLE = {bad.slug: bad for bad in hard_texts(ROUTE, text="name", word="a name")}


def test_one_request_of_each_kind_that_was_not_refused_is_shown() -> None:
    ops = [op("bad/name-nul", "POST", "/x", 200), op("bad/name-surrogate", "POST", "/x", 500, at_s=1)]
    finding = judge_bad(history_of(ops), TABLE, [], "nothing was kept")
    assert [one.name for one in finding.examples] == ["bad/name-nul", "bad/name-surrogate"]


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (FaultEvent("died", "worker.0", 2 * 10**9, detail={"status": 1}), "the process worker.0 ended with status 1"),
        (FaultEvent("out_of_memory", "worker.0", 2 * 10**9), "the process worker.0 ended"),
        (FaultEvent("died", "worker.0", 2 * 10**9, detail={"status": 0}), ""),
    ],
)
def test_a_worker_that_ends_of_a_fault_is_harmed_and_one_that_is_done_is_not(event: FaultEvent, says: str) -> None:
    asked = [op(f"bad/{slug}", "POST", "/x", 400, at_s=1) for slug in TABLE]
    seen = history_of([*asked, op("alive/web.0", "GET", "/healthz", 200, at_s=3)], events=(event,))
    finding = judge_bad(seen, TABLE, [], "nothing was kept")
    assert finding.outcome is (Outcome.FAIL if says else Outcome.PASS)
    assert not says or finding.what == says


def test_a_worker_that_had_ended_before_ends_by_itself() -> None:
    asked = [op(f"bad/{slug}", "POST", "/x", 400, at_s=1) for slug in TABLE]
    ends = tuple(FaultEvent("died", "worker.0", at_s * 10**9, detail={"status": 1}) for at_s in (0, 2))
    seen = history_of([*asked, op("alive/web.0", "GET", "/healthz", 200, at_s=3)], events=ends)
    assert judge_bad(seen, TABLE, [], "nothing was kept").outcome is Outcome.PASS
