"""What a scenario can do to a running solution and its services, seen from outside, and the events that prove it."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.peers import eventually, gone
from support.solutions import temporary_folder, write_solution

from crucible.check import Call, NetworkFault, Suite
from crucible.evidence import FaultEvent, Op, Result
from crucible.lab import faults
from crucible.lab.instance import Running
from crucible.lab.lab import RunningLab, open_lab
from crucible.lab.observer import Observer
from crucible.planning.plan import make_plan
from crucible.planning.solution import read_solution
from crucible.processes.child import adopt_orphans

pytestmark = pytest.mark.machine

T = TypeVar("T")
NEVER = Retry(NoBackoff(), 0)
WEB = """
    import json, os, signal, socket, subprocess, sys, threading, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from urllib.parse import urlsplit

    CHILD = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(4721)"], start_new_session=True)

    def count():
        url = urlsplit(os.environ["REDIS_URL"])
        with socket.create_connection((url.hostname, url.port), timeout=0.3) as connection:
            connection.sendall(b"INCR n\\r\\n")
            answer = connection.recv(100)
        if not answer:
            raise EOFError
        return int(answer[1:])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            match self.path:
                case "/slow":
                    time.sleep(0.7)
                    self.answer(200)
                case "/count":
                    try:
                        self.answer(200, n=count())
                    except (OSError, EOFError) as error:
                        self.answer(503, why=type(error).__name__)
                case _:
                    self.answer(200, pids=[os.getpid(), CHILD.pid], marked=os.path.exists("mark"))

        def do_POST(self):
            open("mark", "w").close()
            self.answer(200)

        def answer(self, status, **content):
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = False  # so that those that answer are waited for

    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(0.05)
    server.server_close()
"""
WORKER = "trap '' TERM; while :; do sleep 0.02; done"
"""Ignores what asks it to end, and forks all the time."""


@dataclass(frozen=True)
class Grader:
    """A lab and the loop that it lives in; what a test does to it is observed as one scenario's."""

    lab: RunningLab
    runner: asyncio.Runner

    def observe(self, work: Callable[[Observer], Coroutine[Any, Any, T]]) -> tuple[T, tuple[FaultEvent, ...]]:
        """Let a scenario work; what it returns, and the events of its recording."""

        async def watched() -> tuple[T, tuple[FaultEvent, ...]]:
            observer = Observer(self.lab, "scenario", "fault")
            with self.lab.watched(observer.happened):
                result = await work(observer)
            return result, observer.recording(None).events

        return self.runner.run(watched())

    def run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.runner.run(awaited())


@pytest.fixture(scope="module")
def booted() -> Iterator[Grader]:
    """Two replicas, a worker, and both services; this process adopts orphans meanwhile, as a grader does."""
    adopt_orphans()
    with temporary_folder() as folder, asyncio.Runner() as runner:
        solution = write_solution(
            folder / "solution", WEB, services="[postgres, redis]",
            processes="{web: {command: python3 app.py}, worker: {command: sh worker.sh}}",
        )  # fmt: skip
        (solution / "worker.sh").write_text(WORKER)
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        opened = open_lab(make_plan(read_solution(solution, {}), Suite((), ()), seed=1), folder / "logs", environ)
        lab = runner.run(opened.__aenter__())
        try:
            runner.run(lab.boot())
            yield Grader(lab, runner)
        finally:
            runner.run(opened.__aexit__(None, None, None))
            ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


@pytest.fixture
def grader(booted: Grader) -> Iterator[Grader]:
    """The lab, whole again after each test."""
    yield booted
    booted.run(booted.lab.revive())


def get(target: str, path: str = "/me", timeout_s: float = 30) -> Call:
    return Call(target, "GET", path, timeout_s=timeout_s)


async def pids(observer: Observer, target: str) -> list[int]:
    """The process itself, and its child in a session of its own."""
    return list(map(int, said(await observer.call(get(target)), "pids")))


def said(op: Op, name: str) -> Any:
    assert isinstance(op.reply, dict), op
    return op.reply[name]


