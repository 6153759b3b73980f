"""The load's own process, against servers that answer, stall, break and lie; and by hand, as Locust runs it."""

import asyncio
import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.answering import Answering, answering

from crucible.errors import CrucibleError, Fault
from crucible.judging import blocks
from crucible.load import runner
from crucible.load.block import Send as SendOf
from crucible.load.block import kept
from crucible.load.runner import Load, Sent
from crucible.processes.child import Child

pytestmark = pytest.mark.machine

ROOT = Path(__file__).parents[2]
LIMITER = ROOT / "challenge_templates" / "rate-limiter" / "hidden" / "load.py"
MINIMAL = """
from crucible.load.locust_user import Course, OpenModelUser, Send

class Minimal(OpenModelUser):
    def prepare(self, rng, rate, replicas, number):
        {prepare}
    def outcome(self, status, reply):
        {outcome}
"""


def send(
    folder: Path,
    urls: Sequence[str],
    *,
    rate: float = 100,
    loadfile: Path = LIMITER,
    shared: bool = True,
    count: int = 1,
    seconds: float = 1.0,
) -> list[Sent]:
    async def run() -> list[Sent]:
        load = await Load.start(loadfile, urls, folder, folder / "load.log", shared=shared)
        try:
            await load.prepare([(rate, seconds, f"seed/{index}") for index in range(count)])
            return [await load.send(index) for index in range(count)]
        finally:
            load.stop()

    return asyncio.run(run())


def total(sent: Sent) -> int:
    return sum(sent.outcomes.values())


def of(counts: tuple[tuple[int, int], ...]) -> int:
    return sum(count for _, count in counts)


def written(folder: Path, prepare: str, outcome: str = 'return "allowed"') -> Path:
    path = folder / "load.py"
    path.write_text(MINIMAL.format(prepare=prepare, outcome=outcome))
    return path


def test_every_request_is_sent_and_counted_once(tmp_path: Path) -> None:
    with answering() as one, answering() as two:
        first, second = send(tmp_path, [one.url, two.url], count=2)
        checks = [[path for method, path, _ in server.asked if method == "POST"] for server in (one, two)]
    assert total(first) + total(second) == sum(map(len, checks))
    assert abs(len(checks[0]) - len(checks[1])) <= 2
    assert first.outcomes == {"allowed": total(first)}
    assert of(first.latency_us) == of(first.lag_us) == total(first)
    assert of(first.unanswered_us) == 0
    assert 0.9e9 < first.ended_ns - first.started_ns < 1.5e9


@pytest.mark.parametrize(("shared", "copies"), [(True, 1), (False, 2)])
def test_limits_are_in_place_before_the_first_check(tmp_path: Path, shared: bool, copies: int) -> None:
    """On one replica where they share a store, and on each where they do not; once for all blocks."""
    with answering() as one, answering() as two:
        send(tmp_path, [one.url, two.url], shared=shared, count=2)
        asked = [*one.asked, *two.asked]
    puts = [path for method, path, _ in asked if method == "PUT"]
    assert len(puts) == copies * len(set(puts))
    last, first = (max(at for m, _, at in asked if m == "PUT"), min(at for m, _, at in asked if m == "POST"))
    assert first - last > 0.9


@pytest.mark.parametrize(("how", "at_least_us"), [("503", 1), ("close", 1), ("hang", 2_000_000), ("nonsense", 1)])
def test_whatever_is_no_answer_is_in_the_sample_all_the_same(tmp_path: Path, how: str, at_least_us: int) -> None:
    with answering(how) as server:
        (sent,) = send(tmp_path, [server.url], rate=60)
    assert sent.outcomes == {"unknown": total(sent)}
    assert of(sent.unanswered_us) == total(sent) > 30
    assert sent.unanswered_us[0][0] >= at_least_us * 0.99
    assert sent.latency_us == ()


def test_a_replica_that_does_not_listen_is_unanswered(tmp_path: Path) -> None:
    with answering() as gone:
        url = gone.url
    (sent,) = send(tmp_path, [url])
    assert sent.outcomes == {"unknown": total(sent)}


def test_latency_is_counted_from_the_moment_that_was_scheduled(tmp_path: Path) -> None:
    """The server takes one request at a time, 20 ms each: at 100/s they queue, and a closed model would not notice."""
    with answering() as server:
        taking = server.RequestHandlerClass
        server.RequestHandlerClass = _one_at_a_time(taking, 0.02)
        (sent,) = send(tmp_path, [server.url], rate=100)
    assert blocks.percentile(sent.latency_us, 99) > 300_000


def _one_at_a_time(base: Any, seconds: float) -> type:
    turn = threading.Lock()

    class Slow(base):  # type: ignore[misc]
        def do_POST(self) -> None:  # noqa: N802
            with turn:
                time.sleep(seconds)
            super().do_POST()

    return Slow


