"""A process that echoes, started by `runner`: the CPU time that an echo takes says how fast the machine is just now.

A shared machine needs now more and now less CPU time for the same work, by a quarter and within seconds. A server
that waits for a socket, wakes up, answers and waits again feels that as a design's processes do. Ends with its
standard input.
"""

import asyncio
import sys

import uvloop


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]  # a stream's; uvloop's has no asyncio base class


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
