"""The grader's own HTTP/1.1 client: no retries, no redirects, and every way a peer can misbehave becomes a `Reply`.

A hidden retry would destroy the account of what is unknown, so there is none, not even on a stale connection.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httptools

MAX_REPLY = 4 << 20
"""Bytes of one reply, head included, after which the connection is dropped."""


NO_HEADERS: Mapping[str, str] = {}
MAX_IDLE_S = 1.0
"""After this long an idle connection is given up, before its other side does so just as a request is on its way."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, in monotonic nanoseconds (`time.monotonic_ns`)."""

    status: int | None
    body: bytes
    error: str | None
    """Why there is no whole reply, in words."""
    sent_ns: int
    received_ns: int
    never_sent: bool = False
    """No byte of the request left: it cannot have had an effect."""


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, on_close: Callable[["_Connection"], None]) -> None:
        self._on_close = on_close
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[tuple[int, bytes]] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._body: list[bytes] = []
        self._received = 0
        self._headers: set[str] = set()
        self._headers_complete = False
        self.reusable = False
        self.idle_since_ns = 0
        self.used = False
        """Whether a request has been answered on it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's; uvloop's has no asyncio base class

    def send(self, head_and_body: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """Write a request; the future holds status and body, or a ConnectionError / ValueError."""
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
        self._forget_head()

    def _forget_head(self) -> None:
        self._body, self._headers, self._headers_complete = [], set(), False

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

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.add(name.decode("latin-1").lower())

    def on_headers_complete(self) -> None:
        self._headers_complete = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        assert self._transport is not None
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._forget_head()  # an interim answer; the parser goes on to the real one by itself
            return
        if self._done is not None and not self._done.done():
            self.reusable = self._parser.should_keep_alive() and self._transport.get_write_buffer_size() == 0
            self._done.set_result((status, b"".join(self._body)))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            framed = self._headers & {"content-length", "transfer-encoding"}
            if exc is None and self._headers_complete and not framed and self._parser is not None:
                self._done.set_result((self._parser.get_status_code(), b"".join(self._body)))
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


class Client:
    """Connections to the replicas, kept alive where they allow it."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], deque[_Connection]] = defaultdict(deque)
        self._all: set[_Connection] = set()
        self._fickle: set[tuple[str, int]] = set()
        """Who has closed a connection, unannounced, that was to be used again: nobody is asked twice on one."""
        self.in_flight = 0
        """Requests that have been sent and not been answered yet."""

    def forget(self, port: int) -> None:
        """A new process will listen there, which has nothing to do with the one before."""
        self._fickle = {peer for peer in self._fickle if peer[1] != port}

    async def warm(self, host: str, port: int, connections: int, timeout_s: float) -> None:
        """Have that many idle connections ready; those that cannot be opened are left to the requests to report."""
        self._idle[host, port] = deque(c for c in self._idle[host, port] if _is_fresh(c))
        missing = connections - len(self._idle[host, port])
        opened = await asyncio.gather(
            *(self._connect(host, port, timeout_s) for _ in range(missing)), return_exceptions=True
        )
        self._idle[host, port].extend(_put_down(c) for c in opened if isinstance(c, _Connection))

    async def request(self, host: str, port: int, request: bytes, timeout_s: float) -> Reply:
        """Send `request` (head and body) and wait for the reply; nothing that the peer does raises."""
        begun = time.monotonic_ns()
        connection = self._take_idle(host, port)
        used_before = connection is not None and connection.used
        if connection is None:
            try:
                connection = await self._connect(host, port, timeout_s)
            except TimeoutError:
                return Reply(
                    None, b"", f"no connection within {timeout_s:g} s", begun, time.monotonic_ns(), never_sent=True
                )
            except OSError as error:
                words = "connection refused" if isinstance(error, ConnectionRefusedError) else f"no connection: {error}"
                return Reply(None, b"", words, begun, time.monotonic_ns(), never_sent=True)
        sent = time.monotonic_ns()
        reply = connection.send(request)
        self.in_flight += 1
        try:
            async with asyncio.timeout(timeout_s):
                status, body = await reply
        except TimeoutError:
            connection.abort()
            return Reply(None, b"", f"no answer within {timeout_s:g} s", sent, time.monotonic_ns())
        except (ConnectionError, ValueError) as error:
            connection.abort()
            if used_before and isinstance(error, ConnectionError):
                self._fickle.add((host, port))
            return Reply(None, b"", str(error), sent, time.monotonic_ns())
        except asyncio.CancelledError:
            connection.abort()
            raise
        finally:
            self.in_flight -= 1
        received = time.monotonic_ns()
        connection.used = True
        if connection.reusable and connection.open and (host, port) not in self._fickle:
            self._idle[host, port].append(_put_down(connection))
        else:
            connection.abort()
        return Reply(status, body, None, sent, received)

    async def _connect(self, host: str, port: int, timeout_s: float) -> _Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            _, connection = await loop.create_connection(lambda: _Connection(self._all.discard), host, port)
        self._all.add(connection)
        return connection

    def _take_idle(self, host: str, port: int) -> _Connection | None:
        idle = self._idle[host, port]
        while idle:
            connection = idle.popleft()
            if _is_fresh(connection):
                return connection
        return None

    def close(self) -> None:
        for connection in list(self._all):
            connection.abort()
        self._idle.clear()


def _put_down(connection: _Connection) -> _Connection:
    connection.idle_since_ns = time.monotonic_ns()
    return connection


def _is_fresh(connection: _Connection) -> bool:
    """Whether an idle connection can be used; one that is too old is closed."""
    if connection.open and time.monotonic_ns() - connection.idle_since_ns > MAX_IDLE_S * 1e9:
        connection.abort()
    return connection.open


def encode(
    method: str, host: str, port: int, path: str, body: bytes | None, content_type: str,
    headers: Mapping[str, str] = NO_HEADERS,
) -> bytes:  # fmt: skip
    """The bytes of a request. `path` and `headers` are trusted: they are the challenge's."""
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", "Accept: application/json", "User-Agent: crucible"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        head += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + (body or b"")
