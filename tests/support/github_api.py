"""A stand-in for GitHub's API that remembers what it was asked and given. What Prism, in CI, cannot say is here:
comments that stay, limits that end, rights that are missing."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    headers: dict[str, str]
    page: str
    """The address of the server, for answers that name others."""


Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
Route = Callable[[Asked, "re.Match[str]"], Answer]


@dataclass
class Api:
    """Routes by method and a pattern of the path; the first that matches answers."""

    routes: dict[tuple[str, str], Route] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def on(self, method: str, pattern: str, route: Route) -> None:
        self.routes[method, pattern] = route

    def answers(self, method: str, pattern: str, status: int, body: Any = None, **headers: str) -> None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.on(method, pattern, lambda asked, match: (status, body, names))

    def called(self, method: str) -> list[Asked]:
        return [it for it in self.asked if it.method == method]


@contextmanager
def github() -> Iterator[Api]:
    """A server on a free port of 127.0.0.1 while the block is open."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            there = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(content) if content else None
            asked = Asked(self.command, there.path, parse_qs(there.query), body, dict(self.headers), api.url)
            api.asked.append(asked)
            answer: Answer = (404, {"message": "Not Found"})
            for (method, pattern), route in api.routes.items():
                if method == self.command and (match := re.fullmatch(pattern, there.path)):
                    answer = route(asked, match)
                    break
            payload = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            for name, value in (answer[2] if len(answer) > 2 else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = do_PUT = _handle  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
