"""Transfers against a server of this test's own, which misbehaves as it is told."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil
import pytest
import uvloop

from crucible.check import Content, Transfer
from crucible.lab import transfers
from crucible.lab.transfers import Transferred

pytestmark = pytest.mark.machine

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MB = 1_000_000


def made(handler: Handler, asked: Transfer) -> Transferred:
    """What comes of a transfer with a server whose connections `handler` has."""

    async def run() -> Transferred:
        served: list[asyncio.Task[None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if (task := asyncio.current_task()) is not None:
                served.append(task)
            try:
                await handler(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        place = transfers.address(asked.url, f"http://127.0.0.1:{port}")
        assert place is not None
        head = transfers.head(asked, place)
        assert head is not None
        async with server:
            done = await transfers.transfer(asked, place, head)
            await asyncio.wait(served, timeout=5)
            return done

    return asyncio.run(run())


async def body_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return await reader.readexactly(length)


def answers(text: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await body_of(reader)
        writer.write(text)
        await writer.drain()

    return handler


def test_a_body_is_sent_whole_and_the_answer_is_told() -> None:
    got: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await body_of(reader))
        writer.write(b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}')

    content = Content(3, 300_000)
    done = made(handler, Transfer("web.0", "PUT", "/x", sends=content))
    assert hashlib.sha256(got[0]).hexdigest() == content.sha256()
    assert (done.reply.status, done.reply.body) == (201, b'{"a":1}')
    assert (done.moved.sent, done.moved.received, done.moved.whole) == (300_000, 7, True)


def test_who_refuses_before_he_has_everything_is_heard() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)

    done = made(handler, Transfer("web.0", "PUT", "/x", sends=Content(3, 20 * MB)))
    assert done.reply.status == 413
    assert done.moved.sent < 20 * MB


def test_a_client_that_goes_away_has_sent_so_much_and_heard_nothing() -> None:
    got: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        got.append(await reader.read(-1))

    done = made(handler, Transfer("web.0", "PUT", "/x", sends=Content(3, MB), cut_at=123_456))
    assert (done.reply.status, done.reply.error) == (None, transfers.LEFT)
    assert done.moved.sent == len(got[0]) == 123_456


def test_a_slow_client_takes_its_time() -> None:
    content = Content(3, 100_000)
    done = made(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                Transfer("web.0", "PUT", "/x", sends=content, sends_per_s=200_000))  # fmt: skip
    assert done.reply.received_ns - done.reply.sent_ns >= 0.4e9


def test_a_slow_reader_holds_the_other_side_back() -> None:
    written: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for piece in Content(3, 50 * MB).pieces():
            writer.write(piece)
            await writer.drain()
            written.append(len(piece))

    done = made(handler, Transfer("web.0", "GET", "/x", takes_per_s=400_000, leaves_at=300_000))
    assert done.reply.error is not None
    assert done.reply.error.endswith(transfers.LEFT)
    assert 300_000 <= done.moved.received < 400_000
    assert sum(written) < 10 * MB


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "was closed in the middle"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "was closed in the middle"),
        (b"", "closed before any answer"),
        (b"rubbish\r\n\r\n", "not HTTP"),
    ],
)  # fmt: skip
def test_what_is_no_whole_answer_says_why(text: bytes, error: str) -> None:
    done = made(answers(text), Transfer("web.0", "GET", "/x"))
    assert done.reply.status is None
    assert done.reply.error is not None
    assert error in done.reply.error
    assert not done.moved.whole


def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    done = made(answers(b"HTTP/1.1 200 OK\r\n\r\n12345"), Transfer("web.0", "GET", "/x"))
    assert (done.reply.status, done.moved.received, done.moved.whole) == (200, 5, True)


def test_a_head_has_no_body_and_one_that_has_is_told() -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    done = made(answers(text), Transfer("web.0", "HEAD", "/x"))
    assert (done.reply.status, done.moved.received, done.reply.headers["content-length"]) == (200, 0, "5")
    assert made(answers(text + b"12345"), Transfer("web.0", "HEAD", "/x")).moved.received == 5


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_head_without_an_end_is_read_no_further(method: str) -> None:
    written: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX-A: ")
        for _ in range(2_000):
            writer.write(b"a" * 10_000)
            await writer.drain()
            written.append(10_000)

    done = made(handler, Transfer("web.0", method, "/x"))
    assert (done.reply.status, done.reply.error) == (None, "a head of more than 256 KiB")
    assert sum(written) < 10 * MB


def test_an_interim_answer_is_none() -> None:
    text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    assert made(answers(text), Transfer("web.0", "PUT", "/x", sends=Content(1, 10))).reply.status == 204


def test_who_never_answers_is_given_up() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    done = made(handler, Transfer("web.0", "GET", "/x", timeout_s=0.3))
    assert done.reply.error == "no whole answer within 0.3 s"


def test_the_grader_holds_no_file() -> None:
    before = psutil.Process().memory_info().rss
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n"

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        left = 200 * MB
        while left:
            left -= len(await reader.read(min(left, 1 << 16)))
        writer.write(answer)
        for piece in Content(3, 200 * MB).pieces():
            writer.write(piece)
            await writer.drain()

    done = made(handler, Transfer("web.0", "PUT", "/x", sends=Content(3, 200 * MB)))
    assert done.moved.sha256 == Content(3, 200 * MB).sha256()
    assert psutil.Process().memory_info().rss - before < 60 * MB


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x", "https://127.0.0.1/x", "ftp://127.0.0.1/x", "http://127.0.0.1:99999/x", "http://[/x",
        "http://u:p@127.0.0.1/x", "/a b", "/a\r\nX: y", "/ä", "",
    ],
)  # fmt: skip
def test_what_leads_elsewhere_or_nowhere_is_no_address(url: str) -> None:
    assert transfers.address(url, "http://127.0.0.1:8000") is None


def test_an_address_keeps_what_may_be_signed() -> None:
    place = transfers.address("http://127.0.0.1:9/b/k%2F1?X-Amz-Signature=a%20b&c", "http://127.0.0.1:8000")
    assert place == transfers.Address("127.0.0.1", 9, "127.0.0.1:9", "/b/k%2F1?X-Amz-Signature=a%20b&c")
    path = transfers.address("/v1/put/1?a=b", "http://127.0.0.1:8000/v1/x")
    assert path == transfers.Address("127.0.0.1", 8000, "127.0.0.1:8000", "/v1/put/1?a=b")


@pytest.mark.parametrize("headers", [{"X-A": "a\r\nX-B: c"}, {"X A": "b"}, {"": "b"}, {"X-A": "ü€"}])
def test_what_no_header_can_hold_is_not_sent(headers: dict[str, str]) -> None:
    place = transfers.Address("127.0.0.1", 9, "127.0.0.1:9", "/")
    assert transfers.head(Transfer("web.0", "PUT", "/", headers=headers), place) is None


def test_the_clients_own_headers_are_its_own() -> None:
    place = transfers.Address("127.0.0.1", 9, "127.0.0.1:9", "/")
    given = {"Host": "elsewhere", "Content-Length": "7", "x-amz-checksum-sha256": "abc="}
    head = transfers.head(Transfer("web.0", "PUT", "/", headers=given, sends=Content(1, 10)), place)
    assert head is not None
    lines = head.decode().split("\r\n")
    assert "Host: 127.0.0.1:9" in lines
    assert "Content-Length: 10" in lines
    assert "x-amz-checksum-sha256: abc=" in lines
    assert not any("elsewhere" in line for line in lines)


def test_what_is_sent_into_a_connection_that_has_just_gone_is_lost_and_no_error_of_the_loop() -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.transport.abort()
            await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="closed"):
                writer.write(b"x")
            with pytest.raises(ConnectionError):
                transfers.write(writer, b"x")
            await asyncio.sleep(0.05)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
