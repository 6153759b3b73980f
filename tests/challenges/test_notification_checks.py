"""The notification service's scenarios and judges, on services made up in memory and in virtual time."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory_notifier import BUSY, NotifierLab
from support.notifier_checks import CHECKS, SCENARIOS, scenarios_of, watch

from crucible.authoring import testing
from crucible.authoring.testing import WAYS_TO_LOSE, complaints, with_answers_lost
from crucible.check import Finding, History, Lab, Outcome, Scenario
from crucible.errors import CrucibleError, Fault
from crucible.evidence import Result

PATH = "/v1/notifications"
FLAWS = {
    "drops on 429": "NT-1",
    "equal messages collapse": "NT-1",
    "a new key for every attempt": "NT-2",
    "a key of the worker's own": "NT-2",
    "publishes before it looks": "NT-3",
    "looks, then inserts": "NT-4",
    "sent before the call": "NT-5",
    "state from the replica": "NT-5",
    "queued for ever": "NT-5",
    "failed after every try": "NT-5",
    "opt-out cached": "NT-6",
    "cancelled in memory": "NT-6",
    "cancels nothing": "NT-6",
    "retries at once": "NT-7",
    "retries for ever": "NT-7",
    "poison at the head": "NT-8",
    "one line for all": "NT-9",
    "one pool for all channels": "NT-10",
    "early": "NT-11",
    "looks every five seconds": "NT-11",
    "a list in memory": "NT-12",
    "acknowledges before it sends": "NT-12",
    "tries again too late": "NT-12",
    "accepts anything": "NT-13",
}


@pytest.mark.parametrize("times", range(3))
def test_a_process_that_does_not_start_again_ends_the_scenario_as_what_it_is(times: int) -> None:
    """After so many starts: not as a slip of the suite's."""

    class Brittle(NotifierLab):
        starts = 0

        async def start(self, *instances: str) -> None:
            self.starts += 1
            if self.starts > times:
                raise CrucibleError("it did not answer", where=instances[0], fix="make it start", fault=Fault.LEARNER)
            await super().start(*instances)

    lab = Brittle()

    async def observe(_: Lab, rng: Random) -> None:
        lab.begin()
        await SCENARIOS["crashes"].observe(lab, rng)

    with pytest.raises(CrucibleError, match="it did not answer"):
        testing.watch(Scenario("crashes", "fault", observe, 0, 0), lambda lab: lab.solution, lab)


def judge(check: str, flaw: str, seed: int = 7) -> Finding:
    return CHECKS[check].judge(watch(scenarios_of(check), flaw, seed))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("check", CHECKS)
def test_an_outbox_as_it_should_be_passes(check: str, seed: int) -> None:
    finding = judge(check, "", seed)
    assert finding.outcome is Outcome.PASS, finding.what
    assert finding.evidence
    assert not complaints(finding)


@pytest.mark.parametrize(("flaw", "check"), FLAWS.items())
def test_what_is_wrong_is_caught_by_its_check(flaw: str, check: str) -> None:
    finding = judge(check, flaw)
    assert finding.outcome is Outcome.FAIL, finding.what
    assert not complaints(finding)


def test_every_check_has_something_to_catch() -> None:
    assert set(FLAWS.values()) == set(CHECKS)


# ---------------------------------------------------------------- honesty


@pytest.mark.parametrize(("flaw", "check"), FLAWS.items())
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32),
    share=st.floats(0, 1),
    how=st.sampled_from(WAYS_TO_LOSE),
    which=st.sampled_from(["POST", "GET", "DELETE", ""]),
)
def test_losing_answers_never_acquits(flaw: str, check: str, seed: int, share: float, how: str, which: str) -> None:
    seen = watch(scenarios_of(check), flaw)
    lost = with_answers_lost(seen, Random(seed), share**3, how, which)  # mostly a few
    assert CHECKS[check].judge(lost).outcome is not Outcome.PASS


@pytest.mark.parametrize("check", CHECKS)
def test_who_refuses_a_burst_is_no_slower_on_a_steady_line(check: str) -> None:
    busy, usual = judge(check, BUSY), judge(check, "")
    assert busy.outcome is Outcome.PASS, busy.what
    steady = ("effect_p50_ms", "effect_p99_ms", "hung_channel_ratio")
    assert [it for it in busy.measures if it.axis in steady] == [it for it in usual.measures if it.axis in steady]


@pytest.mark.parametrize("with_id", [True, False])
def test_what_is_said_to_be_suppressed_and_was_not_is_lost(with_id: bool) -> None:
    """Nobody opted out."""
    seen = watch(scenarios_of("NT-1"), "drops on 429")
    lost = {op.request.headers["Idempotency-Key"] for op in judge("NT-1", "drops on 429").examples}
    ops = []
    for op in seen.ops:
        if op.request.headers.get("Idempotency-Key") in lost and isinstance(op.reply, dict):
            reply = {name: it for name, it in op.reply.items() if with_id or name != "id"}
            op = replace(op, reply=reply | {"state": "suppressed"})
        ops.append(op)
    assert CHECKS["NT-1"].judge(replace(seen, ops=tuple(ops))).what == judge("NT-1", "drops on 429").what


