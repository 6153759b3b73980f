"""A solution that is a reference with a few lines changed: a flaw, or a variant that is right."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict

from crucible.errors import CrucibleError, Fault
from crucible.planning import yamlfile

_STRICT = ConfigDict(extra="forbid")
FILE = "overlay.yaml"
REFERENCES = "references"
_UNWANTED = shutil.ignore_patterns(FILE, ".crucible", "__pycache__", ".venv", "node_modules")


@dataclass(frozen=True)
class Edit:
    """One place in one file: `find` stands there exactly once, and becomes `replace`."""

    __pydantic_config__ = _STRICT

    file: str
    find: str
    replace: str


@dataclass(frozen=True)
class Overlay:
    """`overlay.yaml`. Other files in its folder replace those of the reference; edits come after."""

    __pydantic_config__ = _STRICT

    reference: str
    """The folder of `references/` that it is laid over."""
    story: str
    """What is different, in a sentence."""
    edits: tuple[Edit, ...] = ()


def read_overlay(folder: Path) -> Overlay | None:
    """Read `folder/overlay.yaml`; anything wrong in it is the author's. None where the folder is a whole solution, as
    every reference is."""
    path = folder / FILE
    if not path.is_file():
        return None
    if folder.parent.name == REFERENCES:
        fix = "write the whole solution into its folder: a reference is there to be read"
        raise _mistake(folder, f"the reference `{folder.name}` is an overlay", fix)
    return yamlfile.read(path, Overlay, fault=Fault.AUTHOR)


@contextmanager
def laid_out(folder: Path) -> Iterator[Path]:
    """A whole solution: the folder itself, or, while open, where it is an overlay, a temporary one laid over its
    reference."""
    if (folder / "crucible.yaml").is_file() or not (folder / FILE).is_file():
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="crucible-overlay-") as place:
        Path(place).chmod(0o755)
        overlay = folder.resolve()
        yield lay_out(overlay, Path(place) / overlay.name)


def lay_out(folder: Path, target: Path) -> Path:
    """Write the solution in `folder`, whole, into `target`, which must not exist; returns `target`."""
    overlay = read_overlay(folder)
    if overlay is not None:
        reference = folder.parents[1] / REFERENCES / overlay.reference
        if not (reference / "crucible.yaml").is_file():
            raise _mistake(folder, f"there is no reference `{overlay.reference}`", "name a folder of references/")
        _copy(reference, target)
    _copy(folder, target)
    for edit in overlay.edits if overlay is not None else ():
        _apply(edit, target, folder)
    return target


def _copy(folder: Path, target: Path) -> None:
    shutil.copytree(folder, target, ignore=_UNWANTED, dirs_exist_ok=True)


def _apply(edit: Edit, target: Path, folder: Path) -> None:
    path = target / edit.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(edit.find) != 1:
        what = f"`{edit.find.strip().splitlines()[0]}` stands {text.count(edit.find)} times in {edit.file}"
        raise _mistake(folder, what, "choose lines that stand there exactly once")
    path.write_text(text.replace(edit.find, edit.replace), encoding="utf-8")


def _mistake(folder: Path, what: str, fix: str) -> CrucibleError:
    return CrucibleError(what, where=f"{folder.name}/{FILE}", fix=fix, fault=Fault.AUTHOR)
