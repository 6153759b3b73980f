"""The file pipeline's judges, on histories made up by hand."""

import importlib
from dataclasses import asdict, replace
from typing import Any

import pytest

from crucible.authoring.testing import complaints, history_of, op
from crucible.check import Finding, History, JsonValue, Outcome
from crucible.evidence import Attempt, FaultEvent, Op
from crucible.planning import challenges

CHALLENGE = challenges.find("file-pipeline", {}, where="tests")
CHECKS = {check.id: check for check in CHALLENGE.suite.checks}
PACKAGE = CHECKS["FP-1"].judge.__module__.rpartition(".")[0]
tables, told, jobs, ends, killer, left = (
    importlib.import_module(f"{PACKAGE}.{name}") for name in ("tables", "told", "jobs", "ends", "killer", "left")
)
TABLE = tables.Table(7, 5_000)
RIGHT: dict[str, JsonValue] = asdict(TABLE.expected())


def meant(label: str, *, fails: bool = False) -> dict[str, JsonValue]:
    """The fact of a job."""
    it = jobs.Meant(f"job-{label}", 5_000, None if fails else TABLE.expected())
    return {f"Meant/{label}": asdict(it)}


def done(label: str, at_s: float = 0.0, **result: JsonValue) -> list[Op]:
    """A job that goes as it should, with these figures for the right ones."""
    job = f"id-{label}"
    return [
        op(f"{label}/post", "POST", "/v1/jobs", 202, {"job": job}, at_s=at_s),
        state(label, "processing", 0.5, at_s + 0.1),
        state(label, "done", 1, at_s + 0.2),
        op(f"{label}/result", "GET", f"/v1/jobs/{job}/result", 200, RIGHT | result, at_s=at_s + 0.3),
    ]


def state(label: str, name: str, progress: float, at_s: float, **more: JsonValue) -> Op:
    reply: dict[str, JsonValue] = {"job": f"id-{label}", "state": name, "progress": progress, **more}
    return op(f"{label}/state", "GET", f"/v1/jobs/id-{label}", 200, reply, at_s=at_s)


def event(label: str, state: str, at_s: float, event_id: JsonValue = "e1", status: int = 200) -> Attempt:
    body: JsonValue = {"event_id": event_id, "job": f"id-{label}", "state": state}
    return Attempt(0, f"/job-{label}/events", None, body, int(at_s * 1e9), status, status == 200, "", int(at_s * 1e9))


def judged(check: str, history: History) -> Finding:
    found = CHECKS[check].judge(history)
    assert complaints(found) == []
    return found


def sums(**changed: JsonValue) -> dict[str, JsonValue]:
    found = dict(TABLE.expected().sums)
    return {"sums": found | changed}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({}, ""),
        ({"sha256": str(RIGHT["sha256"]).upper()}, ""),
        ({"rows": int(str(RIGHT["rows"])) + 1}, "`rows`"),
        ({"rows": True}, "`rows` True"),
        ({"distinct_users": None}, "`distinct_users` None"),
        ({"sha256": "0" * 64}, "`sha256`"),
        ({"sums": []}, "no `sums`"),
        (sums(more=0), "a sum for the category 'more', which no accepted row has"),
        (sums(food=str(TABLE.expected().sums["food"])), ""),
        (sums(food=TABLE.expected().sums["food"] + 1), "as the sum of the category 'food'"),
        (sums(food="a lot"), "'a lot' for"),
    ],
)
def test_a_result_is_compared_figure_by_figure(result: dict[str, JsonValue], words: str) -> None:
    said = told.difference(RIGHT | result, TABLE.expected())
    assert words in said
    assert bool(said) == bool(words)


def test_a_number_with_an_exponent_is_right_only_if_it_is_exactly_that_one() -> None:
    expected = replace(TABLE.expected(), sums={"a": 2**53 + 1, "b": 10**21})
    reply = RIGHT | {"sums": {"a": 2**53 + 1, "b": 1e21}}
    assert told.difference(reply, expected) == ""
    assert "as the sum of the category 'a'" in told.difference(reply | {"sums": {"a": 2.0**53, "b": 1e21}}, expected)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (("processing", 0.5), ("processing", 0.4), "the progress of a job was 0.5, and then 0.4"),
        (("processing", 0.5), ("queued", 0.5), "a job was processing, and then queued"),
        (("done", 1), ("failed", 1), "a job was done, and then failed"),
        (("queued", 0), ("processing", 1.2), "`progress` was 1.2"),
        (("failed", 0.5), ("cancelled", 0), ""),
        (("processing", 0.5), ("processing", 0.5), ""),
    ],
)
def test_what_goes_back_is_told(before: tuple[str, float], after: tuple[str, float], words: str) -> None:
    history = history_of([state("watched/0", *before, 1.0), state("watched/0", *after, 2.0)], meant("watched/0"))
    found = judged("FP-3", history)
    assert (found.outcome is Outcome.FAIL) == bool(words), found.what
    assert words in found.what


