"""Processes of real programs, each test in an interpreter of its own where it must adopt or lose them."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support.peers import connect, eventually, gone

from crucible.errors import CrucibleError
from crucible.processes.child import Child, wait_until

pytestmark = pytest.mark.machine

PYTHON = [sys.executable, "-S", "-c"]
HIDES = """
    import os, sys, time
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        print("hidden", os.getpid(), flush=True)
        time.sleep(4714)
    print("root", os.getpid(), flush=True)
    {then}
"""


def program(text: str) -> list[str]:
    return [*PYTHON, textwrap.dedent(text)]


def pids(log: Path) -> dict[str, int]:
    """What the programs have said of themselves."""
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return {line[0]: int(line[1]) for line in lines if len(line) == 2}


def in_an_interpreter(text: str, folder: Path) -> "subprocess.Popen[str]":
    """Run `text` where adopting orphans does no harm; it has `Child`, `folder`, `log` and `home`."""
    preface = """
        import os, signal, subprocess, sys, time
        from pathlib import Path
        import psutil
        from crucible.processes.child import Child, adopt_orphans, family, kill_all, reap_orphans
        folder = Path(sys.argv[1]); log = folder / "log"
        home = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(preface) + textwrap.dedent(text), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )


def outcome(text: str, folder: Path) -> str:
    process = in_an_interpreter(text, folder)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return said.strip()


@pytest.mark.parametrize("then", ["time.sleep(4714)", "os._exit(0)"], ids=["parent-lives", "parent-is-gone"])
def test_a_child_that_hides_in_a_session_of_its_own_is_killed(tmp_path: Path, then: str) -> None:
    said = outcome(
        f"""
        adopt_orphans()
        child = Child.start({program(HIDES.format(then=then))!r}, cwd=folder, log=log, env=home)
        while log.read_text().count("\\n") < 2:
            time.sleep(0.01)
        if {then!r}.startswith("os"):
            child.popen.wait()
        print(len(child.tree()), end=" ")
        child.kill()
        print(len(child.tree()), len(family()), len(psutil.Process().children()), child.returncode)
        """,
        tmp_path,
    )
    assert said == ("2 0 0 0 -9" if "sleep" in then else "1 0 0 0 0")
    assert all(gone(pid) for pid in pids(tmp_path / "log").values())


