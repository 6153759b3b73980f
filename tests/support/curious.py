"""What a solution may try that is none of its business. Copied into a solution; says in one line what succeeded.

Beside it lies `places.json`: folders to look into and write to, and addresses to connect to.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

SAID = "what succeeded: "
HERE = Path(__file__).resolve().parent


def others(*, builds: bool) -> Iterator[str]:
    """The processes that this instance, or build, has not started; the `builds` of all grades are one user."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            mine = os.getsid(int(folder.name)) == os.getsid(0)
            if not mine and not (builds and folder.stat().st_uid == os.getuid()):
                yield folder.name


def read(folder: str) -> Iterator[str]:
    """Files in `folder` that can be read."""
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                with (Path(at) / name).open("rb") as file:
                    file.read(1)
                yield f"{at}/{name}"
                return


def write(folder: str) -> Iterator[str]:
    with suppress(OSError):
        (Path(folder) / f"mine-{os.getpid()}").touch()
        yield folder


def uncover(folder: str) -> Iterator[str]:
    """Take away what hides `folder`, in namespaces of its own, where any user is root."""
    script = f"umount -l {folder}; umount -l {folder}; ls -A {folder}"
    with suppress(OSError):
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True, check=False
        )
        yield from done.stdout.decode().split()


def look_into(pid: str) -> Iterator[str]:
    """Its environment and memory, its root, its folder and its open files."""
    folder = Path("/proc", pid)
    with suppress(OSError):
        if (folder / "environ").read_bytes():
            yield f"{pid}/environ"
    with suppress(OSError), (folder / "mem").open("rb"):
        yield f"{pid}/mem"
    for name in ("root", "cwd", "fd"):
        with suppress(OSError):
            list((folder / name).iterdir())
            yield f"{pid}/{name}"


def signal(pid: str) -> Iterator[str]:
    with suppress(OSError):
        os.kill(int(pid), 0)
        yield pid


def dial(address: str) -> Iterator[str]:
    """Connect, and stay connected for as long as this process lives."""
    host, _, port = address.rpartition(":")
    with suppress(OSError):
        if host:
            connection = socket.create_connection((host, int(port)), timeout=2)
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(address)
        kept.append(connection)
        yield address


def become_root(_: str) -> Iterator[str]:
    for change in (os.setuid, os.setgid, os.seteuid):
        with suppress(OSError):
            change(0)
            yield change.__name__
    if ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) != 1:  # PR_GET_NO_NEW_PRIVS
        yield "programs may make another user of it"


kept: list[socket.socket] = []
ATTEMPTS: dict[str, Callable[[str], Iterator[str]]] = {
    "read": read, "write": write, "uncover": uncover, "look_into": look_into, "signal": signal, "dial": dial,
    "become_root": become_root,
}  # fmt: skip


def main() -> None:
    places = json.loads((HERE / "places.json").read_text())
    run = HERE.parents[2]
    named = os.environ.get("INSTANCE_ID")
    siblings = [str(path) for path in (run / "work" / f"web.{n}" for n in range(4)) if path.name != named]
    services = [run / "services" / name for name in ("redis", "postgres")]
    sockets = [str(services[0] / "valkey.sock"), str(services[1] / ".s.PGSQL.5432")]
    processes = list(others(builds=named is None))
    targets = {
        "read": [*places["folders"], *siblings, *map(str, services), str(run / "logs")],
        "write": [*places["folders"], *siblings, *map(str, services), str(run), str(run / "work"), str(run / "logs")],
        "uncover": places["folders"],
        "look_into": processes,
        "signal": processes,
        "dial": [*places["addresses"], *sockets],
        "become_root": [""],
    }
    succeeded = {
        name: found for name, tried in targets.items() if (found := [it for one in tried for it in ATTEMPTS[name](one)])
    }
    print(SAID + json.dumps({"processes": len(processes), **succeeded}), file=sys.stderr, flush=True)
    if named and kept:
        threading.Event().wait()


if __name__ == "__main__":
    main()
