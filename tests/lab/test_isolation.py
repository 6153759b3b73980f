"""What keeps a solution to itself, piece by piece. Where this machine cannot keep one so, the notes have to say it."""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from support.peers import echo, eventually, gone, serving
from support.solutions import temporary_folder
from support.valkey import rules

from crucible.lab import isolation, leftovers
from crucible.lab.accounting import Accounts, Root, crowds
from crucible.lab.isolation import Isolation, _openings, hand_over, isolate
from crucible.processes.child import CROWD, Child, adopt_orphans, kill_all
from crucible.processes.confinement import Confinement

ROOT = os.geteuid() == 0
PYTHON = Path(sys.executable).resolve()
NO_ROOT = "nothing was isolated, since the grader is not root"
SPAWNS = """
import os, sys, time
if not os.fork():
    os.setsid()
    os.chdir("/")
    if not os.fork():
        os.execve(sys.executable, [sys.executable, "-S", "-c", STAYS], {})
    os._exit(0)
time.sleep(4723)
"""
"""Leaves a process that has neither its session, its parent, its folder nor its environment."""


@pytest.fixture
def adopting() -> Iterator[None]:
    """This process adopts orphans, as a grader does (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    adopt_orphans()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@pytest.fixture
def base() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


def isolated(folder: Path, *, hidden: tuple[Path, ...] = (), tools: tuple[Path, ...] = ()) -> Isolation:
    run = folder / f"{leftovers.PREFIX}{os.getpid()}"
    (run / "work").mkdir(parents=True, exist_ok=True)
    run.chmod(0o711)
    return isolate(run, [run / "work"], [PYTHON.parent, *tools], hidden)


def start(found: Isolation, folder: Path, *command: str, name: str = "web.0") -> Child:
    """Start a command as an instance, in a folder of its own; its output is in `log`."""
    home = folder / f"{leftovers.PREFIX}{os.getpid()}" / "work" / name
    home.mkdir(exist_ok=True)
    confined = found.confine(name)
    hand_over(home, confined)
    path = f"{PYTHON.parent}:{os.environ['PATH']}"
    return Child.start(command, cwd=home, log=folder / "log", env={"PATH": path, "HOME": str(home)}, confined=confined)


def said(found: Isolation, folder: Path, *command: str, name: str = "web.0") -> str:
    (folder / "log").unlink(missing_ok=True)
    child = start(found, folder, *command, name=name)
    try:
        child.popen.wait(timeout=20)
    finally:
        child.kill()
    return (folder / "log").read_text()


def python(text: str) -> tuple[str, ...]:
    return str(PYTHON), "-S", "-c", textwrap.dedent(text)


def closed(folder: Path) -> Path:
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    return folder


def test_what_lies_in_open_folders_needs_no_opening(base: Path) -> None:
    (base / "open" / "bin").mkdir(parents=True)
    assert _openings([base / "open"], [base / "open" / "bin"]) == ((), ())


def test_of_a_tool_in_a_closed_folder_all_that_lies_beside_it_shows(base: Path) -> None:
    home = closed(base / "home")
    (home / "kit" / "1.2" / "bin").mkdir(parents=True)
    assert _openings([], [home / "kit" / "1.2" / "bin"]) == ((home,), (home / "kit",))


def test_of_anything_else_in_a_closed_folder_nothing_but_itself_shows(base: Path) -> None:
    home = closed(base / "home")
    (home / "cache" / "builds").mkdir(parents=True)
    assert _openings([home / "cache" / "builds"], []) == ((home,), (home / "cache" / "builds",))


def test_the_outermost_closed_folder_is_covered_and_the_innermost_decides_what_shows(base: Path) -> None:
    home = closed(base / "home")
    inner = closed(home / "open" / "inner")
    (inner / "kit" / "bin").mkdir(parents=True)
    (home / "other" / "bin").mkdir(parents=True)
    covered, shown = _openings([inner / "kit" / "bin"], [inner / "kit" / "bin", home / "other" / "bin"])
    assert covered == (home,)
    assert shown == (home / "open" / "inner" / "kit", home / "other")


def test_what_is_not_there_opens_nothing_and_a_link_opens_where_it_leads(base: Path) -> None:
    home = closed(base / "home")
    (home / "real").mkdir()
    (home / "link").symlink_to(home / "real")
    assert _openings([home / "nowhere"], [home / "no" / "bin"]) == ((), ())
    assert _openings([home / "link"], []) == ((home,), (home / "real",))


def test_a_tree_is_handed_over_without_what_its_links_lead_to(base: Path) -> None:
    uid = isolation.BUILDER if ROOT else os.geteuid()
    tree, outside = base / "tree", base / "outside"
    (tree / "closed").mkdir(parents=True)
    (tree / "closed").chmod(0o700)
    (tree / "closed" / "file").touch()
    outside.mkdir()
    (outside / "precious").touch()
    (tree / "link").symlink_to(outside)
    (tree / "closed" / "file-link").symlink_to(outside / "precious")
    mode = outside.stat().st_mode
    hand_over(tree, Confinement(uid))
    assert {path.lstat().st_uid for path in (tree, *tree.rglob("*"))} == {uid}
    assert {outside.stat().st_uid, (outside / "precious").stat().st_uid} == {os.geteuid()}
    assert outside.stat().st_mode == mode
    assert (tree / "closed").stat().st_mode & 0o777 == 0o755


def test_nothing_is_handed_over_to_who_is_no_other_user(base: Path) -> None:
    base.chmod(0o700)
    hand_over(base, Confinement())
    assert base.stat().st_mode & 0o777 == 0o700


@pytest.mark.machine
def test_a_tool_in_a_closed_folder_can_be_used_and_nothing_else_there_can_be_seen(base: Path) -> None:
    home = closed(base / "home")
    (home / "secret").write_text("a token")
    (home / "kit" / "bin").mkdir(parents=True)
    (home / "kit" / "data").write_text("from the kit\n")
    tool = home / "kit" / "bin" / "tool"
    tool.write_text('#!/bin/sh\ncat "${0%/*}/../data"; cat "${0%/*}/../../secret"; ls -A "${0%/*}/../.."\n')
    tool.chmod(0o755)
    found = isolated(base, tools=(tool.parent,))
    text = said(found, base, str(tool))
    assert "from the kit" in text
    if ROOT and not found.notes:
        assert "a token" not in text
        assert text.splitlines()[-1] == "kit"
    else:
        assert found.notes


@pytest.mark.machine
def test_a_hidden_folder_cannot_be_entered_and_shared_memory_is_ones_own(base: Path) -> None:
    suite = base / "suite"
    suite.mkdir()
    (suite / "checks.py").write_text("the suite")
    found = isolated(base, hidden=(suite,))
    name = f"crucible-{os.getpid()}"
    text = said(found, base, "/bin/sh", "-c", f"cat {suite}/checks.py; ls -A {suite}; echo x > /dev/shm/{name}; id -u")
    if ROOT and not found.notes:
        assert "the suite" not in text
        assert not Path("/dev/shm", name).exists()
        assert int(text.splitlines()[-1]) == found.confine("web.0").uid
    else:
        Path("/dev/shm", name).unlink(missing_ok=True)
        assert found.notes


@pytest.mark.machine
def test_a_folder_in_a_hidden_one_takes_nothing_away(base: Path) -> None:
    """As an author's challenge does that lies among all of them."""
    (base / "suite" / "one").mkdir(parents=True)
    (base / "suite" / "one" / "checks.py").write_text("the suite")
    hidden = (base / "suite", base / "suite" / "one")
    for order in (hidden, hidden[::-1]):
        found = isolated(base, hidden=order)
        assert found.notes == isolated(base, hidden=hidden[:1]).notes
        if not found.notes:
            assert "the suite" not in said(
                found, base, "/bin/sh", "-c", f"cat {hidden[1]}/checks.py; cat {base}/suite/*/*"
            )


