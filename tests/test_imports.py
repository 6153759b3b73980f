"""Who may import whom, read from the sources."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "crucible"
STDLIB = frozenset(sys.stdlib_module_names)
FLOORS = (
    "errors", "content", "evidence", "check", "oracles", "authoring", "planning", "processes", "services", "lab",
    "judging", "load", "observing", "second", "run", "report", "schemas", "commands", "github", "cli",
)  # fmt: skip
"""From the ground up: a module imports what is on its own floor or below."""
RECORDS = {
    "crucible", "crucible.check", "crucible.evidence", "crucible.errors", "crucible.planning.manifest",
    "crucible.planning.prices",
}  # fmt: skip
FOR_TESTS = ("crucible.authoring.testing", "crucible.authoring.memory_lab")
CLIENTS = {"psycopg": "postgres.py", "redis": "redis.py", "boto3": "s3.py", "pika": "rabbitmq.py"}
EFFECTS = (
    "crucible.lab",
    "crucible.load",
    "crucible.observing",
    "crucible.second",
    "crucible.run",
    "crucible.services",
    "crucible.commands.grade",
)


def modules(pattern: str) -> list[Path]:
    return sorted(PACKAGE.glob(pattern))


def imported(path: Path, folder: Path | None = None) -> Iterator[str]:
    """Every module that the file names, also inside functions; `from crucible import a` counts as `crucible.a`. Only a
    file of `folder` may import relatively, and only what is beside it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level and folder is not None:
            assert node.level == 1, f"{path.name} imports from above {folder.name}"
            beside = [node.module] if node.module else [alias.name for alias in node.names]
            assert all((folder / f"{name}.py").is_file() for name in beside), f"{path.name} imports {beside}"
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if is_module(node.module, alias.name))


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_module(parent: str, name: str) -> bool:
    path = ROOT / "src" / parent.replace(".", "/") / name
    return path.is_dir() or path.with_suffix(".py").is_file()


def beyond(path: Path, allowed: set[str], folder: Path | None = None) -> set[str]:
    """What the file imports besides the standard library and `allowed` (with what is inside those)."""
    return {
        name
        for name in imported(path, folder)
        if name.partition(".")[0] not in STDLIB
        and name not in allowed
        and not any(name.startswith(f"{one}.") for one in allowed if one != "crucible")
    }


@pytest.mark.parametrize("path", modules("**/[!_]*.py"), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_only_down(path: Path) -> None:
    floor = FLOORS.index(floor_of(path))
    names = [name for name in imported(path) if name.startswith("crucible.") and name != "crucible.__version__"]
    assert {name for name in names if FLOORS.index(name.split(".")[1]) > floor} == set()


@pytest.mark.parametrize("path", modules("judging/*.py"), ids=lambda path: path.name)
def test_the_verdict_is_pure(path: Path) -> None:
    assert (
        beyond(
            path, RECORDS | {"crucible.judging", "crucible.authoring.deaths", "crucible.planning.trials", "pydantic"}
        )
        == set()
    )


@pytest.mark.parametrize("path", modules("report/*.py"), ids=lambda path: path.name)
def test_a_report_sees_only_the_verdict(path: Path) -> None:
    libraries = {"pydantic", "jinja2", "rich", "markupsafe"}
    assert (
        beyond(path, RECORDS | {"crucible.judging", "crucible.report", "crucible.authoring.deaths"} | libraries)
        == set()
    )


@pytest.mark.parametrize("path", modules("oracles/*.py"), ids=lambda path: path.name)
def test_an_oracle_sees_only_evidence(path: Path) -> None:
    assert beyond(path, {"crucible.evidence", "crucible.oracles", "crucible"}) == set()


@pytest.mark.parametrize("path", [*modules("commands/scaffold.py"), *modules("cli/new.py")], ids=lambda path: path.name)
def test_scaffolding_never_loads_the_grader(path: Path) -> None:
    assert {name for name in imported(path) if name.startswith(EFFECTS)} == set()


@pytest.mark.parametrize("path", modules("**/*.py"), ids=lambda path: path.name)
def test_clients_and_platforms_stay_in_their_modules(path: Path) -> None:
    place = path.relative_to(PACKAGE)
    for name in imported(path):
        top = name.partition(".")[0]
        if top in CLIENTS:
            assert place == Path("services") / CLIENTS[top], f"{place} imports {top}"
        if top in ("locust", "gevent", "geventhttpclient"):
            assert place.parts[0] == "load", f"{place} imports {top}"
        if name.startswith("crucible.github"):
            assert place.parts[0] in ("cli", "github"), f"{place} imports {name}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("challenge_templates/*/hidden/*.py")), ids=lambda path: path.name)
def test_a_suite_sees_only_itself_and_what_it_is_written_against(path: Path) -> None:
    user = {"crucible.load.locust_user"} if path.name == "load.py" else set()
    allowed = {"crucible.check", "crucible.oracles", "crucible.authoring", "crucible.evidence", "crucible", *user}
    found = beyond(path, allowed, path.parent)
    assert found == set()
    assert not [name for name in imported(path, path.parent) if name.startswith(FOR_TESTS)]


@pytest.mark.parametrize("path", modules("authoring/*.py"), ids=lambda path: path.name)
def test_what_suites_share_sees_only_what_they_see(path: Path) -> None:
    allowed = {"crucible.check", "crucible.oracles", "crucible.authoring", "crucible.evidence", "pydantic"}
    assert beyond(path, allowed) == set()


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


def needed(path: Path) -> Iterator[str]:
    """The modules of the package that a file needs, also inside functions and for types alone: of `from a import b` the
    module `a.b` where there is one, else `a`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names = [full if is_module(node.module, name) else node.module for name, full in inner.items()]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "crucible")


def test_no_module_needs_itself_by_way_of_others() -> None:
    graph = {module_name(path): set(needed(path)) for path in modules("**/*.py")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" needs ".join(reversed(error.args[1])))
