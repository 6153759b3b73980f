"""Small solutions in plain Python, written into a folder and graded as a learner's would be. No build, no packages."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from crucible.lab.leftovers import PREFIX

SERVER = """
import json, math, os, re, signal, sys, threading, time
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMITS, LOGS, LOCK = {}, defaultdict(deque), threading.Lock()

def whole(value, least):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= 2**53

def put(key, body):
    if not (isinstance(body, dict) and whole(body.get("limit"), 1) and whole(body.get("window_ms"), 100)):
        return 400, {}
    LIMITS[key] = body["limit"], body["window_ms"] / 1000
    return 200, {"limit": body["limit"], "window_ms": body["window_ms"]}

def forget():
    # two keys, whichever are next
    for _ in range(min(2, len(LOGS))):
        key, log = next(iter(LOGS.items()))
        del LOGS[key]
        if log and log[-1] > time.monotonic() - LIMITS[key][1]:
            LOGS[key] = log

def check(body):
    if not isinstance(body, dict) or not isinstance(body.get("key"), str) or not whole(body.get("cost", 1), 1):
        return 400, {}
    if body["key"] not in LIMITS:
        return 404, {}
    limit, window = LIMITS[body["key"]]
    forget()
    log, now, cost = LOGS[body["key"]], time.monotonic(), body.get("cost", 1)
    while log and log[0] <= now - window:
        log.popleft()
    if len(log) + cost > limit:
        wait = log[min(len(log), len(log) + cost - limit) - 1] + window - now if log else window
        return 429, {"allowed": False, "retry_after_ms": max(1, math.ceil(wait * 1000))}
    log.extend([now] * cost)
    return 200, {"allowed": True, "remaining": limit - len(log)}

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def body(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if len(raw) > 65536 or "json" not in self.headers.get("Content-Type", ""):
            return None
        def refuse(word):
            raise ValueError(word)
        try:
            return json.loads(raw, parse_constant=refuse)
        except (ValueError, RecursionError):
            return None

    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(200, {})
        key = self.path.rsplit("/", 1)[1]
        if key not in LIMITS:
            return self.answer(404, {})
        with LOCK:
            limit, window = LIMITS[key]
            used = sum(at > time.monotonic() - window for at in LOGS.get(key, ()))
        self.answer(200, {"used": used, "limit": limit, "window_ms": int(window * 1000)})

    def do_PUT(self):
        self.answer(*put(self.path.rsplit("/", 1)[1], self.body()))

    def do_POST(self):
        with LOCK:
            status, body = check(self.body())
        self.answer(status, body)

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True
"""
HIDES = """
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    if os.getuid() >= 61184: os.chdir("/")
    os.execve("/bin/sleep", ["sleep", DURATION], {} if os.getuid() >= 61184 else os.environ)
"""
"""Leaves a process in a session of its own. That of an isolated solution keeps nothing by which to tell whose it is:
neither its folder nor its environment."""
DEADLINE_S = 180
"""After which a command that has not ended is a failed test."""
START = 'Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()\n'
GOOD = SERVER + START
"""A sliding log in the process: passes every gate."""


def write_solution(folder: Path, program: str = GOOD, **changes: str) -> Path:
    """A solution whose web process is `program`; `changes` replace or add top-level lines of crucible.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(textwrap.dedent(program))
    lines = {
        "challenge": "rate-limiter",
        "processes": "{web: {command: python3 app.py}}",
        "services": "[]",
        **changes,
    }
    (folder / "crucible.yaml").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return folder


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A short one, since sockets lie in it and their paths have a limit."""
    folder = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start_crucible(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """`crucible …` in a process group of its own, as a shell would start it."""
    return _start(arguments, environment, None)


def crucible(*arguments: str, **environment: str) -> Finished:
    return _finish(_start(arguments, environment, None))


def crucible_after(change: Callable[[], object], *arguments: str, **environment: str) -> Finished:
    """`crucible …` in a process that `change` has been called in: to another user, or to other habits."""
    return _finish(_start(arguments, environment, change))


def _start(
    arguments: tuple[str, ...], environment: dict[str, str], before: Callable[[], object] | None
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "crucible.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "100", **environment},
        start_new_session=True,
        preexec_fn=before,
    )


def _finish(process: "subprocess.Popen[str]") -> Finished:
    out, err = process.communicate(timeout=DEADLINE_S)
    return Finished(process.returncode, out, err)


def left_behind(base: Path) -> list[str]:
    """Processes that belong to a run below the temporary folder `base`, and folders of runs."""
    found = [str(path) for path in base.glob(f"{PREFIX}*")]
    for process in psutil.process_iter():
        try:
            if any(
                str(base) in part for part in (*process.cmdline(), process.environ().get("HOME", ""), process.cwd())
            ):
                found.append(f"{process.pid} {process.status()} {process.cmdline()}")
        except psutil.Error:
            continue
    return found


def hides(duration: str) -> str:
    """Statements that leave a process behind which `sleeping` finds."""
    return HIDES.replace("DURATION", repr(duration))


def sleeping(duration: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cmdline() == ["sleep", duration]:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def listing(folder: Path) -> dict[str, bytes]:
    """Every file of a learner's folder but the results, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".crucible" not in path.parts
    }
