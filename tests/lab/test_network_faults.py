"""What each network fault looks like from both ends: to a client that goes through the network, and to the service."""

import errno
import random
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.lab_network import Blocking, Nearby, running_network
from support.peers import connect, eventually, receive, serving, unused_port
from support.solutions import temporary_folder

from crucible.check import NetworkFault
from crucible.lab.link import KINDS
from crucible.lab.network import PROBE
from crucible.services import SERVICES, Server, locate

pytestmark = pytest.mark.machine

MIB = 1 << 20
SILENCE_S = 0.1
NEVER = Retry(NoBackoff(), 0)
EVERY: tuple[NetworkFault, ...] = get_args(NetworkFault)


@dataclass
class Echo:
    """A service that sends back what it hears, and remembers of every connection what it heard and how it ended."""

    port: int = 0
    heard: list[bytearray] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    def __call__(self, connection: socket.socket) -> None:
        mine = bytearray()
        self.heard.append(mine)
        end = "closed"
        try:
            while data := connection.recv(1 << 16):
                mine += data
                connection.sendall(data)
        except OSError:
            end = "reset"
        self.ends.append(end)

    @property
    def words(self) -> list[bytes]:
        return sorted(bytes(mine) for mine in self.heard)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Blocking]:
    with running_network(tmp_path) as blocking:
        yield blocking


@pytest.fixture
def service() -> Iterator[Echo]:
    echo = Echo()
    with serving(echo) as echo.port:
        yield echo


@pytest.fixture
def port(network: Blocking, service: Echo) -> int:
    """Of the way from web.0 to the service."""
    return network.link("web.0", Nearby.at(service.port), 1)


def ask(connection: socket.socket, word: bytes) -> bytes:
    connection.sendall(word)
    return receive(connection, len(word))


def using(port: int, word: bytes = b"hello") -> socket.socket:
    """A connection that has been used."""
    connection = connect(port)
    assert ask(connection, word) == word
    return connection


def answers(port: int) -> bool:
    with using(port):
        return True


def is_reset(connection: socket.socket) -> bool:
    """Whether the connection ends with a reset, and with nothing before it."""
    with connection:
        try:
            return bool(receive(connection, 1)) and False
        except ConnectionResetError:
            return True


def is_silent(connection: socket.socket) -> bool:
    """Whether nothing comes for a while, the end included."""
    connection.settimeout(SILENCE_S)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)
    return False


def resets(port: int) -> bool:
    """Whether a new connection is reset as soon as it is used, if not before."""
    try:
        with connect(port) as connection:
            connection.sendall(b"x")
            return is_reset(connection)
    except ConnectionResetError:
        return True


def test_the_proxy_knows_the_faults_that_a_scenario_can_name() -> None:
    assert set(EVERY) == KINDS


def test_refusing_resets_who_is_connected_and_lets_nobody_in(network: Blocking, port: int) -> None:
    before = using(port)
    with network.under("refuse") as did:
        assert is_reset(before)
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                connect(port)
    assert did == {"connections_reset": 1}
    assert answers(port)


@pytest.mark.parametrize("kind", ["refuse", "no_accept"])
def test_nobody_else_can_take_the_port_while_nothing_accepts(network: Blocking, port: int, kind: NetworkFault) -> None:
    with network.under(kind):
        for patient in (0, 1):
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, patient)
                with pytest.raises(OSError, match="in use") as told:
                    other.bind(("127.0.0.1", port))
                assert told.value.errno == errno.EADDRINUSE
    assert answers(port)


def test_a_client_that_tries_again_and_again_gets_through_once_it_is_over(network: Blocking, port: int) -> None:
    refused, through = threading.Event(), threading.Event()

    def keeps_trying() -> None:
        while not through.is_set():
            try:
                with using(port):
                    through.set()
            except OSError:
                refused.set()

    with network.under("refuse"):
        trying = threading.Thread(target=keeps_trying, daemon=True)
        trying.start()
        assert refused.wait(10)
        assert not through.is_set()
    assert through.wait(10)
    trying.join(10)


def test_closing_takes_a_connection_and_ends_it_in_good_order(network: Blocking, service: Echo, port: int) -> None:
    before = using(port)
    with network.under("close") as did:
        assert is_reset(before)
        for _ in range(3):
            with connect(port) as connection:
                assert receive(connection, 1) == b""
    assert did == {"connections_reset": 1, "connections_turned_away": 3}
    assert service.words == [b"hello"]
    assert answers(port)


