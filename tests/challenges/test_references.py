"""Every reference of every challenge: whole as it lies there, built, and started."""

import ast
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.solutions import left_behind, temporary_folder

from crucible.check import Suite
from crucible.commands import author
from crucible.lab.lab import open_lab
from crucible.planning import challenges
from crucible.planning.plan import make_plan
from crucible.planning.solution import read_solution

TEMPLATES = challenges.data_folder("challenge_templates")
REFERENCES = sorted(path for path in TEMPLATES.glob("*/references/*") if path.is_dir())

each = pytest.mark.parametrize("folder", REFERENCES, ids=lambda path: f"{path.parents[1].name}-{path.name}")


@each
def test_a_reference_has_every_module_that_it_imports_and_no_other(folder: Path) -> None:
    assert {"crucible.yaml", "DECISION.md"} <= {path.name for path in folder.iterdir()}
    assert not (folder / "overlay.yaml").exists()
    beside = {path.stem for path in folder.glob("*.py")}
    if not beside:
        return  # of another language's imports its build says enough
    lines = (folder / "requirements.txt").read_text().splitlines()
    packages = {line.partition("==")[0].replace("-", "_") for line in lines}
    imported = {name for path in folder.glob("*.py") for name in modules_in(path)}
    assert imported - beside - packages <= sys.stdlib_module_names
    commands = (folder / "crucible.yaml").read_text()
    started = {name for name in beside if f"{name}:app" in commands or f"{name}.py" in commands}
    assert beside <= imported | started


def modules_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("name", ["body.py", "tally.py"])
@pytest.mark.parametrize("challenge", sorted({path.parents[1] for path in REFERENCES}), ids=lambda path: path.name)
def test_what_answers_to_the_contract_is_the_same_in_every_reference_of_a_challenge(challenge: Path, name: str) -> None:
    """Each is whole, so what takes requests, or files, apart stands in each; they answer one contract."""
    assert len({path.read_text() for path in challenge.glob(f"references/*/{name}")}) <= 1


@each
@pytest.mark.machine
@pytest.mark.builds
def test_a_reference_is_built_and_started_as_it_lies(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a copy that has nothing above it, in which every file that it needs must be."""
    environ = dict(os.environ)
    if folder.parents[1].name == author.TEMPLATE:
        environ[challenges.VARIABLE] = str(tmp_path)
        folder = author.new(author.SLUG, tmp_path) / "references" / folder.name
    with temporary_folder() as base:
        monkeypatch.setattr(tempfile, "tempdir", str(base))
        solution = read_solution(Path(shutil.copytree(folder, base / "solution")), environ)

        async def start() -> int:
            async with open_lab(make_plan(solution, Suite((), ()), seed=0), base / "logs", environ) as lab:
                await lab.boot()
                return len(lab.web)

        assert asyncio.run(start()) >= 1
        assert left_behind(base) == []
