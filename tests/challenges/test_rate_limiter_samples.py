"""RL-1 to RL-8: a pass rests on every part of what was seen, but for those that are named here with a reason."""

import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
from support import flawed_limiters as flawed
from support.limiter_checks import Design, judge, watch_all
from support.limiters import FixedWindow, HonestLimiter

from crucible.authoring.memory_lab import EPOCH_NS, MS, MemoryLab
from crucible.authoring.testing import without_each_part
from crucible.check import Call, History, Outcome
from crucible.evidence import Op

NOT_RESTED_ON = {
    # It says how long a burst takes, no more; and who lets nothing through early has no burst after that.
    "RL-1": r"(put/)?edge/warm|edge/seek/after",
    "RL-2": r"",
    # What comes before the races, and what the same scenario asks for RL-4. Two of three races have to be violated.
    "RL-3": r"(put/)?(shut|rehearsal|known|costs/\*|(pair|patient)/.*|sequence/.*)",
    # Only who grants less at once is asked again with patience.
    "RL-4": r"(put/)?(shut|rehearsal|known|race/\*)|put/patient/.*",
    "RL-5": r"",
    "RL-6": r"",
    "RL-7": r"",
    # The controls' limits never change, so what a replica has cached of them shows nothing.
    "RL-8": r"warm/always-(high|low)/web.\*",
}


def kind(label: str) -> str:
    """Many keys of one kind are one part: none of them is needed by itself."""
    return re.sub(r"(?<=/)\d+|(?<=web\.)\d+", "*", label) if "web." in label else re.sub(r"(?<=/)\d+", "*", label)


def without_each_kind(history: History) -> Iterable[tuple[str, History]]:
    for part in dict.fromkeys(kind(op.name) for op in history.ops):
        yield part, replace(history, ops=tuple(op for op in history.ops if kind(op.name) != part))


@pytest.mark.parametrize("check", NOT_RESTED_ON)
def test_no_part_of_a_pass_may_be_empty(check: str) -> None:
    seen = watch_all(check, Design(lambda lab: HonestLimiter()))
    assert judge(check, seen).outcome is Outcome.PASS
    passed = {part for part, less in without_each_kind(seen) if judge(check, less).outcome is Outcome.PASS}
    assert {part for part in passed if not re.fullmatch(NOT_RESTED_ON[check], part)} == set()


@pytest.mark.parametrize("check", ["RL-2", "RL-6", "RL-7"])
def test_nor_any_part_at_all_where_there_are_not_many_of_a_kind(check: str) -> None:
    seen = watch_all(check, Design(lambda lab: HonestLimiter()))
    assert [part for part, less in without_each_part(seen) if judge(check, less).outcome is Outcome.PASS] == []


def late(seen: History, label: str, by_ms: int) -> History:
    """The history, had requests of this label been sent so much later, with the same answers."""

    def moved(op: Op) -> Op:
        if not op.name.startswith(label):
            return op
        return replace(op, sent_ns=op.sent_ns + by_ms * MS, received_ns=op.received_ns + by_ms * MS)

    return replace(seen, ops=tuple(sorted(map(moved, seen.ops), key=lambda op: op.sent_ns)))


@pytest.mark.parametrize(
    ("label", "by_ms"),
    [
        ("edge/border/before", 130),
        ("edge/border/after", 1_900),
        ("edge/tail/before", 250),
        ("edge/tail/after", 300),
        ("edge/own/before", 250),
        ("edge/own/ask", -40),
        ("edge/seek/ask", -300),
    ],
)
def test_a_burst_that_came_too_late_to_strike_shows_nothing(label: str, by_ms: int) -> None:
    seen = watch_all("RL-1", Design(lambda lab: HonestLimiter()))
    finding = judge("RL-1", late(seen, label, by_ms))
    assert finding.outcome is Outcome.INCONCLUSIVE, finding.what
    assert finding.what.startswith("no request could be placed")


class SendsLate(MemoryLab):
    """Its first bursts leave when it is too late for what they are meant to hit."""

    late = 3

    async def burst(self, calls: list[Call]) -> list[Op]:  # type: ignore[override]
        if self.late and calls[0].name.endswith("before"):
            self.late -= 1
            await self.sleep(0.3)
        return await super().burst(calls)


def test_a_burst_that_came_too_late_is_sent_again() -> None:
    seen = watch_all("RL-1", Design(lambda lab: FixedWindow(EPOCH_NS)), lab=SendsLate)
    finding = judge("RL-1", seen)
    assert finding.outcome is Outcome.PASS, finding.what
    assert finding.measures[0].value == pytest.approx(2.0, abs=0.1)


def test_hints_that_were_not_read_late_in_the_window_acquit_nobody() -> None:
    seen = watch_all("RL-5", Design(lambda lab: HonestLimiter()))
    early = late(seen, "hint/late", 0)
    moved = tuple(
        replace(op, sent_ns=op.sent_ns - 2_000 * MS, received_ns=op.received_ns - 2_000 * MS)
        if op.name.endswith("/late")
        else op
        for op in early.ops
    )
    assert judge("RL-5", replace(early, ops=moved)).outcome is Outcome.INCONCLUSIVE


def test_hints_of_units_that_came_at_once_are_none_of_units_of_all_ages() -> None:
    seen = watch_all("RL-5", Design(lambda lab: HonestLimiter()))
    moved = []
    for op in seen.ops:
        if re.match(r"hint/aged/\d+/0/fill", op.name):
            end = max(it.sent_ns for it in seen.named(op.name))
            op = replace(op, sent_ns=end - 1_000 * MS + op.sent_ns // 100 % 1_000, received_ns=end)
        moved.append(op)
    moved.sort(key=lambda op: op.sent_ns)
    assert judge("RL-5", replace(seen, ops=tuple(moved))).outcome is not Outcome.PASS


def test_usage_is_held_against_nobody_whose_edges_were_not_seen() -> None:
    seen = watch_all("RL-12", Design(lambda lab: flawed.SaysWhatThisReplicaSaw()))
    assert judge("RL-12", seen).outcome is Outcome.FAIL
    assert judge("RL-12", late(seen, "edge/border/before", 130)).outcome is Outcome.INCONCLUSIVE
