"""References are read by who has passed, and are whole where they are copied to."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import evidence_builder as build
from support.solutions import write_solution

from crucible.check import Outcome
from crucible.cli.main import main
from crucible.commands import grade, show
from crucible.errors import CrucibleError
from crucible.judging import verdict
from crucible.judging.judge import judge
from crucible.judging.verdict import Verdict
from crucible.planning.names import UnknownNameError
from crucible.planning.solution import read_solution

PASSED = replace(
    judge(build.evidence(), build.MANIFEST, build.SUITE, build.PRICES), challenge="rate-limiter", profile="paid-quota"
)
FAILED = replace(judge(build.racing(14), build.MANIFEST, build.SUITE, build.PRICES), challenge="rate-limiter")


def solution(place: Path, last: Verdict | None) -> Path:
    folder = write_solution(place / "s")
    if last is not None:
        (folder / ".crucible").mkdir()
        (folder / ".crucible" / "result.json").write_bytes(verdict.to_json(last))
    return folder


@pytest.mark.parametrize("last", [None, FAILED, replace(PASSED, challenge="notification-service")])
def test_who_has_not_passed_is_told_when_they_are_shown(tmp_path: Path, last: Verdict | None) -> None:
    with pytest.raises(CrucibleError, match="shown once every gate holds"):
        show.shelf(solution(tmp_path, last), {})


def test_who_has_passed_reads_what_was_decided_and_copies_the_whole(tmp_path: Path) -> None:
    one = show.shelf(solution(tmp_path, PASSED), {})
    assert set(one.folders) >= {"in-process", "redis-sliding-log", "postgres-row-lock"}
    assert show.fits(one, "in-process") == ["side-project"]
    for name in one.folders:
        assert show.decision(one, name).startswith("#")
        copied = show.copy(one, name, tmp_path / name)
        assert read_solution(copied, {}).challenge.manifest.slug == "rate-limiter"
        assert {str(path) for path in show.files(one, name)} >= {"crucible.yaml", "DECISION.md"}
    with pytest.raises(CrucibleError, match="something already"):
        show.copy(one, "in-process", tmp_path / "in-process")
    with pytest.raises(UnknownNameError):
        show.decision(one, "in-proces")


def test_it_is_a_command(tmp_path: Path) -> None:
    folder = solution(tmp_path, PASSED)
    listed = CliRunner().invoke(main, ["show", "--in", str(folder)])
    assert listed.exit_code == 0, listed.output
    assert "in-process: fits side-project" in listed.output
    read = CliRunner().invoke(main, ["show", "in-process", "--in", str(folder)])
    assert "crucible show in-process --to DIR" in read.output
    copied = CliRunner().invoke(main, ["show", "in-process", "--in", str(folder), "--to", str(tmp_path / "copy")])
    assert (copied.exit_code, (tmp_path / "copy" / "crucible.yaml").is_file()) == (0, True)
    assert CliRunner().invoke(main, ["show", "nobody", "--in", str(folder)]).exit_code == 2


def test_what_failed_is_asked_again_with_its_seed(tmp_path: Path) -> None:
    folder = solution(tmp_path, FAILED)
    again = grade.failed(grade.Wanted(folder, folder / ".crucible", 1))
    assert (again.checks, again.seed, again.profile, again.mode) == (("T-1",), 42, "paid-quota", "quick")
    unsure = replace(FAILED.checks[1], finding=replace(FAILED.checks[1].finding, outcome=Outcome.INCONCLUSIVE))
    other = solution(tmp_path / "other", replace(FAILED, checks=(FAILED.checks[0], unsure)))
    assert grade.failed(grade.Wanted(other, other / ".crucible", 1)).checks == ("T-1", "T-2")


@pytest.mark.parametrize(("last", "says"), [(None, "no grade has been kept"), (PASSED, "nothing failed")])
def test_where_nothing_failed_that_is_told(tmp_path: Path, last: Verdict | None, says: str) -> None:
    folder = solution(tmp_path, last)
    with pytest.raises(CrucibleError, match=says):
        grade.failed(grade.Wanted(folder, folder / ".crucible", 1))
