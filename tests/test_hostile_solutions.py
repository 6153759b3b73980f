"""Solutions that look around, lean on the machine or try to stay, graded for real: the grade goes on and says so.

What a machine lacks for keeping them to themselves, its reports must say: each test asks for the one or the other.
"""

import json
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from support import curious
from support.solutions import (
    SERVER,
    START,
    Finished,
    crucible_after,
    hides,
    left_behind,
    sleeping,
    temporary_folder,
    write_solution,
)
from support.users import nobody_special
from support.valkey import rules, somebodys_valkey

from crucible import evidence
from crucible.evidence import Evidence
from crucible.lab import isolation

pytestmark = pytest.mark.machine

ROOT = Path(__file__).resolve().parent.parent
SUITE = ROOT / "challenge_templates"
NOT_ISOLATED = "nothing was isolated"
SHARES = (
    SERVER
    + """
import socket, subprocess
from urllib.parse import urlsplit

def redis(*words):
    url = urlsplit(os.environ["REDIS_URL"])
    with socket.create_connection((url.hostname, url.port)) as connection, connection.makefile("rwb") as stream:
        def ask(*words):
            stream.write(b"*%d\\r\\n" % len(words) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(it), it) for it in words))
            stream.flush()
            said = stream.readline()
            return stream.read(int(said[1:]) + 2)[:-2] if said[:1] == b"$" and said[1:2] != b"-" else said
        if url.password:
            ask(b"AUTH", url.username.encode(), url.password.encode())
        return ask(*(it.encode() for it in words))

class Shared(dict):
    def __setitem__(self, key, value):
        redis("SET", key, json.dumps(value))
    def __getitem__(self, key):
        return json.loads(redis("GET", key))
    def __contains__(self, key):
        return redis("GET", key)[:1] == b"["

LIMITS = Shared()
"""
)
"""Keeps limits in Redis and the rest in the process: a legitimate user of its service."""
LOOKS = """
once, really = threading.Lock(), Handler.answer
def answer(self, status, body):
    if self.path != "/healthz" and once.acquire(blocking=False):  # by now everything else is up
        threading.Thread(target=subprocess.run, args=([sys.executable, "curious.py"],)).start()
    really(self, status, body)
Handler.answer = answer
"""
SHORT = ("--check", "RL-6", "--seed", "7")


@dataclass(frozen=True)
class Graded:
    done: Finished
    evidence: Evidence
    logs: dict[str, str]
    summary: str

    @property
    def notes(self) -> str:
        return "; ".join(self.evidence.notes)

    def events(self, kind: str) -> set[str]:
        """To whom it happened."""
        return {event.subject for it in self.evidence.own.recordings for event in it.events if event.kind == kind}


def results(folder: Path, done: Finished) -> Graded:
    found = folder / ".crucible"
    assert (found / "evidence.json").is_file(), done.out + done.err
    logs = {path.stem: path.read_text(errors="replace") for path in (found / "logs").iterdir()}
    return Graded(done, evidence.from_json(found / "evidence.json"), logs, (found / "summary.md").read_text())


def graded(folder: Path, *arguments: str, umask: int = 0o022, **environment: str) -> Graded:
    with temporary_folder() as base:
        command = ("grade", str(folder), *SHORT, *arguments)
        done = crucible_after(partial(os.umask, umask), *command, TMPDIR=str(base), **environment)
        assert left_behind(base) == []
    return results(folder, done)


def isolates() -> bool:
    """Whether a grade on this machine, by this user, can isolate at all."""
    with temporary_folder() as folder:
        return not isolation.isolate(folder, [folder], [], []).notes


def looks_around(folder: Path, *folders: Path, addresses: tuple[str, ...] = (), **changes: str) -> Path:
    """A solution that tries what `support.curious` tries."""
    write_solution(folder, SHARES + LOOKS + START, **changes)
    shutil.copyfile(curious.__file__, folder / "curious.py")
    places = {"folders": [str(path) for path in (SUITE, folder / ".crucible", *folders)], "addresses": addresses}
    (folder / "places.json").write_text(json.dumps(places))
    return folder


