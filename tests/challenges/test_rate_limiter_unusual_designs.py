"""Rate limiters that are right and unusual: no check of what they allow, refuse and say may accuse them."""

import pytest
from support import limiters
from support import unusual_limiters as unusual
from support.limiter_checks import Design, judge, watch_all

from crucible.authoring.memory_lab import EPOCH_NS, MS
from crucible.check import Outcome

UNUSUAL: dict[str, Design] = {
    "GCRA with a fifth of the burst": Design(lambda lab: limiters.Gcra(0.2)),
    "a hint for what never fits": Design(lambda lab: unusual.SaysHowLongForWhatNeverFits()),
    "two weighted windows, rounded up": Design(lambda lab: unusual.WeighsAndRoundsUp(EPOCH_NS)),
    "fixed windows that begin with the process": Design(lambda lab: limiters.FixedWindow(EPOCH_NS + 333 * MS)),
    "windows that begin with a key's first unit, and are swept": Design(lambda lab: unusual.SweepsWindowsOfKeys()),
    "counts in slots of a tenth of the window": Design(lambda lab: unusual.CountsInTenths()),
    "the same in each replica": Design(lambda lab: unusual.FixedWindowOfEachProcess(), ()),
    "a token bucket in each replica": Design(lambda lab: unusual.BucketOfEachProcess(), ()),
    "callers wait in line": Design(lambda lab: unusual.QueuesCallers()),
    "callers wait in a short line": Design(lambda lab: unusual.QueuesCallers(300)),
}
CHECKS = ("RL-1", "RL-2", "RL-3", "RL-4", "RL-5", "RL-6", "RL-7", "RL-8", "RL-12")


@pytest.mark.parametrize("design", UNUSUAL)
@pytest.mark.parametrize("check", CHECKS)
def test_an_unusual_limiter_is_not_accused(check: str, design: str) -> None:
    finding = judge(check, watch_all(check, UNUSUAL[design]))
    assert finding.outcome is Outcome.PASS, finding.what


@pytest.mark.parametrize("phase_ms", range(0, 2_000, 250))
def test_a_fixed_window_shows_wherever_it_begins(phase_ms: int) -> None:
    (peak,) = judge(
        "RL-1", watch_all("RL-1", Design(lambda lab: limiters.FixedWindow(EPOCH_NS + phase_ms * MS)))
    ).measures  # fmt: skip
    assert peak.value == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("phase_ms", range(0, 4_000, 500))
def test_the_hints_of_a_fixed_window_are_true_wherever_it_begins(phase_ms: int) -> None:
    finding = judge("RL-5", watch_all("RL-5", Design(lambda lab: limiters.FixedWindow(EPOCH_NS + phase_ms * MS))))
    assert finding.outcome is Outcome.PASS, finding.what


@pytest.mark.parametrize(
    ("design", "most"),
    [("the same in each replica", 4.0), ("a token bucket in each replica", 4.2)],
)
@pytest.mark.parametrize("replicas", [2, 4])
def test_twice_the_limit_in_each_replica_is_a_limit(design: str, most: float, replicas: int) -> None:
    finding = judge("RL-1", watch_all("RL-1", UNUSUAL[design], replicas=replicas))
    assert finding.outcome is Outcome.PASS, finding.what
    assert finding.measures[0].value <= most * replicas / 2
