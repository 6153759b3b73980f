"""Whole or not at all, whatever comes between."""

import os
import pwd
from collections.abc import Callable
from itertools import product
from pathlib import Path, PurePosixPath

import pytest

from crucible.commands import atomic
from crucible.errors import CrucibleError

FILES = {PurePosixPath(name): name.encode() for name in ("a", "b/c", "b/d/e", ".f")}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def whole(folder: Path) -> bool:
    return tree(folder) == {str(name): content for name, content in FILES.items()}


def fails_on(call: int, real: Callable[..., object], error: BaseException) -> Callable[..., object]:
    """`real`, but its `call`th call (1 and up) raises `error`."""
    calls = 0

    def wrapped(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return real(*args)

    return wrapped


def test_a_new_directory_and_its_parents_are_made(tmp_path: Path) -> None:
    assert atomic.write_whole(tmp_path / "x" / "y" / "z", FILES) == tmp_path / "x/y/z"
    assert whole(tmp_path / "x/y/z")
    assert [path.name for path in (tmp_path / "x/y").iterdir()] == ["z"]


def test_an_empty_directory_is_filled_and_stays_the_same_one(tmp_path: Path) -> None:
    before = tmp_path.stat().st_ino
    atomic.write_whole(tmp_path, FILES)
    assert whole(tmp_path)
    assert tmp_path.stat().st_ino == before


def test_an_empty_directory_is_found_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    atomic.write_whole(tmp_path / "link", FILES)
    assert whole(tmp_path / "real")
    assert (tmp_path / "link").is_symlink()


def test_the_directory_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    atomic.write_whole(tmp_path / "new", FILES)
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("full", "not empty"),
        ("file", "not a directory"),
        ("file/x", "Not a directory"),
        ("x" * 300, "too long"),
        ("/proc/x/y", "cannot write there"),
    ],
)
def test_what_is_taken_or_cannot_be_made_is_refused(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(CrucibleError, match=what) as caught:
        atomic.write_whole(tmp_path / name, FILES)
    assert caught.value.exit_code == 1
    assert tree(tmp_path) == before


@pytest.mark.machine
def test_a_directory_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    child = os.fork()
    if child == 0:  # nothing is forbidden to root, so the attempt is somebody else's
        try:
            if os.geteuid() == 0:
                os.setuid(pwd.getpwnam("nobody").pw_uid)
            atomic.write_whole(tmp_path / "new", FILES)
        except CrucibleError as error:
            os._exit(42 if "Permission denied" in error.what else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["Ctrl-C", "full"])
@pytest.mark.parametrize(
    ("name", "call", "place"),
    [
        ("rename", 2, "."),  # a new directory appears by one rename, so only here is there a second
        *product(("write_bytes",), (1, 4), (".", "new", "x/y/new")),
        *product(("rename",), (1,), (".", "new", "x/y/new")),
    ],
)
def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException, name: str, call: int
) -> None:
    monkeypatch.setattr(Path, name, fails_on(call, getattr(Path, name), error))
    with pytest.raises((KeyboardInterrupt, CrucibleError)):
        atomic.write_whole(tmp_path / place, FILES)
    assert list(tmp_path.iterdir()) == []


def test_what_appears_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = atomic._write

    def slowly(folder: Path, files: atomic.Files) -> None:
        real(folder, files)
        (tmp_path / "b").write_text("somebody else's")

    monkeypatch.setattr(atomic, "_write", slowly)
    with pytest.raises(CrucibleError, match="appeared"):
        atomic.write_whole(tmp_path, FILES)
    assert tree(tmp_path) == {"b": b"somebody else's"}