HEADLESS = """
    import ctypes, os, socket, threading, time
    if os.fork():
        time.sleep(4714)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=time.sleep, args=(4714,)).start()
    print("port", listener.getsockname()[1], flush=True)
    ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread's end is not taken for the process's")
def test_a_process_whose_first_thread_has_ended_is_still_one(tmp_path: Path) -> None:
    said = outcome(
        f"""
        adopt_orphans()
        child = Child.start({program(HEADLESS)!r}, cwd=folder, log=log, env=home)
        shown = lambda: [p.status() for p in psutil.Process().children(recursive=True)]
        while not log.exists() or "port" not in log.read_text() or psutil.STATUS_ZOMBIE not in shown():
            time.sleep(0.01)
        print(len(child.tree()), child.kill(), len(psutil.Process().children()))
        """,
        tmp_path,
    )
    assert said == "2 2 0"
    with pytest.raises(ConnectionRefusedError):
        connect(pids(tmp_path / "log")["port"])


def test_a_process_that_is_forever_replaced_by_its_child_is_ended(tmp_path: Path) -> None:
    forks = """
        import os, time
        print("root", os.getpid(), flush=True)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.002)
    """
    said = outcome(
        f"""
        adopt_orphans()
        child = Child.start({program(forks)!r}, cwd=folder, log=log, env=home)
        while not log.read_text():
            time.sleep(0.01)
        child.kill()
        kill_all(family)
        print(len(family()), len(psutil.Process().children()))
        """,
        tmp_path,
    )
    assert said == "0 0"


def test_the_children_of_one_are_not_those_of_another(tmp_path: Path) -> None:
    said = outcome(
        f"""
        adopt_orphans()
        one, other = (
            Child.start({program(HIDES.format(then="os._exit(0)"))!r}, cwd=folder, log=folder / name,
                        env=home | {{"HOME": str(folder / name)}})
            for name in ("log-1", "log-2")
        )
        while sum((folder / name).read_text().count("\\n") for name in ("log-1", "log-2")) < 4:
            time.sleep(0.01)
        one.popen.wait(), other.popen.wait()
        one.kill()
        print(len(one.tree()), len(other.tree()))
        other.kill()
        """,
        tmp_path,
    )
    assert said == "0 1"


@pytest.mark.parametrize("as_server", [False, True])
def test_a_child_dies_with_the_process_that_started_it(tmp_path: Path, as_server: bool) -> None:
    process = in_an_interpreter(
        f"child = Child.start(['sleep', '4715'], cwd='/', log=log, as_server={as_server})\n"
        "log.write_text(f'sleep {child.pid}\\n')\ntime.sleep(4715)",
        tmp_path,
    )
    eventually(lambda: "sleep" in pids(tmp_path / "log"), 20, "the start of the child")
    process.kill()
    process.communicate()
    eventually(lambda: gone(pids(tmp_path / "log")["sleep"]), what="the end of the child")


def test_ended_orphans_are_reaped_and_ones_own_children_are_not(tmp_path: Path) -> None:
    said = outcome(
        """
        adopt_orphans()
        own = Child.start(["/bin/sh", "-c", "(setsid sleep 0.05 &) ; exit 3"], cwd=folder, log=log)
        end = time.monotonic() + 10
        zombies = lambda: [p for p in psutil.Process().children() if p.status() == psutil.STATUS_ZOMBIE]
        while len(zombies()) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        print(len(zombies()), end=" ")
        killed = kill_all(family)
        print([p.pid == own.pid for p in zombies()], killed, own.returncode)
        """,
        tmp_path,
    )
    assert said == "2 [True] 0 3"


def test_termination_waits_for_a_clean_end_and_then_no_longer(tmp_path: Path) -> None:
    polite = "trap 'echo bye; exit 5' TERM; echo ready 1; while :; do sleep 0.01; done"
    stubborn = "trap '' TERM; echo ready 1; while :; do sleep 0.01; done"
    for script, status in ((polite, 5), (stubborn, -signal.SIGKILL)):
        log = tmp_path / f"log{status}"
        child = Child.start(["/bin/sh", "-c", script], cwd=tmp_path, log=log)
        eventually(lambda log=log: "ready" in pids(log), what="the trap")  # type: ignore[misc]
        begun = time.monotonic()
        child.terminate(grace_s=0.3)
        assert child.returncode == status
        assert time.monotonic() - begun < 5
        assert child.tree() == []


def test_the_environment_is_built_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "hunter2")
    log = tmp_path / "log"
    child = Child.start(["env"], cwd=tmp_path, log=log)
    assert child.popen.wait(10) == 0
    assert names_in(log) == {"PATH", "LC_ALL"}
    log = tmp_path / "other"
    child = Child.start(["env"], cwd=tmp_path, log=log, env={"PATH": os.environ["PATH"], "A": "b"})
    assert child.popen.wait(10) == 0
    assert names_in(log) == {"PATH", "A"}


def names_in(log: Path) -> set[str]:
    return {line.split("=", 1)[0] for line in log.read_text().splitlines()}


def test_dead_is_not_slow(tmp_path: Path) -> None:
    dead = Child.start(["/bin/sh", "-c", "exit 9"], cwd=tmp_path, log=tmp_path / "log")
    with pytest.raises(CrucibleError, match="ended with status 9"):
        wait_until(lambda: False, 20, dead, "it")
    slow = Child.start(["sleep", "4716"], cwd=tmp_path, log=tmp_path / "log")
    with pytest.raises(CrucibleError, match=r"did not answer within 0\.05 s"):
        wait_until(lambda: False, 0.05, slow, "it")
    slow.kill()
    assert slow.returncode == -signal.SIGKILL
