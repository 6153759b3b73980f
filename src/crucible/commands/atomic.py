"""Writes a set of files into a directory, new or empty, whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from crucible.errors import CrucibleError, Fault

Files = Mapping[PurePosixPath, bytes]
STAGING = ".crucible-new-"


def write_whole(directory: Path, files: Files) -> Path:
    """Write `files` by their path in `directory`; returns its absolute path.

    Raises a CrucibleError where that cannot be done. That, like an interruption, leaves everything as it was.
    """
    target = Path(os.path.realpath(directory))
    try:
        if not os.path.lexists(target):
            _write_new(target, files)
        elif not target.is_dir():
            raise _refusal(target, "this is not a directory")
        elif any(target.iterdir()):
            raise _refusal(target, "the directory is not empty")
        else:
            _fill(target, files)
    except OSError as error:
        raise _refusal(target, f"cannot write there: {error.strerror or error}") from error
    return target


def _refusal(target: Path, what: str) -> CrucibleError:
    return CrucibleError(
        what, where=str(target), fix="name a new directory, or an empty one that is yours", fault=Fault.LEARNER
    )


def _write_new(target: Path, files: Files) -> None:
    """Write beside `target`, then rename: it appears complete."""
    with _parents_of(target), _staging(target.parent) as staging:
        _write(staging, files)
        staging.rename(target)


def _fill(target: Path, files: Files) -> None:
    """Write inside `target`, then move up. It stays the same directory, since somebody's shell may stand in it."""
    moved: list[Path] = []
    with _staging(target) as staging:
        _write(staging, files)
        try:
            for path in sorted(staging.iterdir()):
                place = target / path.name
                if os.path.lexists(place):
                    raise FileExistsError(f"`{path.name}` has appeared in it")
                moved.append(place)
                path.rename(place)
        except BaseException:
            for path in moved:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            raise


def _write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """A folder in `parent` that is gone in the end, unless it was renamed."""
    folder = Path(tempfile.mkdtemp(prefix=STAGING, dir=parent))
    try:
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)  # what mkdir would have given; mkdtemp gives it to its owner alone
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _parents_of(target: Path) -> Iterator[None]:
    """Makes the missing parents of `target`, and takes them away again if something goes wrong."""
    missing = [parent for parent in target.parents if not os.path.lexists(parent)]
    try:
        for parent in reversed(missing):
            parent.mkdir(exist_ok=True)
        yield
    except BaseException:
        for parent in missing:
            with suppress(OSError):  # not made yet, or somebody else has put something there
                parent.rmdir()
        raise