async def in_flight(observer: Observer, number: int) -> None:
    async with asyncio.timeout(10):
        while observer.in_flight < number:
            await asyncio.sleep(0.002)


def the(kind: str, events: tuple[FaultEvent, ...]) -> FaultEvent:
    """The only event of that kind."""
    (event,) = (event for event in events if event.kind == kind)
    assert event.until_ns is not None
    assert event.at_ns <= event.until_ns
    return event


def test_a_kill_ends_the_whole_tree_and_lets_the_others_be(grader: Grader) -> None:
    async def scenario(observer: Observer) -> tuple[list[int], Op, Op]:
        victims = await pids(observer, "web.0")
        await observer.kill("web.0")
        return victims, await observer.call(get("web.0")), await observer.call(get("web.1"))

    (victims, dead, alive), events = grader.observe(scenario)
    assert all(gone(pid) for pid in victims)
    assert (dead.result, dead.error) == (Result.REFUSED, "connection refused")
    assert alive.result is Result.OK
    assert [event.kind for event in events] == ["kill"], "a death that was caused is not told as one that happened"
    event = the("kill", events)
    assert (event.subject, event.detail["status"], event.detail["requests_in_flight"]) == ("web.0", -9, 0)
    assert int(str(event.detail["further_processes"])) >= 1


def test_a_kill_leaves_what_was_in_flight_unknown_and_counts_it(grader: Grader) -> None:
    async def scenario(observer: Observer) -> list[Op]:
        asked = [asyncio.ensure_future(observer.call(get("web.1", "/slow"))) for _ in range(3)]
        await in_flight(observer, 3)
        await observer.kill("web.1")
        return list(await asyncio.gather(*asked))

    ops, events = grader.observe(scenario)
    assert [op.result for op in ops] == [Result.UNKNOWN] * 3
    assert the("kill", events).detail["requests_in_flight"] == 3


def test_everything_can_be_killed_and_started_at_once(grader: Grader) -> None:
    async def scenario(observer: Observer) -> tuple[list[int], list[Op]]:
        everything = observer.instances
        before = [pid for name in observer.replicas for pid in await pids(observer, name)]
        await observer.kill(*everything)
        dead = [pid for pid in before if gone(pid)]
        assert dead == before
        assert all(grader.lab.instances[name].pid is None for name in everything)
        await observer.start(*everything)
        return before, [await observer.call(get(name)) for name in observer.replicas]

    (before, ops), events = grader.observe(scenario)
    assert [op.result for op in ops] == [Result.OK] * 2
    assert not {pid for op in ops for pid in said(op, "pids")} & set(before)
    names = ["web.0", "web.1", "worker.0"]
    assert [(event.kind, event.subject) for event in events] == [
        *(("kill", name) for name in names),
        *(("start", name) for name in names),
    ]
    assert grader.lab.instances["worker.0"].pid is not None


def test_a_start_gives_a_fresh_working_copy_at_the_same_address(grader: Grader) -> None:
    async def scenario(observer: Observer) -> list[bool]:
        port = grader.lab.web["web.0"].port
        await observer.call(Call("web.0", "POST", "/mark"))
        marked = [said(await observer.call(get("web.0")), "marked")]
        await observer.kill("web.0")
        await observer.start("web.0")
        assert grader.lab.web["web.0"].port == port
        return [*marked, said(await observer.call(get("web.0")), "marked")]

    marked, events = grader.observe(scenario)
    assert marked == [True, False]
    assert the("start", events).subject == "web.0"


def test_a_termination_lets_the_process_finish_and_ends_what_it_leaves(grader: Grader) -> None:
    async def scenario(observer: Observer) -> tuple[list[int], Op, Op]:
        victims = await pids(observer, "web.0")
        last = asyncio.ensure_future(observer.call(get("web.0", "/slow")))
        await in_flight(observer, 1)
        await observer.terminate("web.0", grace_s=30)
        return victims, await last, await observer.call(get("web.0"))

    (victims, last, late), events = grader.observe(scenario)
    assert (last.result, last.status) == (Result.OK, 200)
    assert late.error == "connection refused"
    assert all(gone(pid) for pid in victims)
    assert [event.kind for event in events] == ["terminate"]
    detail = the("terminate", events).detail
    assert detail == {"status": 0, "killed_after_grace": 1, "requests_in_flight": 1}, "the child in its own session"


