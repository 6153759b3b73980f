"""RabbitMQ: a private node, and one that is attached to."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pika.exceptions
import psutil
import pytest
from support.solutions import temporary_folder

from crucible.check import NotCausedError
from crucible.errors import CrucibleError, Fault
from crucible.services import SERVICES, Server, locate
from crucible.services.base import Source, Terms

pytestmark = pytest.mark.machine


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with temporary_folder() as path:
        yield path


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[Server]:
    terms = Terms(consumer_timeout_s=30)
    server = SERVICES["rabbitmq"].start(locate("rabbitmq", os.environ), folder / "rabbitmq", terms)
    try:
        yield server
    finally:
        server.stop()


def attached(broker: Server, **more: str) -> Source:
    """What an environment would name, of the node that the tests started."""
    listener, management, metrics = broker.ports[:3]
    user, password = broker._api.admin  # type: ignore[attr-defined]
    url = f"amqp://{user}:{password}@127.0.0.1:{listener}?management_port={management}&metrics_port={metrics}"
    return locate("rabbitmq", {"CRUCIBLE_RABBITMQ_URL": url} | more)


def as_solution(server: Server) -> pika.BlockingConnection:
    url = server.environment("127.0.0.1", server.upstream.port)["AMQP_URL"]
    return pika.BlockingConnection(pika.URLParameters(url))


def publish(server: Server, queue: str, number: int, size: int = 100) -> None:
    """Durable messages, each confirmed."""
    with as_solution(server) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.confirm_delivery()
        for _ in range(number):
            channel.basic_publish("", queue, b"x" * size, pika.BasicProperties(delivery_mode=2))


def waiting(server: Server, queue: str) -> int:
    with as_solution(server) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)


def test_it_counts_queues_messages_and_redeliveries(broker: Server) -> None:
    before = broker.operations()
    publish(broker, "counted", 12)
    with as_solution(broker) as connection:
        channel = connection.channel()
        for number in range(5):
            method, _, _ = channel.basic_get("counted")
            assert method is not None
            if number < 3:
                channel.basic_ack(method.delivery_tag)
        channel.basic_nack(0, multiple=True, requeue=True)
        channel.basic_get("counted")
    after = broker.operations()
    did = {name: after[name] - before[name] for name in after}
    assert (did["queues"], did["published"], did["confirmed"], did["acknowledged"]) == (1, 12, 12, 3)
    assert did["redelivered"] == 1
    assert broker.version.startswith("RabbitMQ ")


def test_it_waits_for_consumers_as_long_as_its_card_says(broker: Server, folder: Path) -> None:
    """A setting that a node does not know keeps it from starting."""
    assert "consumer_timeout = 30000" in (folder / "rabbitmq" / "rabbitmq.conf").read_text().splitlines()


def test_a_solution_has_a_virtual_host_of_its_own_and_administers_nothing(broker: Server) -> None:
    parts = urlsplit(broker.environment("127.0.0.1", broker.upstream.port)["AMQP_URL"])
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError):
        pika.BlockingConnection(
            pika.ConnectionParameters(
                "127.0.0.1", broker.upstream.port, "/",
                pika.PlainCredentials(parts.username or "", parts.password or ""),
            )
        )  # fmt: skip
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.upstream.port))  # as guest


def test_it_listens_nowhere_but_where_the_solution_is_kept_from(broker: Server) -> None:
    assert broker.pid is not None
    node = psutil.Process(broker.pid)
    listening = [
        it.laddr for one in (node, *node.children(recursive=True)) for it in one.net_connections("inet")
        if it.status == psutil.CONN_LISTEN
    ]  # fmt: skip
    assert listening
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert {address.port for address in listening} <= set(broker.ports)


def test_it_sees_the_connections_of_others(broker: Server) -> None:
    assert broker.clients() == []  # the grader's own, of the other tests in this process, do not count
    ping = broker.pinger("", 0)
    ping()
    assert broker.clients() == []


def test_attached_it_takes_its_own_away_again(broker: Server, folder: Path) -> None:
    server = SERVICES["rabbitmq"].start(attached(broker), folder / "attached")
    try:
        publish(server, "left", 3)
        assert waiting(server, "left") == 3
        assert server.pid is None
        assert len(server.clients()) == 0
        with pytest.raises(NotCausedError):
            server.crash()
    finally:
        server.stop()
    with pytest.raises(pika.exceptions.AMQPError):
        as_solution(server)
    server.stop()  # safe to call twice


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1", "is not an amqp:// URL"),
        ("amqp://127.0.0.1:1?management_port=x", "invalid literal"),
        ("amqp://127.0.0.1:1?management_port=1&metrics_port=1", "refused"),
    ],
)
def test_an_attached_one_that_cannot_be_used_says_why(url: str, said: str, folder: Path) -> None:
    with pytest.raises(CrucibleError, match=said) as caught:
        SERVICES["rabbitmq"].start(locate("rabbitmq", {"CRUCIBLE_RABBITMQ_URL": url}), folder / "none")
    assert caught.value.fault is Fault.CRUCIBLE
    assert caught.value.where == "CRUCIBLE_RABBITMQ_URL"


def test_a_wrong_password_is_told(broker: Server, folder: Path) -> None:
    source = attached(broker)
    wrong = Source(source.kind, source.detail, source.location.replace("crucible:", "crucible:not"))
    with pytest.raises(CrucibleError, match="answered 401"):
        SERVICES["rabbitmq"].start(wrong, folder / "wrong")


def test_a_stopped_node_leaves_no_process(broker: Server, folder: Path) -> None:
    """The last one here, for good reason."""
    broker.stop()
    left = [p for p in psutil.Process().children(recursive=True) if str(folder / "rabbitmq") in " ".join(p.cmdline())]
    assert left == []
    listening = {it.laddr.port for it in psutil.net_connections("tcp") if it.laddr and it.status == psutil.CONN_LISTEN}
    assert listening.isdisjoint(broker.ports)
