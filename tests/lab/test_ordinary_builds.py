"""Builds as a project's community writes them, each line alone, give processes that find what was installed."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.solutions import GOOD, crucible, write_solution

from crucible.errors import CrucibleError
from crucible.lab import builds
from crucible.lab.builds import Recipe, build
from crucible.processes.confinement import Confinement

pytestmark = pytest.mark.machine


@pytest.mark.parametrize("line", ["pip install -r requirements.txt", "python3 -m pip install -r requirements.txt"])
def test_what_pip_installs_alone_is_found_by_the_process(tmp_path: Path, line: str) -> None:
    folder = write_solution(tmp_path / "s", "import six\n" + GOOD, build=line)
    (folder / "requirements.txt").write_text("six==1.17.0\n")
    done = crucible("grade", str(folder), "--check", "RL-6")
    assert done.code == 0, done.out + done.err
    log = (folder / ".crucible" / "logs" / "build.log").read_text()
    assert log.startswith("$ python3 -m venv .venv")
    assert "six" in log


def built(folder: Path, command: str, cache: Path) -> Path:
    recipe = Recipe(folder, command, folder.with_suffix(".log"), 30, Confinement())
    with ExitStack() as held:
        return asyncio.run(build(recipe, {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache)}, held))


def test_programs_of_the_project_come_first(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s")
    command = "mkdir -p node_modules/.bin && printf '#!/bin/sh\\necho mine >made' >node_modules/.bin/ls && chmod +x node_modules/.bin/ls && ls"  # noqa: E501
    tree = built(folder, command, tmp_path / "cache")
    assert (tree / "made").read_text() == "mine\n"


def test_a_build_without_a_word_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "SILENT_S", 0.5)
    with pytest.raises(CrucibleError, match="printed nothing for"):
        built(write_solution(tmp_path / "s"), "sleep 20", tmp_path / "cache")


def test_one_that_goes_on_printing_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "SILENT_S", 1.5)
    built(write_solution(tmp_path / "s"), "for i in 1 2 3; do sleep 1; echo $i; done", tmp_path / "cache")