@pytest.mark.machine
def test_every_instance_is_a_user_of_its_own_that_stays_the_same(base: Path) -> None:
    found = isolated(base)
    first, second = found.confine("web.0"), found.confine("web.1")
    assert found.confine("web.0") == first
    if ROOT and not found.notes:
        assert len({first.uid, second.uid, found.builder.uid, os.geteuid()}) == 4
        assert crowds({first.uid or 0}) == {first.uid: 0}
    else:
        assert first == second == found.builder == Confinement()


@pytest.mark.machine
def test_limits_hold_before_the_solution_runs(base: Path) -> None:
    found = isolated(base)
    text = said(found, base, *python("""
        import os, resource
        print(resource.getrlimit(resource.RLIMIT_CORE)[1], open("/proc/self/oom_score_adj").read().strip(), end=" ")
        print(resource.getrlimit(resource.RLIMIT_NPROC)[1], os.umask(0), os.getgroups())
    """))  # fmt: skip
    core, killable, processes, mask, groups = text.split(maxsplit=4)
    assert (core, killable) == ("0", "1000")
    if ROOT and not found.notes:
        assert (processes, mask, groups.strip()) == (str(isolation.MOST_TASKS), str(0o022), "[]")
    else:
        assert found.notes


def test_what_is_written_for_people_names_the_limits_that_hold() -> None:
    root, most = Path(__file__).resolve().parents[2], isolation.MOST_PROCESSES
    readme = " ".join((root / "README.md").read_text().split())
    assert f"more than 2 GiB of memory (or what its challenge says) or {most} processes" in readme
    for brief in root.glob("challenge_templates/*/template/README.md.j2"):
        text = " ".join(brief.read_text().split())
        assert f"may hold {{{{ manifest.memory }}}} of memory and {most} processes" in text


