"""Getting a server that this machine lacks, through the package manager that it has. Says first what it will do."""

import importlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from crucible.errors import CrucibleError, Fault
from crucible.services.base import Service

TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Installation:
    """One service that is to be had."""

    service: Service
    commands: tuple[tuple[str, ...], ...]
    """To be run one after the other."""
    remark: str = ""
    """What else comes of it, for people."""

    @property
    def words(self) -> str:
        return " && ".join(shlex.join(command) for command in self.commands)


def steps(services: Iterable[Service], environ: Mapping[str, str], *, root: bool) -> list[Installation]:
    """What would bring those of `services` that cannot be had here. Raises a CrucibleError where nothing would."""
    found = []
    for service in services:
        if service.locate(environ) is None:
            commands = _commands(service, environ, root)
            if service.locate_last(environ) and (commands is None or commands[0][0] == sys.executable):
                continue  # there is a stand-in, and nothing better to be had
            if commands is None:
                managers = " nor ".join(service.packages)
                raise CrucibleError(
                    f"no server for {service.title} can be installed: there is neither {managers}",
                    where=service.name, fix=service.how_to_get, fault=Fault.CRUCIBLE,
                )  # fmt: skip
            found.append(Installation(service, commands, _REMARKS.get((service.name, commands[-1][-1]), "")))
    return found


_REMARKS = {
    ("rabbitmq", "rabbitmq-server"): "Debian's package also starts a node of the system's own, which Crucible leaves "
    "alone; `systemctl disable --now rabbitmq-server` ends it.",
}


def _commands(service: Service, environ: Mapping[str, str], root: bool) -> tuple[tuple[str, ...], ...] | None:
    path = environ.get("PATH")
    for manager, package in service.packages.items():
        if manager == "pip":
            return ((sys.executable, "-m", "pip", "install", "--quiet", *package.split()),)
        if manager == "brew" and shutil.which("brew", path=path):
            return (("brew", "install", package),)
        if manager == "go" and shutil.which("go", path=path):
            return (("go", "install", package),)
        if manager == "apt" and shutil.which("apt-get", path=path):
            sudo = () if root else ("sudo",)
            install = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--quiet")
            return (
                (*sudo, "apt-get", "update", "--quiet"),
                (*sudo, *install, "--no-install-recommends", package),
            )
    return None


def run(step: Installation, environ: Mapping[str, str]) -> None:
    """Carry it out. Raises a CrucibleError where a command fails, or where there is no server even then."""
    for command in step.commands:
        try:
            status = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(step, command, str(error)) from error
        if status != 0:
            raise _failed(step, command, f"it ended with status {status}")
    importlib.invalidate_caches()
    if (step.service.locate(environ) or step.service.locate_last(environ)) is None:
        raise _failed(step, step.commands[-1], "it ended well, and yet there is no server")


def _failed(step: Installation, command: tuple[str, ...], why: str) -> CrucibleError:
    return CrucibleError(
        f"{step.service.title} could not be installed: {why}",
        where=shlex.join(command), fix="run it by hand, and see what it says", fault=Fault.CRUCIBLE,
    )  # fmt: skip
