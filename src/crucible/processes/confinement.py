"""What a process of the solution is confined to, applied between fork and exec: a user, a view of the files, limits.

Linux only. The view is a mount namespace (mount_namespaces(7)): folders that are closed to others are covered, with
only the solution's tools showing, and what is none of its business is hidden.
"""

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_CLONE_NEWNS, _CLONE_NEWIPC = 0x00020000, 0x08000000
_PR_SET_NO_NEW_PRIVS = 38
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


@dataclass(frozen=True)
class FileView:
    """What differs from the machine's own files. Paths are absolute and real."""

    covered: tuple[Path, ...] = ()
    """Folders that appear empty, but for what is in `shown`."""
    shown: tuple[Path, ...] = ()
    """Files and folders below those that keep their place."""
    hidden: tuple[Path, ...] = ()
    """Folders that cannot be entered."""
    name: str = "crucible"
    """What its mounts are called: by that, /proc/PID/mountinfo says of any process whose view it has."""

    def apply(self) -> None:
        """Give this process, which must be root, the view. Raises OSError."""
        assert _LIBC is not None
        _check(_LIBC.unshare(_CLONE_NEWNS | _CLONE_NEWIPC), "unshare")
        _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
        kept = [(path, os.open(path, os.O_PATH)) for path in self.shown]
        for folder in self.covered:
            _mount(self.name, str(folder), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=1m")
        for path, handle in kept:
            self._show(path, handle)
        for folder in self.hidden:
            _mount(self.name, str(folder), "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_RDONLY, "mode=700,size=4k")
        if SHARED_MEMORY.is_dir():  # no way around the limit on memory, and nothing in it stays
            _mount(self.name, str(SHARED_MEMORY), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777,size=64m")

    def _show(self, path: Path, handle: int) -> None:
        source = Path(f"/proc/self/fd/{handle}")
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if source.is_dir():
            path.mkdir(mode=0o755, exist_ok=True)
        else:
            path.touch()
        _mount(str(source), str(path), None, _MS_BIND | _MS_REC)
        os.close(handle)


@dataclass(frozen=True)
class Confinement:
    """How one process, and all that it starts, is kept to itself."""

    uid: int | None = None
    """Its user and group; None: the grader's own."""
    view: FileView | None = None
    most_processes: int | None = None
    """Processes and threads of its user."""

    def enter(self) -> None:
        """Called in the child, as root where `uid` is given. Raises OSError; the parent then sees no process start."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        Path("/proc/self/oom_score_adj").write_text("1000")  # the first to go where memory runs out
        if self.uid is None:
            return
        here = Path.cwd()
        os.umask(0o022)
        if self.view is not None:
            self.view.apply()
        if self.most_processes is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, (self.most_processes, self.most_processes))
        os.setgroups([])
        os.setresgid(self.uid, self.uid, self.uid)
        os.setresuid(self.uid, self.uid, self.uid)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # no program makes it another user again
        os.chdir(here)

    def end_all(self) -> None:
        """SIGKILL every process of this user in one step (kill(2) of -1), which no fork outruns."""
        if self.uid is not None:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    ["/bin/sh", "-c", "kill -9 -1"], user=self.uid, group=self.uid, extra_groups=[], check=False,
                    stderr=subprocess.DEVNULL,
                )  # fmt: skip


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    assert _LIBC is not None
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _check(_LIBC.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