LINKS = """
from functools import partial
from crucible.load.locust_user import KeptFields, OpenModelUser, Send

class Links(OpenModelUser):
    def prepare(self, rng, rate, replicas, number):
        made = [Send("POST", "/links", {{"n": n}}, keep="code") for n in range({before})]
        def made_later(index: int, kept: KeptFields) -> Send:
            codes = kept["code"]
            return Send("GET", f"/{{codes[-1] if codes else 'none'}}")
        reads = [partial(made_later, index) for index in range(number - {within})]
        return made, [*(Send("POST", "/links", {{"block": n}}, keep="code") for n in range({within})), *reads]
    def outcome(self, status, reply):
        return "found" if status == 200 else "made"
"""


class Links(Answering):
    """Names each link that is made, as soon as `after` more were read, and keeps which were."""

    def __init__(self, code: str = "code-{}", after: int = 0) -> None:
        super().__init__("allow")
        taking, made, lock = self.RequestHandlerClass, itertools.count(), threading.Lock()
        self.read: list[str] = []
        self.over = False
        server = self

        class Naming(taking):  # type: ignore[misc, valid-type]
            def do_GET(self) -> None:  # noqa: N802
                if self.path != "/healthz":
                    server.read.append(self.path)
                super().do_GET()

            def do_POST(self) -> None:  # noqa: N802
                self._take()
                enough = len(server.read) + after
                while len(server.read) < enough and not server.over:
                    time.sleep(0.005)
                with lock:
                    self._say(201, {"code": code.format(next(made))})

        self.RequestHandlerClass = Naming


def linked(
    folder: Path, server: Links, *, before: int = 0, within: int = 0, count: int = 1, rate: float = 60,
    seconds: float = 1.0,
) -> list[Sent]:  # fmt: skip
    path = folder / "load.py"
    path.write_text(LINKS.format(before=before, within=within))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        return send(folder, [server.url], rate=rate, loadfile=path, count=count, seconds=seconds)
    finally:
        server.over = True
        server.shutdown()
        server.server_close()


COURSES = """
from crucible.load.locust_user import UNKNOWN, Came, Content, Course, Move, OpenModelUser, Send

class Courses(OpenModelUser):
    timeout_s = 1.0
    def prepare(self, rng, rate, replicas, number):
        def store(asks):
            begun = asks.ask(Send("POST", "/begin", {{}}))
            moved = asks.move(Move("PUT", {url!r}, {{"X-A": "b"}}, b"".join(Content(1, 50_000).pieces())))
            return Came("stored" if begun and moved and moved.status == 200 else UNKNOWN)
        def read(asks):
            moved = asks.move(Move("GET", "/content"))
            return Came("read", moved.first_byte_ns) if moved else Came(UNKNOWN)
        stores, reads = Course(store, label="upload"), Course(read, apart="first_byte")
        return [stores], [stores if n % 2 else reads for n in range(number)]
    def outcome(self, status, reply):
        raise AssertionError("a course says what it came to")
"""


def coursed(folder: Path, url: str) -> tuple[Sent, Answering]:
    path = folder / "load.py"
    with answering("allow") as server:
        path.write_text(COURSES.format(url=url.format(port=server.server_address[1])))
        return send(folder, [server.url], rate=40, loadfile=path)[0], server


def test_several_requests_count_as_one_and_some_are_told_apart(tmp_path: Path) -> None:
    sent, server = coursed(tmp_path, "http://localhost:{port}/put")
    number = sum(sent.outcomes.values())
    assert sent.outcomes.keys() == {"stored", "read"}
    assert sum(count for _, count in sent.latency_us) == sent.outcomes["stored"]
    assert sum(count for _, count in sent.apart_us["first_byte"]) == sent.outcomes["read"]
    puts = [path for method, path, _ in server.asked if method == "PUT"]
    assert puts == ["/put"] * (sent.outcomes["stored"] + 1), "and one that was put in place"
    assert 20 <= number <= 60


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/put", "http://example.com/put", "https://127.0.0.1:{port}/", "http://["]
)
def test_a_course_is_led_to_the_solution_or_a_service_of_its_own_and_nowhere_else(tmp_path: Path, url: str) -> None:
    sent, server = coursed(tmp_path, url)
    assert sent.outcomes.keys() == {"unknown", "read"}
    assert not [path for method, path, _ in server.asked if method == "PUT"]


def test_a_request_is_made_from_what_was_put_in_place(tmp_path: Path) -> None:
    server = Links()
    blocks_sent = linked(tmp_path, server, before=3, count=2)
    assert set(server.read) <= {"/code-0", "/code-1", "/code-2"}
    assert len(server.read) == sum(map(total, blocks_sent)) > 60


