"""Built trees of solutions, kept in a cache by what they were made from."""

import asyncio
import fcntl
import hashlib
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from crucible.errors import CrucibleError, Fault
from crucible.lab.environment import build_environment, build_folders, with_project
from crucible.lab.isolation import hand_over
from crucible.lab.logs import cut, tail
from crucible.lab.workspace import bring_up_to_date, copy_files, files_of
from crucible.processes.child import Child
from crucible.processes.confinement import Confinement

MAX_BYTES = 256 << 20
MAX_FILES = 20_000
KEPT_BUILDS = 8
SILENT_S = 300.0
"""A build that prints nothing for so long waits for something that does not come."""
_PIP = re.compile(r"\bpip3?\s+(?:-\S+\s+)*install\b")
_HAS_ONE = re.compile(r"\b(?:venv|virtualenv|uv|poetry|pipenv|conda)\b")
"""A build that installs with pip and makes no environment: it is given one, since a Python that belongs to the system
(Debian's) lets nothing be installed."""


@dataclass(frozen=True)
class Recipe:
    """What is to be built, and how."""

    folder: Path
    """The solution's."""
    command: str | None
    """None: its files are all that there is to it."""
    log: Path
    deadline_s: float
    builder: Confinement
    """Who builds."""
    on_top: bool = False
    """Whether to build on top of what was built of this folder before, as whoever works on it does. What an earlier
    build has left may hide that something is missing."""


async def build(recipe: Recipe, environ: Mapping[str, str], held: ExitStack) -> Path:
    """The built tree of a solution: from the cache where nothing has changed. Charged to the learner.

    No other grade removes it before `held` is closed.
    """
    folder, command, builder = recipe.folder, recipe.command, recipe.builder
    builds, home = build_folders(environ)
    if builder.uid is not None and home.stat().st_uid != builder.uid:
        await asyncio.to_thread(hand_over, home, builder)
    try:
        files = list(files_of(folder))
        _refuse_too_much(folder, files)
        key = _key(folder, files, command)
    except OSError as error:
        raise CrucibleError(
            f"cannot be read: {error.strerror}", where=str(error.filename or folder),
            fix="let the grader read the whole folder, and leave it alone meanwhile", fault=Fault.LEARNER,
        ) from error  # fmt: skip
    if recipe.on_top and (tree := await _build_on_top(recipe, files, key, _Made(builds, home, environ, held))):
        return tree
    place = builds / key
    marker, lock = place / "complete", held.enter_context(place.with_suffix(".lock").open("w"))
    await _lock(lock, fcntl.LOCK_SH)
    while not marker.exists():
        fcntl.flock(lock, fcntl.LOCK_UN)  # two who share it would wait for each other
        await _lock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            shutil.rmtree(place, ignore_errors=True)
            try:
                copy_files(folder, files, place / "tree")
                await _make(recipe, place / "tree", home, environ)
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
            marker.touch()
        await _lock(lock, fcntl.LOCK_SH)  # between the two it may have been forgotten
    os.utime(marker)
    _forget_old(builds)
    return place / "tree"


@dataclass(frozen=True)
class _Made:
    """Where builds are made, and by what."""

    builds: Path
    home: Path
    environ: Mapping[str, str]
    held: ExitStack


