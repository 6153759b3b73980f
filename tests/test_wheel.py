"""The wheel is complete: installed elsewhere, away from the checkout, it scaffolds and grades."""

import os
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.solutions import left_behind, temporary_folder, write_solution

pytestmark = pytest.mark.machine

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    ready = ["--no-build-isolation"] if find_spec("hatchling") else []  # else pip fetches what builds it
    run(folder, sys.executable, "-m", "pip", "wheel", "--no-deps", *ready, "-w", str(folder), str(ROOT))
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment with the wheel; its dependencies are this environment's."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    run(place, sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    here = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()])
    (packages / "dependencies.pth").write_text("\n".join(here) + "\n")  # only folders: no .pth in them is read
    return place / "bin"


def run(folder: Path, *command: str, **environment: str) -> str:
    """What a command prints; it is run in `folder` and knows nothing of the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_carries_challenges_and_workflows(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for source in ("challenge_templates", "workflows"):
        tracked = {
            f"crucible/_data/{path.relative_to(ROOT).as_posix()}"
            for path in (ROOT / source).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
        }
        assert tracked
        assert tracked <= names
    assert "crucible/_data/challenge_templates/rate-limiter/hidden/checks.py" in names
    assert "crucible/py.typed" in names
    assert not any("__pycache__" in name or ".crucible" in name or name.startswith("tests") for name in names)


def test_an_installed_wheel_scaffolds_and_grades(programs: Path, tmp_path: Path) -> None:
    where = run(tmp_path, str(programs / "python"), "-c", "import crucible; print(crucible.__file__)").strip()
    assert Path(where).is_relative_to(programs.parent)
    run(tmp_path, str(programs / "crucible-new"), "rate-limiter", "mine")
    assert (tmp_path / "mine" / ".github" / "workflows" / "grade.yml").is_file()
    folder = write_solution(tmp_path / "solution", services="[redis]")
    with temporary_folder() as base:
        said = run(
            tmp_path, str(programs / "crucible"), "grade", str(folder), "--check", "RL-13",
            TMPDIR=str(base), XDG_CACHE_HOME=str(tmp_path / "cache"),
        )  # fmt: skip
        assert left_behind(base) == []
    assert "RL-13" in said
    assert (folder / ".crucible" / "result.json").is_file()
    run(tmp_path, str(programs / "crucible"), "judge", str(folder / ".crucible" / "evidence.json"))
