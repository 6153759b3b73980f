"""The proxy, seen from both of its ends; `network.Network` starts it, as in a grade."""

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.lab_network import Blocking, Nearby, running_network
from support.peers import connect, echo, eventually, receive, reset, serving, unused_port

pytestmark = pytest.mark.machine

MIB = 1 << 20


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Blocking]:
    with running_network(tmp_path) as blocking:
        yield blocking


def fastest_ms(port: int, times: int = 40) -> float:
    """The shortest of many round trips on one connection."""

    def once(connection: socket.socket) -> float:
        begun = time.perf_counter()
        connection.sendall(b"ping")
        assert receive(connection, 4) == b"ping"
        return (time.perf_counter() - begun) * 1000

    with connect(port) as connection:
        once(connection)  # the handshake's own delay is over with this one
        return min(once(connection) for _ in range(times))


@pytest.mark.parametrize("ms", [1, 5, 20])
def test_a_round_trip_takes_both_ways_longer(network: Blocking, ms: int) -> None:
    with serving(echo) as upstream:
        port = network.link("web.0", Nearby.at(upstream), ms)
        direct = fastest_ms(upstream)
        through = fastest_ms(port, times=20)
    assert through >= 2 * ms
    assert through - direct < 2 * ms + 3


def test_other_traffic_does_not_shorten_the_way(network: Blocking) -> None:
    with serving(echo) as upstream:
        port = network.link("web.0", Nearby.at(upstream), 1)
        others = [threading.Thread(target=fastest_ms, args=(port, 60)) for _ in range(8)]
        for other in others:
            other.start()
        through = fastest_ms(port, times=60)
        for other in others:
            other.join()
    assert through >= 2


def test_a_handshake_takes_a_round_trip_of_its_own(network: Blocking) -> None:
    with serving(echo) as upstream:
        port = network.link("web.0", Nearby.at(upstream), 20)
        begun = time.perf_counter()
        with connect(port) as connection:
            connection.sendall(b"x")
            assert receive(connection, 1) == b"x"
        assert time.perf_counter() - begun >= 0.080


def test_bytes_and_their_order_are_kept_while_the_delay_changes(network: Blocking) -> None:
    rng = random.Random(7)
    there, back = rng.randbytes(MIB), rng.randbytes(MIB)
    arrived: list[bytes] = []

    def talks_while_it_listens(connection: socket.socket) -> None:
        talking = threading.Thread(target=connection.sendall, args=(back,))
        talking.start()
        arrived.append(receive(connection, MIB))
        talking.join()

    def in_pieces(connection: socket.socket) -> None:
        sizes = random.Random(8)
        rest = memoryview(there)
        while rest:
            piece = sizes.randint(1, 20_000)
            connection.sendall(rest[:piece])
            rest = rest[piece:]

    with serving(talks_while_it_listens) as upstream, connect(
        network.link("web.0", Nearby.at(upstream), 9)
    ) as connection:  # fmt: skip
        sending = threading.Thread(target=in_pieces, args=(connection,))
        sending.start()
        seen = bytearray()
        for delay in (0, 7, 1, 0, 5, 2) * 20:
            network.delay("echo", delay)
            seen += receive(connection, min(40_000, MIB - len(seen)))
        seen += receive(connection, MIB - len(seen))
        sending.join()
        eventually(lambda: arrived, what="the whole request at the service")
    assert bytes(seen) == back
    assert arrived == [there]


def test_a_service_can_be_far_from_one_process_alone(network: Blocking) -> None:
    with serving(echo) as upstream:
        far, near = network.link("web.0", Nearby.at(upstream), 0), network.link("web.1", Nearby.at(upstream), 0)
        network.delay("echo", 40, "web.0")
        assert fastest_ms(far, times=3) >= 80 > fastest_ms(near, times=5)
        network.delay("echo", 0, "web.0")
        assert fastest_ms(far, times=5) < 80
        network.delay("echo", 40, "worker.7")  # who is not there is far from nothing


def test_one_direction_may_end_before_the_other(network: Blocking) -> None:
    def answers_at_the_end(connection: socket.socket) -> None:
        heard = receive(connection, MIB)  # up to the end of what the client says
        connection.sendall(heard[::-1])

    with serving(answers_at_the_end) as upstream:
        port = network.link("web.0", Nearby.at(upstream), 2)
        with connect(port) as connection:
            connection.sendall(b"abc")
            connection.shutdown(socket.SHUT_WR)
            assert receive(connection, 10) == b"cba"


def test_a_connection_that_both_ends_have_closed_is_forgotten(network: Blocking) -> None:
    files = Path(f"/proc/{network.network._child.pid}/fd")
    with serving(echo) as upstream:
        port = network.link("web.0", Nearby.at(upstream), 0)
        fastest_ms(port, times=1)
        before = len(list(files.iterdir()))
        for _ in range(30):
            fastest_ms(port, times=1)
        eventually(lambda: len(list(files.iterdir())) <= before, what="30 connections to be closed")
    assert network.traffic().connections == 31
    assert network.traffic().peak_connections < 10


def test_a_service_that_refuses_ends_the_connection(network: Blocking) -> None:
    port = network.link("web.0", Nearby.at(unused_port()), 1)
    with connect(port) as connection, pytest.raises(ConnectionResetError):
        receive(connection, 1)


def test_a_reset_by_the_service_reaches_the_client(network: Blocking) -> None:
    def resets(connection: socket.socket) -> None:
        connection.recv(1)
        reset(connection)

    with serving(resets) as upstream:
        port = network.link("web.0", Nearby.at(upstream), 1)
        with connect(port) as connection:
            connection.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                receive(connection, 1)


def test_a_reset_by_the_client_reaches_the_service(network: Blocking) -> None:
    seen: list[type[OSError]] = []

    def listens(connection: socket.socket) -> None:
        try:
            echo(connection)
        except OSError as error:
            seen.append(type(error))

    with serving(listens) as upstream:
        connection = connect(network.link("web.0", Nearby.at(upstream), 1))
        connection.sendall(b"x")
        assert receive(connection, 1) == b"x"
        reset(connection)
        eventually(lambda: seen, what="the reset at the service")
    assert seen == [ConnectionResetError]


def test_a_service_that_does_not_read_makes_the_client_wait(network: Blocking) -> None:
    released = threading.Event()

    def reads_late(connection: socket.socket) -> None:
        released.wait(30)
        while connection.recv(1 << 16):
            pass

    with serving(reads_late) as upstream, connect(network.link("web.0", Nearby.at(upstream), 1)) as connection:
        connection.settimeout(0.5)
        taken = 0
        with suppress(TimeoutError):
            while taken < 256 * MIB:
                taken += connection.send(b"x" * 65536)
        proxy = psutil.Process(network.network._child.pid)
        assert proxy.memory_info().rss < 200 * MIB
        released.set()
        connection.settimeout(10)
        connection.sendall(b"and it goes on")
    assert taken < 64 * MIB


def test_the_proxy_ends_with_its_standard_input(network: Blocking) -> None:
    stdin = network.network._child.popen.stdin
    assert stdin is not None
    os.close(os.dup(stdin.fileno()))  # a copy that is closed is not the end
    assert network.network._child.returncode is None
    stdin.close()
    eventually(lambda: network.network._child.returncode is not None, what="the end of the proxy")
    assert network.network._child.returncode == 0
