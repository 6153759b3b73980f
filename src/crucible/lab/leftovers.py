"""The run's own folder, and the clearing of what a grader that was killed left behind."""

import json
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from crucible.lab.isolation import lift
from crucible.processes.child import kill_all
from crucible.services import container
from crucible.services.postgres_cluster import release

PREFIX = "crucible-run-"
LONGEST = 60
"""Characters of a temporary folder's path in which servers can still open sockets (unix(7) allows 108 in all)."""
NAMELESS_S = 60.0
"""After this long a folder that names no owner is one whose grader was killed while it made it."""
_OWNER = "owner.json"


def make_run_folder() -> Path:
    """A new folder for everything that a run makes, marked with its owner. Others may pass through, not look."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_base()))
    folder.chmod(0o711)
    owner = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    (folder / _OWNER).write_text(json.dumps(owner))
    return folder


def _base() -> Path:
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) <= LONGEST else "/tmp")  # noqa: S108  (mkdtemp makes a private folder in it)


def clear() -> str | None:
    """End the processes and remove the folders of runs whose grader is gone; says in a sentence what was cleared."""
    folders = processes = 0
    for folder in _base().glob(f"{PREFIX}*"):
        if _is_ours(folder) and _abandoned(folder):
            processes += kill_all(lambda folder=folder: _living_in(folder))  # type: ignore[misc]
            lift(folder.name)
            container.clear(folder.name)
            release(folder / "services" / "postgres")
            shutil.rmtree(folder, ignore_errors=True)
            folders += 1
    if not folders:
        return None
    return f"cleared what an interrupted grade had left: {processes} processes, {folders} folders"


def _abandoned(folder: Path) -> bool:
    try:
        owner = json.loads((folder / _OWNER).read_text())
        process = psutil.Process(owner["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:  # ended, but nobody has collected it, as in many containers
            return True
        return bool(abs(process.create_time() - owner["started"]) > 1)
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime > NAMELESS_S
        return False


def _is_ours(folder: Path) -> bool:
    try:
        about = folder.lstat()
    except OSError:  # another grader has just removed it
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()


def _living_in(folder: Path) -> list[psutil.Process]:
    """Processes that have the folder as HOME, working directory or argument, or that see the files as its solution
    did: whatever the run started has, or does."""
    found = []
    for process in psutil.process_iter():
        try:
            if _has_view_of(process, folder):
                found.append(process)
                continue
            home = process.environ().get("HOME", "")
            if str(folder) in (home, process.cwd()) or any(
                part.startswith(f"{folder}/") for part in (home, process.cwd(), *process.cmdline())
            ):
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if process.pid != os.getpid()]


def _has_view_of(process: psutil.Process, folder: Path) -> bool:
    try:
        return f" {folder.name} " in Path(f"/proc/{process.pid}/mountinfo").read_text()
    except OSError:  # it has ended, or this system has no such file
        return False