def without(capability: int) -> None:
    """Give up a capability for good (prctl(2), PR_CAPBSET_DROP); called in a child before its exec."""
    if ctypes.CDLL(None, use_errno=True).prctl(24, capability, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")


def notes_without(capability: int, base: Path, closed_tool: Path | None = None) -> list[str]:
    """The notes of an isolation by a root that lacks a capability, as in a container, which forbids port 6379."""
    suite = base / "the-suite"
    suite.mkdir()
    run = base / "run"
    run.mkdir()
    program = """
        import sys
        from pathlib import Path
        from crucible.lab.isolation import isolate
        run, suite, *tools = map(Path, sys.argv[1:])
        found = isolate(run, [run], tools, [suite])
        found.forbid([6379])
        found.lift()
        print(*found.notes, sep="\\n")
    """
    arguments = [str(run), str(suite), *([str(closed_tool)] if closed_tool else [])]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments], text=True, capture_output=True, check=True,
        preexec_fn=lambda: without(capability) if ROOT else None,
    )  # fmt: skip
    return done.stdout.splitlines()


SYS_ADMIN, NET_ADMIN, SETUID = 21, 12, 7


@pytest.mark.machine
def test_a_machine_that_lets_nothing_be_hidden_is_told_of_what_could_be_read(base: Path) -> None:
    notes = notes_without(SYS_ADMIN, base)
    assert any("the solution could read the-suite" in note for note in notes) or NO_ROOT in notes[0]


@pytest.mark.machine
def test_a_machine_that_cannot_show_a_tool_to_another_user_isolates_nothing_and_says_so(base: Path) -> None:
    (closed(base / "home") / "bin").mkdir()
    notes = notes_without(SYS_ADMIN, base, base / "home" / "bin")
    assert notes[0].startswith("nothing was isolated")


@pytest.mark.machine
def test_a_machine_without_other_users_isolates_nothing_and_says_so(base: Path) -> None:
    assert notes_without(SETUID, base)[0].startswith("nothing was isolated")


@pytest.mark.machine
def test_a_machine_without_a_firewall_says_which_ports_were_not_forbidden(base: Path) -> None:
    assert "no firewall keeps the solution from the services' own ports (6379)" in notes_without(NET_ADMIN, base)[-1]


@pytest.mark.machine
def test_a_forbidden_port_is_closed_to_the_solution_alone_until_it_is_lifted(base: Path) -> None:
    found = isolated(base)
    tag = f"{leftovers.PREFIX}{os.getpid()}"
    with serving(echo) as port, serving(echo) as other_port:
        dials = python(f"""
            import socket
            for port in ({port}, {other_port}):
                with socket.socket() as probe:
                    print(probe.connect_ex(("127.0.0.1", port)), end=" ")
        """)
        found.forbid([port])
        try:
            blocked = said(found, base, *dials)
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass  # the grader itself still gets through
        finally:
            carried = rules(tag)
            found.lift()
        assert rules(tag) == []
        assert said(found, base, *dials).split() == ["0", "0"]
    if ROOT and shutil.which("iptables"):
        assert found.notes == []
        assert carried
        assert blocked.split()[0] != "0"
        assert blocked.split()[1] == "0"
    else:
        assert any(f"own ports ({port})" in note for note in found.notes)
        assert blocked.split() == ["0", "0"]


