"""One connection of the grader's HTTP/1.1 client: a request as bytes, and what becomes of it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httptools

from crucible.lab import untrusted

MAX_REPLY = 4 << 20
"""Bytes of one reply, head included, after which the connection is dropped."""
FRAMING = (b"content-length", b"transfer-encoding")
NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Received:
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """Those that can be judged."""
    body: bytes


def encode(
    method: str, port: int, path: str, body: bytes | None = None, content_type: str = "application/json",
    *, headers: Mapping[str, str] = NO_HEADERS,
) -> bytes:  # fmt: skip
    """The bytes of a request. `path` and `headers` are trusted: they are the challenge's."""
    head = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}", "Accept: application/json", "User-Agent: crucible"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        head += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + (body or b"")


class ReplyHead:
    """What httptools calls for the head of an answer, and what it comes to."""

    def __init__(self) -> None:
        self.forget_head()

    def forget_head(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        """Those that can be judged."""
        self.framed = False
        """Whether the answer says how long it is."""
        self.head_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_complete:
            return  # what follows the body of a reply in chunks says nothing that is judged
        self.framed |= name.lower() in FRAMING
        if untrusted.may_be_judged(name) and len(self.headers) < untrusted.MOST_HEADERS:
            self.headers.append((name, value))


class Connection(ReplyHead, asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, on_close: Callable[["Connection"], None]) -> None:
        super().__init__()
        self._on_close = on_close
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[Received] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._body: list[bytes] = []
        self._received = 0
        self.reusable = False
        self.idle_since_ns = 0
        self.used = False
        """Whether a request has been answered on it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's; uvloop's has no asyncio base class

    def send(self, head_and_body: bytes) -> "asyncio.Future[Received]":
        """Write a request; the future holds the answer, or a ConnectionError / ValueError."""
        assert self._transport is not None
        self._done = asyncio.get_running_loop().create_future()
        self._start_reply()
        self._received = 0
        self.reusable = False
        if self._transport.is_closing():
            self._done.set_exception(ConnectionResetError("closed before the request"))
        else:
            self._transport.write(head_and_body)
        return self._done

    def _start_reply(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._forget_reply()

    def _forget_reply(self) -> None:
        self._body = []
        self.forget_head()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._parser is None or self._done is None or self._done.done():
            self.abort()  # it talks without having been asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(ValueError("it changed to another protocol, which was not asked for"))
            return
        except httptools.HttpParserError as error:
            self._fail(ValueError(f"not HTTP: {error}"))
            return
        if self._received > MAX_REPLY:
            self._fail(ValueError(f"a reply larger than {MAX_REPLY >> 20} MiB"))

    def on_message_begin(self) -> None:
        if self._done is not None and self._done.done():
            self.reusable = False  # a second reply to one request: whatever follows could be taken for another's

    def on_headers_complete(self) -> None:
        self.head_complete = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        assert self._transport is not None
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._forget_reply()  # an interim answer; the parser goes on to the real one by itself
            return
        if self._done is not None and not self._done.done():
            self.reusable = self._parser.should_keep_alive() and self._transport.get_write_buffer_size() == 0
            self._done.set_result(self._answer(status))

    def _answer(self, status: int) -> Received:
        return Received(status, untrusted.headers(self.headers), b"".join(self._body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            if exc is None and self.head_complete and not self.framed and self._parser is not None:
                self._done.set_result(self._answer(self._parser.get_status_code()))
            else:
                how = "reset" if isinstance(exc, ConnectionResetError) else "closed"
                begun = "in the middle of the reply" if self._received else "before any reply"
                self._done.set_exception(ConnectionResetError(f"connection {how} {begun}"))
        self._on_close(self)

    def _fail(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
        self.abort()

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