def test_an_id_may_be_a_number() -> None:
    """The contract does not say what it is."""
    names: dict[str, int] = {}

    def numbered(text: object) -> int:
        return names.setdefault(str(text), len(names) + 1)

    for check, scenarios in ((it, scenarios_of(it)) for it in CHECKS):
        history = watch(scenarios, "")
        ops = []
        for op in history.ops:
            path, _, last = op.request.path.rpartition("/")
            if op.request.method in ("GET", "DELETE") and path == PATH:
                op = replace(op, request=replace(op.request, path=f"{path}/{numbered(last)}"))
            if isinstance(op.reply, dict) and isinstance(op.reply.get("id"), str):
                op = replace(op, reply=op.reply | {"id": numbered(op.reply["id"])})
            ops.append(op)
        tries = tuple(
            replace(it, body=it.body | {"ref": numbered(it.body["ref"])}) if isinstance(it.body, dict) else it
            for it in history.attempts
        )
        given = CHECKS[check].judge(replace(history, ops=tuple(ops), attempts=tries))
        assert (given.outcome, given.what) == (Outcome.PASS, CHECKS[check].judge(history).what)


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_suppressed_needs_no_id(check: str) -> None:
    history = watch(scenarios_of(check), "")
    ops = [
        replace(op, reply={"state": "suppressed"})
        if isinstance(op.reply, dict) and op.reply.get("state") == "suppressed" and op.request.method == "POST" else op
        for op in history.ops
    ]  # fmt: skip
    given = CHECKS[check].judge(replace(history, ops=tuple(ops)))
    assert (given.outcome, given.what) == (Outcome.PASS, CHECKS[check].judge(history).what)


@pytest.mark.parametrize(
    ("pauses_s", "outcome"),
    [((0.1, 0.2), Outcome.PASS), ((0.5, 1, 2, 4), Outcome.INCONCLUSIVE), ((0.3,) * 11, Outcome.FAIL)],
    ids=["gives up after three", "ever more rarely", "too often"],
)
def test_what_is_refused_for_good_may_be_tried_again_but_not_for_ever(
    pauses_s: Sequence[float], outcome: Outcome
) -> None:
    history = watch(("errors", "priority"), "")
    again = [
        replace(it, at_ns=it.at_ns + int(after * 1e9), answered_ns=it.at_ns + int(after * 1e9) + 1_000_000)
        for it in history.attempts if it.status == 400
        for after in accumulate(pauses_s)
    ]  # fmt: skip
    end = max(op.received_ns for op in history.ops)
    tries = sorted((*history.attempts, *(it for it in again if it.at_ns < end)), key=lambda it: it.at_ns)
    finding = CHECKS["NT-7"].judge(replace(history, attempts=tuple(tries)))
    assert finding.outcome is outcome, finding
    assert ("whether that stops was not seen" in finding.what) == (outcome is Outcome.INCONCLUSIVE)


def later_by(history: History, ms: float, which: slice) -> History:
    """The same, with what the steady line asked for delivered so much later: the machine had other things to do."""
    line = [op for op in history.named("line") if op.name == "line"]
    users = {op.request.body["user"] for op in line[which] if isinstance(op.request.body, dict)}
    by = int(ms * 1e6)
    moved = tuple(
        replace(it, at_ns=it.at_ns + by, answered_ns=it.answered_ns + by)
        if isinstance(it.body, dict) and it.body.get("to") in users and it.answered_ns is not None else it
        for it in history.attempts
    )  # fmt: skip
    assert moved != history.attempts
    return replace(history, attempts=moved)


WHEN = {"all the time": slice(None), "at the beginning": slice(0, 150), "at the end": slice(350, None)}


@pytest.mark.parametrize("ms", [300, 3_000, 15_000])
@pytest.mark.parametrize("which", WHEN.values(), ids=WHEN)
def test_a_machine_that_is_busy_while_the_line_runs_hides_no_poison(which: slice, ms: float) -> None:
    finding = CHECKS["NT-8"].judge(later_by(watch(scenarios_of("NT-8"), "poison at the head"), ms, which))
    assert finding.outcome is Outcome.FAIL, finding


@pytest.mark.parametrize("ms", [300, 3_000, 15_000])
@pytest.mark.parametrize("when", ["at the beginning", "at the end"])
def test_a_machine_that_is_busy_during_a_part_of_the_line_acquits_no_shared_pool(when: str, ms: float) -> None:
    finding = CHECKS["NT-10"].judge(later_by(watch(scenarios_of("NT-10"), "one pool for all channels"), ms, WHEN[when]))
    assert finding.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE), finding


@pytest.mark.parametrize("which", WHEN.values(), ids=WHEN)
@pytest.mark.parametrize("check", ["NT-8", "NT-10"])
def test_a_machine_that_is_busy_while_the_line_runs_accuses_nobody(check: str, which: slice) -> None:
    history = watch(scenarios_of(check), "")
    for ms in (300, 3_000, 15_000):
        assert CHECKS[check].judge(later_by(history, ms, which)).outcome is Outcome.PASS


def test_who_is_refused_and_comes_again_was_not_waited_for_meanwhile() -> None:
    """How soon a caller comes again is not the design's doing."""
    history = watch(scenarios_of("NT-9"), "")
    ops = []
    for op in history.ops:
        if op.name == "priority/high":
            sent = op.sent_ns - 3_000_000_000
            ops.append(
                replace(op, sent_ns=sent, received_ns=sent + 1_000_000, status=503, reply=None, result=Result.UNKNOWN)
            )
            ops.append(replace(op, name="priority/again"))
        else:
            ops.append(op)
    finding = CHECKS["NT-9"].judge(replace(history, ops=tuple(sorted(ops, key=lambda op: op.sent_ns))))
    assert (finding.outcome, finding.measures) == (Outcome.PASS, judge("NT-9", "").measures), finding.what
