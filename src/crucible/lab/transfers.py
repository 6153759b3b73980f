"""A transfer: a body that is sent, and an answer that is read, as it goes. Nothing that the other side does raises.

The other side may answer before it has everything, stop reading, or go away; what is known becomes a `Transferred`.
"""

import asyncio
import hashlib
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httptools

from crucible.check import Transfer
from crucible.content import PIECE
from crucible.evidence import Moved
from crucible.lab import untrusted
from crucible.lab.client import Reply
from crucible.lab.connection import ReplyHead

KEPT = 64 << 10
"""Bytes of an answer in JSON that are kept."""
LARGEST_HEAD = 256 << 10
"""Bytes of an answer's head, with those of the interim ones before it."""
SLOW_PIECE, SLOW_BUFFER = 8 << 10, 32 << 10
"""What a slow client reads or writes at a time, and what its socket takes for it meanwhile."""
HERE = frozenset({"127.0.0.1", "localhost", "::1"})
OWN = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"""Headers that are the client's own affair."""
_LEGAL_URL = re.compile(r"[\x21-\x7e]+", re.ASCII)
_LEGAL_NAME, _LEGAL_VALUE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request goes."""

    host: str
    port: int
    authority: str
    """As it is in the address, which may be signed."""
    target: str
    """Path and query."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """What came back, and what went to and fro."""

    reply: Reply
    moved: Moved


def address(url: str, base: str) -> Address | None:
    """Where `url`, which a solution said, leads from `base`; None where it is no address on this machine."""
    if not _LEGAL_URL.fullmatch(url):
        return None
    try:
        parts = urlsplit(urljoin(base, url))
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http" or host not in HERE or parts.username is not None:
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(host, port, parts.netloc, target)


def head(transfer: Transfer, place: Address) -> bytes | None:
    """The head of the request; None where a header cannot be sent."""
    given = {name: value for name, value in transfer.headers.items() if name.lower() not in OWN}
    if not all(_LEGAL_NAME.fullmatch(name) and _LEGAL_VALUE.fullmatch(value) for name, value in given.items()):
        return None
    lines = [f"{transfer.method} {place.target} HTTP/1.1", f"Host: {place.authority}", "User-Agent: crucible"]
    lines += ["Connection: close", *(f"{name}: {value}" for name, value in given.items())]
    if transfer.sends is not None:
        lines.append(f"Content-Length: {transfer.sends.size if transfer.length is None else transfer.length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def transfer(asked: Transfer, place: Address, head: bytes) -> Transferred:
    """Make the request, on a connection of its own."""
    begun, exchange = time.monotonic_ns(), _Exchange(asked)
    try:
        async with asyncio.timeout(asked.timeout_s):
            sock = await _connected(place, slow=asked.takes_per_s is not None)
            reader, writer = await asyncio.open_connection(sock=sock, limit=PIECE)
    except (TimeoutError, OSError) as error:
        words = "connection refused" if isinstance(error, ConnectionRefusedError) else f"no connection: {error}"
        reply = Reply(None, b"", words, begun, time.monotonic_ns(), never_sent=True)
        return Transferred(reply, exchange.moved())
    sent_ns = time.monotonic_ns()
    trouble: str | None = None
    try:
        async with asyncio.timeout(asked.timeout_s):
            trouble = await exchange.run(reader, writer, head)
    except TimeoutError:
        trouble = f"no whole answer within {asked.timeout_s:g} s"
    finally:
        writer.transport.abort() if trouble != LEFT else writer.close()
    status = exchange.status if trouble is None else None
    if trouble is not None and exchange.status is not None:
        trouble = f"answered {exchange.status}, and then: {trouble}"
    headers = untrusted.headers(exchange.headers)
    reply = Reply(status, exchange.kept(headers), trouble, sent_ns, time.monotonic_ns(), headers=headers)
    return Transferred(reply, exchange.moved())


LEFT = "the client went away, as it was meant to"


async def _connected(place: Address, *, slow: bool) -> socket.socket:
    host = "::1" if place.host == "::1" else "127.0.0.1"
    sock = socket.socket(socket.AF_INET6 if host == "::1" else socket.AF_INET)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if slow:  # before the connection, or the kernel reads on for the client by the megabyte
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
        await asyncio.get_running_loop().sock_connect(sock, (host, place.port))
    except BaseException:
        sock.close()
        raise
    return sock


class _Exchange(ReplyHead):
    """One request and its answer."""

    def __init__(self, asked: Transfer) -> None:
        super().__init__()
        self._asked = asked
        self._parser = httptools.HttpResponseParser(self)
        self._digest = hashlib.sha256()
        self._body = bytearray()
        self._sent = self._received = 0
        self._first_ns: int | None = None
        self._complete = False
        self.status: int | None = None

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> str | None:
        """Why there is no whole answer; None where there is one."""
        sending = asyncio.ensure_future(self._send(writer, head))
        reading = asyncio.ensure_future(self._read(reader))
        try:
            await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and sending.result():
                return LEFT
            return await reading
        finally:
            for task in (sending, reading):
                task.cancel()
            await asyncio.gather(sending, reading, return_exceptions=True)

    async def _send(self, writer: asyncio.StreamWriter, head: bytes) -> bool:
        """Whether the client has gone away in the middle of it."""
        with suppress(ConnectionError):  # the other side has gone, or hears no more; it may have answered
            if self._asked.sends is None:
                write(writer, head)
                await writer.drain()
                return False
            return await self._send_body(writer, head)
        return False

    async def _send_body(self, writer: asyncio.StreamWriter, head: bytes) -> bool:
        """The head goes with the first bytes, or a server that answers and leaves at once resets what it has said."""
        asked, begun = self._asked, asyncio.get_running_loop().time()
        assert asked.sends is not None
        for whole in asked.sends.pieces(end=asked.cut_at):
            step = SLOW_PIECE if asked.sends_per_s is not None else len(whole)
            for start in range(0, len(whole), step):
                piece = whole[start : start + step]
                write(writer, head + piece)
                head = b""
                await writer.drain()
                self._sent += len(piece)
                await _keep_pace(begun, self._sent, asked.sends_per_s)
        if head:
            write(writer, head)
            await writer.drain()
        return asked.cut_at is not None

    async def _read(self, reader: asyncio.StreamReader) -> str | None:
        begun, step = None, SLOW_PIECE if self._asked.takes_per_s is not None else PIECE
        room = LARGEST_HEAD
        while not self._complete:
            try:
                data = await reader.read(step)
            except ConnectionError:
                return "the connection was reset"
            if not data:
                return self._end()
            try:
                self._feed(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                return f"not HTTP: {error}"
            room -= 0 if self.head_complete else len(data)
            if room < 0:
                return f"a head of more than {LARGEST_HEAD >> 10} KiB"
            begun = begun or asyncio.get_running_loop().time()
            await _keep_pace(begun, self._received, self._asked.takes_per_s)
            if self._asked.leaves_at is not None and self._received >= self._asked.leaves_at:
                return LEFT
        return None

    def _feed(self, data: bytes) -> None:
        """An answer to HEAD has no body, whatever its head says; what follows all the same is counted."""
        if self._asked.method == "HEAD" and self.head_complete:
            self.on_body(data)
        elif self._asked.method == "HEAD":
            self._body += data
            before, end, after = bytes(self._body).partition(b"\r\n\r\n")
            if end:
                self._body.clear()
                self._parser.feed_data(before + end)
                self.head_complete = True
                if after:
                    self.on_body(after)
        else:
            self._parser.feed_data(data)

    def _end(self) -> str | None:
        """The other side has closed the connection."""
        if self.head_complete and (self._asked.method == "HEAD" or not self.framed):
            self._complete = True
            return None
        return "the connection was closed in the middle of the answer" if self.status else "closed before any answer"

    def on_message_begin(self) -> None:
        self.forget_head()

    def on_headers_complete(self) -> None:
        if not 100 <= self._parser.get_status_code() < 200:
            self.head_complete = True
            self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._first_ns = self._first_ns or time.monotonic_ns()
        self._received += len(body)
        self._digest.update(body)
        if len(self._body) < KEPT:
            self._body += body[: KEPT - len(self._body)]

    def on_message_complete(self) -> None:
        self._complete = self.head_complete

    def kept(self, headers: Mapping[str, str]) -> bytes:
        """The answer, where it is JSON and small."""
        whole = self._complete and self._received <= KEPT and "json" in headers.get("content-type", "")
        return bytes(self._body) if whole else b""

    def moved(self) -> Moved:
        return Moved(self._sent, self._received, self._digest.hexdigest(), self._complete, self._first_ns)


def write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Raises ConnectionError where the connection has just gone, which uvloop tells by a RuntimeError."""
    if writer.transport.is_closing():
        raise ConnectionResetError
    writer.write(data)


async def _keep_pace(begun: float, done: int, per_s: int | None) -> None:
    if per_s is not None:
        await asyncio.sleep(max(0.0, begun + done / per_s - asyncio.get_running_loop().time()))
