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
from crucible.lab.workspace import copy_files, files_of
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
        place = builds / _key(folder, files, command)
    except OSError as error:
        raise CrucibleError(
            f"cannot be read: {error.strerror}", where=str(error.filename or folder),
            fix="let the grader read the whole folder, and leave it alone meanwhile", fault=Fault.LEARNER,
        ) from error  # fmt: skip
    marker, lock = place / "complete", held.enter_context(place.with_suffix(".lock").open("w"))
    await _lock(lock, fcntl.LOCK_SH)
    while not marker.exists():
        fcntl.flock(lock, fcntl.LOCK_UN)  # two who share it would wait for each other
        await _lock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            shutil.rmtree(place, ignore_errors=True)
            try:
                copy_files(folder, files, place / "tree")
                if command is not None:
                    hand_over(place / "tree", builder)
                    env = with_project(build_environment(environ, home), place / "tree")
                    await _run(command, recipe, place / "tree", env)
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
            marker.touch()
        await _lock(lock, fcntl.LOCK_SH)  # between the two it may have been forgotten
    os.utime(marker)
    _forget_old(builds)
    return place / "tree"


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