def test_dropping_is_a_peer_that_hangs_and_then_a_reset(network: Blocking, service: Echo, port: int) -> None:
    before, idle = using(port), using(port, b"idle")
    with network.under("drop") as did:
        during = connect(port)
        for connection in (before, during):
            connection.sendall(b"lost")
            assert is_silent(connection)
        eventually(lambda: network.traffic().bytes_to_service == 17, what="what is dropped")
        assert service.words == [b"hello", b"idle"]
    assert is_reset(before)
    assert is_reset(during)
    with idle:
        assert ask(idle, b"and on") == b"and on"
    assert did == {"connections_stalled": 3, "bytes_dropped": 8}
    assert service.words == [b"hello", b"idleand on"]
    assert answers(port)


def test_what_the_service_says_meanwhile_is_dropped_too(network: Blocking) -> None:
    told = threading.Event()

    def speaks_late(connection: socket.socket) -> None:
        connection.sendall(connection.recv(5))
        told.wait(10)
        connection.sendall(b"late")
        connection.recv(1)

    with serving(speaks_late) as upstream:
        connection = using(network.link("web.0", Nearby.at(upstream), 1))
        with network.under("drop") as did:
            told.set()
            assert is_silent(connection)
            eventually(lambda: network.traffic().bytes_from_service == 9, what="what is dropped")
        assert is_reset(connection)
    assert did == {"connections_stalled": 1, "bytes_dropped": 4}


def test_a_client_that_gives_up_leaves_its_session_with_the_service(
    network: Blocking, service: Echo, port: int
) -> None:
    elsewhere = network.link("web.0", Nearby.at(service.port, "other"), 1)
    connection = using(port)
    with network.under("drop"), using(elsewhere) as other:
        connection.sendall(b"lost")
        connection.close()
        for _ in range(20):  # what was not dropped would have arrived before these do
            assert ask(other, b".") == b"."
        assert service.ends == []
    eventually(lambda: "closed" in service.ends and len(service.ends) == 2, what="the end of the session")
    assert b"hello" in service.words


def test_a_hung_peer_costs_the_network_nothing_for_those_who_gave_up(network: Blocking, port: int) -> None:
    proxy = network.process
    with network.under("drop"):
        few = proxy.num_fds()
        for _ in range(200):
            connect(port).close()
        eventually(lambda: proxy.num_fds() <= few + 20, what="the closing of what was given up")


def test_a_hung_service_can_be_tried_more_often_than_a_process_may_usually_have_files(
    tmp_path: Path, service: Echo
) -> None:
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        with running_network(tmp_path) as network:
            port = network.link("web.0", Nearby.at(service.port), 0)
            with network.under("hold") as did:
                for _ in range(400):
                    connect(port).close()
                eventually(lambda: network.traffic().connections == 400, what="400 connections")
                with connect(port) as connection:
                    assert is_silent(connection)
            assert did["connections_stalled"] == 401
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))


def test_holding_delivers_late_and_once(network: Blocking, service: Echo, port: int) -> None:
    before, idle = using(port), using(port, b"idle")
    with network.under("hold") as did:
        during = connect(port)
        before.sendall(b" held")
        during.sendall(b"new")
        for connection in (before, during):
            assert is_silent(connection)
        before.sendall(b" back")
        eventually(lambda: network.traffic().bytes_to_service == 22, what="what is held")
        assert service.words == [b"hello", b"idle"]
    with before, during, idle:
        assert receive(before, 10) == b" held back"
        assert receive(during, 3) == b"new"
        for connection in (before, during, idle):
            assert ask(connection, b".") == b"."
    assert did["connections_stalled"] == 3
    assert did["chunks_held"] >= 1
    assert service.words == [b"hello held back.", b"idle.", b"new."]
    assert answers(port)


def test_what_is_held_on_its_way_back_arrives_as_well(network: Blocking) -> None:
    told, said = threading.Event(), threading.Event()

    def speaks_late(connection: socket.socket) -> None:
        connection.sendall(connection.recv(5))
        told.wait(10)
        connection.sendall(b"late")
        said.set()
        connection.recv(1)

    with serving(speaks_late) as upstream, using(network.link("web.0", Nearby.at(upstream), 1)) as connection:
        with network.under("hold") as did:
            told.set()
            assert said.wait(10)
            assert is_silent(connection)
            eventually(lambda: network.traffic().bytes_from_service == 9, what="what is held")
        assert receive(connection, 4) == b"late"
    assert did == {"connections_stalled": 1, "chunks_held": 1}