def test_after_a_failure_a_job_may_be_queued_again_but_not_when_it_is_over() -> None:
    queued = [state("kills/0", "processing", 0.5, 1.0), state("kills/0", "queued", 0, 2.0)]
    assert judged("FP-3", history_of(queued, meant("kills/0"))).outcome is not Outcome.FAIL
    over = [state("kills/0", "done", 1, 1.0), state("kills/0", "processing", 0, 2.0)]
    assert judged("FP-3", history_of(over, meant("kills/0"))).what == "a job was done, and then processing"


def test_what_was_asked_before_an_answer_came_may_be_older() -> None:
    slow = op("watched/0/state", "GET", "/v1/jobs/1", 200, {"state": "queued", "progress": 0}, at_s=1.0, took_ms=3_000)
    history = history_of([slow, state("watched/0", "processing", 0.5, 2.0)], meant("watched/0"))
    assert judged("FP-3", history).outcome is not Outcome.FAIL


def test_done_means_readable_also_where_an_event_says_it() -> None:
    unread = op("watched/0/result", "GET", "/v1/jobs/1/result", 409, at_s=2.0)
    by_state = history_of([state("watched/0", "done", 1, 1.0), unread], meant("watched/0"))
    assert "a job was done and then its result was answered 409" in judged("FP-2", by_state).what
    by_event = replace(history_of([unread], meant("watched/0")), attempts=(event("watched/0", "done", 1.0),))
    assert "an event said that a job was done, and then" in judged("FP-2", by_event).what
    before = replace(by_event, attempts=(event("watched/0", "done", 2.5),))
    assert judged("FP-2", before).outcome is not Outcome.FAIL


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ([("done", 1.0, "e1", 503), ("done", 2.0, "e1", 200)], ""),
        ([("done", 1.0, "e1", 200), ("done", 2.0, "e2", 200)], "the events of one job had 2 different ids"),
        ([("failed", 1.0, "e1", 200)], "an event said failed of a job that is done"),
        ([("done", 1.0, None, 200)], "an event had the `event_id` None"),
        ([("done", 1.0, "e1", 503)], "no event ever came"),
        ([], "no event ever came"),
        ([("done", 1.0, "e1", 200), ("cancelled", 9.0, "e2", 200)], ""),  # it was deleted to make room, later
        ([("cancelled", 1.0, "e1", 200)], "no event ever came"),
    ],
)
def test_events_are_held_against_how_their_job_ended(calls: list[tuple[str, float, Any, int]], words: str) -> None:
    attempts = tuple(event("callbacks/0", *call) for call in calls)
    found = judged("FP-7", replace(history_of(done("callbacks/0"), meant("callbacks/0")), attempts=attempts))
    assert (found.outcome is Outcome.FAIL) == bool(words), found.what
    assert words in found.what


def deleted(*ops: Op, attempts: tuple[Attempt, ...] = ()) -> Finding:
    begun = [*done("cancel/0")[:2], op("cancel/0/delete", "DELETE", "/v1/jobs/1", 200, {}, at_s=1.0)]
    return judged("FP-10", replace(history_of([*begun, *ops], meant("cancel/0")), attempts=attempts))


def test_after_a_deletion_nothing_says_done() -> None:
    assert "a job was deleted, and 1.0 s later it was done" in deleted(state("cancel/0", "done", 1, 2.0)).what
    result = op("cancel/0/result", "GET", "/v1/jobs/1/result", 200, RIGHT, at_s=2.0)
    assert "its result could be read" in deleted(result).what
    assert "an event said that it was done" in deleted(attempts=(event("cancel/0", "done", 2.0),)).what
    fine = deleted(state("cancel/0", "cancelled", 0, 2.0), attempts=(event("cancel/0", "done", 1.2),))
    assert fine.outcome is not Outcome.FAIL
    assert deleted(attempts=(event("cancel/0", "cancelled", 2.0),)).outcome is not Outcome.FAIL


