"""Logs that anything may be written to."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

LOG_LIMIT = 8 << 20
"""Bytes at which a log is cut to its first half."""

CUT = b"\n[crucible: more than 8 MiB were printed, and what stood here is cut out]\n"


def cut(log: Path) -> None:
    """Keep a flood of output from filling the disk; whoever writes goes on after the cut."""
    with suppress(OSError):
        if log.stat().st_size > LOG_LIMIT:
            os.truncate(log, LOG_LIMIT // 2)
            with log.open("ab") as file:
                file.write(CUT)


def tail(log: Path, size: int = 2000, since: int = 0) -> str:
    """The end of a log, or of what it holds since that byte, as text that may hold anything."""
    try:
        with log.open("rb") as file:
            end = log.stat().st_size
            file.seek(max(since if since <= end else 0, end - size))  # it may have been cut meanwhile
            return file.read(size).decode("utf-8", "replace")  # no more, however much is printed meanwhile
    except OSError:
        return ""


def keep(folder: Path, target: Path) -> None:
    """Move the logs of the run in `folder` to `target`, in place of earlier ones."""
    logs = folder / "logs"
    for log in folder.glob("services/*/server.log"):
        shutil.copyfile(log, logs / f"{log.parent.name}.log")
    shutil.rmtree(target, ignore_errors=True)
    for log in logs.iterdir():
        cut(log)
    with suppress(OSError):
        shutil.copytree(logs, target, symlinks=True)
        target.chmod(0o755)