def what_succeeded(log: str) -> list[dict[str, object]]:
    return [json.loads(line.removeprefix(curious.SAID)) for line in log.splitlines() if line.startswith(curious.SAID)]


def test_a_solution_that_looks_around_finds_nothing() -> None:
    """Neither while it is built nor while it runs: the suite, the results, the runner's files, the services' data, its
    siblings' copies and everybody's memory are closed to it, and it can signal nobody."""
    with temporary_folder() as base:
        commands = base / "_runner_file_commands"
        commands.mkdir()
        (commands / "set_output_1").write_text("mine")
        folder = looks_around(base / "s", commands, services="[redis, postgres]", build="python3 curious.py")
        found = graded(folder, "--private", str(commands))
    assert found.done.code == 0, found.done.out + found.done.err
    said = [it for name in ("build", "web.0", "web.1") for it in what_succeeded(found.logs[name])]
    assert len(said) >= 2
    assert all(it["processes"] for it in said)
    if isolates():
        assert [set(it) - {"processes"} for it in said] == [set()] * len(said), said
        assert found.evidence.notes == ()
    else:
        assert NOT_ISOLATED in found.notes


def test_without_root_the_report_says_what_was_not_isolated(tmp_path: Path) -> None:
    """The same solution succeeds then, which shows that its attempts are attempts; and the grade works."""
    with temporary_folder() as base:
        folder = looks_around(base / "s", services="[redis]")
        (runs := base / "runs").mkdir()
        places = {"TMPDIR": str(runs), "HOME": str(base), "XDG_CACHE_HOME": str(base / "cache")}
        done = crucible_after(nobody_special(base), "grade", str(folder), *SHORT, **places)
        found = results(folder, done)
        assert left_behind(runs) == []
    assert done.code == 0, done.out + done.err
    said = what_succeeded(found.logs["web.0"]) + what_succeeded(found.logs["web.1"])
    for attempt in ("read", "write", "look_into", "signal", "dial"):
        assert any(attempt in it for it in said), attempt
    assert NOT_ISOLATED in found.notes
    assert "the grader is not root" in found.notes
    assert "nothing was isolated, since the grader is not root" in " ".join(done.out.split())
    assert "nothing was isolated, since the grader is not root" in found.summary


def addresses(port: int) -> tuple[str, ...]:
    return f"127.0.0.1:{port}", f"::1:{port}", f"localhost:{port}"


def test_an_attached_service_is_reached_through_the_lab_network_only(tmp_path: Path) -> None:
    with somebodys_valkey() as port:
        folder = looks_around(tmp_path / "s", addresses=addresses(port), services="[redis]")
        found = graded(folder, CRUCIBLE_REDIS_URL=f"redis://127.0.0.1:{port}")
    said = what_succeeded(found.logs["web.0"]) + what_succeeded(found.logs["web.1"])
    assert said
    if isolates() and shutil.which("iptables"):
        assert not any("dial" in it for it in said)
        assert found.evidence.notes == found.evidence.bypasses == ()
        assert found.done.code == 0, found.done.out + found.done.err
    else:
        assert f"own ports (6379, {port})" in found.notes
        assert found.evidence.bypasses
        assert found.done.code == 4
    assert [rule for rule in rules() if str(port) in rule.split()] == []


def test_without_a_firewall_the_report_says_so_and_who_goes_past_the_network_is_seen(tmp_path: Path) -> None:
    path = ":".join(it for it in os.environ["PATH"].split(":") if not (Path(it) / "iptables").exists())
    with somebodys_valkey() as port:
        folder = looks_around(tmp_path / "s", addresses=addresses(port), services="[redis]")
        found = graded(folder, CRUCIBLE_REDIS_URL=f"redis://127.0.0.1:{port}", PATH=path)
    assert f"no firewall keeps the solution from the services' own ports (6379, {port})" in found.notes
    assert found.done.code == 4
    assert "came past the lab network" in found.summary.splitlines()[0]
    assert "came past the lab network" in " ".join(found.done.out.split())