def test_the_end_of_a_connection_is_held_behind_what_came_before_it(
    network: Blocking, service: Echo, port: int
) -> None:
    with using(port) as before:
        with network.under("hold"):
            during = connect(port)
            during.sendall(b"new")
            before.sendall(b" and bye")
            for connection in (before, during):
                connection.shutdown(socket.SHUT_WR)
                assert is_silent(connection)
            assert service.words == [b"hello"]
            assert service.ends == []
        with during:
            assert receive(before, 100) == b" and bye"
            assert receive(during, 100) == b"new"
    assert service.ends == ["closed", "closed"]


def test_no_byte_is_lost_doubled_or_moved_by_holding_again_and_again(
    network: Blocking, service: Echo, port: int
) -> None:
    content = random.Random(11).randbytes(6 * MIB)
    with connect(port) as connection:
        talking = threading.Thread(target=connection.sendall, args=(content,), daemon=True)
        talking.start()
        seen = bytearray()
        while len(seen) < len(content):
            seen += receive(connection, min(MIB // 2, len(content) - len(seen)))
            with network.under("hold"), suppress(TimeoutError):
                while is_more(connection, seen):
                    pass
        talking.join(10)
        same = seen == content == service.heard[0]
    assert same


def is_more(connection: socket.socket, seen: bytearray) -> bool:
    """Take what was on its way when the fault began. Raises TimeoutError once nothing comes."""
    connection.settimeout(0.02)
    try:
        data = connection.recv(1 << 16)
    finally:
        connection.settimeout(10)
    seen += data
    return data != b""


def test_a_reset_ends_what_is_held_as_well(network: Blocking, service: Echo, port: int) -> None:
    connection = using(port)
    with network.under("hold"):
        connection.sendall(b" held")
        assert is_silent(connection)
        eventually(lambda: network.traffic().bytes_to_service == 10, what="what is held")
        assert network.reset() == 1
        assert is_reset(connection)
    eventually(lambda: service.ends, what="the end at the service")
    assert network.ways().open_now == 0
    assert service.words == [b"hello"]


def test_half_open_passes_requests_on_and_loses_the_replies(network: Blocking, service: Echo, port: int) -> None:
    before, idle = using(port), using(port, b"idle")
    with network.under("half_open") as did:
        during = connect(port)
        before.sendall(b" there")
        during.sendall(b"new")
        assert is_silent(before)
        assert is_silent(during)
        eventually(lambda: service.words == [b"hello there", b"idle", b"new"], what="the requests at the service")
    assert is_reset(before)
    assert is_reset(during)
    with idle:
        assert ask(idle, b"and on") == b"and on"
    assert did == {"bytes_dropped": len(b" there" + b"new")}
    assert answers(port)


def test_the_end_of_a_reply_is_lost_with_it(network: Blocking) -> None:
    def answers_once(connection: socket.socket) -> None:
        connection.sendall(connection.recv(5))
        connection.sendall(connection.recv(5))

    with serving(answers_once) as upstream:
        connection = using(network.link("web.0", Nearby.at(upstream), 1))
        with network.under("half_open"):
            connection.sendall(b"again")
            assert is_silent(connection)
        assert is_reset(connection)


def test_cutting_replies_lets_the_request_through_and_resets(network: Blocking, service: Echo, port: int) -> None:
    before, idle = using(port), using(port, b"idle")
    with network.under("cut_replies") as did:
        before.sendall(b" there")
        assert is_reset(before)
        during = connect(port)
        during.sendall(b"new")
        assert is_reset(during)
        assert service.words == [b"hello there", b"idle", b"new"]
    with idle:
        assert ask(idle, b"and on") == b"and on"
    assert did == {"requests_cut": 2}
    eventually(lambda: len(service.ends) >= 2, what="the end at the service")
    assert answers(port)


def test_a_large_request_is_through_before_its_reply_is_cut(network: Blocking) -> None:
    heard: list[bytes] = []

    def takes_all(connection: socket.socket) -> None:
        heard.append(receive(connection, 4 * MIB))
        connection.sendall(b"thanks")
        connection.recv(1)

    content = random.Random(12).randbytes(4 * MIB)
    with serving(takes_all) as upstream:
        connection = connect(network.link("web.0", Nearby.at(upstream), 1))
        with network.under("cut_replies") as did:
            connection.sendall(content)
            assert is_reset(connection)
    whole = heard == [content]  # to tell two such apart in words takes minutes
    assert whole
    assert did == {"requests_cut": 1}


def test_a_connect_that_is_never_answered_waits_until_it_is_over(network: Blocking, port: int) -> None:
    came: list[socket.socket] = []
    with using(port) as before:
        with network.under("no_accept"):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S)
            assert ask(before, b"and on") == b"and on"
            patient = threading.Thread(target=lambda: came.append(connect(port)), daemon=True)
            patient.start()
            patient.join(SILENCE_S)
            assert patient.is_alive()
        patient.join(10)  # its SYN is sent again after a second
        assert ask(before, b"still") == b"still"
    with came[0] as connection:
        assert ask(connection, b"late") == b"late"
    assert answers(port)


def test_a_cap_turns_away_the_one_too_many(network: Blocking, port: int) -> None:
    with network.under("cap", most=3) as did:
        first = [using(port) for _ in range(3)]
        for _ in range(2):
            assert resets(port)
        for connection in first:
            assert ask(connection, b"and on") == b"and on"
        first.pop().close()
        eventually(lambda: network.ways().open_now == 2, what="a free place")
        first.append(using(port))
        assert resets(port)
    assert did == {"connections_turned_away": 3}
    with using(port):
        for connection in first:
            assert ask(connection, b"again") == b"again"
            connection.close()


def test_a_cap_leaves_alone_who_was_there_before(network: Blocking, port: int) -> None:
    before = [using(port) for _ in range(3)]
    with network.under("cap", most=1):
        assert resets(port)
        for connection in before:
            assert ask(connection, b"and on") == b"and on"
            connection.close()


def test_a_reset_ends_every_connection_once(network: Blocking, service: Echo, port: int) -> None:
    other = network.link("worker.0", Nearby.at(service.port), 1)
    connections = [using(port), using(port), using(other)]
    assert network.reset() == 3
    assert all(is_reset(connection) for connection in connections)
    eventually(lambda: len(service.ends) == 3, what="the ends at the service")
    assert network.reset() == 0
    assert answers(port)
    assert answers(other)


def refuses(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def hangs(port: int) -> bool:
    with connect(port) as connection:
        connection.sendall(b"x")
        return is_silent(connection)


def closes(port: int) -> bool:
    with connect(port) as connection:
        return receive(connection, 1) == b""


def never_answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S).close()
    except TimeoutError:
        return True
    return False


LOOKS_LIKE: dict[NetworkFault, Callable[[int], bool]] = {
    "refuse": refuses, "close": closes, "drop": hangs, "hold": hangs, "half_open": hangs, "cut_replies": resets,
    "no_accept": never_answers, "cap": resets,
}  # fmt: skip


@pytest.mark.parametrize("kind", EVERY)
def test_a_fault_is_on_every_way_to_its_service_and_on_no_other(
    network: Blocking, service: Echo, port: int, kind: NetworkFault
) -> None:
    second, elsewhere = (network.link(*way, 1) for way in (("worker.0", Nearby.at(service.port)),
                                                          ("web.0", Nearby.at(service.port, "other"))))  # fmt: skip
    spared = using(elsewhere)
    with network.under(kind):
        assert LOOKS_LIKE[kind](port)
        assert LOOKS_LIKE[kind](second)
        assert ask(spared, b"and on") == b"and on"
        assert answers(elsewhere)
    spared.close()
    assert answers(port)
    assert answers(second)


@pytest.mark.parametrize("kind", EVERY)
def test_nothing_of_a_fault_stays_open_at_the_service(
    network: Blocking, service: Echo, port: int, kind: NetworkFault
) -> None:
    connections = [using(port), using(port)]
    with network.under(kind, most=2):
        for _ in range(2):
            with suppress(OSError):
                connections.append(socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S))
        for connection in connections[::2]:
            with suppress(OSError):
                connection.sendall(b"x")
        connections[0].close()
    for connection in connections:
        connection.close()
    eventually(lambda: network.ways().open_now == 0, what="the last connection to close")
    eventually(lambda: len(service.ends) == len(service.heard), what="the end of it at the service")