def test_who_ignores_a_termination_is_killed_after_the_grace(grader: Grader) -> None:
    async def scenario(observer: Observer) -> int | None:
        pid = grader.lab.instances["worker.0"].pid
        await observer.terminate("worker.0", grace_s=0.3)
        return pid

    pid, events = grader.observe(scenario)
    assert pid is not None
    assert gone(pid)
    event = the("terminate", events)
    assert event.detail["status"] is None
    assert int(str(event.detail["killed_after_grace"])) >= 1
    assert (event.until_ns or 0) - event.at_ns >= 300_000_000


def test_who_is_paused_takes_a_connection_and_answers_when_it_goes_on(grader: Grader) -> None:
    async def scenario(observer: Observer) -> tuple[Op, Op, Op]:
        everyone = await pids(observer, "web.0")
        async with observer.paused("web.0"):
            await asyncio.to_thread(eventually, lambda: all(map(is_stopped, everyone)), what="the pause")
            hung = await observer.call(get("web.0", timeout_s=0.2))
            patient = asyncio.ensure_future(observer.call(get("web.0")))
            await in_flight(observer, 1)
            other = await observer.call(get("web.1"))
            assert not patient.done()
        late = await patient
        assert not any(map(is_stopped, everyone))
        return hung, other, late

    (hung, other, late), events = grader.observe(scenario)
    assert (hung.result, hung.error) == (Result.UNKNOWN, "no answer within 0.2 s")
    assert other.result is Result.OK
    assert late.result is Result.OK
    event = the("pause", events)
    assert (event.subject, event.detail) == ("web.0", {"processes": 2, "requests_in_flight": 0})


def is_stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def test_a_tree_that_keeps_forking_is_paused_as_a_whole(grader: Grader) -> None:
    worker = grader.lab.instances["worker.0"]

    async def scenario(observer: Observer) -> None:
        for _ in range(5):
            async with observer.paused("worker.0"):
                await asyncio.to_thread(eventually, all_stopped, what="the pause")
                members = {process.pid for process in tree()}
                await observer.sleep(0.05)
                assert {process.pid for process in tree()} == members

    def tree() -> list[psutil.Process]:
        assert worker._child is not None
        return worker._child.tree()

    def all_stopped() -> bool:
        return all(process.status() == psutil.STATUS_STOPPED for process in tree())

    _, events = grader.observe(scenario)
    assert [event.kind for event in events] == ["pause"] * 5


class ForksBeforeItStops:
    """A tree that has grown by the time that it is looked at again, and then no more."""

    def __init__(self) -> None:
        self.sizes = [1, 3, 3]

    def signal_all(self, sign: signal.Signals) -> int:
        assert sign is signal.SIGSTOP
        return self.sizes.pop(0)


def test_what_was_forked_while_a_tree_was_stopped_is_stopped_as_well() -> None:
    tree = ForksBeforeItStops()
    assert faults._stop(cast(Running, tree)) == 3
    assert tree.sizes == []


def test_a_rolling_restart_under_load_keeps_the_other_replica_answering(grader: Grader) -> None:
    async def scenario(observer: Observer) -> list[Op]:
        ops: list[Op] = []

        async def load(target: str, done: asyncio.Event) -> None:
            while not done.is_set():
                ops.extend(await observer.paced([get(target)] * 5, 0.01))

        for restarted, other in (("web.0", "web.1"), ("web.1", "web.0")):
            done = asyncio.Event()
            loading = asyncio.ensure_future(load(other, done))
            await observer.terminate(restarted)
            await observer.start(restarted)
            done.set()
            await loading
        return ops

    ops, events = grader.observe(scenario)
    assert {op.result for op in ops} == {Result.OK}
    assert {op.target for op in ops} == {"web.0", "web.1"}
    steps = [("terminate", "web.0"), ("start", "web.0"), ("terminate", "web.1"), ("start", "web.1")]
    assert [(event.kind, event.subject) for event in events] == steps
    assert all(event.detail["status"] == 0 for event in events if event.kind == "terminate")


