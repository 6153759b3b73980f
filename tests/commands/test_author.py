"""The challenge that an author begins with."""

import json
import shutil
from pathlib import Path, PurePosixPath

import pytest

from crucible.commands import author, scaffold
from crucible.errors import CrucibleError, Fault
from crucible.planning import challenges
from crucible.planning.images import IMAGES
from crucible.planning.trials import Kind, trials


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return author.new("press-a-button", tmp_path)


def found(written: Path) -> challenges.Challenge:
    return challenges.find(written.name, {challenges.VARIABLE: str(written.parent)}, where="tests")


def test_a_new_challenge_is_whole_and_is_found(written: Path) -> None:
    challenge = found(written)
    manifest = challenge.manifest
    assert challenge.folder == written
    assert (manifest.slug, manifest.title) == ("press-a-button", "Press a button")
    assert challenge.load_file is not None
    kinds = [trial.kind for trial in trials(challenge)]
    assert kinds.count(Kind.REFERENCE) >= 2
    assert Kind.FLAW in kinds
    assert {profile.intended for profile in manifest.profiles} == {
        trial.name for trial in trials(challenge) if trial.kind is Kind.REFERENCE
    }


def test_its_schema_lies_beside_it_for_editors(written: Path) -> None:
    schema = json.loads((written / author.SCHEMA).read_text())
    assert {"slug", "axes", "profiles"} <= set(schema["properties"])
    first = (written / "challenge.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={author.SCHEMA}"


def test_a_learner_can_begin_with_it(written: Path) -> None:
    files = scaffold.render(found(written))
    assert b"challenge: press-a-button\n" in files[PurePosixPath("crucible.yaml")]
    assert b"Press a button" in files[PurePosixPath("README.md")]


def test_it_has_a_starter_in_each_language_and_a_decision_record_without_writing_any(written: Path) -> None:
    assert {path.name for path in (written / "template").iterdir()} == {"README.md.j2", "openapi.yaml"}
    assert scaffold.languages(found(written)) == ["go", "node", "python"]
    for lang, program in {"go": "main.go", "node": "server.js", "python": "app.py"}.items():
        files = scaffold.render(found(written), lang=lang)
        assert b"# Decision: press a button\n" in files[PurePosixPath("DECISION.md")]
        assert b"What if another request counts at the same moment?" in files[PurePosixPath(program)]


def test_it_is_whole_from_an_installation_in_a_virtual_environment_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / ".venv" / "lib"
    shutil.copytree(challenges.data_folder("challenge_templates") / "_new", installed / "_new")
    monkeypatch.setattr(challenges, "data_folder", lambda name: installed)
    folder = author.new("press-a-button", tmp_path)
    assert {"challenge.yaml", "hidden", "references", "flaws", author.SCHEMA} <= {it.name for it in folder.iterdir()}


def test_no_trace_of_the_template_is_left(written: Path) -> None:
    for path in written.rglob("*"):
        if path.is_file():
            assert author.SLUG not in path.read_text()
            assert author.TITLE not in path.read_text()


def test_the_template_itself_is_no_challenge() -> None:
    assert not any(slug.startswith("_") or slug == author.SLUG for slug in challenges.folders({}))


@pytest.mark.parametrize("slug", ["", "_x", "Up", "a--b", "a-", "../x", "a b", "x" * 41, "ä"])
def test_what_names_no_challenge_is_refused(slug: str, tmp_path: Path) -> None:
    with pytest.raises(CrucibleError, match="cannot name a challenge") as raised:
        author.new(slug, tmp_path)
    assert raised.value.fault is Fault.AUTHOR
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(written: Path, tmp_path: Path) -> None:
    before = (written / "challenge.yaml").read_bytes()
    with pytest.raises(CrucibleError):
        author.new("press-a-button", tmp_path)
    assert (written / "challenge.yaml").read_bytes() == before


def test_ones_own_challenges_come_first_and_ours_stay(written: Path) -> None:
    assert {"press-a-button", "rate-limiter"} <= set(challenges.folders({challenges.VARIABLE: str(written.parent)}))


def test_the_guide_names_every_service_and_where_its_url_is() -> None:
    guide = (challenges.data_folder("challenge_templates") / "README.md").read_text()
    for image in IMAGES.values():
        assert f"| {image.title} | `{image.name}` | `{image.variable}` |" in guide


def test_a_variable_may_name_a_challenge_or_a_folder_of_them_and_comes_before_ours(
    tmp_path: Path,
) -> None:
    def found(place: Path | None = None) -> Path:
        return challenges.find("rate-limiter", {challenges.VARIABLE: str(place or "")}, where="tests").folder

    ours = found()
    mine = Path(shutil.copytree(ours, tmp_path / "private" / "rate-limiter"))
    for place in (mine, mine.parent):
        assert found(place) == mine
        assert challenges.places({challenges.VARIABLE: str(place)}) == (place, ours.parent)
    assert found(tmp_path) == ours


def test_a_variable_that_names_no_folder_is_an_error_that_says_which(tmp_path: Path) -> None:
    with pytest.raises(CrucibleError, match=f"CRUCIBLE_CHALLENGES names `{tmp_path}/absent`, where there is no folder"):
        challenges.places({challenges.VARIABLE: f"{tmp_path}:{tmp_path}/absent"})


def test_an_unknown_challenge_says_how_one_of_your_own_is_found() -> None:
    with pytest.raises(CrucibleError) as raised:
        challenges.find("nowhere-near", {}, where="tests")
    assert "once CRUCIBLE_CHALLENGES names the folder" in raised.value.fix
    with pytest.raises(CrucibleError) as raised:
        challenges.find("rate-limitr", {}, where="tests")
    assert raised.value.fix == "did you mean `rate-limiter`?"
