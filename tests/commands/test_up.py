"""Work by hand: where everything is, a request for each route, and a save that starts it again."""

import http.client
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.solutions import GOOD, left_behind, start_crucible, temporary_folder, write_solution

from crucible.planning import challenges
from crucible.planning.contract import read_routes
from crucible.processes.ports import free_port

WITHIN_S = 30.0


class Screen:
    """What a running `crucible up` has printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.lines: list[str] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())

    def until(self, text: str) -> None:
        end = time.monotonic() + WITHIN_S
        while not any(text in line for line in self.lines):
            assert time.monotonic() < end, f"{text} is not in {self.lines}"
            assert self._process.poll() is None, self.lines
            time.sleep(0.05)


@contextmanager
def up(folder: Path, *arguments: str) -> Iterator[Screen]:
    with temporary_folder() as base:
        process = start_crucible("up", str(folder), *arguments, TMPDIR=str(base))
        try:
            yield Screen(process)
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=WITHIN_S)
        assert said == ""
        assert left_behind(base) == []


def asked(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.machine
def test_ports_of_ones_choice_logs_and_a_save(tmp_path: Path) -> None:
    folder, port = write_solution(tmp_path / "s", "print('first', flush=True)\n" + GOOD), free_port()
    with up(folder, "--port", str(port), "--logs") as screen:
        screen.until("Ctrl-C ends it.")
        assert any(line.startswith(f"web.0  http://127.0.0.1:{port}") for line in screen.lines)
        assert any(line.startswith(f"curl -i -X POST http://127.0.0.1:{port}/v1/check -H") for line in screen.lines)
        assert asked(port) == 200
        screen.until("web.0 | first")
        (folder / "app.py").write_text("print('second', flush=True)\n" + GOOD)
        screen.until("started")
        screen.until("web.0 | second")
        assert asked(port) == 200


@pytest.mark.machine
def test_a_save_that_breaks_it_is_told_and_the_next_one_mends_it(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s")
    with up(folder) as screen:
        screen.until("Ctrl-C ends it.")
        (folder / "app.py").write_text("raise SystemExit('no configuration')\n")
        screen.until("ended with status 1 before it answered GET /healthz")
        screen.until("| no configuration")
        (folder / "app.py").write_text(GOOD)
        screen.until("started")


def test_a_request_for_each_route_can_be_pasted() -> None:
    routes = {
        slug: [
            route.curl("http://127.0.0.1:8000") for route in read_routes(challenges.find(slug, {}, where="x").folder)
        ]
        for slug in ("rate-limiter", "notification-service")
    }
    put, check, usage = routes["rate-limiter"]
    assert put.startswith("curl -i -X PUT http://127.0.0.1:8000/v1/limits/1 -H 'Content-Type: application/json' -d ")
    assert check.endswith("""-d '{"key": "caller:42", "cost": 1}'""")
    assert usage == "curl -i -X GET http://127.0.0.1:8000/v1/usage/1"
    assert "-H 'Idempotency-Key: 1'" in routes["notification-service"][0]
