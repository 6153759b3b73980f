"""The solution's files: which of its folder count, and for every start of an instance a fresh working copy of them."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MADE_BY_BUILDS = frozenset({".venv", "venv", "node_modules", "__pycache__"})
"""Folders that are never taken from the learner's directory: a build makes them, and they name absolute paths."""
LEFT_OUT = MADE_BY_BUILDS | {".git", ".crucible", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".idea", ".vscode"}
SHARED = frozenset({".venv", "venv", "node_modules"})
"""Dependencies that a build made: linked into the working copies, since nothing writes there."""
BUILT_BY = frozenset({"Cargo.toml", "pom.xml"})
"""Beside one of these, `target` is such a folder, too."""


def working_copy(tree: Path, target: Path) -> None:
    """A fresh copy of the built `tree`; the dependencies that the build made are links to it."""

    def copy(source: str, to: str) -> None:
        shutil.copy2(source, to, follow_symlinks=False)

    def link_dependencies(at: str, names: list[str]) -> set[str]:
        known = SHARED | ({"target"} if BUILT_BY & set(names) else set())
        shared = {name for name in names if name in known and (Path(at) / name).is_dir()}
        for name in shared:
            place = target / Path(at).relative_to(tree) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(Path(at) / name)
        return shared | {name for name in names if _is_special(Path(at) / name)}

    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(tree, target, symlinks=True, ignore=link_dependencies, copy_function=copy, dirs_exist_ok=True)


def files_of(folder: Path) -> Iterator[Path]:
    """Regular files and symbolic links below `folder`, relative to it, in a fixed order."""
    for at, folders, names in os.walk(folder):
        here = Path(at)
        if "target" in folders and BUILT_BY & set(names):
            folders.remove("target")
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and name not in links)
        for name in sorted({*names, *links}):
            path = here / name
            if name not in LEFT_OUT and (path.is_symlink() or stat.S_ISREG(path.lstat().st_mode)):
                yield path.relative_to(folder)


def state_of(folder: Path) -> frozenset[tuple[str, int, int]]:
    """What tells that a file was saved, of all that a grade would look at."""
    found = set()
    with suppress(OSError):  # something may be removed meanwhile, and is seen to be gone the next time
        for path in files_of(folder):
            about = (folder / path).lstat()
            found.add((str(path), about.st_mtime_ns, about.st_size))
    return frozenset(found)


def copy_files(folder: Path, files: list[Path], target: Path) -> None:
    target.mkdir(parents=True)
    for path in files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / path, target / path, follow_symlinks=False)


def bring_up_to_date(folder: Path, files: list[Path], target: Path, before: list[Path]) -> None:
    """Make the copies in `target` those of `files`; what was copied `before` and is no longer there goes. What a build
    has made besides stays."""
    for path in {*before} - {*files}:
        (target / path).unlink(missing_ok=True)
    for path in files:
        new, old = (folder / path).lstat(), target / path
        if os.path.lexists(old):
            about = old.lstat()
            if stat.S_ISREG(about.st_mode) and (about.st_mtime_ns, about.st_size) == (new.st_mtime_ns, new.st_size):
                continue
            old.unlink()
        old.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / path, old, follow_symlinks=False)


def _is_special(path: Path) -> bool:
    """A socket, a FIFO or a device: nothing that can be copied."""
    mode = path.lstat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
