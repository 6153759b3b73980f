"""A solution that delivers to the sink: who calls is known while the call is under way, and faults strike just then."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from support.solutions import temporary_folder, write_solution

from crucible.check import SinkFault, Suite
from crucible.evidence import Attempt, FaultEvent
from crucible.lab.lab import RunningLab, open_lab
from crucible.lab.observer import Observer
from crucible.lab.supervision import RESTART_S
from crucible.planning.plan import make_plan
from crucible.planning.solution import read_solution

pytestmark = pytest.mark.machine

WEB = """
    import http.server, os

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
WORKER = """
import itertools, json, os, sys, time, urllib.error, urllib.request

for number in itertools.count():
    if os.path.exists("end"):
        sys.exit(3)
    key = f"{os.environ['INSTANCE_ID']}/{os.getpid()}/{number}"
    request = urllib.request.Request(
        os.environ["SINK_URL"] + "/email/send", json.dumps({"to": "u", "ref": key}).encode(),
        {"Content-Type": "application/json", "Idempotency-Key": key},
    )
    try:
        urllib.request.urlopen(request, timeout=5).read()
    except (OSError, urllib.error.URLError):
        pass
    time.sleep(0.05)
"""


PATIENCE_S = 20.0
"""What never takes so long is waited for on a busy machine."""


@dataclass(frozen=True)
class Booted:
    lab: RunningLab
    runner: asyncio.Runner


async def called_by(observer: Observer, expected: set[str], at_least_s: float = 0.0) -> set[str]:
    """Who calls from now on, until all that were expected have, or have had the time to."""
    first, loop = len(observer.sink.attempts), asyncio.get_running_loop()
    begun, seen = loop.time(), set[str]()
    while loop.time() < begun + at_least_s or (not expected <= seen and loop.time() < begun + PATIENCE_S):
        await observer.sleep(0.05)
        seen = {str(it.key).partition("/")[0] for it in observer.sink.attempts[first:]}
    return seen


@pytest.fixture
def booted() -> Iterator[Booted]:
    with temporary_folder() as folder, asyncio.Runner() as runner:
        written = write_solution(
            folder / "solution", WEB,
            processes="{web: {command: python3 app.py}, worker: {command: python3 worker.py, replicas: 2}}",
        )  # fmt: skip
        (written / "worker.py").write_text(WORKER)
        solution = read_solution(written, {})
        challenge = replace(solution.challenge, manifest=replace(solution.manifest, sink=True))
        solution = replace(solution, challenge=challenge)
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        opened = open_lab(make_plan(solution, Suite((), ()), seed=1), folder / "logs", environ)
        lab = runner.run(opened.__aenter__())
        try:
            runner.run(lab.boot())
            yield Booted(lab, runner)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def test_a_worker_is_killed_in_the_middle_of_its_call(booted: Booted) -> None:
    async def strike() -> tuple[Attempt, str | None, tuple[FaultEvent, ...]]:
        observer = Observer(booted.lab, "scenario", "fault")
        with booted.lab.watched(observer.happened):
            async with observer.sink.fault("email", SinkFault(delay_ms=3000)):
                call = await observer.sink.next_call("email")
                caller = await observer.sink.caller(call)
                assert caller is not None
                await observer.kill(caller)
                assert booted.lab.now_ns() - call.at_ns < 3_000_000_000, "the machine was too slow to tell"
                await observer.sleep(3.1)
            await observer.start(caller)
            await called_by(observer, {caller})
        return booted.lab.attempts[call.number], caller, observer.recording(None).events

    call, caller, events = booted.runner.run(strike())
    assert caller is not None
    assert str(call.key).startswith(f"{caller}/"), "it was that worker's call"
    assert (call.effect, call.answered_ns) == (True, None), "the effect stands, and nobody heard of it"
    later = [it for it in booted.lab.attempts if str(it.key).startswith(f"{caller}/") and it.number > call.number]
    assert later, "the worker came back"
    assert {event.kind for event in events} == {"kill", "sink", "start"}
    (fault,) = (event for event in events if event.kind == "sink")
    assert (fault.subject, fault.detail["delay_ms"]) == ("email", 3000)
    assert int(str(fault.detail["calls"])) >= 1


def test_a_paused_worker_is_silent_and_goes_on(booted: Booted) -> None:
    async def pause() -> tuple[set[str], set[str]]:
        observer = Observer(booted.lab, "scenario", "fault")

        with booted.lab.watched(observer.happened):
            async with observer.paused("worker.0"):
                await observer.sleep(0.2)
                meanwhile = await called_by(observer, {"worker.1"}, at_least_s=0.5)
            return meanwhile, await called_by(observer, {"worker.0", "worker.1"})

    meanwhile, after = booted.runner.run(pause())
    assert meanwhile == {"worker.1"}
    assert after == {"worker.0", "worker.1"}


def test_a_worker_that_ends_by_itself_is_started_again_and_one_that_was_killed_is_not(booted: Booted) -> None:
    async def end() -> tuple[tuple[FaultEvent, ...], dict[str, int | None]]:
        observer = Observer(booted.lab, "scenario", "fault")
        with booted.lab.watched(observer.happened):
            (booted.lab.folder / "work" / "worker.0" / "app" / "end").touch()
            await observer.kill("worker.1")
            async with asyncio.timeout(PATIENCE_S):
                while not any(event.kind == "restarted" for event in observer.recording(None).events):
                    await observer.sleep(0.1)
            await observer.sleep(RESTART_S + 0.5)  # the other one would be back by now
        return observer.recording(None).events, {name: it.pid for name, it in booted.lab.instances.items()}

    events, pids = booted.runner.run(end())
    told = [(event.kind, event.subject) for event in events]
    assert told.count(("died", "worker.0")) == told.count(("restarted", "worker.0")) == 1
    assert ("restarted", "worker.1") not in told
    assert pids["worker.0"] is not None
    assert pids["worker.1"] is None
