"""NT-12, and what ends early: what a crash costs, whose it is, and who never recovered."""

from dataclasses import replace
from typing import Any

import pytest
from support.notifier_checks import CHECKS, watch, watch_on

from crucible.authoring.testing import without_each_part
from crucible.check import Outcome
from crucible.evidence import Attempt


def test_who_declares_at_most_once_is_measured_and_not_failed() -> None:
    seen = watch(("crashes",), "a list in memory")
    finding = CHECKS["NT-12"].judge(replace(seen, declares={"delivery": "at-most-once"}))
    lost = next(it for it in finding.measures if it.axis == "lost_per_1000")
    assert finding.outcome is Outcome.PASS, finding.what
    assert lost.low > 500
    assert CHECKS["NT-12"].gate
    assert CHECKS["NT-12"].unless == {"delivery": "at-most-once"}


def test_what_comes_after_the_time_that_is_promised_is_late_whenever_it_comes() -> None:
    """Had the run gone on until everything was there."""
    seen = watch(("crashes",), "tries again too late")
    missing = CHECKS["NT-12"].judge(seen)
    assert "had not arrived 60 s after the last failure was over" in missing.what
    end = max(op.received_ns for op in seen.ops) + 120_000_000_000
    arrived = {str(it.body) for it in seen.attempts if it.effect}
    last: dict[str, Attempt] = {str(it.body): it for it in seen.attempts}
    more = [
        replace(it, at_ns=end, answered_ns=end, status=200, effect=True)
        for body, it in last.items()
        if body not in arrived
    ]
    found = CHECKS["NT-12"].judge(replace(seen, attempts=(*seen.attempts, *more)))
    assert more
    assert found.outcome is Outcome.FAIL
    assert "came later" in found.what


def test_a_loss_belongs_to_the_strike_during_which_it_was_tried_last() -> None:
    seen = watch(("crashes",), "")
    spans: list[Any] = [value for name, value in seen.facts.items() if name.startswith("Span/")]
    begin_ns = next(span["begin_ns"] for span in spans if span["strike"] == "f11")
    ref = next(op.reply["id"] for op in seen.named("f2") if isinstance(op.reply, dict) and "id" in op.reply)
    mine = [it for it in seen.attempts if isinstance(it.body, dict) and it.body["ref"] == ref]
    tried = replace(mine[-1], effect=False, status=500, at_ns=begin_ns + 1)
    lost = replace(seen, attempts=(*(it for it in seen.attempts if it not in mine), tried))
    finding = CHECKS["NT-12"].judge(lost)
    assert finding.what.startswith("a reset of all connections to services lost 1 of")
    assert finding.evidence["lost under f11"] == 1
    assert "lost under f2" not in finding.evidence


def test_who_never_recovers_took_longer_than_was_waited() -> None:
    seen = watch(("crashes",), "")
    facts = {
        name: {**value, "recovery_s": None} if name.startswith("Away/") and isinstance(value, dict) else value
        for name, value in seen.facts.items()
    }
    found = [it for it in CHECKS["NT-12"].judge(replace(seen, facts=facts)).measures if it.axis == "recovery_s"]
    assert [(it.value, it.beyond) for it in found] == [(15.0, True)]


def test_no_strike_is_passed_unseen() -> None:
    seen = watch(("crashes",), "")
    spared = {"crashes/read": "states are NT-5's", "calm": "waits for replicas to answer", "after": "for a recovery"}
    spared["again"] = "of what arrived it need not be known for sure that it was accepted"
    for part, less in without_each_part(seen):
        finding = CHECKS["NT-12"].judge(less)
        assert {part, part.split("/")[-1]} & spared.keys() or finding.outcome is not Outcome.PASS, part


@pytest.mark.parametrize("flaw", ["", "tries again too late"])
def test_a_design_that_delivers_is_not_given_up(flaw: str) -> None:
    assert watch_on(("contact",), flaw)[1] == ""


def test_where_nothing_arrives_it_ends_early_and_is_lost() -> None:
    seen, given_up = watch_on(("contact",), "delivers nothing")
    assert given_up == "none of the first 6 notifications that were accepted arrived within 60 s"
    finding = CHECKS["NT-1"].judge(seen)
    assert finding.outcome is Outcome.FAIL
    assert finding.what == "6 of 6 accepted notifications never arrived"
