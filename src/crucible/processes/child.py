"""Starting a process so that it cannot outlive the grader, and ending it with everything that it started.

Linux only gives the whole of it: the grader adopts orphans (a child subreaper) and its children die with it (the
parent-death signal). Elsewhere a process group does what it can.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from crucible.errors import CrucibleError, Fault
from crucible.processes.confinement import Confinement

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


SERVER_USER = "nobody"
"""Who servers run as where the grader is root: PostgreSQL refuses to be root, and none needs to be."""
CROWD = 100
"""Processes; with more than that, something may be forking without end."""
PLAIN: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C"}
"""An environment in which programs of the system are found, and nothing of the user's."""
_started: set[int] = set()
_starting = threading.Lock()
"""Held while a process is started, so that nobody takes it for an orphan before it is known."""


def server_user() -> pwd.struct_passwd | None:
    """The user that servers run as; None where the grader is not root and they run as the grader's own user."""
    return pwd.getpwnam(SERVER_USER) if os.geteuid() == 0 else None


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int, sign: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send `sign` to this process when `parent` ends; called in the child (PR_SET_PDEATHSIG)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(sign), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


class Child:
    """A process in a session of its own. Its tree is whatever descends from it, still carries its session, was orphaned
    with its HOME in the environment, or is the user that it alone is confined to."""

    def __init__(self, popen: subprocess.Popen[bytes], home: str | None, uid: int | None = None) -> None:
        self._popen = popen
        self.pid = popen.pid
        self._home = home
        self._uid = uid

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path,
        env: Mapping[str, str] = PLAIN,
        as_server: bool = False,
        confined: Confinement | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> "Child":
        """Start `command`; output is appended to `log`. `as_server`: as the servers' user where the grader is root.

        Raises OSError or subprocess.SubprocessError where the system lets no such process start.
        """
        grader = os.getpid()
        user = server_user() if as_server else None

        def prepare() -> None:
            if confined is not None:
                confined.enter()
            die_with(grader)  # a change of user forgets it

        with log.open("ab") as output, _starting:
            if confined is not None and confined.uid is not None:
                os.fchown(output.fileno(), confined.uid, confined.uid)  # it may open /dev/stderr again
            popen = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(env),
                stdin=stdin,
                stdout=output if stdout is None else stdout,
                stderr=output,
                start_new_session=True,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
                preexec_fn=prepare if _LIBC is not None else None,
            )
            _started.add(popen.pid)
        return cls(popen, env.get("HOME"), confined.uid if confined else None)

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """For its pipes."""
        return self._popen

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._popen.poll()

    def tree(self) -> list[psutil.Process]:
        """Every living process of the tree, in no order."""
        members = {self.pid}
        found: list[psutil.Process] = []
        rest = family()
        while joined := [process for process in rest if self._owns(process, members)]:
            members.update(process.pid for process in joined)
            found += joined
            rest = [process for process in rest if process.pid not in members]
        return found

    def owns(self, process: psutil.Process) -> bool:
        """Whether a process belongs to the tree; as `tree` would say, without looking at every other one."""
        with contextlib.suppress(psutil.Error):
            return any(self._owns(it, {self.pid}) for it in (process, *process.parents()))
        return False

    def _owns(self, process: psutil.Process, members: set[int]) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            if self._uid is not None and process.uids().real == self._uid:
                return True
            if process.pid in members or process.ppid() in members or os.getsid(process.pid) == self.pid:
                return True
            adopted = process.ppid() == os.getpid() and process.pid not in _started
            return adopted and self._home is not None and process.environ().get("HOME") == self._home
        return False

    def kill(self) -> int:
        """SIGKILL the whole tree, and see it gone; how many processes were killed."""
        killed = kill_all(self.tree)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=5)
        return killed

    def terminate(self, grace_s: float, sign: signal.Signals = signal.SIGTERM) -> tuple[int | None, int]:
        """Send `sign` to the process itself; what is left of the tree after `grace_s` is killed.

        Returns the status with which it ended within that time, and how many processes had to be killed.
        """
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=grace_s)
        status = self.returncode
        return status, self.kill()


def family() -> list[psutil.Process]:
    """Every living descendant of this process, adopted orphans included."""
    return [p for p in psutil.Process().children(recursive=True) if _alive(p)]


def holder(port: int) -> psutil.Process | None:
    """Who has a TCP connection from this local port; None where that cannot be seen."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid is not None:
                return psutil.Process(connection.pid)
    return None


def kill_all(find: Callable[[], list[psutil.Process]], deadline_s: float = 20.0) -> int:
    """SIGKILL what `find` returns until it returns nothing and all of it is gone; how many processes were killed.

    `find` may lose sight of one that is dying: where its parent was quicker, it is nobody's any more.
    What forks and ends may slip through one look at the processes; the zombies that it leaves say that it is there. A
    crowd is stopped before it is killed: the dead would make room for new ones, the stopped use up what it may have.
    """
    killed: set[psutil.Process] = set()
    stopped: set[int] = set()
    end = time.monotonic() + deadline_s
    while ((found := find()) or reap_orphans() or any(map(_alive, killed))) and time.monotonic() < end:
        stopping = len(found) > CROWD and not {process.pid for process in found} <= stopped
        for process in found:
            with contextlib.suppress(psutil.Error):
                if stopping:
                    process.suspend()
                    stopped.add(process.pid)
                else:
                    process.kill()
                    killed.add(process)
        if found or killed:
            time.sleep(0.001)
    return len(killed)


def reap_orphans() -> int:
    """Collect adopted processes that have ended, and say how many; those that this one started are left to their
    owner."""
    reaped = 0
    with _starting:
        for process in psutil.Process().children():
            with contextlib.suppress(psutil.Error, ChildProcessError):
                if process.status() == psutil.STATUS_ZOMBIE and process.pid not in _started:
                    reaped += os.waitpid(process.pid, os.WNOHANG)[0] != 0
    return reaped


def wait_until(condition: Callable[[], bool], deadline_s: float, child: Child | None, what: str) -> None:
    """Wait for a server to answer. Dead is not slow: a process of ours that has ended is reported at once."""
    end = time.monotonic() + deadline_s
    while not condition():
        dead = child is not None and child.returncode is not None
        if dead or time.monotonic() > end:
            state = (
                f"ended with status {child.returncode}" if child and dead else f"did not answer within {deadline_s:g} s"
            )
            raise CrucibleError(
                f"{what} {state}",
                where=what,
                fix="see its log below; `crucible services` says which servers are used and how to get others",
                fault=Fault.CRUCIBLE,
            )
        time.sleep(0.01)


def _alive(process: psutil.Process) -> bool:
    """One whose first thread has ended is shown as a zombie; while others go on, it has its memory and its sockets."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.Error:
        return False
