"""Builds are made once for each content, and working copies are made from them; nothing of the learner's is touched."""

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.solutions import listing

from crucible.errors import CrucibleError, Fault
from crucible.lab import builds, logs
from crucible.lab.builds import Recipe, build
from crucible.lab.environment import build_environment
from crucible.lab.workspace import working_copy
from crucible.processes.confinement import Confinement

pytestmark = pytest.mark.machine

DEADLINE_S = 20.0


class Learner:
    """A learner's folder, and a cache of its own; a build appends a line to `builds`, which lies outside."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "solution"
        self.folder.mkdir()
        (self.folder / "app.py").write_text("print()\n")
        self.builds = base / "builds"
        self.log = base / "build.log"
        self.environ = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(base / "cache"), "HOME": str(base)}
        self.command = f"echo built >> {self.builds}; mkdir -p .venv/bin; echo dependency > .venv/bin/tool"

    async def built(self, command: str | None = None, deadline_s: float = DEADLINE_S) -> Path:
        with ExitStack() as held:
            return await self.used(held, command, deadline_s)

    def build_on_top(self, held: ExitStack | None = None, command: str | None = None) -> Path:
        recipe = Recipe(self.folder, command or self.command, self.log, DEADLINE_S, Confinement(), on_top=True)
        if held is not None:
            return asyncio.run(build(recipe, self.environ, held))
        with ExitStack() as mine:
            return asyncio.run(build(recipe, self.environ, mine))

    async def used(self, held: ExitStack, command: str | None = None, deadline_s: float = DEADLINE_S) -> Path:
        recipe = Recipe(self.folder, command or self.command, self.log, deadline_s, Confinement())
        return await build(recipe, self.environ, held)

    def plain(self, folder: Path) -> Recipe:
        """What needs no build."""
        return Recipe(folder, None, self.log, DEADLINE_S, Confinement())

    def build(self, command: str | None = None, deadline_s: float = DEADLINE_S) -> Path:
        return asyncio.run(self.built(command, deadline_s))

    @property
    def times(self) -> int:
        return len(self.builds.read_text().splitlines()) if self.builds.exists() else 0

    @property
    def cached(self) -> list[Path]:
        return [path for path in (self.base / "cache" / "crucible" / "builds").iterdir() if path.is_dir()]


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(tmp_path)


def test_an_unchanged_solution_is_built_once(learner: Learner) -> None:
    before = listing(learner.folder)
    first, second = learner.build(), learner.build()
    assert first == second
    assert learner.times == 1
    assert (first / ".venv" / "bin" / "tool").read_text() == "dependency\n"
    assert listing(learner.folder) == before


def test_a_second_process_finds_the_build(learner: Learner) -> None:
    tree = learner.build()
    program = (
        "import asyncio, os, sys; from pathlib import Path\n"
        "from crucible.processes.confinement import Confinement; from crucible.lab.builds import Recipe, build\n"
        "folder, command, log = sys.argv[1:]\n"
        "from contextlib import ExitStack; held = ExitStack()\n"
        "recipe = Recipe(Path(folder), command, Path(log), 20.0, Confinement())\n"
        "print(asyncio.run(build(recipe, dict(os.environ), held)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(learner.folder), learner.command, str(learner.log)],
        env=learner.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(tree)
    assert learner.times == 1


@pytest.mark.parametrize("change", ["content", "new", "mode", "name", "link"])
def test_a_changed_solution_is_built_again(learner: Learner, change: str) -> None:
    learner.build()
    app = learner.folder / "app.py"
    match change:
        case "content":
            app.write_text("print(1)\n")
        case "new":
            (learner.folder / "sub").mkdir()
            (learner.folder / "sub" / "x").touch()
        case "mode":
            app.chmod(0o755)
        case "name":
            app.rename(learner.folder / "main.py")
        case "link":
            (learner.folder / "link").symlink_to("app.py")
    learner.build()
    assert learner.times == 2


def test_a_changed_command_builds_again(learner: Learner) -> None:
    first = learner.build()
    assert learner.build(learner.command + "; true") != first
    assert learner.times == 2


def test_what_a_build_makes_is_not_taken_from_the_learners_folder(learner: Learner) -> None:
    learner.build()
    for name in (".venv", "node_modules", "__pycache__", ".git", ".crucible", "sub/node_modules"):
        (learner.folder / name).mkdir(parents=True)
        (learner.folder / name / "x").write_text("x")
    tree = learner.build()
    assert learner.times == 1
    assert sorted(path.name for path in tree.iterdir()) == [".venv", "app.py"]


def test_a_failed_build_is_not_kept(learner: Learner) -> None:
    command = f"{learner.command}; exit 7"
    for times in (1, 2):
        with pytest.raises(CrucibleError, match="ended with status 7") as told:
            learner.build(command)
        assert told.value.fault is Fault.LEARNER
        assert learner.times == times
        assert learner.cached == []


def test_a_build_that_does_not_end_is_ended_and_not_kept(learner: Learner) -> None:
    with pytest.raises(CrucibleError, match=r"did not end within 0\.3 s"):
        learner.build("sleep 4712 & sleep 4712", deadline_s=0.3)
    assert learner.cached == []


def test_an_interrupted_build_is_ended_and_not_kept(learner: Learner) -> None:
    async def interrupted() -> None:
        building = asyncio.ensure_future(learner.built(f"sleep 4713 & {learner.command}; wait"))
        while learner.times == 0:
            await asyncio.sleep(0.005)
        building.cancel()
        await building

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert learner.cached == []


def test_two_builds_of_the_same_tree_at_once_make_one(learner: Learner) -> None:
    async def both() -> list[Path]:
        slow = f"{learner.command}; sleep 0.2"
        return list(await asyncio.gather(learner.built(slow), learner.built(slow), learner.built(slow)))

    assert len(set(asyncio.run(both()))) == 1
    assert learner.times == 1


def test_only_the_newest_builds_are_kept(learner: Learner) -> None:
    for number in range(builds.KEPT_BUILDS + 3):
        tree = learner.build(f"true {number}")
    assert len(learner.cached) == builds.KEPT_BUILDS
    assert tree.is_dir()


def test_a_build_that_another_grade_uses_is_kept(learner: Learner) -> None:
    with ExitStack() as held:
        trees = [asyncio.run(learner.used(held)), asyncio.run(learner.used(held))]
        for number in range(builds.KEPT_BUILDS + 3):
            learner.build(f"true {number}")
        assert all((tree / ".venv" / "bin" / "tool").is_file() for tree in trees)
    learner.build("true once more")
    assert not trees[0].exists()


def test_a_solution_without_a_build_is_copied(learner: Learner) -> None:
    with ExitStack() as held:
        tree = asyncio.run(build(learner.plain(learner.folder), learner.environ, held))
    assert (tree / "app.py").read_text() == "print()\n"


def test_working_copies_are_fresh_and_independent(learner: Learner) -> None:
    tree = learner.build()
    before = listing(tree)
    first, second = learner.base / "1", learner.base / "2"
    working_copy(tree, first)
    (first / "app.py").write_text("spoilt")
    (first / "data").write_text("state")
    working_copy(tree, second)
    assert (second / "app.py").read_text() == "print()\n"
    assert not (second / "data").exists()
    assert listing(tree) == before


def test_dependencies_are_links_to_the_build(learner: Learner) -> None:
    tree = learner.build(f"{learner.command}; mkdir -p ui/node_modules/left-pad")
    working_copy(tree, learner.base / "copy")
    for name in (".venv", "ui/node_modules"):
        assert (learner.base / "copy" / name).readlink() == tree / name


def test_a_socket_that_a_build_leaves_is_not_copied(learner: Learner) -> None:
    tree = learner.build(f"{learner.command}; mkfifo pipe")
    working_copy(tree, learner.base / "copy")
    assert sorted(path.name for path in (learner.base / "copy").iterdir()) == [".venv", "app.py"]


def test_links_fifos_and_sockets_neither_hang_nor_lead_out(learner: Learner) -> None:
    outside = learner.base / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    folder = learner.folder
    (folder / "loop").symlink_to(".")
    (folder / "away").symlink_to(outside)
    (folder / "file").symlink_to(outside / "secret")
    (folder / "nowhere").symlink_to("/nonexistent/at/all")
    (folder / ".venv").symlink_to(outside)
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as held:
        with suppress(OSError):  # its path may be too long for one
            listener.bind(str(folder / "s"))
        tree = asyncio.run(build(learner.plain(folder), learner.environ, held))
    assert sorted(path.name for path in tree.iterdir()) == ["app.py", "away", "file", "loop", "nowhere"]
    assert all((tree / name).is_symlink() for name in ("away", "file", "loop", "nowhere"))
    working_copy(tree, learner.base / "copy")
    assert (learner.base / "copy" / "away").readlink() == outside
    assert (outside / "secret").read_text() == "secret"


def test_too_many_files_are_refused(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "MAX_FILES", 3)
    for number in range(4):
        (learner.folder / str(number)).touch()
    with pytest.raises(CrucibleError, match="5 files") as told:
        learner.build()
    assert told.value.fault is Fault.LEARNER


def test_too_much_is_refused_without_being_read(learner: Learner) -> None:
    with (learner.folder / "huge").open("wb") as file:
        file.truncate(builds.MAX_BYTES + 1)
    with pytest.raises(CrucibleError, match="256 MiB are too much"):
        learner.build()


def test_a_file_that_cannot_be_read_is_named(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything, and tests may be run by it
    with pytest.raises(CrucibleError, match="Permission denied") as told:
        learner.build()
    assert "app.py" in told.value.where


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_TOKEN", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("PIP_PASSWORD", "x"),
        ("PIP_INDEX_URL", "https://user:word@host/simple"),
        ("PIP_INDEX_URL", "https://token@host/simple"),
        ("PIP_EXTRA_INDEX_URL", "https://open/simple https://user:word@host/simple"),
        ("UV_INDEX", "inner=https://user:word@host/simple"),
        ("GOPROXY", "https://open,https://user:word@host"),
        ("HTTPS_PROXY", "user:word@proxy:3128"),
        ("http_proxy", "http://user:word@proxy:3128"),
        ("UV_INDEX_INNER_PASSWORD", "x"),
        ("UV_INDEX_INNER_USERNAME", "x"),
        ("NPM_CONFIG__AUTH", "x"),
        ("npm_config_//host/:_authToken", "x"),
        ("npm_config_key", "-----BEGIN PRIVATE KEY-----"),
        ("CARGO_REGISTRIES_INNER_TOKEN", "x"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/x"),
        ("GOOGLE_API_KEY", "x"),
        ("CRUCIBLE_POSTGRES_URL", "postgresql://u:p@h/d"),
        ("PYTHONPATH", "/x"),
    ],
)
def test_a_credential_never_reaches_a_build(tmp_path: Path, name: str, value: str) -> None:
    assert name not in build_environment({name: value, "HOME": str(tmp_path)}, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIP_INDEX_URL", "https://mirror.example:8080/simple/@scope"),
        ("PIP_EXTRA_INDEX_URL", "https://a/simple https://b/simple"),
        ("PIP_CERT", "/etc/ca.pem"),
        ("UV_INDEX_URL", "https://mirror/simple"),
        ("NPM_CONFIG_REGISTRY", "https://mirror/npm/"),
        ("npm_config_registry", "https://mirror/npm/"),
        ("GOPROXY", "https://mirror,direct"),
        ("CARGO_HTTP_CAINFO", "/etc/ca.pem"),
        ("SSL_CERT_FILE", "/etc/ca.pem"),
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("no_proxy", "localhost,127.0.0.1,::1"),
    ],
)
def test_where_packages_come_from_is_kept(tmp_path: Path, name: str, value: str) -> None:
    assert build_environment({name: value, "HOME": str(tmp_path)}, tmp_path)[name] == value


def test_a_build_sees_its_own_home_and_no_token(learner: Learner) -> None:
    learner.environ |= {"GITHUB_TOKEN": "hunter2", "PIP_INDEX_URL": "https://mirror/simple"}
    tree = learner.build("env > seen")
    seen = dict(line.split("=", 1) for line in (tree / "seen").read_text().splitlines() if "=" in line)
    assert "hunter2" not in (tree / "seen").read_text()
    assert seen["PIP_INDEX_URL"] == "https://mirror/simple"
    assert Path(seen["HOME"]) == learner.base / "cache" / "crucible" / "home"


def test_a_build_on_top_keeps_what_was_made_and_takes_what_was_changed(learner: Learner) -> None:
    (learner.folder / "old.py").write_text("")
    first = learner.build_on_top()
    (first / ".venv" / "bin" / "kept").write_text("made by hand")
    assert learner.build_on_top() == first
    assert learner.times == 1, "nothing had changed"
    (learner.folder / "old.py").unlink()
    (learner.folder / "app.py").write_text("print('new')\n")
    (learner.folder / "new").mkdir()
    (learner.folder / "new" / "file").write_text("")
    assert learner.build_on_top() == first
    assert learner.times == 2
    assert (first / "app.py").read_text() == "print('new')\n"
    assert (first / "new" / "file").is_file()
    assert not (first / "old.py").exists()
    assert (first / ".venv" / "bin" / "kept").is_file()
    assert learner.build() != first, "a grade for good is built from nothing"


def test_after_a_build_on_top_that_failed_the_next_one_takes_up_what_is_there(learner: Learner) -> None:
    first = learner.build_on_top()
    (learner.folder / "wrong.py").write_text("")
    with pytest.raises(CrucibleError, match="status 1"):
        learner.build_on_top(command=f"{learner.command}; exit 1")
    (learner.folder / "wrong.py").unlink()
    assert learner.build_on_top() == first
    assert not (first / "wrong.py").exists()


def test_a_file_in_place_of_a_folder_is_built_from_nothing(learner: Learner) -> None:
    (learner.folder / "it").mkdir()
    (learner.folder / "it" / "file").write_text("")
    learner.build_on_top()
    (learner.folder / "it" / "file").unlink()
    (learner.folder / "it").rmdir()
    (learner.folder / "it").write_text("now a file")
    assert (learner.build_on_top() / "it").read_text() == "now a file"


def test_a_tree_that_is_in_use_is_left_as_it_is(learner: Learner) -> None:
    with ExitStack() as held:
        first = learner.build_on_top(held)
        (learner.folder / "app.py").write_text("print('new')\n")
        assert learner.build_on_top() != first
        assert (first / "app.py").read_text() == "print()\n"


def test_a_log_keeps_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_LIMIT", 1000)
    log = tmp_path / "log"
    log.write_bytes(b"a" * 600 + b"b" * 600)
    logs.cut(log)
    assert log.read_bytes() == b"a" * 500 + logs.CUT
    logs.cut(tmp_path / "none")
    assert logs.tail(log).startswith("aaa")
    assert logs.tail(tmp_path / "none") == ""


def test_the_tail_of_a_log_is_no_longer_for_what_is_printed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, log = tmp_path / "before", tmp_path / "log"
    before.write_bytes(b"a" * 3000)
    log.write_bytes(b"a" * 3000 + b"b" * 9000)
    about = before.stat()
    monkeypatch.setattr(Path, "stat", lambda _: about)
    assert logs.tail(log) == "a" * 2000
