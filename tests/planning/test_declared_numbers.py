"""A declaration that is a whole number: in the manifest, in `crucible.yaml`, and in what a new repository says."""

import shutil
from pathlib import Path, PurePosixPath

import pytest
from support.solutions import write_solution

from crucible.commands import scaffold
from crucible.errors import CrucibleError
from crucible.planning import challenges
from crucible.planning.manifest import Declaration, Kept, Number, read_manifest
from crucible.planning.solution import read_solution

CHALLENGE = Path(__file__).parents[2] / "challenge_templates" / "rate-limiter"


def declared(folder: Path, value: str) -> dict[str, str]:
    return read_solution(write_solution(folder, declares=f"{{forgets_within_s: {value}}}"), {}).declares


@pytest.mark.parametrize(("value", "text"), [("0", "0"), ("10", "10"), ("86400", "86400")])
def test_a_number_that_may_be_declared_is_kept_as_text(tmp_path: Path, value: str, text: str) -> None:
    assert declared(tmp_path / "s", value) == {"forgets_within_s": text}


@pytest.mark.parametrize("value", ["-1", "86401", "10.0", "ten", "'10'", "true", "[10]", "null", ".inf"])
def test_anything_else_is_named_with_its_line_and_what_may_be(tmp_path: Path, value: str) -> None:
    with pytest.raises(CrucibleError) as told:
        declared(tmp_path / "s", value)
    assert "`declares.forgets_within_s` is " in told.value.what
    assert told.value.where == f"{tmp_path / 's' / 'crucible.yaml'}:4"
    assert told.value.fix == "use a whole number from 0 to 86,400"


def test_a_declaration_has_values_or_a_number_and_its_default_may_be_declared() -> None:
    for values, number in (({}, None), ({"a": "b"}, Number(1, 0, 2))):
        with pytest.raises(ValueError, match="either `values` or a `number`"):
            Declaration("about", values, number)
    with pytest.raises(ValueError, match="`default` from `least` to `most`"):
        Number(5, 6, 7)


def test_what_is_kept_until_it_is_forgotten_is_what_was_asked_for_meanwhile() -> None:
    kept = Kept("bytes_per_key", 10_001, "forgets_within_s")
    assert kept.most(200, {}) == 10_001
    assert kept.most(200, {"forgets_within_s": "10"}) == 10_001
    assert kept.most(200, {"forgets_within_s": "3600"}) == 720_000


def test_until_names_a_declaration_of_a_number(tmp_path: Path) -> None:
    folder = tmp_path / "rate-limiter"
    shutil.copytree(CHALLENGE, folder, ignore=shutil.ignore_patterns("references", "flaws", "fair"))
    path = folder / "challenge.yaml"
    path.write_text(path.read_text().replace("until: forgets_within_s", "until: on_store_outage"))
    with pytest.raises(CrucibleError, match="no declaration of a number"):
        read_manifest(folder)


def test_a_new_repository_says_what_may_be_declared() -> None:
    files = scaffold.render(challenges.at(CHALLENGE))
    brief, decision, yaml = (
        files[PurePosixPath(name)].decode() for name in ("README.md", "DECISION.md", "crucible.yaml")
    )
    assert "| `declares.forgets_within_s` | a whole number from 0 to 86,400; see below |" in brief
    assert "`forgets_within_s`: a whole number from 0 to 86,400, because …" in decision
    assert "`on_store_outage`: one of fail-open, fail-closed, local, because …" in decision
    assert "# declares: {forgets_within_s: 10} # a whole number from 0 to 86,400" in yaml


def test_the_suite_holds_who_declares_nothing_to_the_manifests_default() -> None:
    challenge = challenges.at(CHALLENGE)
    number = challenge.manifest.declares["forgets_within_s"].number
    old_keys = next(it for it in challenge.suite.scenarios if it.id == "old-keys").observe
    assert number is not None
    assert old_keys.__globals__["FORGETS_S"] == number.default