@pytest.mark.parametrize("kind", EVERY)
def test_a_fault_can_come_back(network: Blocking, port: int, kind: NetworkFault) -> None:
    for _ in range(3):
        with network.under(kind):
            assert LOOKS_LIKE[kind](port)
        assert answers(port)


def test_the_graders_own_connections_are_no_proof_of_a_fault(network: Blocking, service: Echo, port: int) -> None:
    own = network.link(PROBE, Nearby.at(service.port), 1)
    with connect(own), network.under("close") as did:
        assert closes(own)
    assert did == {"connections_reset": 0}
    with network.under("close") as did:
        assert closes(port)
    assert did == {"connections_reset": 0, "connections_turned_away": 1}


def test_healing_what_is_whole_does_nothing(network: Blocking, port: int) -> None:
    with using(port) as connection:
        assert network.heal() == {}
        assert ask(connection, b"and on") == b"and on"


def test_a_service_that_is_not_there_is_reset_and_not_held(network: Blocking) -> None:
    port = network.link("web.0", Nearby.at(unused_port()), 1)
    with network.under("hold"):
        connection = connect(port)
        assert is_silent(connection)
    assert is_reset(connection)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with temporary_folder() as folder:
        started: dict[str, Server] = {}
        try:
            for name in ("redis", "postgres"):
                started[name] = SERVICES[name].start(locate(name, {}), folder / name)
            yield started
        finally:
            for server in started.values():
                server.stop()


