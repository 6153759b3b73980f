"""A small HTTP server of the tests' own: answers checks at once, and stalls or breaks where it is told to."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answering(ThreadingHTTPServer):
    """`how`: `allow`, `503`, `close` (without a word), `hang` (for 3 s), or `nonsense`. Keeps what it was asked."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, how: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.how = how
        self.asked: list[tuple[str, str, float]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Answering

    def do_GET(self) -> None:
        self._say(200, {})

    def do_PUT(self) -> None:
        self._take()
        self._say(200, {})

    def do_POST(self) -> None:
        self._take()
        match self.server.how:
            case "503":
                self._say(503, {})
            case "close":
                self.close_connection = True
            case "hang":
                time.sleep(3)
                self.close_connection = True
            case "nonsense":
                self._say(200, "no JSON object")
            case _:
                self._say(200, {"allowed": True, "remaining": 1})

    def _take(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, time.monotonic()))

    def _say(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def answering(how: str = "allow") -> Iterator[Answering]:
    server = Answering(how)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
