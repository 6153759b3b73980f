"""What the lab network counts and measures, in front of a real Valkey and a small echo."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.lab_network import Blocking, Nearby, running_network
from support.peers import connect, echo, receive, serving
from support.solutions import temporary_folder

from crucible.errors import CrucibleError
from crucible.evidence import Traffic
from crucible.lab.network import PROBE, Network, added_ms, less
from crucible.services import SERVICES, Server, locate

pytestmark = pytest.mark.machine


@pytest.fixture(scope="module")
def valkey() -> Iterator[Server]:
    with temporary_folder() as folder:
        server = SERVICES["redis"].start(locate("redis", {}), folder / "redis")
        yield server
        server.stop()


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Blocking]:
    with running_network(tmp_path) as blocking:
        yield blocking


def exchange(port: int, times: int) -> None:
    with connect(port) as connection:
        for _ in range(times):
            connection.sendall(b"question")
            assert receive(connection, 8) == b"question"


@pytest.mark.parametrize("ms", [0, 3])
def test_every_exchange_is_a_round_trip(network: Blocking, ms: int) -> None:
    with serving(echo) as upstream:
        exchange(network.link("web.0", Nearby.at(upstream), ms), 25)
    assert network.traffic() == Traffic("web", "echo", 1, 1, 25, 200, 200)


def test_valkey_is_asked_as_often_as_is_counted(network: Blocking, valkey: Server) -> None:
    port = network.runner.run(network.network.link("web.0", valkey, 1))
    with redis.Redis(port=port, socket_timeout=5) as client:
        client.ping()  # the client introduces itself first
        before = network.traffic().round_trips
        for number in range(40):
            client.incrby("counter", number)
        counted = network.traffic().round_trips - before
    assert counted == 40
    assert valkey.operations()["incrby"] == 40


def test_pipelined_requests_are_one_round_trip(network: Blocking, valkey: Server) -> None:
    port = network.runner.run(network.network.link("web.0", valkey, 5))
    with redis.Redis(port=port, socket_timeout=5) as client:
        client.ping()
        before = network.traffic().round_trips
        pipeline = client.pipeline(transaction=False)
        for number in range(100):
            pipeline.set(f"key {number}", number)
        assert pipeline.execute() == [True] * 100
        assert network.traffic().round_trips - before == 1


def test_what_is_asked_before_an_answer_arrives_belongs_to_one_round_trip(network: Blocking) -> None:
    with serving(echo) as upstream, connect(network.link("web.0", Nearby.at(upstream), 250)) as connection:
        connection.sendall(b"first")
        assert receive(connection, 5) == b"first"
        connection.sendall(b"a")
        connection.settimeout(0.37)  # its answer has been given by then, and is on its way
        with pytest.raises(TimeoutError):
            receive(connection, 1)
        connection.sendall(b"b")
        connection.settimeout(5)
        assert receive(connection, 2) == b"ab"
    assert network.traffic().round_trips == 2


def test_instances_of_a_process_type_are_counted_together(network: Blocking) -> None:
    with serving(echo) as upstream:
        server = Nearby.at(upstream)
        for instance, times in {"web.0": 2, "web.1": 3, "worker.0": 5, "night-worker.12": 7, PROBE: 11}.items():
            exchange(network.link(instance, server, 0), times)
    counted = {t.process: (t.round_trips, t.connections) for t in network.all_traffic()}
    assert counted == {"web": (5, 2), "worker": (5, 1), "night-worker": (7, 1)}


def test_connections_at_once_are_counted(network: Blocking) -> None:
    with serving(echo) as upstream:
        port = network.link("web.0", Nearby.at(upstream), 0)
        connections = [connect(port) for _ in range(6)]
        for connection in connections:
            connection.sendall(b"x")
            assert receive(connection, 1) == b"x"
            connection.close()
        exchange(port, 1)
    assert (network.traffic().connections, network.traffic().peak_connections) == (7, 6)


def test_the_delay_of_one_service_leaves_the_others_alone(network: Blocking) -> None:
    with serving(echo) as upstream:
        near, far = Nearby.at(upstream, "near"), Nearby.at(upstream, "far")
        ports = network.link("web.0", near, 0), network.link("web.0", far, 0)
        network.delay("far", 3000)
        for port, expected in zip(ports, (True, False), strict=True):
            with connect(port) as connection:
                connection.settimeout(1.5)
                connection.sendall(b"x")
                try:
                    came = receive(connection, 1) == b"x"
                except TimeoutError:
                    came = False
                assert came is expected


@pytest.mark.parametrize("name", ["redis", "postgres"])
def test_the_added_delay_is_measured(network: Blocking, name: str) -> None:
    with temporary_folder() as folder:
        server = SERVICES[name].start(locate(name, {}), folder / name)
        try:
            port = network.runner.run(network.network.link(PROBE, server, 5))
            ping = server.pinger("127.0.0.1", port)
            # Where other programs keep the machine busy, pings wait for them, too: one undisturbed measure is enough.
            assert any(9.5 < added_ms(server, ping) < 20 for _ in range(20))
        finally:
            server.stop()
    assert network.all_traffic() == ()


def test_a_cancelled_command_leaves_its_answer_to_nobody(network: Blocking) -> None:
    async def impatient() -> None:
        for _ in range(50):
            asked = asyncio.ensure_future(network.network.traffic())
            await asyncio.sleep(0)
            asked.cancel()
            assert await network.network.link("web.0", Nearby.at(1), 0) > 0
            await asyncio.gather(asked, return_exceptions=True)

    network.runner.run(impatient())


def test_a_proxy_that_has_ended_is_crucibles_fault(tmp_path: Path) -> None:
    async def asked() -> None:
        network = Network.start(tmp_path, tmp_path / "log")
        network.stop()
        with pytest.raises(CrucibleError, match="network's process has ended") as told:
            await network.traffic()
        assert told.value.exit_code == 3

    asyncio.run(asked())


def test_traffic_is_told_since_a_moment() -> None:
    before = (Traffic("web", "redis", 4, 4, 10, 100, 1000),)
    now = (Traffic("web", "redis", 5, 5, 13, 130, 1300), Traffic("worker", "redis", 1, 1, 2, 3, 4))
    assert less(now, before) == (Traffic("web", "redis", 5, 5, 3, 30, 300), Traffic("worker", "redis", 1, 1, 2, 3, 4))
