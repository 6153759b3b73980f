"""The upload store: what its scenarios see of solutions made up in memory, and what its judges say of that."""

from pathlib import Path

import pytest
from support import memory_uploads as made
from support.solutions import crucible

from crucible.authoring.memory_lab import MadeUp, MemoryLab
from crucible.authoring.testing import as_one, complaints, watch
from crucible.check import Check, Finding, Outcome
from crucible.planning import challenges

CHALLENGE = challenges.find("upload-store", {}, where="tests")
SCENARIOS = {scenario.id: scenario for scenario in CHALLENGE.suite.scenarios}


def check(name: str) -> Check:
    return next(check for check in CHALLENGE.suite.checks if check.id == name)


def finding(name: str, solution: type[made.Honest]) -> Finding:
    histories = [
        watch(SCENARIOS[scenario], lambda _: solution(), MemoryLab(MadeUp(), services=("postgres",)))
        for scenario in check(name).scenarios
    ]
    return check(name).judge(as_one(histories))


@pytest.mark.parametrize("name", [check.id for check in CHALLENGE.suite.checks])
def test_an_honest_store_keeps_every_promise(name: str) -> None:
    found = finding(name, made.Honest)
    assert (found.outcome, complaints(found)) == (Outcome.PASS, []), found.what


@pytest.mark.parametrize(
    ("name", "solution", "words"),
    [
        ("UP-1", made.SuffixFromTheStart, "the last 500 bytes (a suffix) brought"),
        ("UP-2", made.TrustsTheDigest, "could be completed"),
        ("UP-3", made.OverwritesInPlace, "a read brought no version whole"),
        ("UP-5", made.AnybodyReads, "the content of another user's file was answered with 200"),
        ("UP-6", made.ChargesReplacementsInFull, "with 400 kB free, was refused (413)"),
        ("UP-6", made.NeverLapses, "quotas were still taken by uploads that came to nothing"),
        ("UP-7", made.CutsOff, "more bytes than were declared could be completed"),
        ("UP-8", made.KeepsDeletedForAMinute, "a deleted file could still be seen"),
        ("UP-9", made.KeepsDeletedForAMinute, "MB of living files, when at most"),
        ("UP-9", made.LeavesEmptyUploads, "objects or rows of content for 4 files"),
        ("UP-11", made.SaysZeros, "other bytes than those that were stored"),
        ("UP-12", made.TakesAnySize, "a negative size was accepted"),
        ("UP-13", made.StaysOpen, "the put was used again after `complete`, and then the file had other bytes"),
        ("UP-14", made.AsAPage, "page.html came as text/html, to be shown"),
    ],
)
def test_a_mistake_is_caught_and_named(name: str, solution: type[made.Honest], words: str) -> None:
    found = finding(name, solution)
    assert found.outcome is Outcome.FAIL, found.what
    assert words in found.what
    assert complaints(found) == []


@pytest.mark.machine
def test_a_reference_is_asked_for_real(tmp_path: Path) -> None:
    """Through the lab network, on a real server, with bodies that are sent as they go."""
    folder = CHALLENGE.folder / "references" / "s3-presigned"
    done = crucible("grade", str(folder), "--check", "UP-1", "--check", "UP-7", "--output", str(tmp_path / "results"))
    assert "✓ UP-1" in done.out, done.out + done.err
    assert "✓ UP-7" in done.out
