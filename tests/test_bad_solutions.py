"""Solutions that cannot be graded: a clear error, the right exit code, nothing left running, nothing changed."""

from pathlib import Path

import pytest
from support.solutions import (
    GOOD,
    SERVER,
    START,
    Finished,
    crucible,
    left_behind,
    listing,
    temporary_folder,
    write_solution,
)

from crucible.cli import explain
from crucible.errors import CrucibleError
from crucible.planning.solution import read_solution

pytestmark = pytest.mark.machine

QUICK_BOOT = ("--boot-timeout", "3")


def graded(folder: Path, *arguments: str, **environment: str) -> Finished:
    """Grade, and see that the learner's folder is as it was and nothing is left."""
    before = listing(folder)
    with temporary_folder() as base:
        done = crucible("grade", str(folder), *arguments, TMPDIR=str(base), **environment)
        assert left_behind(base) == []
    assert listing(folder) == before
    assert not (folder / ".crucible" / "result.json").exists() or done.code in (0, 1, 4)
    assert "Traceback" not in done.err + done.out
    return done


def refused(folder: Path) -> str:
    """What is said of a solution that cannot be read, which is its author's fault."""
    with pytest.raises(CrucibleError) as caught:
        read_solution(folder, {})
    assert caught.value.exit_code == 1
    return explain(caught.value)


@pytest.mark.parametrize(
    ("changes", "line", "says", "advises"),
    [
        ({"challange": "x"}, 4, "`challange` is not a key here", "did you mean `challenge`?"),
        ({"challenge": "rate-limitter"}, 1, "there is no challenge `rate-limitter`", "rate-limiter"),
        ({"services": "[redsi]"}, 3, "`redsi` is not a service", "did you mean `redis`?"),
        ({"services": "redis"}, 3, "`services` must be a list", ""),
        ({"processes": "{web: {comand: x}}"}, 2, "`processes.web.comand` is not a key here", "did you mean `command`?"),
        ({"processes": "{worker: {command: x}}"}, 2, "`processes.web` is missing", "$PORT"),
        ({"profile": "login-gaurd"}, 4, "`login-gaurd` is not a profile", "did you mean `login-guard`?"),
        ({"declares": "{on_store_outage: panic}"}, 4, "`panic` is not a value", "fail-closed"),
        ({"predictions": "{latency: 3}"}, 4, "`latency` is not an axis", ""),
        ({"build": "[1, 2]"}, 4, "`build` must be text", ""),
        ({"services": "[redis"}, 4, "not YAML", "mend the line"),
    ],
)
def test_a_mistake_in_crucible_yaml_is_named_with_its_line(
    tmp_path: Path, changes: dict[str, str], line: int, says: str, advises: str
) -> None:
    said = refused(write_solution(tmp_path / "s", **changes))
    assert says in said
    assert advises in said
    assert f"crucible.yaml:{line}" in said


def test_a_mistake_in_crucible_yaml_ends_a_grade_before_anything_is_started(tmp_path: Path) -> None:
    done = graded(write_solution(tmp_path / "s", challange="x"))
    assert done.code == 1
    assert "`challange` is not a key here" in done.err
    assert "starting" not in done.out


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s")
    with (folder / "crucible.yaml").open("a") as file:
        file.write("services: [redis]\n")
    assert "`services` stands here twice" in refused(folder)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"[1, 2]", b"&a [*a]", b"a: " + b"[" * 5000, b"x" * 300_000])
def test_a_crucible_yaml_that_is_nothing_of_the_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = write_solution(tmp_path / "s")
    (folder / "crucible.yaml").write_bytes(content)
    assert "crucible.yaml" in refused(folder)


def test_a_folder_without_crucible_yaml_is_told_so(tmp_path: Path) -> None:
    done = crucible("grade", str(tmp_path))
    assert (done.code, "there is no crucible.yaml" in done.err) == (1, True)