def test_a_process_that_hides_does_not_outlive_the_build_or_the_grade(tmp_path: Path) -> None:
    """The grader of this one makes its files for itself alone, by habit, and hands over what others are to have."""
    built, started = f"4720.{os.getpid()}", f"4721.{os.getpid()}"
    program = SERVER + (
        "for it in os.listdir('/proc'):\n"
        "    if it.isdigit() and open(f'/proc/{it}/cmdline').read().split(chr(0))[:2] == ['sleep', BUILT]:\n"
        "        print('what the build left is there', flush=True)\n"
    )
    write_solution(
        folder := tmp_path / "s", program.replace("BUILT", repr(built)) + hides(started) + START,
        build="python3 hide.py; mkdir -p .venv/bin; cp app.py .venv/bin/",
        processes="{web: {command: python3 .venv/bin/app.py}}",
    )  # fmt: skip
    (folder / "hide.py").write_text(f"import os\n{hides(built)}")
    found = graded(folder, umask=0o077)
    assert found.done.code == 0, found.done.out + found.done.err
    assert sleeping(built) + sleeping(started) == []
    assert "is there" not in found.logs["web.0"] + found.logs["web.1"]


def test_a_solution_that_forks_without_end_is_ended_and_named(tmp_path: Path) -> None:
    program = SERVER + (
        "def configure(self, real=Handler.do_PUT):\n"
        "    real(self)\n"
        "    if os.environ['INSTANCE_ID'] == 'web.0' and not os.fork():\n"
        "        while True:\n"
        "            try: os.fork()\n"
        "            except OSError: time.sleep(0.01)\n"
        "Handler.do_PUT = configure\n" + START
    )
    found = graded(write_solution(tmp_path / "s", program))
    assert found.done.code in (1, 4), found.done.out + found.done.err
    assert found.events("too_many_processes") == {"web.0"}
    said = f"processes, and may have {isolation.MOST_PROCESSES}: the grader ended it"
    assert said in found.summary
    assert said in " ".join(found.done.out.split())


def test_a_solution_that_takes_memory_without_end_is_ended_and_named(tmp_path: Path) -> None:
    """Also where a process of its takes it that has left the tree."""
    program = SERVER + (
        "def grow():\n"
        "    kept = []\n"
        "    for _ in range(96):\n"
        "        kept.append(b'x' * (64 << 20))\n"
        "    time.sleep(4711)\n"
        "def configure(self, real=Handler.do_PUT):\n"
        "    real(self)\n"
        "    if os.environ['INSTANCE_ID'] == 'web.0' and not LOGS.get('grows'):\n"
        "        LOGS['grows'] = [1]\n"
        "        if not os.fork():\n"
        "            os.setsid()\n"
        "            grow() if not os.fork() else os._exit(0)\n"
        "Handler.do_PUT = configure\n" + START
    )
    found = graded(write_solution(tmp_path / "s", program), "--check", "RL-13")
    assert found.done.code in (0, 1, 4), found.done.out + found.done.err
    assert found.events("out_of_memory") == {"web.0"}
    said = "of memory, and may hold 2,048 MiB: the grader ended it"
    assert said in found.summary
    assert said in " ".join(found.done.out.split())


def test_a_challenge_says_how_much_memory_a_process_may_hold(tmp_path: Path) -> None:
    challenge = shutil.copytree(SUITE / "rate-limiter", tmp_path / "rate-limiter")
    with (challenge / "challenge.yaml").open("a") as manifest:
        manifest.write("memory_mib: 128\n")
    program = SERVER + (
        "def configure(self, real=Handler.do_PUT):\n"
        "    real(self)\n"
        "    if os.environ['INSTANCE_ID'] == 'web.0':\n"
        "        LOGS['grown'] = b'x' * (200 << 20)\n"
        "Handler.do_PUT = configure\n" + START
    )
    found = graded(
        write_solution(tmp_path / "s", program), "--check", "RL-13", CRUCIBLE_CHALLENGES=str(tmp_path)
    )  # fmt: skip
    assert found.events("out_of_memory") == {"web.0"}
    assert "of memory, and may hold 128 MiB: the grader ended it" in found.summary
