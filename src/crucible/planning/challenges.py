"""Challenges: where they lie, in a checkout or an installed wheel, and what each of them consists of."""

import hashlib
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from crucible.check import Suite
from crucible.errors import SUITES, CrucibleError, Fault, place_in_suite
from crucible.planning.manifest import Manifest, read_manifest
from crucible.planning.names import nearest

VARIABLE = "CRUCIBLE_CHALLENGES"
"""Names folders with further challenges: an author's, or an organiser's own."""


@dataclass(frozen=True)
class Challenge:
    """A challenge: its manifest at once, and its hidden suite where it is asked for."""

    folder: Path
    manifest: Manifest

    @cached_property
    def suite(self) -> Suite:
        """What `hidden/checks.py` exports; whatever goes wrong there is the author's."""
        suite = _load_suite(self.folder)
        if complaint := _misnamed(suite, self.manifest):
            where = f"{self.folder.name}/hidden/checks.py"
            raise CrucibleError(complaint, where=where, fix="write the name as it is there", fault=Fault.AUTHOR)
        return suite

    @property
    def load_file(self) -> Path | None:
        """Its load, where it has one."""
        path = self.folder / "hidden" / "load.py"
        return path if path.is_file() else None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the hidden files' names and contents, so that results can say what judged them."""
        total = hashlib.sha256()
        for path in sorted((self.folder / "hidden").rglob("*.py")):
            content = path.read_bytes()
            total.update(f"{path.relative_to(self.folder)} {len(content)}\n".encode())
            total.update(content)
        return total.hexdigest()


def at(folder: Path) -> Challenge:
    """The challenge in this folder."""
    return Challenge(folder, read_manifest(folder))


def find(slug: str, environ: Mapping[str, str], *, where: str, fault: Fault = Fault.LEARNER) -> Challenge:
    """The challenge of this name; an unknown one is the fault of whoever wrote it down at `where`."""
    known = folders(environ)
    if slug not in known:
        fix = nearest(slug, sorted(known))
        if not fix.startswith("did you mean"):
            fix += f"; one of your own is found once {VARIABLE} names the folder that it lies in"
        raise CrucibleError(f"there is no challenge `{slug}`", where=where, fix=fix, fault=fault)
    return at(known[slug])


def every(environ: Mapping[str, str]) -> list[Challenge]:
    """All of them, by their slugs."""
    return [at(folder) for _, folder in sorted(folders(environ).items())]


def folders(environ: Mapping[str, str]) -> dict[str, Path]:
    """The folder of every challenge, by its slug."""
    found: dict[str, Path] = {}
    for place in places(environ):
        if (place / "challenge.yaml").is_file():
            found.setdefault(place.resolve().name, place.resolve())
        for path in sorted(place.glob("[!_]*/challenge.yaml")):
            found.setdefault(path.parent.name, path.parent.resolve())
    return found


def places(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where challenges lie, the first one found counts: the folders that `CRUCIBLE_CHALLENGES` names, as in a PATH, and
    ours. Each holds challenges, or is one."""
    own = [Path(place).expanduser() for place in environ.get(VARIABLE, "").split(os.pathsep) if place]
    for place in own:
        if not place.is_dir():
            raise CrucibleError(
                f"{VARIABLE} names `{place}`, where there is no folder", where="the environment",
                fix=f"name folders that hold challenges, with `{os.pathsep}` between them", fault=Fault.AUTHOR,
            )  # fmt: skip
    return (*own, data_folder("challenge_templates"))


def data_folder(name: str) -> Path:
    """The folder `challenge_templates` or `workflows`."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_data" / name, package.parent.parent / name):
        if folder.is_dir():
            return folder
    raise CrucibleError(
        f"the folder `{name}` is missing from this installation",
        where=str(package),
        fix="install Crucible again, from its wheel or a complete checkout",
        fault=Fault.CRUCIBLE,
    )


def _load_suite(challenge: Path) -> Suite:
    path = challenge / "hidden" / "checks.py"
    where = f"{challenge.name}/hidden/checks.py"
    if not path.is_file():
        raise CrucibleError("the suite is missing", where=where, fix="add hidden/checks.py", fault=Fault.AUTHOR)
    try:
        module = _import(path)
    except Exception as error:  # the suite is somebody else's code, and any failure in it is theirs
        raise CrucibleError(
            f"the suite cannot be imported: {type(error).__name__}{place_in_suite(error)}: {error}",
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


def _misnamed(suite: Suite, manifest: Manifest) -> str:
    """What a check names that the suite or the manifest does not have; empty where there is nothing."""
    ids = {check.id for check in suite.checks}
    for check in suite.checks:
        if missing := set(check.explained_by) - ids:
            return f"{check.id} is explained by checks that are not there: {', '.join(sorted(missing))}"
        if missing := set(check.unless) - set(manifest.declares):
            return f"{check.id} is no gate under declarations that are not there: {', '.join(sorted(missing))}"
    return ""


def _import(path: Path) -> ModuleType:
    """Import `path` as a module of a package of its own, so that a suite may be several files (`from .x import y`)."""
    folder = path.parent
    package = f"{SUITES}{folder.parent.name.replace('-', '_')}"
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    parent = sys.modules[package] = ModuleType(package)
    parent.__path__ = [str(folder)]
    return importlib.import_module(f"{package}.{path.stem}")