def test_an_unknown_check_or_profile_on_the_command_line_is_a_usage_error(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s")
    for option, name in (("--check", "RL-99"), ("--profile", "nobody")):
        done = graded(folder, option, name)
        assert done.code == 2
        assert name in done.err
    assert crucible("grade", str(tmp_path / "nowhere")).code == 2


def test_a_build_that_fails_shows_the_end_of_its_output(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s", build="echo no such package >&2; exit 7")
    done = graded(folder)
    assert done.code == 1
    assert "the build ended with status 7" in done.err
    assert "no such package" in done.err
    assert "no such package" in (folder / ".crucible" / "logs" / "build.log").read_text()


def test_a_build_that_never_ends_is_ended_with_its_children(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s", build="sleep 4711 & sleep 4711")
    done = graded(folder, "--build-timeout", "1")
    assert done.code == 1
    assert "the build did not end within 1 s" in done.err


def test_a_process_that_never_answers_healthz_is_given_up(tmp_path: Path) -> None:
    done = graded(write_solution(tmp_path / "s", "import time; time.sleep(4711)"), *QUICK_BOOT)
    assert done.code == 1
    assert "did not answer GET /healthz with 200 within 3 s: nothing listened" in done.err


def test_a_process_that_ends_at_once_shows_the_end_of_its_log(tmp_path: Path) -> None:
    done = graded(write_solution(tmp_path / "s", "raise SystemExit('no configuration')"))
    assert done.code == 1
    assert "ended with status 1 before it answered GET /healthz" in done.err
    assert "no configuration" in done.err


def test_a_process_on_the_wrong_port_is_told_which(tmp_path: Path) -> None:
    program = SERVER + 'Server(("127.0.0.1", 0), Handler).serve_forever()\n'
    done = graded(write_solution(tmp_path / "s", program), *QUICK_BOOT)
    assert done.code == 1
    assert "listens on port" in done.err
    assert "not on $PORT" in done.err


def test_a_process_that_forks_and_dies_is_told_to_stay_in_the_foreground(tmp_path: Path) -> None:
    program = SERVER + "if os.fork(): os._exit(0)\n" + START
    done = graded(write_solution(tmp_path / "s", program), *QUICK_BOOT)
    assert done.code == 1
    assert "ended with status 0" in done.err
    assert "run it in the foreground" in done.err


def test_a_child_that_hides_in_a_session_of_its_own_is_ended_as_well(tmp_path: Path) -> None:
    program = SERVER + (
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        "    os.execve('/bin/sleep', ['sleep', '4711'], {})\n" + START
    )
    done = graded(write_solution(tmp_path / "s", program), "--check", "RL-13")
    assert done.code == 0, done.out + done.err
    import psutil

    sleepers = [p for p in psutil.process_iter() if p.name() == "sleep" and "4711" in p.cmdline()]
    assert sleepers == []


def test_a_port_of_its_own_choice_that_the_first_replica_has_is_told_as_such(tmp_path: Path) -> None:
    program = (
        SERVER
        + """
import socket
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    taken = probe.getsockname()[1]
    probe.listen()
    try:
        Server(("127.0.0.1", taken), Handler).serve_forever()
    except OSError as error:
        sys.exit(f"cannot listen: {error}")
"""
    )
    done = graded(write_solution(tmp_path / "s", program), *QUICK_BOOT)
    assert done.code == 1
    assert "listen on $PORT, another one for each process" in done.err


def test_who_looks_for_a_service_in_its_usual_place_is_told_where_it_is(tmp_path: Path) -> None:
    program = SERVER + (
        "def away(self, *_):\n"
        "    print('Error: connect ECONNREFUSED 127.0.0.1:6379', flush=True)\n"
        "    self.send_response(500); self.send_header('Content-Length', '0'); self.end_headers()\n"
        "Handler.answer_as_asked, Handler.answer = Handler.answer, away\n"
        "healthy = lambda self: self.answer_as_asked(200, {}) if self.path == '/healthz' else self.answer(500, {})\n"
        "Handler.do_GET = healthy\n" + START
    )
    done = graded(write_solution(tmp_path / "s", program, services="[redis]"))
    said = " ".join(done.out.split())
    assert done.code == 1
    assert "| Error: connect ECONNREFUSED 127.0.0.1:6379" in said
    assert "next it tried 127.0.0.1:6379, where nothing listens: connect to REDIS_URL" in said


def test_garbage_instead_of_http_is_told_as_such(tmp_path: Path) -> None:
    program = """
        import os, socketserver
        class Garbage(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(65536)
                self.request.sendall(b"hello there, this is not HTTP\\r\\n\\r\\n")
        socketserver.ThreadingTCPServer.request_queue_size = 512
        socketserver.ThreadingTCPServer(("127.0.0.1", int(os.environ["PORT"])), Garbage).serve_forever()
    """
    done = graded(write_solution(tmp_path / "s", program), *QUICK_BOOT)
    assert done.code == 1
    assert "not HTTP" in done.err


def test_html_instead_of_the_contract_is_told_as_such(tmp_path: Path) -> None:
    program = SERVER + (
        "def html(self, *_):\n"
        "    self.send_response(200); self.send_header('Content-Length', '13'); self.end_headers()\n"
        "    self.wfile.write(b'<h1>Hello</h1>'[:13])\n"
        "Handler.answer = html\n" + START
    )
    done = graded(write_solution(tmp_path / "s", program))
    assert done.code == 1
    assert "body that is not JSON" in " ".join(done.out.split())


def test_a_solution_that_hangs_on_every_request_fails_soon(tmp_path: Path) -> None:
    program = SERVER + "Handler.do_PUT = Handler.do_POST = lambda self: time.sleep(4711)\n" + START
    done = graded(write_solution(tmp_path / "s", program, challenge="notification-service"))
    assert done.code == 1
    assert "no answer within" in " ".join(done.out.split())


def test_an_untouched_starter_is_welcomed_and_does_not_pass(tmp_path: Path) -> None:
    program = SERVER + (
        "def begin(self):\n"
        "    self.body()\n"
        "    self.answer(200 if self.path == '/healthz' else 501, {})\n"
        "Handler.do_GET = Handler.do_PUT = Handler.do_POST = begin\n" + START
    )
    done = graded(write_solution(tmp_path / "s", program))
    assert done.code == 1
    assert "Welcome" in done.out


def test_a_flood_of_output_and_of_replies_is_bounded(tmp_path: Path) -> None:
    program = SERVER + (
        "def flood():\n"
        "    while True: sys.stdout.write('x' * 65536)\n"
        "threading.Thread(target=flood, daemon=True).start()\n"
        "real = Handler.answer\n"
        "def much(self, status, body):\n"
        "    real(self, status, body if self.path == '/healthz' else {**body, 'pad': 'y' * 9_000_000})\n"
        "Handler.answer = much\n" + START
    )
    folder = write_solution(tmp_path / "s", program)
    done = graded(folder, "--check", "RL-6")
    assert done.code == 1
    assert "larger than" in " ".join(done.out.split())
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 100 << 20


def test_a_server_that_does_not_answer_is_not_the_learners_fault(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s", services="[redis]")
    done = graded(folder, CRUCIBLE_REDIS_URL="redis://127.0.0.1:1")
    assert done.code == 3
    assert "CRUCIBLE_REDIS_URL" in done.err


def test_a_good_solution_passes_every_gate(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s", GOOD)
    done = graded(folder)
    assert done.code == 0, done.out + done.err
    assert done.out.count("✓ RL-") >= 12
    assert len(done.out.splitlines()) <= 40, "what a learner reads of a pass"
    again = crucible("judge", str(folder / ".crucible" / "evidence.json"))
    assert again.code == 0
    assert next(line for line in again.out.splitlines() if line.startswith("passed: ")) in done.out
