"""A flaw is a reference with a few lines changed; how it is written out."""

from pathlib import Path

import pytest

from crucible.errors import CrucibleError, Fault
from crucible.planning import challenges, overlays
from crucible.planning.overlays import lay_out, read_overlay

FLAWS = sorted(path.parent for path in challenges.data_folder("challenge_templates").glob("[!_]*/*/*/overlay.yaml"))


@pytest.fixture
def flaw(tmp_path: Path) -> Path:
    reference = tmp_path / "challenge" / "references" / "good"
    reference.mkdir(parents=True)
    (reference / "crucible.yaml").write_text("challenge: x\n")
    (reference / "app.py").write_text("one\n  two\n  two\nthree\n")
    folder = tmp_path / "challenge" / "flaws" / "x-1--bad"
    folder.mkdir(parents=True)
    return folder


def written(flaw: Path, edits: str, target: Path) -> str:
    (flaw / "overlay.yaml").write_text(f"reference: good\nstory: It is wrong.\nedits: {edits}\n")
    return (lay_out(flaw, target) / "app.py").read_text()


def test_an_edit_changes_the_one_place_where_its_lines_stand(flaw: Path, tmp_path: Path) -> None:
    text = written(flaw, '[{file: app.py, find: "one\\n  two", replace: "1\\n  2"}]', tmp_path / "out")
    assert text == "1\n  2\n  two\nthree\n"


def test_other_files_replace_those_of_the_reference_and_the_flaw_itself_stays_out(flaw: Path, tmp_path: Path) -> None:
    (flaw / "app.py").write_text("replaced\n")
    assert written(flaw, "[]", tmp_path / "out") == "replaced\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["app.py", "crucible.yaml"]


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ("[{file: app.py, find: two, replace: x}]", "`two` stands 2 times in app.py"),
        ("[{file: app.py, find: four, replace: x}]", "`four` stands 0 times in app.py"),
        ("[{file: gone.py, find: one, replace: x}]", "`one` stands 0 times in gone.py"),
        ("[{file: app.py, find: one}]", "`edits.0.replace` is missing"),
    ],
)
def test_an_edit_that_fits_nowhere_or_twice_is_the_authors_mistake(
    flaw: Path, tmp_path: Path, edits: str, says: str
) -> None:
    with pytest.raises(CrucibleError) as caught:
        written(flaw, edits, tmp_path / "out")
    assert caught.value.fault is Fault.AUTHOR
    assert says in caught.value.what


def test_a_flaw_of_no_reference_is_the_authors_mistake(flaw: Path, tmp_path: Path) -> None:
    (flaw / "overlay.yaml").write_text("reference: gone\nstory: It is wrong.\n")
    with pytest.raises(CrucibleError, match="no reference `gone`"):
        lay_out(flaw, tmp_path / "out")


@pytest.mark.parametrize("folder", FLAWS, ids=lambda path: path.name)
def test_every_flaw_can_be_written_out_and_differs_from_its_reference(folder: Path, tmp_path: Path) -> None:
    target = lay_out(folder, tmp_path / "out")
    overlay = read_overlay(folder)
    assert overlay is not None
    reference = lay_out(folder.parents[1] / "references" / overlay.reference, tmp_path / "reference")
    changed = [
        path
        for path in target.rglob("*")
        if path.is_file() and path.read_bytes() != _content(reference / path.relative_to(target))
    ]
    assert changed
    for path in target.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def test_a_reference_is_whole(flaw: Path, tmp_path: Path) -> None:
    reference = flaw.parents[1] / "references" / "good"
    (reference / "overlay.yaml").write_text("reference: other\nstory: It is like it.\n")
    with pytest.raises(CrucibleError, match="the reference `good` is an overlay") as caught:
        lay_out(reference, tmp_path / "out")
    assert caught.value.fault is Fault.AUTHOR


def test_an_overlay_is_whole_while_it_is_open_and_a_solution_stays_where_it_is(tmp_path: Path) -> None:
    flaw = FLAWS[0]
    with overlays.laid_out(flaw) as whole:
        assert whole != flaw
        assert (whole / "crucible.yaml").is_file()
        assert not (whole / overlays.FILE).exists()
    assert not whole.exists()
    (tmp_path / "crucible.yaml").write_text("challenge: rate-limiter\n")
    with overlays.laid_out(tmp_path) as same:
        assert same == tmp_path
