"""Who reaches a service past the lab network is seen at the service, and nobody else is taken for one who does."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import get_args

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.lab_network import Blocking, running_network
from support.peers import eventually, unused_port
from support.solutions import temporary_folder

from crucible.check import NetworkFault
from crucible.lab.network import PROBE
from crucible.lab.strangers import FEWEST, Watch, sees_ports
from crucible.processes.child import Child
from crucible.services import SERVICES, Server, Source, locate

pytestmark = pytest.mark.machine

NEVER = Retry(NoBackoff(), 0)
FAULTS: tuple[NetworkFault, ...] = get_args(NetworkFault)
PROMPT: tuple[NetworkFault, ...] = ("refuse", "close", "drop", "cut_replies", "cap")


@contextmanager
def somebodys_valkey(folder: Path) -> Iterator[Source]:
    """An empty one on TCP, to be attached."""
    port = unused_port()
    command = [locate("redis", {}).location, "--port", str(port), "--save", "", "--dir", str(folder)]
    child = Child.start(command, cwd=folder, log=folder / "log")
    try:
        eventually(lambda: listens(port), what="a Valkey of somebody's own")
        yield Source("attached", f"127.0.0.1:{port}", f"redis://127.0.0.1:{port}")
    finally:
        child.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """`tcp`: a Valkey that sees the ports of its clients; `unix` and `postgres`: embedded ones, which see none."""
    with temporary_folder() as folder, ExitStack() as ending:
        sources = {
            "tcp": ending.enter_context(somebodys_valkey(folder)),
            "unix": locate("redis", {}),
            "postgres": locate("postgres", {}),
        }
        started: dict[str, Server] = {}
        for name, source in sources.items():
            service = SERVICES["postgres" if name == "postgres" else "redis"]
            started[name] = service.start(source, folder / name)
            ending.callback(started[name].stop)
        yield started


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Blocking]:
    with running_network(tmp_path) as blocking:
        yield blocking


class Watched:
    """A service behind the network, and a watch over it, begun as a lab begins one."""

    def __init__(self, network: Blocking, server: Server) -> None:
        self.server = server
        self._network = network
        probe = network.link(PROBE, server, 0)
        ping = server.pinger("127.0.0.1", probe)
        by_port = sees_ports(server, network.ways(server.name))
        self.watch = Watch(server, by_port, partial(network.network.ways, server.name))
        del ping
        (self.url,) = server.environment("127.0.0.1", network.link("web.0", server, 1)).values()
        eventually(lambda: server.clients() == [], what="the end of earlier connections")

    def look(self, times: int = 1) -> str | None:
        for _ in range(times):
            self._network.runner.run(self.watch.look())
        return self.watch.finding

    def use(self, patience_s: float = 30) -> Callable[[], object]:
        """Connect as the solution does, through the network, and use the connection; what is returned closes it."""
        if self.server.name == "postgres":
            connection = psycopg.connect(self.url, connect_timeout=max(2, int(patience_s)))
            connection.execute("SELECT 1")
            return connection.close
        client = redis.Redis.from_url(
            self.url, retry=NEVER, socket_timeout=patience_s, socket_connect_timeout=patience_s
        )
        client.ping()
        return client.close

    @property
    def past(self) -> "redis.Redis":
        """A client of the service's own address."""
        upstream = self.server.upstream
        if upstream.path:
            return redis.Redis(unix_socket_path=upstream.path, retry=NEVER)
        return redis.Redis(port=upstream.port, retry=NEVER)


def test_only_a_service_on_tcp_sees_the_networks_ports(network: Blocking, servers: dict[str, Server]) -> None:
    assert {name: Watched(network, server).watch.by_port for name, server in servers.items()} == {
        "tcp": True,
        "unix": False,
        "postgres": False,
    }


def test_a_connection_past_the_network_is_known_by_its_port(network: Blocking, servers: dict[str, Server]) -> None:
    watched = Watched(network, servers["tcp"])
    close = watched.use()
    assert watched.look() is None
    with watched.past as client:
        client.ping()
        connection = client.connection_pool.get_connection()
        port = connection._sock.getsockname()[1]
        client.connection_pool.release(connection)
        assert watched.look() == f"1 connections to redis came past the lab network (client ports {port})"
    close()
    assert watched.look() is not None, "what was seen once is not forgotten"


def test_who_only_listens_is_seen_as_well(network: Blocking, servers: dict[str, Server]) -> None:
    watched = Watched(network, servers["tcp"])
    with watched.past as client, client.pubsub() as channel:
        channel.subscribe("news")
        assert channel.get_message(timeout=5) is not None
        assert "came past the lab network" in str(watched.look())


def test_a_lasting_surplus_of_connections_came_past_the_network(network: Blocking, servers: dict[str, Server]) -> None:
    watched = Watched(network, servers["unix"])
    close = watched.use()
    with watched.past as client:
        client.ping()
        assert watched.look(FEWEST - 1) is None
        assert (
            watched.look()
            == f"in {FEWEST} of {FEWEST} samples redis had more connections than came through the lab network"
        )
    close()


def test_a_passing_surplus_is_only_what_lingers(network: Blocking, servers: dict[str, Server]) -> None:
    watched = Watched(network, servers["unix"])
    with watched.past as client:
        client.ping()
        watched.look(FEWEST)
    eventually(lambda: watched.server.clients() == [], what="the end of the connection")
    assert watched.look(FEWEST) is None


@pytest.mark.parametrize("name", ["tcp", "unix", "postgres"])
def test_who_goes_through_the_network_is_no_stranger_whatever_happens_to_it(
    network: Blocking, servers: dict[str, Server], name: str
) -> None:
    watched = Watched(network, servers[name])
    faults = PROMPT if name == "postgres" else FAULTS  # its client waits for at least two seconds
    for kind in faults:
        close = watched.use()
        with network.under(kind, most=1, service=watched.server.name):
            with suppress(redis.RedisError, psycopg.Error):
                watched.use(patience_s=0.1)()
            assert watched.look() is None
        again = watched.use()
        assert watched.look() is None
        close()
        again()
    network.reset(watched.server.name)
    assert watched.look(2 * FEWEST) is None
    assert watched.watch.samples >= 2 * len(faults)


@pytest.mark.parametrize("name", ["tcp", "unix"])
def test_who_connects_for_every_request_is_no_stranger(
    network: Blocking, servers: dict[str, Server], name: str
) -> None:
    watched, done = Watched(network, servers[name]), threading.Event()

    def keeps_connecting() -> None:
        while not done.is_set():
            watched.use()()

    busy = [threading.Thread(target=keeps_connecting, daemon=True) for _ in range(3)]
    for thread in busy:
        thread.start()
    assert watched.look(30) is None
    done.set()
    for thread in busy:
        thread.join(10)
    assert watched.look() is None


def test_a_service_that_is_down_is_not_looked_at(network: Blocking) -> None:
    with temporary_folder() as folder:
        server = SERVICES["redis"].start(locate("redis", {}), folder / "redis")
        try:
            watched = Watched(network, server)
            server.crash()
            assert watched.look(FEWEST) is None
            assert watched.watch.samples == 0
            server.restart()
            watched.use()()
            assert watched.look(FEWEST) is None
            assert watched.watch.samples == FEWEST
        finally:
            server.stop()
