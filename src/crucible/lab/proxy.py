"""The lab network's own process: TCP proxies that delay, count and fail. `network.Network` starts and commands it.

One listener ("link") for each instance and service, so that traffic has an owner. Commands are JSON lines on standard
input, each answered by one JSON line; the end of standard input ends the process.
"""

import asyncio
import json
import resource
import sys
from contextlib import suppress
from functools import partial
from typing import Any

import uvloop

from crucible.lab.link import Link
from crucible.lab.pipe import Pipe


class Proxies:
    """Every link, by `service/instance`, and the commands that act on them."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    async def command(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"do": "link", "name": name, "service": service, "upstream": upstream, "delay_ms": delay_ms}:
                link = self._links[name] = Link(service, upstream, delay_ms / 1000)
                await link.listen(partial(Pipe, link, None))
                return {"port": link.port}
            case {"do": "delay", "service": service, "delay_ms": delay_ms, "instance": instance}:
                for link in self._of(service, instance):
                    link.delay_s = delay_ms / 1000
                return {}
            case {"do": "strike", "service": service, "kind": kind, "most": most}:
                for link in self._of(service):
                    await link.strike(kind, most)
                return {}
            case {"do": "heal", "service": service}:
                named = {name: link for name, link in self._links.items() if link.service == service}
                return {name: await link.heal(partial(Pipe, link, None)) for name, link in named.items()}
            case {"do": "reset", "service": service}:
                return {"connections_reset": sum(link.reset_all() for link in self._of(service))}
            case {"do": "ways", "service": service}:
                links = self._of(service)
                ports = sorted(set().union(*(link.ports for link in links)))
                return {"ports": ports, "open": sum(link.passed_on for link in links)}
            case {"do": "count"}:
                return {name: link.counters() for name, link in self._links.items()}
            case _:
                return {"error": f"unknown command {request}"}

    def _of(self, service: str, instance: str | None = None) -> list[Link]:
        """Every way to a service, or that of one instance."""
        alone = f"{service}/{instance}"
        return [
            link for name, link in self._links.items()
            if link.service == service and (instance is None or name == alone)
        ]  # fmt: skip


def take_all_descriptors() -> None:
    """A hung service keeps every connection that its clients have given up; the usual limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says unlimited, and means less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    proxies = Proxies()
    while line := await reader.readline():
        answer = await proxies.command(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    take_all_descriptors()
    uvloop.run(serve())
