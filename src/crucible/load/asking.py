"""The load's HTTP: connections to each replica, and what one request was answered."""

import json
import time
from collections.abc import Sequence
from urllib.parse import SplitResult, urljoin, urlsplit

import gevent
from geventhttpclient import HTTPClient

from crucible.load.block import Answer, Move, MovedAnswer, Send

PIECE = 64 << 10
HERE = ("127.0.0.1", "localhost", "::1")
MOST_AT_ONCE = 4_000
"""Requests under way, beyond which one that is due counts as unanswered at once."""


class Replicas:
    """Those that a block is sent to."""

    def __init__(self, urls: Sequence[str], timeout_s: float, ports: Sequence[int] = ()) -> None:
        self._urls = list(urls)
        self._clients = [_client(url, timeout_s) for url in urls]
        elsewhere = {port: _client(f"http://127.0.0.1:{port}", timeout_s) for port in ports}
        own = {urlsplit(url).port or 80: client for url, client in zip(urls, self._clients, strict=True)}
        self._by_port = elsewhere | own

    def __len__(self) -> int:
        return len(self._clients)

    def close(self) -> None:
        for client in {*self._clients, *self._by_port.values()}:
            client.close()

    def ask(self, send: Send, body: bytes) -> Answer | None:
        """The answer; None where there was none. Never raises for anything the other side does."""
        headers = {**send.headers, "Content-Type": "application/json"} if body else dict(send.headers)
        try:
            response = self._clients[send.target].request(send.method, send.path, body=body, headers=headers)
            content = response.read()
        except gevent.Timeout:
            raise
        except Exception:  # each way in which a peer can fail has an exception of its own in this client
            return None
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError):
            reply = None
        return Answer(int(response.status_code), reply, len(content))

    def move(self, move: Move) -> MovedAnswer | None:
        """Likewise of a move; None, too, where its address is neither the solution's nor a service's."""
        try:
            parts = urlsplit(urljoin(self._urls[move.target], move.url))
            client = self._leads_to(parts)
            if client is None:
                return None
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {**move.headers, "Host": parts.netloc}
            response = client.request(move.method, target, body=move.body, headers=headers)
            first_byte_ns, received = time.monotonic_ns(), 0
            while piece := response.read(PIECE):
                received += len(piece)
        except gevent.Timeout:
            raise
        except Exception:  # as above, and what a solution says may be no address
            return None
        return MovedAnswer(int(response.status_code), received, first_byte_ns, str(response.get("location", "")))

    def _leads_to(self, parts: SplitResult) -> HTTPClient | None:
        if parts.scheme != "http" or parts.hostname not in HERE:
            return None
        return self._by_port.get(parts.port or 80)


def encoded(send: Send) -> bytes:
    """The body of a request."""
    return b"" if send.body is None else json.dumps(send.body).encode()


def _client(url: str, timeout_s: float) -> HTTPClient:
    parts = urlsplit(url)
    name = parts.hostname or "127.0.0.1"
    return HTTPClient(
        name, parts.port or 80, concurrency=MOST_AT_ONCE, connection_timeout=timeout_s, network_timeout=timeout_s,
        disable_ipv6=":" not in name,
    )  # fmt: skip
