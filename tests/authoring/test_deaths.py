"""What is said of processes that ended by themselves and did not come back."""

import pytest

from crucible.authoring import deaths
from crucible.authoring.testing import history_of, op
from crucible.check import History, JsonValue
from crucible.evidence import FaultEvent, Op

S = 1_000_000_000
TRACE = "Traceback (most recent call last):\n  File ...\nConnectionRefusedError: [Errno 111]\n\nexiting\n"


def at(kind: str, subject: str, at_s: float, until_s: float | None = None) -> FaultEvent:
    return FaultEvent(kind, subject, int(at_s * S), int(until_s * S) if until_s is not None else None)


def died(subject: str = "web.0", at_s: float = 10.2, *, status: int = 1, log: str = "") -> FaultEvent:
    detail: dict[str, JsonValue] = {"status": status, "log": log}
    return FaultEvent("died", subject, int(at_s * S), detail=detail)


def seen(*events: FaultEvent, ops: tuple[Op, ...] = ()) -> History:
    return history_of(ops, events=events)


def asked(at_s: float, status: int | None, target: str = "web.0") -> Op:
    return op("state", "GET", "/v1/things/1", status, at_s=at_s, target=target)


def test_a_death_is_told_with_the_fault_it_met() -> None:
    crash = at("crash", "postgres", 10, 10.9)
    wide = at("slow", "postgres", 9, 12)
    said = "web.0 ended with status 1, 0.2 s into the crash of postgres, and did not come back"
    assert deaths.not_back(seen(wide, crash, died())) == [said]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ((at("reset", "redis", 10, 10.01),), ", 0.2 s after the reset of redis"),
        ((at("refuse", "redis", 8, 12),), ", 2.2 s into the outage of redis"),
        ((at("kill", "web.1", 10, 10),), ", 0.2 s after the kill of web.1"),
        ((at("crash", "postgres", 1, 2), at("start", "web.0", 9, 10)), ", 0.2 s after the start of web.0"),
        ((at("crash", "postgres", 10, 10.5), at("start", "web.1", 9, 10.1)), ", 0.2 s into the crash of postgres"),
        ((at("crash", "postgres", 11, 12),), ""),
        ((at("crash", "postgres", 0.0, 0.1),), ""),
        ((), ""),
    ],
)
def test_what_it_met_is_what_began_last_before_it(events: tuple[FaultEvent, ...], said: str) -> None:
    assert deaths.not_back(seen(*events, died())) == [f"web.0 ended with status 1{said}, and did not come back"]


@pytest.mark.parametrize("back", [at("restarted", "web.0", 11), at("start", "web.0", 9, 11), at("kill", "web.0", 11)])
def test_who_came_back_or_was_ended_by_the_grader_is_not_told(back: FaultEvent) -> None:
    assert deaths.not_back(seen(died(), back)) == []


def test_a_start_that_was_over_before_the_death_is_no_return() -> None:
    assert deaths.not_back(seen(at("start", "web.0", 9, 10), died()))
    assert deaths.not_back(seen(at("restarted", "web.0", 10), died()))


def test_a_worker_counts_once_it_was_not_started_again_for_long() -> None:
    assert deaths.not_back(seen(died("worker.0"), ops=(asked(12, 200),))) == []
    assert deaths.not_back(seen(died("worker.0"), ops=(asked(14, 200),)))


def test_how_often_it_ended_is_said() -> None:
    events = (died(at_s=1), at("restarted", "web.0", 2), died(at_s=3), at("restarted", "web.0", 4), died(at_s=6))
    said = "web.0 ended with status 1, the last of 3 times, 2.0 s after the start of web.0, and did not come back"
    assert deaths.not_back(seen(*events)) == [said]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (died(status=-11), "web.0 was ended by signal 11, which the grader did not send, and did not come back"),
        (at("out_of_memory", "web.0", 1), "web.0 held more memory than it may, and was ended, and did not come back"),
        (at("too_many_processes", "web.0", 1),
         "web.0 had more processes than it may, and was ended, and did not come back"),
    ],
)  # fmt: skip
def test_every_kind_of_end_has_its_words(event: FaultEvent, said: str) -> None:
    assert deaths.not_back(seen(event)) == [said]


def test_of_several_the_first_is_told_in_full() -> None:
    both = seen(died("web.1", 9, log="KeyError\n"), died("web.0", 10), died("worker.0", 11), ops=(asked(20, 200),))
    first = "web.1 ended with status 1, and did not come back (the last it printed: KeyError)"
    assert deaths.in_short(both) == f"{first}; nor did web.0 and worker.0"
    assert deaths.in_short(seen()) == ""


def test_what_it_printed_last_is_quoted_by_the_line_that_tells_most() -> None:
    (said,) = deaths.not_back(seen(died(log=TRACE)))
    assert said.endswith("did not come back (the last it printed: ConnectionRefusedError: [Errno 111])")
    assert deaths.last_words("one\n two \n\n") == " (the last it printed: two)"
    assert deaths.last_words(" \n") == ""


@pytest.mark.parametrize("poison", ["a\u0000b", "a\u202eb", "\x1b[31mred", "a\ud800b", "x" * 9_000])
def test_what_it_printed_is_shown_in_one_line_that_can_be_kept(poison: str) -> None:
    said = deaths.last_words(poison)
    said.encode()
    assert len(said) < 200
    assert said.isprintable()


def test_requests_after_the_end_were_left_unanswered_by_the_design() -> None:
    after, before, other = asked(11, None), asked(9, None), asked(11, None, "web.1")
    assert deaths.left_unanswered(seen(died(), ops=(after,)))
    assert not deaths.left_unanswered(seen(died(), ops=(before, other)))
    assert not deaths.left_unanswered(seen(died(), ops=(asked(11, 200),)))
    assert not deaths.left_unanswered(seen(died(), at("restarted", "web.0", 10.5), ops=(after,)))


def test_an_end_from_outside_is_nothing_to_charge_the_design_with() -> None:
    """A machine that is out of memory sends SIGKILL."""
    assert not deaths.left_unanswered(seen(died(status=-9), ops=(asked(11, None),)))
    assert deaths.left_unanswered(seen(died(status=-11), ops=(asked(11, None),)))
    assert deaths.left_unanswered(seen(at("out_of_memory", "web.0", 1), ops=(asked(11, None),)))
