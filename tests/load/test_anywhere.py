"""A challenge's load, aimed at what is no lab: any server of anybody's."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.solutions import crucible, write_solution

from crucible.commands import load
from crucible.errors import CrucibleError
from crucible.load.runner import Sent

SENT = Sent(0, 10**9, {"allowed": 2, "unknown": 1}, ((1_000, 1), (2_000, 1)), ((2_000_000, 1),), ((100, 3),), 0)


class Deployment(BaseHTTPRequestHandler):
    """Allows everything, after it has been told."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b'{"allowed": true, "remaining": 1}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Deployment) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.machine
@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_is_sent_by_so_many_workers_as_one(tmp_path: Path, url: str, workers: str) -> None:
    folder = write_solution(tmp_path / "s")
    done = crucible("load", str(folder), "--url", url, "--rate", "100", "--seconds", "2", "--workers", workers)
    assert done.code == 0, done.out + done.err
    requests = int(done.out.split(" requests")[0])
    assert 130 < requests < 270, "a Poisson process of 200"
    assert f"{requests} allowed; 0 had no answer" in done.out
    assert "99 % were answered within " in done.out


@pytest.mark.machine
def test_what_is_no_url_is_told(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s")
    done = crucible("load", str(folder), "--url", "localhost:8000", "--rate", "1")
    assert (done.code, "is no http:// URL" in done.err) == (1, True)


def test_histograms_are_merged() -> None:
    found = load.told([SENT, SENT, Sent(0, 1, {"allowed": 1}, ((5_000, 1),), (), ((200, 1),), 0)])
    assert (found.sent, found.outcomes, found.unanswered) == (7, {"allowed": 5, "unknown": 2}, 2)
    assert found.answered_ms == {50: 2.0, 90: 5.0, 99: 5.0, 99.9: 5.0, 100: 5.0}
    assert found.late_ms == 0.2


def test_nothing_answered_has_no_percentiles() -> None:
    assert load.told([Sent(0, 1, {"unknown": 1}, (), ((2_000_000, 1),), ((1, 1),), 0)]).answered_ms == {}


def test_a_folder_without_a_solution_is_told(tmp_path: Path) -> None:
    with pytest.raises(CrucibleError, match="there is no crucible"):
        load.load(load.Wanted(tmp_path, ("http://127.0.0.1:1",), 1, 1), {})
