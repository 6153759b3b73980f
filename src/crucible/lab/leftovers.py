"""The run's own folder, and the clearing of what a grader that was killed left behind."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import psutil

from crucible.child import kill_all

PREFIX = "crucible-run-"
LONGEST = 60
"""Characters of a temporary folder's path in which servers can still open sockets (unix(7) allows 108 in all)."""
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
        if folder.is_dir() and folder.stat().st_uid == os.geteuid() and _abandoned(folder):
            processes += kill_all(lambda folder=folder: _living_in(folder))  # type: ignore[misc]
            shutil.rmtree(folder, ignore_errors=True)
            folders += 1
    if not folders:
        return None
    return f"cleared what an interrupted grade had left: {processes} processes, {folders} folders"


def _abandoned(folder: Path) -> bool:
    try:
        owner = json.loads((folder / _OWNER).read_text())
        return bool(abs(psutil.Process(owner["pid"]).create_time() - owner["started"]) > 1)
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, psutil.Error):
        return False  # it has just been made, or it is not ours to judge


def _living_in(folder: Path) -> list[psutil.Process]:
    """Processes that have the folder as HOME, working directory or argument: whatever the run started has."""
    found = []
    for process in psutil.process_iter():
        try:
            home = process.environ().get("HOME", "")
            if str(folder) in (home, process.cwd()) or any(
                part.startswith(f"{folder}/") for part in (home, process.cwd(), *process.cmdline())
            ):
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if process.pid != os.getpid()]
