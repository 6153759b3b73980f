"""No part of what a check of the notification service passes on may be empty; and what is unusual but right."""

from dataclasses import replace

import pytest
from support.memory_notifier import FULL_JITTER, IN_PROGRESS, TOO_EARLY
from support.notifier_checks import CHECKS, scenarios_of, watch

from crucible.authoring.testing import complaints, without_each_part
from crucible.check import Outcome

SPARED = {
    "idle": "waits until the line is idle",
    "again": "of what arrived it need not be known for sure that it was accepted",
    "calm": "waits for replicas to answer",
    "after": "is for a recovery",
}
"""Last words of labels that no promise rests on."""
NOT_THEIRS = {
    "NT-1": {"errors/under-way", "read", "kill", "contact"},
    "NT-5": {"isolation", "kill", "reset", "bad"},
    "NT-6": {"later", "read", "/email/send", "/sms/send", "/push/send"},
    "NT-7": {"errors/read", "errors/under-way"},
    "NT-8": {"line/read", "burst", "isolation/sms", "isolation/read", "/sms/send"},
    "NT-10": {"line/read", "burst", "isolation/read", "isolation/push", "/push/send"},
    "NT-11": {"forgotten", "withdrawn", "kill"},
}
"""Labels that the promise of a check does not rest on: states are NT-5's, cancellations NT-6's, and each channel is
compared with one other."""


def spared(check: str, part: str) -> bool:
    ours = any(part == own or part.startswith(f"{own}/") for own in NOT_THEIRS.get(check, ()))
    if check == "NT-5" and "read" not in part and "/send" not in part:
        return True  # what states are read of is not its matter
    return ours or part.split("/")[-1] in {*SPARED, *(("read",) if "read" in NOT_THEIRS.get(check, ()) else ())}


@pytest.mark.parametrize("check", ["NT-2", "NT-3"])
@pytest.mark.parametrize(
    "name", ["retries", "later", "line", "burst", "withdrawn", "isolation", "errors", "priority", "f2", "f3"]
)
def test_what_rests_on_everything_is_no_pass_without_one_scenario(check: str, name: str) -> None:
    seen = watch(scenarios_of(check), "")
    without = tuple(op for op in seen.ops if op.name.split("/")[0] != name)
    assert len(without) < len(seen.ops)
    assert CHECKS[check].judge(replace(seen, ops=without)).outcome is not Outcome.PASS


@pytest.mark.parametrize("check", sorted(CHECKS.keys() - {"NT-2", "NT-3", "NT-12"}))
def test_a_history_without_one_of_its_parts_is_no_pass(check: str) -> None:
    seen = watch(scenarios_of(check), "")
    assert CHECKS[check].judge(seen).outcome is Outcome.PASS
    passed = [
        part for part, less in without_each_part(seen)
        if not spared(check, part) and CHECKS[check].judge(less).outcome is Outcome.PASS
    ]  # fmt: skip
    assert passed == []


@pytest.mark.parametrize("right", [FULL_JITTER, IN_PROGRESS, TOO_EARLY])
@pytest.mark.parametrize("check", CHECKS)
def test_what_is_unusual_and_right_is_not_accused(right: str, check: str) -> None:
    finding = CHECKS[check].judge(watch(scenarios_of(check), right))
    assert finding.outcome is Outcome.PASS, finding.what
    assert not complaints(finding)
