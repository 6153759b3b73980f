"""A known-flawed solution: a reference, and what is different about it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict

from crucible import yamlfile
from crucible.errors import CrucibleError, Fault

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Edit:
    """One place in one file: `find` stands there exactly once, and becomes `replace`."""

    __pydantic_config__ = _STRICT

    file: str
    find: str
    replace: str


@dataclass(frozen=True)
class Flaw:
    """`flaw.yaml`. Other files in its folder replace those of the reference; edits come after."""

    __pydantic_config__ = _STRICT

    reference: str
    story: str
    """What is wrong, in a sentence."""
    edits: tuple[Edit, ...] = ()


def read_flaw(folder: Path) -> Flaw:
    """Read `folder/flaw.yaml`; anything wrong with it is the author's."""
    return yamlfile.read(folder / "flaw.yaml", Flaw, fault=Fault.AUTHOR)


def lay_out(folder: Path, target: Path) -> Path:
    """Write the flawed solution in `folder` out into `target`, which must not exist; returns `target`."""
    flaw = read_flaw(folder)
    reference = folder.parents[1] / "references" / flaw.reference
    if not (reference / "crucible.yaml").is_file():
        raise _mistake(folder, f"there is no reference `{flaw.reference}`", "name a folder of references/")
    unwanted = shutil.ignore_patterns("flaw.yaml", ".crucible", "__pycache__", ".venv", "node_modules")
    shutil.copytree(reference, target, ignore=unwanted)
    shutil.copytree(folder, target, ignore=unwanted, dirs_exist_ok=True)
    for edit in flaw.edits:
        path = target / edit.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if text.count(edit.find) != 1:
            what = f"`{edit.find.strip().splitlines()[0]}` stands {text.count(edit.find)} times in {edit.file}"
            raise _mistake(folder, what, "choose lines that stand there exactly once")
        path.write_text(text.replace(edit.find, edit.replace), encoding="utf-8")
    return target


def _mistake(folder: Path, what: str, fix: str) -> CrucibleError:
    return CrucibleError(what, where=f"{folder.name}/flaw.yaml", fix=fix, fault=Fault.AUTHOR)
