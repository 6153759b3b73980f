"""`crucible verify` on the challenge that an author begins with, graded for real."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.solutions import Finished, crucible, left_behind, temporary_folder

from crucible.commands import author

pytestmark = pytest.mark.machine

FLAW = "x-1--read-then-write"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with temporary_folder() as base:
        (base / "challenges").mkdir()
        author.new("press-a-button", base / "challenges")
        yield base


def verify(folder: Path, *arguments: str) -> Finished:
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {"CRUCIBLE_CHALLENGES": str(folder / "challenges"), "TMPDIR": str(folder / "tmp")}
    done = crucible("verify", "press-a-button", *arguments, **environment)
    assert left_behind(folder / "tmp") == []
    assert "Traceback" not in done.err + done.out
    return done


def test_a_flaw_is_caught_by_its_check_and_that_can_be_published(folder: Path) -> None:
    done = verify(folder, "--quick", "--only", FLAW, "--publish")
    assert done.code == 0, done.out + done.err
    assert "everything that was looked at holds" in done.out
    written = (folder / "challenges" / "press-a-button" / "verified.md").read_text()
    assert f"| {FLAW} | X-1 | 1 of 1 | fail: of " in written
    assert not (folder / "challenges" / "press-a-button" / "positions.json").exists()


def test_a_flaw_that_is_none_is_told(folder: Path) -> None:
    overlay = folder / "challenges" / "press-a-button" / "flaws" / FLAW / "overlay.yaml"
    was = overlay.read_text()
    overlay.write_text("reference: in-redis\nstory: It does nothing wrong.\n")
    try:
        done = verify(folder, "--quick", "--only", FLAW, "--keep", str(folder / "kept"))
    finally:
        overlay.write_text(was)
    assert done.code == 1
    assert f"flaw {FLAW} was not caught by X-1 in 1 of 1: pass:" in " ".join(done.out.split())
    assert (folder / "kept" / f"{FLAW}-1" / "evidence.json").is_file()


def test_an_unknown_name_is_a_usage_error(folder: Path) -> None:
    done = verify(folder, "--only", "nobody")
    assert done.code == 2
    assert "there is no solution `nobody`" in done.err
