"""The load's HTTP: connections to each replica, and what one request was answered."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gevent
from geventhttpclient import HTTPClient

from crucible.load.block import Send

MOST_AT_ONCE = 4_000
"""Requests under way, beyond which one that is due counts as unanswered at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    reply: Any
    """Its JSON; None where it was none."""
    size: int


class Replicas:
    """Those that a block is sent to."""

    def __init__(self, urls: Sequence[str], timeout_s: float) -> None:
        self._clients = [_client(url, timeout_s) for url in urls]

    def __len__(self) -> int:
        return len(self._clients)

    def close(self) -> None:
        for client in self._clients:
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
