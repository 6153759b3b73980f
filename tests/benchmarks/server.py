"""The server that the generators are measured with: `python server.py [stall options]`; prints its port.

It does as little as a server can, so that what is measured is the generator. `GET /log` says when each check arrived,
on which connection, and when the stalls were; `POST /reset` forgets that. Both are asked between measurements only.
"""

import argparse
import asyncio
import json
import math
import os
import time
from array import array
from collections.abc import Callable
from statistics import median
from typing import cast

import httptools
import uvloop


def _response(content: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


OK = _response(b"{}")
ALLOWED = _response(b'{"allowed": true, "remaining": 1}')


class Log:
    """What has arrived since the last reset, and the stalls: `stall_ms` in every `every_s`, from half of it on."""

    def __init__(self, answer_ms: float, stall_ms: float, every_s: float) -> None:
        self._answer_ns, self._stall_ns, self._every_ns = int(answer_ms * 1e6), int(stall_ms * 1e6), int(every_s * 1e9)
        self.at_once = not self._answer_ns and not self._stall_ns
        self._connections = 0
        self.reset()

    def reset(self) -> None:
        self.arrived, self.on, self.took = array("q"), array("q"), array("q")

    def connection(self) -> int:
        self._connections += 1
        return self._connections

    def arrival(self, connection: int) -> tuple[float, bool]:
        """Note a check; returns how many seconds later it is to be answered, and whether it waits for a stall's end."""
        now = time.monotonic_ns()
        self.arrived.append(now)
        self.on.append(connection)
        if self.at_once:
            return 0.0, False
        into = (now - self.arrived[0] - self._every_ns // 2) % self._every_ns
        waits = self._stall_ns - into if into < self._stall_ns and now - self.arrived[0] >= self._every_ns // 2 else 0
        return (waits + self._answer_ns) / 1e9, waits > 0

    def answered(self, arrived_ns: int) -> None:
        """Note how long one took that met no stall: a timer is exact to a millisecond."""
        self.took.append(time.monotonic_ns() - arrived_ns)

    def as_json(self) -> bytes:
        stalls = []
        if self._stall_ns and self.arrived:
            begin = self.arrived[0] + self._every_ns // 2
            while begin < self.arrived[-1]:
                stalls.append((begin, begin + self._stall_ns))
                begin += self._every_ns
        usual_ms = median(self.took) / 1e6 if self.took else 0.0
        log = {"arrived": self.arrived.tolist(), "on": self.on.tolist(), "stalls": stalls, "usual_ms": usual_ms}
        return json.dumps(log).encode()


class Connection(asyncio.Protocol):
    def __init__(self, log: Log) -> None:
        self._log = log
        self._number = log.connection()
        self._url = b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not instances of it

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        if self._url == b"/v1/check":
            later_s, stalled = self._log.arrival(self._number)
            if later_s:
                # uvloop's timers are exact to a millisecond or so, either way.
                rounded_s = math.ceil(later_s * 1000) / 1000
                now = None if stalled else time.monotonic_ns()
                asyncio.get_running_loop().call_later(rounded_s, self._answer_late, now)
            else:
                self._answer(ALLOWED)
        elif self._url == b"/log":
            self._answer(_response(self._log.as_json()))
        elif self._url == b"/reset":
            self._log.reset()
            self._answer(OK)
        else:
            self._answer(OK)  # /healthz, and limits, which this server does not look at

    def _answer_late(self, arrived_ns: int | None) -> None:
        if arrived_ns is not None:
            self._log.answered(arrived_ns)
        self._answer(ALLOWED)

    def _answer(self, response: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response)
            if not self._parser.should_keep_alive():
                self._transport.close()


async def serve(made: Callable[[], Connection]) -> None:
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # ends with the benchmark, also where the kernel does not see to it
        await asyncio.sleep(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--answer-ms", type=float, default=0.0)
    parser.add_argument("--stall-ms", type=float, default=0.0)
    parser.add_argument("--every-s", type=float, default=5.0)
    asked = parser.parse_args()
    log = Log(asked.answer_ms, asked.stall_ms, asked.every_s)
    uvloop.run(serve(lambda: Connection(log)))
