"""The container of an attached server: killed and started again, which no URL can do."""

import subprocess

from crucible.check import NotCausedError
from crucible.errors import CrucibleError, Fault
from crucible.services.base import Source

DOCKER_S = 30.0


def kill(source: Source) -> None:
    """SIGKILL the container; its data is kept. Raises NotCausedError."""
    if source.container is None:
        raise NotCausedError(f"the attached server at {source.detail} can only be crashed by its container's id")
    if trouble := _docker("kill", "--signal", "KILL", source.container):
        raise NotCausedError(trouble)


def start(source: Source) -> None:
    """Start the container again, with its old address. Raises a CrucibleError: what follows needs the server."""
    if trouble := _docker("start", source.container or ""):
        raise CrucibleError(
            f"the server at {source.detail} was crashed and cannot be started again: {trouble}",
            where=f"container {source.container}", fix="start it by hand, and see its logs", fault=Fault.CRUCIBLE,
        )  # fmt: skip


def logs(source: Source) -> str:
    """What it has printed so far; nothing where its container is not known."""
    if source.container is None:
        return ""
    try:
        done = subprocess.run(["docker", "logs", source.container], capture_output=True, timeout=DOCKER_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).decode(errors="replace")


def _docker(*command: str) -> str | None:
    """What went wrong, if something did."""
    try:
        done = subprocess.run(["docker", *command], capture_output=True, text=True, timeout=DOCKER_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"`docker {command[0]}` could not be run: {error}"
    return f"`docker {command[0]}` said: {done.stderr.strip()[:200]}" if done.returncode != 0 else None
