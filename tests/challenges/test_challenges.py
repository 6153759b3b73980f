"""What every challenge owes its users, as far as it can be judged without running anything."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crucible.commands import scaffold
from crucible.planning import challenges
from crucible.planning.manifest import read_manifest
from crucible.planning.solution import read_solution
from crucible.planning.trials import trials

FOLDERS = [path.parent for path in sorted(challenges.data_folder("challenge_templates").glob("[!_]*/challenge.yaml"))]
PINNED = re.compile(r"(# )?[A-Za-z0-9._-]+(\[[a-z,]+\])?==[0-9.]+(, to .*)?|# .*|")
LONGEST = 200
"""Lines of a file of a reference, which is there to be read."""

each = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


def contract_of(folder: Path) -> dict[str, Any]:
    document = yaml.safe_load((folder / "template" / "openapi.yaml").read_text())
    assert isinstance(document, dict)
    return document


@each
def test_every_reference_in_the_contract_leads_somewhere(folder: Path) -> None:
    contract = contract_of(folder)
    found = list(references_in(contract))
    assert found
    for reference in found:
        place = contract
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def references_in(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from references_in(value)


@each
def test_axes_are_named_once_in_snake_case(folder: Path) -> None:
    ids = [axis.id for axis in read_manifest(folder).axes]
    assert len(ids) == len(set(ids))
    for axis in ids:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", axis)


@each
def test_the_python_starter_answers_the_routes_of_the_contract_and_prescribes_no_store(folder: Path) -> None:
    files = {str(path): content.decode() for path, content in scaffold.render(challenges.at(folder)).items()}
    assert set(re.findall(r'Route\("([^"]+)"', files["app.py"])) == set(contract_of(folder)["paths"])
    lines = files["requirements.txt"].splitlines()
    assert [line.partition("==")[0] for line in lines if line and not line.startswith("#")] == ["starlette", "uvicorn"]
    assert all(PINNED.fullmatch(line) for line in lines)


@pytest.mark.parametrize(
    "path", [path for folder in FOLDERS for path in sorted(folder.glob("*/*/requirements.txt"))],
    ids=lambda path: f"{path.parents[2].name}-{path.parent.name}",
)  # fmt: skip
def test_every_dependency_is_pinned(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert PINNED.fullmatch(line), line


@pytest.mark.parametrize(
    "folder", [path.parent for folder in FOLDERS for path in sorted(folder.glob("references/*/crucible.yaml"))],
    ids=lambda path: path.name,
)  # fmt: skip
def test_a_reference_is_a_whole_solution_with_its_price(folder: Path) -> None:
    assert read_solution(folder, {}).build is not None
    for word in ("**Gives.**", "**Costs.**", "**For whom.**"):
        assert word in (folder / "DECISION.md").read_text()
    for path in folder.glob("*.py"):
        assert len(path.read_text().splitlines()) < LONGEST


@each
def test_every_profile_has_a_reference_and_every_check_a_flaw_of_its_own_or_of_a_profile(folder: Path) -> None:
    challenge = challenges.at(folder)
    manifest, suite = challenge.manifest, challenge.suite
    there = trials(challenge)
    assert {profile.intended for profile in manifest.profiles} <= {path.name for path in folder.glob("references/*")}
    by_check, by_profile = {trial.check for trial in there}, {trial.profile for trial in there}
    limited = {axis for profile in manifest.profiles if profile.id in by_profile for axis in profile.limits}
    for check in suite.checks:
        assert check.id in by_check or (not check.gate and limited & set(check.axes)), check.id
    assert {trial.sibling for trial in there} - {""} <= {path.name for path in folder.glob("references/*")}