def test_a_death_that_nobody_caused_is_told_as_one(grader: Grader) -> None:
    async def scenario(observer: Observer) -> None:
        psutil.Process((await pids(observer, "web.0"))[0]).kill()
        async with asyncio.timeout(10):
            while grader.lab.web["web.0"].ended is None:
                await asyncio.sleep(0.002)

    _, events = grader.observe(scenario)
    assert [(event.kind, event.subject, event.detail) for event in events] == [("died", "web.0", {"status": -9})]


def a_database(grader: Grader) -> str:
    """Where the solution's is, through the network."""
    url = grader.run(grader.lab.urls())["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("CREATE TABLE t (a int)")
    return url


def test_a_crash_of_postgres_keeps_what_was_committed_at_the_same_address(grader: Grader) -> None:
    url, server = a_database(grader), grader.lab.servers["postgres"]
    connection, before = psycopg.connect(url), server.pid
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    connection.execute("INSERT INTO t VALUES (2)")
    _, events = grader.observe(lambda observer: observer.crash("postgres", down_s=0.1))
    with pytest.raises(psycopg.OperationalError):
        connection.commit()
    connection.close()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
    assert server.pid not in (None, before)
    event = the("crash", events)
    assert event.subject == "postgres"
    assert event.detail["requests_in_flight"] == 0
    assert 0 < float(str(event.detail["gone_after_ms"])) < ((event.until_ns or 0) - event.at_ns) / 1e6 - 100


def test_a_crash_of_redis_empties_it_and_what_it_had_counted_is_kept(grader: Grader) -> None:
    server = grader.lab.servers["redis"]
    before = server.pid

    async def scenario(observer: Observer) -> list[Any]:
        await grader.lab.begin_accounts()
        counted = [said(await observer.call(get(target, "/count")), "n") for target in observer.replicas]
        await observer.crash("redis", down_s=0.1)
        counted.append(said(await observer.call(get("web.0", "/count")), "n"))
        usage = {it.subject: it for it in await grader.lab.usage()}
        return [*counted, usage["redis"].operations["incr"]]

    (first, second, after, operations), events = grader.observe(scenario)
    assert (second - first, after) == (1, 1)
    assert operations == 3
    assert server.pid not in (None, before)
    assert the("crash", events).subject == "redis"


def test_nothing_can_be_asked_of_a_service_while_it_is_down(grader: Grader) -> None:
    async def scenario(observer: Observer) -> set[str]:
        ops: list[Op] = []
        crashing = asyncio.ensure_future(observer.crash("redis", down_s=0.5))
        while not crashing.done():
            ops.append(await observer.call(get("web.0", "/count")))
            await asyncio.sleep(0.01)
        await crashing
        assert (await observer.call(get("web.0", "/count"))).status == 200
        return {said(op, "why") for op in ops if op.status == 503}

    why, _ = grader.observe(scenario)
    assert "ConnectionRefusedError" in why


SEEN: dict[NetworkFault, tuple[str, str, str | None]] = {
    # what the grader meets, why the solution fails, and what the fault counts
    "refuse": ("a refusal", "ConnectionRefusedError", None),
    "close": ("a closed connection", "EOFError|ConnectionResetError|BrokenPipeError", "connections_turned_away"),
    "drop": ("silence", "TimeoutError", "connections_stalled"),
    "hold": ("silence", "TimeoutError", "connections_stalled"),
    "half_open": ("silence", "TimeoutError", "bytes_dropped"),
    "cut_replies": ("silence", "ConnectionResetError", "requests_cut"),
    "no_accept": ("silence", "TimeoutError", None),
    "cap": ("a reset", "ConnectionResetError|BrokenPipeError", "connections_turned_away"),
}


@pytest.mark.parametrize("kind", SEEN)
def test_a_network_fault_is_what_the_solution_meets_and_is_proven_by_its_event(
    grader: Grader, kind: NetworkFault
) -> None:
    met, why, counter = SEEN[kind]

    async def scenario(observer: Observer) -> tuple[Op, Op]:
        async with observer.fault("redis", kind):
            during = await observer.call(get("web.0", "/count"))
        return during, await observer.call(get("web.0", "/count"))

    (during, afterwards), events = grader.observe(scenario)
    assert during.result is Result.UNKNOWN
    assert said(during, "why") in why.split("|")
    assert afterwards.result is Result.OK
    event = the(kind, events)
    assert (event.subject, event.detail["a_connect_met"], event.detail["requests_in_flight"]) == ("redis", met, 0)
    if counter is not None:
        assert int(str(event.detail[counter])) >= 1


def test_a_cap_of_some_is_met_by_nobody_who_is_within_it(grader: Grader) -> None:
    async def scenario(observer: Observer) -> Op:
        async with observer.fault("redis", "cap", most=5):
            return await observer.call(get("web.0", "/count"))

    op, events = grader.observe(scenario)
    assert op.result is Result.OK
    assert the("cap", events).detail == {"a_connect_met": "silence", "requests_in_flight": 0}


def test_a_slow_service_is_as_far_away_as_was_asked(grader: Grader) -> None:
    async def scenario(observer: Observer) -> tuple[Op, Op]:
        await observer.call(get("web.0", "/count"))
        async with observer.slow(100, "postgres"):
            near = await observer.call(get("web.0", "/count"))
        async with observer.slow(60, "redis"):
            far = await observer.call(get("web.0", "/count"))
        return near, far

    (near, far), events = grader.observe(scenario)
    assert far.received_ns - far.sent_ns >= 4 * 60_000_000, "a handshake and a question"
    assert near.status == 200
    assert [(it.kind, it.subject, it.detail) for it in events] == [
        ("slow", "postgres", {"ms_each_way": 100}),
        ("slow", "redis", {"ms_each_way": 60}),
    ]


def test_a_reset_is_proven_by_how_many_connections_there_were(grader: Grader) -> None:
    urls = grader.run(grader.lab.urls())
    eventually(
        lambda: grader.run(grader.lab.network.ways("redis")).open_now == 0, what="the end of earlier connections"
    )
    with redis.Redis.from_url(urls["REDIS_URL"], retry=NEVER) as first, psycopg.connect(urls["DATABASE_URL"]) as other:
        with first.client() as held, first.client() as another:
            held.ping()
            another.ping()
            _, events = grader.observe(lambda observer: observer.reset("redis"))
            for client in (held, another):
                with pytest.raises(redis.ConnectionError):
                    client.ping()
        other.execute("SELECT 1")
    assert the("reset", events).detail == {"connections_reset": 2, "requests_in_flight": 0}


@pytest.mark.parametrize("kind", ["refuse", "pause", "slow"])
def test_a_scenario_that_is_stopped_in_the_middle_leaves_no_fault_behind(grader: Grader, kind: str) -> None:
    async def scenario(observer: Observer) -> Op:
        opened = {
            "refuse": lambda: observer.fault("redis", "refuse"),
            "pause": lambda: observer.paused("web.0"),
            "slow": lambda: observer.slow(5000),
        }
        with suppress(TimeoutError):
            async with asyncio.timeout(0.6), opened[kind]():
                await observer.sleep(60)
        return await observer.call(get("web.0", "/count"))

    op, events = grader.observe(scenario)
    assert op.result is Result.OK
    assert {event.kind for event in events} == {kind}


def test_the_footprint_tells_every_store_and_every_process_type(grader: Grader) -> None:
    url = a_database(grader)

    async def scenario(observer: Observer) -> tuple[dict[str, int], dict[str, int]]:
        before = await observer.footprint()
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO t SELECT * FROM generate_series(1, 10000)")
        return before, await observer.footprint()

    (before, after), _ = grader.observe(scenario)
    assert set(after) == {"postgres", "redis", "web", "worker"}
    assert after["postgres"] - before["postgres"] > 100_000
    assert after["web"] > 1_000_000