def test_a_request_is_made_from_an_earlier_answer_of_its_own_block_only(tmp_path: Path) -> None:
    server = Links(after=5)
    first, _ = linked(tmp_path, server, within=1, count=2, rate=20, seconds=3.0)
    reads = total(first) - 1
    assert set(server.read[:reads]) == {"/none", "/code-0"}
    assert set(server.read[reads:]) == {"/none", "/code-1"}


def test_what_is_due_is_sent_when_no_answer_is_there_yet(tmp_path: Path) -> None:
    server = Links(after=1_000)
    (sent,) = linked(tmp_path, server, within=1)
    assert set(server.read) == {"/none"}
    assert sent.outcomes == {"unknown": 1, "found": total(sent) - 1}


@pytest.mark.parametrize(
    ("code", "asked"),
    [("a b\r\nX: 1 {}", "/a%20b%0D%0AX:%201%200"), ("\u00e4{}", "/%C3%A40"), ("x" * 300, "/none"), ("", "/none")],
    ids=["another-line", "no-ascii", "too-long", "empty"],
)
def test_what_a_solution_names_is_no_more_than_a_path(tmp_path: Path, code: str, asked: str) -> None:
    server = Links(code)
    linked(tmp_path, server, before=1)
    assert set(server.read) == {asked}


@pytest.mark.parametrize(
    ("status", "reply", "text"),
    [
        (201, {"id": "a"}, "a"),
        (200, {"id": 7}, "7"),
        (200, {"id": True}, None),
        (200, {"id": 1.5}, None),
        (200, {"id": ["a"]}, None),
        (200, ["id"], None),
        (200, None, None),
        (302, {"id": "a"}, None),
        (404, {"id": "a"}, None),
    ],
)
def test_of_an_answer_a_text_or_a_whole_number_is_kept(status: int, reply: object, text: str | None) -> None:
    assert kept(SendOf("GET", "/", keep="id"), status, reply) == text
    assert kept(SendOf("GET", "/"), status, reply) is None


@pytest.mark.parametrize(
    ("prepare", "outcome", "what", "line"),
    [
        ("raise RuntimeError('oops')", "pass", "it raised RuntimeError: oops", 6),
        ("return 5", "pass", "it raised TypeError: cannot unpack", None),
        ("raise SystemExit", "pass", "it raised SystemExit: ", 6),
        ("return [], [lambda kept: kept.nothing] * number", "pass", "it raised AttributeError: ", 6),
        ("return [], [Send('POST', '/v1/check', 1)] * number", "return {}[status]", "it raised KeyError: 200", 8),
        ("import os; os._exit(3)", "pass", "it ended, or did not answer in time", None),
        (
            "return [Course(lambda asks: asks.nothing)], [Send('GET', '/')] * number",
            "pass",
            "it raised AttributeErr",
            6,
        ),
        ("return [], [Course(lambda asks: asks.nothing)] * number", "pass", "it raised AttributeError: ", 6),
    ],
)
def test_what_a_load_file_raises_is_told_with_its_place(
    tmp_path: Path, prepare: str, outcome: str, what: str, line: int | None
) -> None:
    with answering() as server, pytest.raises(CrucibleError, match=f": the load failed: {what}") as raised:
        send(tmp_path, [server.url], loadfile=written(tmp_path, prepare, outcome))
    assert raised.value.fault is Fault.AUTHOR
    assert str(raised.value.where).endswith("load.py" if line is None else f"load.py:{line}")
    assert ("Traceback" in (tmp_path / "load.log").read_text()) is what.startswith("it raised")


