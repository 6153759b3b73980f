"""What is said of costs that are counted wrongly one after the other, of hints, and of a limit that did not change."""

from itertools import pairwise

import pytest
from support import flawed_limiters as flawed
from support import limiters
from support.limiter_checks import Design, judge, watch_all
from support.limiters import HonestLimiter

from crucible.authoring.memory_lab import EPOCH_NS, MS
from crucible.check import Finding, Outcome


def judged(check: str, limiter: HonestLimiter) -> Finding:
    return judge(check, watch_all(check, Design(lambda lab: limiter)))


def test_costs_in_falling_order_show_a_count_that_is_trimmed() -> None:
    finding = judged("RL-4", flawed.TrimsItsCount())
    assert finding.what == (
        "with limit 10, costs of 10, 9, 8, 7, 6, 5, 4, 3, 2, 1 were allowed one after the other, 55 units "
        "where at most 11.5 may be, on 2 keys"
    )
    assert finding.question.startswith("Of all that was allowed in the window")


def test_the_refusal_that_consumed_is_shown_with_what_it_kept_out() -> None:
    finding = judged("RL-4", flawed.ConsumesWhatItRefuses())
    costs = [op.request.body["cost"] for op in finding.examples if isinstance(op.request.body, dict)]
    assert [op.status for op in finding.examples] == [429, 429, 200]
    assert costs == [11, 3, 3]


def test_a_border_of_windows_between_costs_convicts_nobody() -> None:
    for phase in range(0, 60_000, 7_000):
        finding = judged("RL-4", limiters.FixedWindow(EPOCH_NS + phase * MS))
        assert finding.outcome is Outcome.PASS, finding.what


def test_a_hint_by_the_newest_unit_is_too_long() -> None:
    finding = judged("RL-5", flawed.HintsByTheNewestUnit())
    assert finding.what == (
        "9 of 31 hints were too long: one of 4.0 s came when the oldest of the last 5 units had 1.6 s left in the "
        "window, and at most 3.5 s may be said"
    )


def test_a_hint_is_too_long_where_the_key_lets_through_much_earlier() -> None:
    said = [judged("RL-5", flawed.RefillsAndHintsAtTheWholeWindow()).what]
    said += [judged("RL-5", flawed.AlwaysHintsAtTheWholeWindow(EPOCH_NS + phase * MS)).what for phase in (0, 1_000)]
    assert "one of 4.0 s came 2.4 s before the next check was let through" in said[0]
    assert all("hints were too long" in what for what in said)


@pytest.mark.parametrize("phase_ms", range(0, 4_000, 500))
def test_wherever_its_windows_begin_a_hint_of_the_whole_window_is_caught(phase_ms: int) -> None:
    finding = judged("RL-5", flawed.AlwaysHintsAtTheWholeWindow(EPOCH_NS + phase_ms * MS))
    assert finding.outcome is Outcome.FAIL, finding.what


def test_what_is_said_of_a_limit_that_did_not_change() -> None:
    finding = judged("RL-8", flawed.CachesLimits())
    assert "went from 1 to 60, web.0 let 1 through and then refused, as before" in finding.what
    assert "went from 60 to 1, web.0 let 10 through in a row, as before" in finding.what


def test_a_limit_that_is_changed_is_asked_for_one_check_after_the_other() -> None:
    seen = watch_all("RL-8", Design(lambda lab: HonestLimiter()))
    for label in {op.name for op in seen.named("change")}:
        ops = seen.named(label)
        assert all(before.received_ns < after.sent_ns for before, after in pairwise(ops)), label


def test_usage_that_is_too_high_is_asked_what_was_never_allowed() -> None:
    class CountsRefusals(HonestLimiter):
        def used(self, key: str, target: str, at_ns: int) -> int:
            return super().used(key, target, at_ns) + 3

    assert judged("RL-12", CountsRefusals()).question == "What is in your count that was never allowed?"
    assert judged("RL-12", flawed.SaysWhatThisReplicaSaw()).question == ""
