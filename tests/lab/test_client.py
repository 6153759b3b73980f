"""Every way in which a peer can misbehave becomes a `Reply`; nothing raises, nothing hangs, nothing is asked twice."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import uvloop
from support.peers import Behaviour, reset, serving, unused_port

from crucible.lab import client as client_module
from crucible.lab.client import Client, Reply
from crucible.lab.connection import MAX_REPLY, encode

pytestmark = pytest.mark.machine

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def ask(client: Client, port: int, timeout_s: float = 5.0) -> Awaitable[Reply]:
    request = encode("POST", port, "/x", b'{"a": 1}')
    return client.request("127.0.0.1", port, request, timeout_s)


def hear(connection: socket.socket) -> bytes:
    """A whole request of `ask`; nothing at the end."""
    content = b""
    while not content.endswith(b'{"a": 1}'):
        data = connection.recv(1 << 16)
        if not data:
            return b""
        content += data
    return content


def saying(*parts: bytes) -> Behaviour:
    """Answer the first request with `parts`, each in a segment of its own, and close."""

    def behave(connection: socket.socket) -> None:
        hear(connection)
        for part in parts:
            connection.sendall(part)
            time.sleep(0.002)

    return behave


def answering(answer: bytes, heard: list[bytes] | None = None) -> Behaviour:
    """Give every request on the connection the same answer."""

    def behave(connection: socket.socket) -> None:
        while request := hear(connection):
            if heard is not None:
                heard.append(request)
            connection.sendall(answer)

    return behave


def once(behaviour: Behaviour, timeout_s: float = 5.0) -> Reply:
    """One request to such a server."""

    async def main(port: int) -> Reply:
        client = Client()
        try:
            return await ask(client, port, timeout_s)
        finally:
            client.close()

    with serving(behaviour) as port:
        return asyncio.run(main(port))


def talk(behaviour: Behaviour, work: Callable[[Client, int, list[socket.socket]], Awaitable[None]]) -> None:
    """Several requests of one client; `work` is given the connections that the server has seen."""
    connections: list[socket.socket] = []

    async def main(port: int) -> None:
        client = Client()
        try:
            await work(client, port, connections)
        finally:
            client.close()

    with serving(behaviour, connections) as port:
        asyncio.run(main(port))


def test_a_request_is_sent_once_and_as_it_is() -> None:
    heard: list[bytes] = []
    reply = once(answering(OK, heard))
    assert (reply.status, reply.body, reply.error, reply.never_sent) == (200, b"{}", None, False)
    assert reply.sent_ns < reply.received_ns
    assert len(heard) == 1
    head, body = heard[0].split(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\nHost: localhost:")
    assert b"Content-Type: application/json\r\nContent-Length: 8" in head
    assert body == b'{"a": 1}'


def test_a_connection_is_used_again() -> None:
    async def work(client: Client, port: int, connections: list[socket.socket]) -> None:
        for _ in range(20):
            assert (await ask(client, port)).status == 200
        assert len(connections) == 1

    talk(answering(OK), work)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        OK + OK,
        OK + b"HTTP/1.1 2",
        OK + b"garbage",
    ],
    ids=["close", "1.0", "answers-twice", "begins-again", "goes-on"],
)
def test_a_connection_that_cannot_be_trusted_is_not_used_again(answer: bytes) -> None:
    async def work(client: Client, port: int, connections: list[socket.socket]) -> None:
        for number in range(1, 4):
            reply = await ask(client, port)
            assert (reply.status, reply.body) == (200, b"{}")
            assert len(connections) == number

    talk(answering(answer), work)


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ((b"HTTP/1.1 200 OK\r\n\r\n", b"all of it", b" up to the end"), b"all of it up to the end"),
        (
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n", b"abc\r\n2", b"\r\nde\r\n0\r\n\r\n"),
            b"abcde",
        ),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", OK), b"{}"),
        ((b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK,), b"{}"),
        (tuple(bytes([byte]) for byte in OK), b"{}"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",), b""),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), b""),
    ],
    ids=["until-close", "chunked", "100-continue", "early-hints", "byte-by-byte", "empty", "no-content"],
)
def test_a_reply_is_read_to_its_end(parts: tuple[bytes, ...], body: bytes) -> None:
    reply = once(saying(*parts))
    assert (reply.body, reply.error) == (body, None)
    assert reply.status in (200, 204)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((), "closed before any reply"),
        ((b"hello, this is not HTTP\r\n\r\n",), "not HTTP"),
        ((b"\x16\x03\x01\x02\x00\x01",), "not HTTP"),
        ((b"HTTP/1.1 200 OK\r\nContent-Le",), "in the middle of the reply"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",), "in the middle of the reply"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",), "in the middle of the reply"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",), "not HTTP"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",), "not HTTP"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n",), "in the middle of the reply"),
        ((b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",), "another protocol"),
    ],
    ids=["nothing", "text", "tls", "half-a-head", "half-a-body", "half-a-chunk", "two-lengths", "bad-chunk",
         "only-100", "upgrade"],
)  # fmt: skip
def test_what_is_no_whole_reply_leaves_nothing_known(parts: tuple[bytes, ...], why: str) -> None:
    reply = once(saying(*parts))
    assert reply.status is None
    assert why in str(reply.error)
    assert not reply.never_sent


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"Location: /x\r\nX-Trace: 1\r\nSet-Cookie: a=b\r\n", {"location": "/x"}),
        (b'ETag: "1"\r\nCACHE-CONTROL: no-store\r\n', {"etag": '"1"', "cache-control": "no-store"}),
        (b"Allow: GET\r\nAllow: PUT\r\n", {"allow": "GET, PUT"}),
        (b"Location: /\xe4\r\n", {"location": "/\xe4"}),
        (b"ETag: " + b"x" * (8 << 10) + b"\r\nRetry-After: 1\r\n", {"retry-after": "1"}),
        (b"Allow: GET\r\n" * 200, {"allow": ", ".join(["GET"] * 64)}),
    ],
    ids=["others-are-left", "any-case", "joined", "latin-1", "too-long", "too-many"],
)
def test_headers_that_can_be_judged_are_kept(head: bytes, kept: dict[str, str]) -> None:
    reply = once(saying(b"HTTP/1.1 201 Created\r\n" + head + b"Content-Length: 2\r\n\r\n{}"))
    assert {name: value for name, value in reply.headers.items() if name != "content-length"} == kept
    assert (reply.status, reply.body) == (201, b"{}")


def test_headers_of_an_interim_answer_and_after_a_body_are_not_the_answers() -> None:
    chunks = b"Transfer-Encoding: chunked\r\nTrailer: ETag\r\n\r\n2\r\n{}\r\n0\r\nETag: late\r\n\r\n"
    reply = once(saying(b"HTTP/1.1 103 Early Hints\r\nLocation: /early\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + chunks))
    assert (reply.status, reply.body, reply.headers) == (200, b"{}", {})


def test_a_reset_leaves_nothing_known() -> None:
    def resets(connection: socket.socket) -> None:
        hear(connection)
        reset(connection)

    reply = once(resets)
    assert (reply.status, reply.error, reply.never_sent) == (None, "connection reset before any reply", False)


def test_a_server_that_hangs_is_waited_for_no_longer_than_asked() -> None:
    done, given_up = threading.Event(), threading.Event()

    def hangs(connection: socket.socket) -> None:
        hear(connection)
        done.wait(60)
        given_up.set()

    begun = time.monotonic()
    reply = once(hangs, timeout_s=0.2)
    assert not given_up.is_set()  # the server is waiting still
    done.set()
    assert reply.error == "no answer within 0.2 s"
    assert time.monotonic() - begun >= 0.2


def test_a_drip_of_bytes_is_no_answer() -> None:
    def drips(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        with suppress(OSError):
            while True:
                connection.sendall(b"x")
                time.sleep(0.01)

    assert once(drips, timeout_s=0.2).error == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("head", "filling"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\n", b"X-%d: y\r\n" % 7 * 6000),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    ],
    ids=["body", "length", "headers", "one-header", "interim-replies"],
)
def test_a_flood_is_cut_off(head: bytes, filling: bytes) -> None:
    taken: list[int] = []

    def floods(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(head)
        total = 0
        try:
            while total < 16 * MAX_REPLY:
                total += connection.send(filling)
        finally:
            taken.append(total)

    reply = once(floods)
    assert reply.status is None
    assert "larger than 4 MiB" in str(reply.error)
    assert taken == [] or taken[0] < 16 * MAX_REPLY


def test_a_large_reply_within_the_limit_is_read() -> None:
    body = b"y" * (MAX_REPLY - 1000)
    reply = once(saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body))
    assert (reply.status, reply.body == body) == (200, True)


def test_a_reply_that_nobody_asked_for_is_taken_for_none() -> None:
    unasked = b"HTTP/1.1 418 Unasked\r\nContent-Length: 0\r\n\r\n"

    def talkative(connection: socket.socket) -> None:
        while hear(connection):
            connection.sendall(OK)
            time.sleep(0.02)
            connection.sendall(unasked)

    async def work(client: Client, port: int, connections: list[socket.socket]) -> None:
        for number in range(1, 4):
            assert (await ask(client, port)).status == 200
            assert len(connections) == number
            await until(lambda: not idle(client, port))

    talk(talkative, work)


def test_a_connection_that_has_been_idle_for_long_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server may be about to close it, and a request that crosses that is lost."""
    monkeypatch.setattr(client_module, "MAX_IDLE_S", 0.0)
    connections: list[socket.socket] = []

    async def twice(port: int) -> None:
        client = Client()
        for _ in range(2):
            assert (await ask(client, port)).status == 200
        client.close()

    with serving(answering(OK), connections) as port:
        asyncio.run(twice(port))
    assert len(connections) == 2


