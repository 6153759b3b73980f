"""The solution's files: a cached build, and for every start of an instance a fresh working copy of it."""

import asyncio
import fcntl
import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from crucible.errors import CrucibleError, Fault
from crucible.lab.isolation import hand_over
from crucible.processes.child import Child
from crucible.processes.confinement import Confinement

MADE_BY_BUILDS = frozenset({".venv", "venv", "node_modules", "__pycache__"})
"""Folders that are never taken from the learner's directory: a build makes them, and they name absolute paths."""
LEFT_OUT = MADE_BY_BUILDS | {".git", ".crucible", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".idea", ".vscode"}
SHARED = frozenset({".venv", "venv", "node_modules"})
"""Dependencies that a build made: linked into the working copies, since nothing writes there."""
BUILT_BY = frozenset({"Cargo.toml", "pom.xml"})
"""Beside one of these, `target` is such a folder, too."""
MAX_BYTES = 256 << 20
MAX_FILES = 20_000
KEPT_BUILDS = 8
LOG_LIMIT = 8 << 20
"""Bytes at which a log is cut to its first half."""
BUILD_SETTINGS = ("PIP_", "UV_", "NPM_CONFIG_", "npm_config_", "GO", "CARGO_", "RUSTUP_", "NODE_EXTRA_CA_CERTS",
                  "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
                  "http_proxy", "https_proxy", "no_proxy", "JAVA_HOME", "LANG")  # fmt: skip
"""Prefixes of the variables that a build keeps: where packages come from, and whom to trust for them."""
SECRET_WORDS = ("TOKEN", "PASSWORD", "PASSPHRASE", "SECRET", "_AUTH", "CREDENTIAL", "USERNAME", "_KEY")
USER_IN_URL = re.compile(r"://[^/\s]*@|(^|[\s,])[^/\s,]*:[^/\s,]*@")
"""A URL with a user in it, anywhere in a list of them; a proxy's may lack the scheme."""


def cache_folder(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/tmp")) / ".cache")  # noqa: S108
    return Path(base) / "crucible"


def search_path(environ: Mapping[str, str]) -> str:
    """The PATH for the solution: the grader's, without the virtual environment that the grader itself runs in."""
    own = str(Path(sys.prefix) / "bin") if sys.prefix != sys.base_prefix else None
    return ":".join(part for part in environ.get("PATH", os.defpath).split(":") if part and part != own)


def build_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """PATH and HOME, and the package managers' own settings without credentials."""
    kept = {
        name: value
        for name, value in environ.items()
        if name.startswith(BUILD_SETTINGS)
        and not any(word in name.upper() for word in SECRET_WORDS)
        and not USER_IN_URL.search(value)
    }
    toolchains = Path(environ.get("HOME", "/nonexistent")) / ".rustup"  # rustup looks for them in HOME, which changes
    found = {"RUSTUP_HOME": str(toolchains)} if toolchains.is_dir() else {}
    return found | kept | {"PATH": search_path(environ), "HOME": str(home), "TMPDIR": str(home / "tmp")}


def build_folders(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """Where built trees are kept, and the home folder of builds, with the package managers' caches; made if need be."""
    builds = cache_folder(environ) / "builds"
    home = cache_folder(environ) / "home"
    for path in (builds, home / "tmp"):
        path.mkdir(parents=True, exist_ok=True)
    if builds.stat().st_uid == os.geteuid():
        builds.chmod(0o711)  # nobody but who knows a build's name finds it
    return builds, home


def tools(environ: Mapping[str, str]) -> list[Path]:
    """The folders that hold the programs which builds and solutions use."""
    named = [value for value in build_environment(environ, Path("/")).values() if value.startswith("/")]
    return [Path(part) for part in [*search_path(environ).split(":"), *named] if part != "/" and Path(part).is_dir()]


async def build(
    folder: Path, command: str | None, environ: Mapping[str, str], log: Path, deadline_s: float, builder: Confinement,
    held: ExitStack,
) -> Path:  # fmt: skip
    """The built tree of the solution in `folder`: from the cache where nothing has changed. Charged to the learner.

    No other grade removes it before `held` is closed.
    """
    builds, home = build_folders(environ)
    if builder.uid is not None and home.stat().st_uid != builder.uid:
        await asyncio.to_thread(hand_over, home, builder)
    try:
        files = list(_files(folder))
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
                _copy(folder, files, place / "tree")
                if command is not None:
                    hand_over(place / "tree", builder)
                    await _run(command, place / "tree", build_environment(environ, home), log, deadline_s, builder)
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
            marker.touch()
        await _lock(lock, fcntl.LOCK_SH)  # between the two it may have been forgotten
    os.utime(marker)
    _forget_old(builds)
    return place / "tree"


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


def _files(folder: Path) -> Iterator[Path]:
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


def _is_special(path: Path) -> bool:
    """A socket, a FIFO or a device: nothing that can be copied."""
    mode = path.lstat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


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


def _copy(folder: Path, files: list[Path], target: Path) -> None:
    target.mkdir(parents=True)
    for path in files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / path, target / path, follow_symlinks=False)


async def _run(
    command: str, tree: Path, env: dict[str, str], log: Path, deadline_s: float, builder: Confinement
) -> None:
    child = Child.start(["/bin/sh", "-c", command], cwd=tree, log=log, env=env, confined=builder)
    end = time.monotonic() + deadline_s
    try:
        while child.returncode is None and time.monotonic() < end:
            cut(log)
            await asyncio.sleep(0.02)
        if (status := child.returncode) == 0:
            return
    finally:
        child.kill()
        cut(log)
    slow = status is None
    raise CrucibleError(
        f"the build did not end within {deadline_s:g} s" if slow else f"the build ended with status {status}",
        where=f"`build: {command}`",
        fix="run the command in a fresh copy of your repository; the whole log is logs/build.log",
        fault=Fault.LEARNER,
        excerpt=tail(log),
    )


def cut(log: Path) -> None:
    """Keep a flood of output from filling the disk; whoever writes goes on after the cut."""
    with suppress(OSError):
        if log.stat().st_size > LOG_LIMIT:
            os.truncate(log, LOG_LIMIT // 2)


def tail(log: Path, size: int = 2000) -> str:
    """The end of a log, as text that may hold anything."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


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
