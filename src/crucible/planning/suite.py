"""Loads a challenge's hidden suite, and says which one it was."""

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType

from crucible.check import Suite
from crucible.errors import CrucibleError, Fault


def load_suite(challenge: Path) -> Suite:
    """Import `challenge/hidden/checks.py` and return its `SUITE`; whatever goes wrong there is the author's."""
    path = challenge / "hidden" / "checks.py"
    where = f"{challenge.name}/hidden/checks.py"
    if not path.is_file():
        raise CrucibleError("the suite is missing", where=where, fix="add hidden/checks.py", fault=Fault.AUTHOR)
    try:
        module = _import(path)
    except Exception as error:  # the suite is somebody else's code, and any failure in it is theirs
        raise CrucibleError(
            f"the suite cannot be imported: {type(error).__name__}: {error}",
            where=where, fix="mend hidden/checks.py", fault=Fault.AUTHOR,
        ) from error  # fmt: skip
    suite = getattr(module, "SUITE", None)
    if not isinstance(suite, Suite):
        raise CrucibleError("the suite exports no SUITE", where=where, fix="add `SUITE = Suite(…)`", fault=Fault.AUTHOR)
    known = {scenario.id for scenario in suite.scenarios}
    for check in suite.checks:
        if missing := set(check.scenarios) - known:
            raise CrucibleError(
                f"{check.id} rests on scenarios that are not there: {', '.join(sorted(missing))}",
                where=where, fix="add them to SUITE.scenarios", fault=Fault.AUTHOR,
            )  # fmt: skip
    return suite


def load_file(challenge: Path) -> Path | None:
    """The challenge's load, where it has one."""
    path = challenge / "hidden" / "load.py"
    return path if path.is_file() else None


def _import(path: Path) -> ModuleType:
    """Import `path` as a module of a package of its own, so that a suite may be several files (`from .x import y`)."""
    folder = path.parent
    package = f"crucible_suite_{folder.parent.name.replace('-', '_')}"
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    parent = sys.modules[package] = ModuleType(package)
    parent.__path__ = [str(folder)]
    return importlib.import_module(f"{package}.{path.stem}")


def digest(challenge: Path) -> str:
    """SHA-256 over the hidden files' names and contents, so that results can say what judged them."""
    total = hashlib.sha256()
    for path in sorted((challenge / "hidden").rglob("*.py")):
        content = path.read_bytes()
        total.update(f"{path.relative_to(challenge)} {len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()