async def _build_on_top(recipe: Recipe, files: list[Path], key: str, made: _Made) -> Path | None:
    """The tree of this folder, brought up to date where it lies and built again; None while another one uses it."""
    place = made.builds / f"of-{hashlib.sha256(os.fsencode(recipe.folder.resolve())).hexdigest()[:32]}"
    place.mkdir(exist_ok=True)
    lock = made.held.enter_context(place.with_suffix(".lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    marker, listed, tree = place / "complete", place / "files", place / "tree"
    if not marker.is_file() or marker.read_text() != key:
        marker.unlink(missing_ok=True)
        before = [Path(os.fsdecode(it)) for it in listed.read_bytes().split(b"\0")] if listed.is_file() else []
        listed.write_bytes(b"\0".join(os.fsencode(path) for path in {*before, *files}))
        try:
            bring_up_to_date(recipe.folder, files, tree, before)
        except OSError:  # a file where a folder was, or what a build forbids
            shutil.rmtree(tree, ignore_errors=True)
            copy_files(recipe.folder, files, tree)
        await _make(recipe, tree, made.home, made.environ)
        listed.write_bytes(b"\0".join(map(os.fsencode, files)))
        marker.write_text(key)
    fcntl.flock(lock, fcntl.LOCK_SH)
    os.utime(marker)
    _forget_old(made.builds)
    return tree


async def _make(recipe: Recipe, tree: Path, home: Path, environ: Mapping[str, str]) -> None:
    """Run the build, if there is one."""
    if recipe.command is not None:
        hand_over(tree, recipe.builder)
        await _run(recipe.command, recipe, tree, with_project(build_environment(environ, home), tree))


def _refuse_too_much(folder: Path, files: list[Path]) -> None:
    size = sum((folder / path).lstat().st_size for path in files)
    if len(files) > MAX_FILES or size > MAX_BYTES:
        raise CrucibleError(
            f"{len(files)} files with {size >> 20} MiB are too much to copy for every process",
            where=str(folder),
            fix=f"keep it below {MAX_FILES} files and {MAX_BYTES >> 20} MiB: let the build make what can be made",
            fault=Fault.LEARNER,
        )


def _key(folder: Path, files: list[Path], command: str | None) -> str:
    total = hashlib.sha256(repr((command, platform.platform(), sys.version)).encode())
    for path in files:
        full = folder / path
        content = os.fsencode(full.readlink()) if full.is_symlink() else full.read_bytes()
        total.update(f"{path}\0{full.lstat().st_mode & 0o111}\0{len(content)}\0".encode(errors="surrogateescape"))
        total.update(content)
    return total.hexdigest()[:32]


async def _run(command: str, recipe: Recipe, tree: Path, env: dict[str, str]) -> None:
    log = recipe.log
    if _PIP.search(command) and not _HAS_ONE.search(command):
        command = f"python3 -m venv .venv && hash -r && {{ {command}\n}}"
    log.write_text(f"$ {command}\n", encoding="utf-8", errors="replace")
    child = Child.start(["/bin/sh", "-c", command], cwd=tree, log=log, env=env, confined=recipe.builder)
    now = said = time.monotonic()
    end, size = now + recipe.deadline_s, 0
    try:
        while child.returncode is None and now < min(end, said + SILENT_S):
            cut(log)
            if (written := log.stat().st_size) != size:
                said, size = now, written
            await asyncio.sleep(0.02)
            now = time.monotonic()
        if (status := child.returncode) == 0:
            return
    finally:
        child.kill()
        cut(log)
    if status is not None:
        what = f"the build ended with status {status}"
    elif now >= end:
        what = f"the build did not end within {recipe.deadline_s:g} s"
    else:
        what = f"the build printed nothing for {SILENT_S / 60:.0f} minutes"
    raise CrucibleError(
        what,
        where=f"`build: {command}`",
        fix="run the command in a fresh copy of your repository; the whole log is logs/build.log",
        fault=Fault.LEARNER,
        excerpt=tail(log),
    )


async def _lock(file: IO[str], how: int) -> None:
    """Whoever builds a tree has it alone; whoever uses it shares it."""
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(0.1)
        else:
            return


def _forget_old(builds: Path) -> None:
    """Remove all but the newest builds, and those that some grade uses."""
    markers = sorted(builds.glob("*/complete"), key=lambda path: path.stat().st_mtime, reverse=True)
    for marker in markers[KEPT_BUILDS:]:
        with suppress(OSError), marker.parent.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(marker.parent, ignore_errors=True)
