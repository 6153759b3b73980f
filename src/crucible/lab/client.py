"""The grader's own HTTP/1.1 client: no retries, no redirects, and every way a peer can misbehave becomes a `Reply`.

A hidden retry would destroy the account of what is unknown, so there is none, not even on a stale connection.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from crucible.lab.connection import Connection

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
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those of the answer that can be judged."""


class Client:
    """Connections to the replicas, kept alive where they allow it."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], deque[Connection]] = defaultdict(deque)
        self._all: set[Connection] = set()
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
        self._idle[host, port].extend(_put_down(c) for c in opened if isinstance(c, Connection))

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
                answer = await reply
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
        return Reply(answer.status, answer.body, None, sent, received, headers=answer.headers)

    async def _connect(self, host: str, port: int, timeout_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            _, connection = await loop.create_connection(lambda: Connection(self._all.discard), host, port)
        self._all.add(connection)
        return connection

    def _take_idle(self, host: str, port: int) -> Connection | None:
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


def _put_down(connection: Connection) -> Connection:
    connection.idle_since_ns = time.monotonic_ns()
    return connection


def _is_fresh(connection: Connection) -> bool:
    """Whether an idle connection can be used; one that is too old is closed."""
    if connection.open and time.monotonic_ns() - connection.idle_since_ns > MAX_IDLE_S * 1e9:
        connection.abort()
    return connection.open
