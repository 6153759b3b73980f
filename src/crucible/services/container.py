"""The container of a server: killed and started again, which no URL can do; and run, where nothing else brings one."""

import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from crucible.check import NotCausedError
from crucible.errors import CrucibleError, Fault
from crucible.planning.images import Image
from crucible.processes.ports import free_port
from crucible.services.base import Source

DOCKER_S, PULL_S = 30.0, 600.0
LABEL = "crucible.run"
"""On every container that is run here, with the name of the run's folder."""


class _DockerError(Exception):
    """What went wrong, in words."""


def engine(image: Image, environ: Mapping[str, str]) -> Source | None:
    """A container of this image, where there is a Docker engine to run it."""
    if not shutil.which("docker", path=environ.get("PATH")):
        return None
    with suppress(_DockerError):
        _docker("version")
        return Source("docker", image.image.partition("@")[0], image.name)
    return None


def run(image: Image, run_name: str) -> Source:
    """Run a container of its own, on ports of 127.0.0.1 that nobody uses; the source of the server in it, which may not
    answer yet. Raises a CrucibleError."""
    ports = {host: free_port() for host in image.published}
    url, options = image.admin_url, []
    for host, port in ports.items():
        url = url.replace(str(host), str(port))
        options += ["--publish", f"127.0.0.1:{port}:{image.published[host]}"]
    for name, value in image.env.items():
        options += ["--env", f"{name}={value}"]
    command = ("run", "--detach", "--label", f"{LABEL}={run_name}", *options, image.image)
    try:
        box = _docker(*command, timeout_s=PULL_S).stdout.split()[-1]
    except _DockerError as trouble:
        raise CrucibleError(
            f"a container of {image.title} could not be run: {trouble}", where=image.image,
            fix="see whether `docker run` works by hand, or name a server of your own", fault=Fault.CRUCIBLE,
        ) from trouble  # fmt: skip
    return Source("docker", image.image.partition("@")[0], url, box)


def remove(source: Source) -> None:
    """Take away a container that was run here, with what it holds; one that was attached to is left alone."""
    if source.kind == "docker" and source.container is not None:
        _take_away(source.container)


def clear(run_name: str) -> None:
    """Take away what a run has left. Where no engine runs there is nothing to take away."""
    if shutil.which("docker"):
        with suppress(_DockerError):
            left = _docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={run_name}").stdout
            for box in left.split():
                _take_away(box)


def _take_away(box: str) -> None:
    with suppress(_DockerError):  # it is gone already
        _docker("rm", "--force", "--volumes", box)


def kill(source: Source) -> None:
    """SIGKILL the container; its data is kept. Raises NotCausedError."""
    if source.container is None:
        raise NotCausedError(f"the attached server at {source.detail} can only be crashed by its container's id")
    try:
        _docker("kill", "--signal", "KILL", source.container)
    except _DockerError as trouble:
        raise NotCausedError(str(trouble)) from trouble


def start(source: Source) -> int | None:
    """Start the container again, with its old address; its new `pid`. Raises a CrucibleError: what follows needs the
    server."""
    try:
        _docker("start", source.container or "")
    except _DockerError as trouble:
        raise CrucibleError(
            f"the server at {source.detail} was crashed and cannot be started again: {trouble}",
            where=f"container {source.container}", fix="start it by hand, and see its logs", fault=Fault.CRUCIBLE,
        ) from trouble  # fmt: skip
    return pid(source)


def pid(source: Source) -> int | None:
    """The container's first process, as this machine numbers it; None where the container is not known, or its kernel
    is another one (of a machine inside this one, or far away), on which the number means something else."""
    if source.container is not None:
        with suppress(_DockerError, OSError, ValueError):
            number, box = _docker("inspect", "--format", "{{.State.Pid}} {{.Id}}", source.container).stdout.split()
            if box in Path(f"/proc/{int(number)}/cgroup").read_text():
                return int(number)
    return None


def logs(source: Source) -> str:
    """What it has printed so far; nothing where its container is not known."""
    if source.container is not None:
        with suppress(_DockerError):
            said = _docker("logs", source.container)
            return said.stdout + said.stderr
    return ""


def _docker(*command: str, timeout_s: float = DOCKER_S) -> "subprocess.CompletedProcess[str]":
    try:
        done = subprocess.run(
            ["docker", *command], capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _DockerError(f"`docker {command[0]}` could not be run: {error}") from error
    if done.returncode != 0:
        raise _DockerError(f"`docker {command[0]}` said: {done.stderr.strip()[-300:]}")
    return done
