"""The run's own folder, and the clearing of what a grader that was killed left behind."""

import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

import psutil

from crucible.lab.isolation import lift
from crucible.processes.child import kill_all
from crucible.services import container
from crucible.services.postgres_cluster import release

PREFIX = "crucible-run-"
_NAME = re.compile(rf"{PREFIX}([0-9]+)-.+")
LONGEST = 52
"""Characters of a temporary folder's path in which servers can still open sockets (unix(7) allows 108 in all)."""


def make_run_folder() -> Path:
    """A new folder for everything that a run makes, named after its owner. Others may pass through, not look."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_base()))
    folder.chmod(0o711)
    return folder


def _base() -> Path:
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) <= LONGEST else "/tmp")  # noqa: S108  (mkdtemp makes a private folder in it)


def clear() -> str | None:
    """End the processes and remove the folders of runs whose grader is gone; says in a sentence what was cleared."""
    folders = processes = 0
    for folder in _base().glob(f"{PREFIX}*"):
        if _abandoned(folder):
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
    """Whether it is a run's, of this user, whose owner has ended. Another process may have got the owner's number: it
    began after the last entry was made in the folder."""
    named = _NAME.fullmatch(folder.name)
    try:
        about = folder.lstat()
        if named is None or not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return False
        process = psutil.Process(int(named[1]))
        if process.status() == psutil.STATUS_ZOMBIE:  # ended, but nobody has collected it, as in many containers
            return True
        return bool(process.create_time() > about.st_mtime + 1)
    except psutil.NoSuchProcess:
        return True
    except (OSError, psutil.Error):  # another grader has just removed it, or it cannot be seen
        return False


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