def test_who_closes_connections_unannounced_gets_a_new_one_for_each_request_from_then_on() -> None:
    """Its close crosses the next request, of which nothing is known then; that may happen once, not again and again."""
    connections: list[socket.socket] = []

    def answers_once_and_closes_on_the_second(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(OK)
        hear(connection)

    async def ask_often(port: int) -> list[int | None]:
        client = Client()
        replies = [(await ask(client, port)).status for _ in range(6)]
        client.forget(port)
        replies += [(await ask(client, port)).status for _ in range(2)]
        client.close()
        return replies

    with serving(answers_once_and_closes_on_the_second, connections) as port:
        assert asyncio.run(ask_often(port)) == [200, None, 200, 200, 200, 200, 200, None]


def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    async def work(client: Client, port: int, connections: list[socket.socket]) -> None:
        for number in range(1, 4):
            assert (await ask(client, port)).error is None
            assert len(connections) == number
            await until(lambda: not idle(client, port))

    talk(saying(OK), work)


def test_warming_replaces_what_the_server_closed_meanwhile() -> None:
    def waits(connection: socket.socket) -> None:
        connection.recv(1)

    async def work(client: Client, port: int, connections: list[socket.socket]) -> None:
        await client.warm("127.0.0.1", port, 3, 5.0)
        await until(lambda: len(connections) == 3)
        for connection in connections:
            connection.shutdown(socket.SHUT_RDWR)
        await until(lambda: not idle(client, port))
        await client.warm("127.0.0.1", port, 3, 5.0)
        assert idle(client, port) == 3

    talk(waits, work)


def test_a_burst_uses_the_connections_that_are_ready() -> None:
    async def work(client: Client, port: int, connections: list[socket.socket]) -> None:
        await client.warm("127.0.0.1", port, 8, 5.0)
        replies = await asyncio.gather(*(ask(client, port) for _ in range(8)))
        assert [reply.status for reply in replies] == [200] * 8
        assert len(connections) == 8

    talk(answering(OK), work)


def test_a_refused_connection_means_that_nothing_was_sent() -> None:
    async def main() -> Reply:
        return await ask(Client(), unused_port())

    reply = asyncio.run(main())
    assert (reply.status, reply.error, reply.never_sent) == (None, "connection refused", True)


def test_a_connection_that_never_opens_means_that_nothing_was_sent() -> None:
    async def main() -> Reply:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(3)]
            for filler in fillers:  # the kernel lets a full backlog wait
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            try:
                return await ask(Client(), full.getsockname()[1], timeout_s=0.3)
            finally:
                for filler in fillers:
                    filler.close()

    reply = asyncio.run(main())
    assert (reply.status, reply.error, reply.never_sent) == (None, "no connection within 0.3 s", True)


def test_an_abandoned_request_does_not_give_its_connection_back() -> None:
    async def work(client: Client, port: int, connections: list[socket.socket]) -> None:
        asked = asyncio.ensure_future(ask(client, port))
        await until(lambda: len(connections) == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert idle(client, port) == 0

    def slow(connection: socket.socket) -> None:
        hear(connection)
        connection.recv(1)

    talk(slow, work)


def test_a_cancellation_is_never_lost_however_near_an_answer_is() -> None:
    """Whoever asks again and again, as for health, must be ended by the first word."""

    async def main() -> None:
        client, port = Client(), unused_port()

        async def ask_again() -> None:
            while True:
                await ask(client, port)

        for turns in range(200):
            asking = asyncio.ensure_future(ask_again())
            for _ in range(turns % 13):
                await asyncio.sleep(0)
            asking.cancel()
            done, _ = await asyncio.wait({asking}, timeout=5)
            assert done, f"cancelled after {turns % 13} turns of the loop, and it goes on"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def idle(client: Client, port: int) -> int:
    return sum(connection.open for connection in client._idle["127.0.0.1", port])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)