def test_a_bad_file_fails_in_time_and_with_a_reason() -> None:
    facts = meant("bad/x", fails=True)
    begun = [op("bad/x/post", "POST", "/v1/jobs", 202, {"job": "id-bad/x"}), state("bad/x", "processing", 0, 1.0)]
    late = judged("FP-5", history_of([*begun, state("bad/x", "processing", 0, 14.0)], facts))
    assert "13 s after its processing had begun it had not failed" in late.what
    silent = judged("FP-5", history_of([*begun, state("bad/x", "failed", 0, 2.0)], facts))
    assert "without an `error`" in silent.what
    done_all_the_same = judged("FP-5", history_of([*begun, state("bad/x", "done", 1, 2.0)], facts))
    assert "a file that fails ended as done" in done_all_the_same.what
    refused = judged("FP-5", history_of([op("bad/x/post", "POST", "/v1/jobs", 422)], facts))
    assert refused.outcome is Outcome.PASS


def killed(progress: list[float], claims: int, ended: str) -> Finding:
    facts = meant("killer") | {"Killed/": asdict(killer.Killed(progress, claims, 2, ended, 20.0))}
    said = [state("killer", ended, 1, 9.0, error="given up")] if ended else [state("killer", "processing", 0.1, 9.0)]
    result = op("killer/result", "GET", "/v1/jobs/id-killer/result", 200, RIGHT, at_s=10.0)
    more = [result] if ended == "done" else []
    return judged("FP-13", history_of([*done("killer")[:1], *said, *more], facts))


def test_a_file_is_given_up_when_five_workers_were_killed_in_vain() -> None:
    assert killed([0.1] * 5, 5, "failed").outcome is Outcome.PASS
    assert killed([0.1] * 3, 3, "failed").outcome is Outcome.PASS
    assert "none further than the ones before, and a worker then had it again" in killed([0.1] * 5, 6, "").what
    assert killed([0.1] * 5, 6, "done").outcome is Outcome.FAIL
    assert "after 2 of its workers had been killed" in killed([0.1] * 2, 2, "failed").what
    assert killed([0.1, 0.2, 0.3, 0.4, 0.5], 6, "done").outcome is Outcome.PASS
    assert killed([], 0, "").outcome is Outcome.NOT_RUN


def weighed(**now: Any) -> Finding:
    alone = left.Held({"postgres": 9_000_000, "s3": 8_000_000}, 2, 1_000)
    held = replace(alone, **now)
    facts: dict[str, JsonValue] = {
        "Alone/": asdict(left.Alone(alone, {"s3": 8_000_000}, 8_000_000)), "Left/": asdict(left.Left(held, 30.0)),
    }  # fmt: skip
    return judged("FP-11", history_of([], facts))


def test_what_is_left_is_explained_by_what_lives() -> None:
    assert weighed().outcome is Outcome.PASS
    assert "objects or rows of content" in weighed(items=5).what
    assert "most of it s3" in weighed(by_store={"postgres": 9_000_000, "s3": 16_000_000}).what
    assert "on the disks of the processes" in weighed(on_disk=9_000_000).what


def test_a_job_that_was_accepted_and_never_ended_is_lost() -> None:
    facts = meant("kills/at-50/large") | {"Wave/kills/at-50": asdict(ends.Wave("all workers were killed"))}
    ops = [*done("kills/at-50/large")[:2], state("kills/at-50/large", "processing", 0.5, 60.0)]
    found = judged("FP-6", history_of(ops, facts))
    assert found.what.startswith("when all workers were killed, 1 of 1 jobs did not end well: one was still processing")
    assert {it.axis: it.value for it in found.measures}["lost_per_1000"] == 1000


@pytest.mark.parametrize("kind", ["out_of_memory", "died"])
def test_who_holds_too_much_is_named(kind: str) -> None:
    ended = FaultEvent(kind, "web.0", 5_000_000_000, detail={"status": -9})
    found = judged("FP-8", history_of(done("heavy/0"), meant("heavy/0"), events=[ended]))
    assert found.outcome is Outcome.FAIL
    assert "web.0" in found.what