@pytest.mark.machine
def test_lifting_one_runs_rules_leaves_anothers() -> None:
    tags = [f"{leftovers.PREFIX}{os.getpid()}{letter}" for letter in "ab"]
    both = [Isolation(_first=isolation.FIRST, _tag=tag) for tag in tags]
    for one in both:
        one.forbid([9])
    try:
        there = rules(tags[1])
        both[0].lift()
        assert rules(tags[0]) == []
        assert rules(tags[1]) == there
        assert bool(there) is not bool(both[1].notes)
    finally:
        both[1].lift()
    assert rules(tags[1]) == []


@pytest.mark.machine
@pytest.mark.usefixtures("adopting")
def test_what_has_left_the_tree_still_counts_for_its_user_and_ends_with_it(base: Path) -> None:
    found = isolated(base)
    stays = "x = b'x' * (96 << 20); print('stays', flush=True); import time; time.sleep(4723)"
    child = start(found, base, *python(SPAWNS.replace("STAYS", repr(stays))))
    accounts = Accounts(lambda: [Root("web", "process", child.pid)])
    try:
        eventually(lambda: "stays" in (base / "log").read_text(), 20, "the process that stays")
        accounts.sample()
        if ROOT and not found.notes:
            assert accounts.held[child.pid] > 90 << 20
            assert crowds({found.confine("web.0").uid or 0}).popitem()[1] == 2
        else:
            assert found.notes
    finally:
        child.kill()
        kill_all(lambda: [it for it in psutil.Process().children(recursive=True) if "4723" in "".join(it.cmdline())])
    if ROOT and not found.notes:
        assert crowds({found.confine("web.0").uid or 0}).popitem()[1] == 0


@pytest.mark.machine
def test_a_run_that_was_killed_is_told_by_the_view_its_processes_have(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_base", lambda: base)
    suite = base / "suite"
    suite.mkdir()
    found = isolated(base, hidden=(suite,))
    folder = base / f"{leftovers.PREFIX}{os.getpid()}"
    child = start(found, base, *python("import os; os.chdir('/'); os.execve('/bin/sleep', ['sleep', '4724'], {})"))
    try:
        eventually(lambda: "sleep" in psutil.Process(child.pid).name(), what="the start of it")
        if ROOT and not found.notes:
            assert [process.pid for process in leftovers._living_in(folder)] == [child.pid]
        else:
            assert found.notes
    finally:
        child.kill()


@pytest.mark.machine
@pytest.mark.usefixtures("adopting")
def test_a_crowd_that_forks_on_is_ended_whole(base: Path) -> None:
    """It is stopped first: each one that is killed makes room for another to be forked."""
    found = isolated(base)
    uid = found.confine("web.0").uid
    if uid is None:
        assert found.notes  # and no limit keeps a crowd of this user's own from growing
        return
    bomb = python("""
        import os, time
        while True:
            try: os.fork()
            except OSError: time.sleep(0.001)
    """)
    confined = replace(found.confine("web.0"), most_processes=CROWD + 60)
    child = Child.start(bomb, cwd=base, log=base / "log", env={}, confined=confined)
    try:
        eventually(lambda: crowds({uid})[uid] > CROWD, 20, "the crowd")
    finally:
        killed = child.kill()
    assert killed > CROWD
    assert crowds({uid}) == {uid: 0}
    assert gone(child.pid)


def test_a_row_of_users_is_one_graders_alone_until_it_is_lifted() -> None:
    rows = range(isolation.FIRST, isolation.LAST - isolation.MOST_INSTANCES, isolation.MOST_INSTANCES)
    with ExitStack() as held:
        taken = [isolation._take_users() for _ in range(8)]
        for _, holder in taken:
            assert holder is not None, "a row of users was free, and was not held"
            held.callback(os.close, holder)
        assert len({first for first, _ in taken}) == len(taken)
        assert {first for first, _ in taken} <= set(rows)
        again = socket.socket(socket.AF_UNIX)
        with again, pytest.raises(OSError, match="in use"):
            again.bind(f"\0crucible-users-{taken[0][0]}")
    with socket.socket(socket.AF_UNIX) as free:
        free.bind(f"\0crucible-users-{taken[0][0]}")