@pytest.fixture
def cache(network: Blocking, servers: dict[str, Server]) -> Iterator["redis.Redis"]:
    port = network.link("web.0", servers["redis"], 1)
    with redis.Redis(port=port, socket_timeout=0.5, socket_connect_timeout=0.5, retry=NEVER) as client:
        client.flushall()
        yield client


def counted(client: "redis.Redis") -> int:
    value = client.get("n")
    assert value is None or isinstance(value, bytes)
    return int(value or 0)


@pytest.mark.parametrize(
    ("kind", "meanwhile", "afterwards"),
    [
        ("drop", 0, 0),
        ("hold", 0, 1),
        ("half_open", 1, 1),
        ("cut_replies", 1, 1),
    ],
)
def test_an_increment_without_an_answer_has_happened_now_later_or_never(
    network: Blocking, servers: dict[str, Server], cache: "redis.Redis", kind: NetworkFault, meanwhile: int,
    afterwards: int,
) -> None:  # fmt: skip
    cache.ping()
    with redis.Redis(unix_socket_path=servers["redis"].upstream.path or "") as direct:
        with network.under(kind, service="redis"):
            with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
                cache.incr("n")
            assert counted(direct) == meanwhile
        eventually(lambda: counted(direct) == afterwards, what="what was held")
        assert counted(cache) == afterwards
        assert cache.incr("n") == afterwards + 1


@pytest.fixture
def database(network: Blocking, servers: dict[str, Server]) -> str:
    """The URL of a database that holds an empty table `t`, one millisecond away."""
    url = servers["postgres"].environment("127.0.0.1", network.link("web.0", servers["postgres"], 1))["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("CREATE TABLE t (a int)")
    return url


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM t").fetchone()
        assert row is not None
        return int(row[0])


def test_a_commit_whose_reply_is_cut_has_happened(network: Blocking, database: str) -> None:
    connection = psycopg.connect(database)
    connection.execute("INSERT INTO t VALUES (1)")
    with network.under("cut_replies", service="postgres") as did, pytest.raises(psycopg.OperationalError):
        connection.commit()
    connection.close()
    assert did == {"requests_cut": 1}
    assert rows(database) == 1


def test_a_reset_aborts_a_transaction_and_gives_its_locks_back(network: Blocking, database: str) -> None:
    connection = psycopg.connect(database)
    connection.execute("LOCK TABLE t")
    connection.execute("INSERT INTO t VALUES (1)")
    assert network.reset("postgres") == 1
    with pytest.raises(psycopg.OperationalError):
        connection.commit()
    connection.close()
    assert rows(database) == 0


@pytest.mark.parametrize(("kind", "why"), [("refuse", "refused"), ("close", "closed|reset"), ("no_accept", "timeout")])
def test_a_database_that_cannot_be_reached_says_so(
    network: Blocking, database: str, kind: NetworkFault, why: str
) -> None:
    with network.under(kind, service="postgres"), pytest.raises(psycopg.OperationalError, match=why):
        psycopg.connect(database, connect_timeout=2)
    assert rows(database) == 0