@pytest.mark.parametrize(("text", "line"), [("\n1 / 0", 2), ("import os\n\nx = 1 +", 3), ("import nothing_so", 1)])
def test_what_a_load_file_raises_when_it_is_read_is_told_with_its_place(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "load.py"
    path.write_text(text)
    with answering() as server, pytest.raises(CrucibleError) as raised:
        send(tmp_path, [server.url], loadfile=path)
    assert str(raised.value.where).endswith(f"load.py:{line}")


@pytest.mark.parametrize(
    "prepare", ["raise RuntimeError('oops')", "import os; os._exit(3)", "return 5", "print('{}'); raise SystemExit"]
)
def test_a_load_file_that_fails_is_the_authors(tmp_path: Path, prepare: str) -> None:
    with answering() as server, pytest.raises(CrucibleError) as raised:
        send(tmp_path, [server.url], loadfile=written(tmp_path, prepare))
    assert raised.value.fault is Fault.AUTHOR


@pytest.mark.parametrize(
    "text", ["", "import nothing_of_that_name", "x = 1 +", MINIMAL.format(prepare="pass", outcome="pass") * 2]
)
def test_a_load_file_without_a_user_is_the_authors(tmp_path: Path, text: str) -> None:
    path = tmp_path / "load.py"
    path.write_text(text.replace("class Minimal", "class Other", 1))
    with answering() as server, pytest.raises(CrucibleError) as raised:
        send(tmp_path, [server.url], loadfile=path)
    assert raised.value.fault is Fault.AUTHOR
    assert (tmp_path / "load.log").read_text() != ""


def test_what_a_load_file_prints_is_no_answer(tmp_path: Path) -> None:
    prepare = "print('{}'); return [], [Send('POST', '/v1/check', {'n': i}) for i in range(number)]"
    with answering() as server:
        (sent,) = send(tmp_path, [server.url], loadfile=written(tmp_path, prepare))
    assert sent.outcomes == {"allowed": total(sent)}


def test_an_interrupted_load_leaves_no_process(tmp_path: Path) -> None:
    async def run(server: Answering) -> int:
        load = await Load.start(LIMITER, [server.url], tmp_path, tmp_path / "load.log", shared=True)
        await load.prepare([(50, 60.0, "seed")])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await load.send(0)
        load.stop()
        return load.pid

    with answering() as server:
        pid = asyncio.run(run(server))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_what_tells_the_machines_speed_there_is_no_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn, spawned = runner._spawn, []

    def without(folder: Path, log: Path, *module: str) -> Child:
        spawned.append(spawn(folder, log, *("absent" if it == "crucible.load.pacer" else it for it in module)))
        return spawned[-1]

    monkeypatch.setattr(runner, "_spawn", without)
    with answering() as server, pytest.raises(CrucibleError, match="what tells the machine's speed did not") as told:
        send(tmp_path, [server.url])
    assert told.value.fault is Fault.CRUCIBLE
    assert [child.returncode is None for child in spawned] == [False, False]


def test_a_block_without_echoes_says_so(tmp_path: Path) -> None:
    async def run(server: Answering) -> list[Sent]:
        load = await Load.start(LIMITER, [server.url], tmp_path, tmp_path / "load.log", shared=True)
        try:
            await load.prepare([(50, 2.0, "seed/0"), (50, 0.5, "seed/1")])
            before = await load.send(0)
            os.kill(load.pacer_pid, signal.SIGKILL)
            return [before, await load.send(1)]
        finally:
            load.stop()

    with answering() as server:
        before, after = asyncio.run(run(server))
    assert before.echoes > 10
    assert after.echoes <= 1  # the last one may have been on its way
    assert total(after) > 10


LOCUST = [sys.executable, "-m", "locust", "-f", str(LIMITER), "--headless", "--rate", "80", "--block", "1"]


def statistics(folder: Path) -> dict[str, int]:
    with (folder / "of_stats.csv").open() as file:
        return {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}


def test_by_hand_it_is_an_ordinary_locustfile(tmp_path: Path) -> None:
    with answering() as server:
        command = [*LOCUST, "-u", "1", "-t", "5", "--host", server.url, "--csv", "of", "--loglevel", "INFO"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        checks = sum(method == "POST" for method, _, _ in server.asked)
    assert done.returncode == 0, done.stderr
    assert statistics(tmp_path)["/v1/check: allowed"] == pytest.approx(checks, abs=100)
    assert "ms late (median)" in done.stderr


def test_by_hand_a_course_is_one_of_the_requests_that_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "load.py"
    with answering("allow") as server:
        path.write_text(COURSES.format(url="/put"))
        command = [*LOCUST, "-u", "1", "-t", "5", "--host", server.url, "--csv", "of"]
        command[command.index(str(LIMITER))] = str(path)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        puts = sum(method == "PUT" for method, _, _ in server.asked)
    assert done.returncode == 0, done.stderr
    counted = statistics(tmp_path)
    assert counted["upload: stored"] == pytest.approx(puts, abs=100)
    assert counted["first_byte: read"] > 0


def test_by_hand_workers_share_one_schedule(tmp_path: Path) -> None:
    """Two workers send one block: together what one alone would, and each request once."""
    with answering() as server:
        port = str(server.server_address[1] + 1)
        common = [*LOCUST, "--parts", "2", "--host", server.url, "--master-port", port]
        workers = [
            subprocess.Popen([*common, "--worker"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(2)
        ]
        try:
            master = [
                *LOCUST, "--parts", "2", "--host", server.url, "--master", "--master-bind-port", port,
                "--expect-workers", "2", "-u", "2", "-r", "2", "-t", "4", "--csv", "of",
            ]  # fmt: skip
            done = subprocess.run(master, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        posts = [at for method, _, at in server.asked if method == "POST"]
    assert done.returncode == 0, done.stderr
    first_block = [at for at in posts if at < posts[0] + 0.9]
    assert len(first_block) == pytest.approx(0.9 * 80, rel=0.5)
    assert json.dumps(statistics(tmp_path)).count("/v1/check") >= 1
