"""CPU seconds and memory by process type and service, ended children included."""

import contextlib
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from crucible.processes.child import family

_FIELD = re.compile(r"^(State|Uid):\s*(\w+)", re.MULTILINE)


Kind = Literal["process", "service"]


@dataclass(frozen=True, slots=True)
class Root:
    """The first process of a tree that is accounted for."""

    subject: str
    kind: Kind
    pid: int


@dataclass(frozen=True, slots=True)
class Total:
    """What one process type, or one service, has used."""

    kind: Kind
    instances: int
    cpu_s: float
    """Since the accounts were opened."""
    peak_memory_bytes: int


@dataclass
class _Account:
    kind: Kind
    cpu_of_root: dict[int, float]
    """CPU seconds of every tree that was ever seen, by the pid of its root, as last sampled."""
    opening: float = 0.0
    memory: int = 0
    peak_memory: int = 0
    instances: int = 0


class Accounts:
    """Sampled from time to time; a process that dies between two samples keeps what it had at the earlier one."""

    def __init__(self, roots: Callable[[], Iterable[Root]]) -> None:
        """`roots` says which trees live now."""
        self._roots = roots
        self._accounts: dict[str, _Account] = {}
        self._sampling = threading.Lock()
        self.held: dict[int, int] = {}
        """Bytes of memory (PSS) of each tree when last sampled, by the pid of its root."""

    def sample(self) -> None:
        """Read every tree once; takes some milliseconds. May be called from several threads."""
        with self._sampling:
            self._sample()

    def _sample(self) -> None:
        roots = list(self._roots())
        members = _trees([root.pid for root in roots])
        memory: dict[str, int] = defaultdict(int)
        living: dict[str, int] = defaultdict(int)
        self.held = {root.pid: sum(map(_pss, members[root.pid])) for root in roots}
        for root in roots:
            account = self._accounts.setdefault(root.subject, _Account(root.kind, {}))
            cpu = sum(_cpu(process) for process in members[root.pid])
            account.cpu_of_root[root.pid] = max(cpu, account.cpu_of_root.get(root.pid, 0.0))
            memory[root.subject] += self.held[root.pid]
            living[root.subject] += 1
        for subject, account in self._accounts.items():
            account.memory = memory.get(subject, account.memory)
            account.peak_memory = max(account.peak_memory, memory[subject])
            account.instances = max(account.instances, living[subject])

    def open(self) -> None:
        """Count CPU from here on."""
        self.sample()
        for account in self._accounts.values():
            account.opening = sum(account.cpu_of_root.values())

    def everything(self) -> dict[str, int]:
        """Bytes (PSS) that the processes of each type, and each service, held when last sampled."""
        return {subject: a.memory for subject, a in self._accounts.items()}

    def own(self) -> dict[str, int]:
        """Bytes that the processes of each type hold for themselves, read now: programs and libraries, whose share
        changes with who else on the machine runs them, are not in it."""
        roots = [root for root in self._roots() if root.kind == "process"]
        members = _trees([root.pid for root in roots])
        held: dict[str, int] = defaultdict(int)
        for root in roots:
            held[root.subject] += sum(map(_anonymous, members[root.pid]))
        return dict(held)

    def totals(self) -> dict[str, Total]:
        """By subject."""
        return {
            subject: Total(a.kind, a.instances, max(0.0, sum(a.cpu_of_root.values()) - a.opening), a.peak_memory)
            for subject, a in self._accounts.items()
        }


def crowds(users: Set[int]) -> dict[int, int]:
    """How many processes each of these users has. Never waits for one of them, as to read its memory would."""
    found = dict.fromkeys(users, 0)
    for folder in Path("/proc").glob("[0-9]*") if users else ():
        with contextlib.suppress(OSError, ValueError):
            fields = dict(_FIELD.findall((folder / "status").read_text()))
            if (uid := int(fields["Uid"])) in found and fields["State"] != "Z":
                found[uid] += 1
    return found


def _trees(roots: list[int]) -> dict[int, list[psutil.Process]]:
    """The living members of each root's tree; what has left it belongs to the one root that is the same user."""
    owner = {pid: pid for pid in roots}
    trees: dict[int, list[psutil.Process]] = {pid: [] for pid in roots}
    alone = _only_roots(roots)
    waiting = family()
    ours = {process.pid for process in waiting}
    for pid in owner.keys() - ours:  # that of a container
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            waiting += [root, *root.children(recursive=True)]
    while waiting:
        rest = []
        for process in waiting:
            with contextlib.suppress(psutil.Error):
                found = owner.get(process.pid) or owner.get(process.ppid()) or alone.get(process.uids().real)
                if found is None:
                    rest.append(process)
                else:
                    owner[process.pid] = found
                    trees[found].append(process)
        if len(rest) == len(waiting):
            break
        waiting = rest
    return trees


def _only_roots(roots: list[int]) -> dict[int, int]:
    """The roots that are a user of their own, by that user."""
    by_user: dict[int, list[int]] = defaultdict(list)
    for pid in roots:
        with contextlib.suppress(psutil.Error):
            by_user[psutil.Process(pid).uids().real].append(pid)
    return {uid: pids[0] for uid, pids in by_user.items() if len(pids) == 1 and uid != os.getuid()}


def _cpu(process: psutil.Process) -> float:
    """User and system seconds, with those of children that have ended and been waited for."""
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return cpu_s(process.pid, times.user + times.system) + float(times.children_user + times.children_system)
    return 0.0


def cpu_s(pid: int, otherwise: float = 0.0) -> float:
    """CPU seconds of one process, to the nanosecond where its clock can be read (clock_getcpuclockid(3)); psutil's are
    in hundredths."""
    with contextlib.suppress(OSError, OverflowError):
        return time.clock_gettime((~pid << 3) | 2)  # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of Linux
    return otherwise


def _anonymous(process: psutil.Process) -> int:
    """Anonymous and shared memory in bytes, divided among those that share it (proc(5), smaps_rollup); its proportional
    set size where the system does not tell the two apart."""
    with contextlib.suppress(OSError, ValueError):
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        kinds = {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines[1:])}
        if "Pss_Anon" in kinds:
            return kinds["Pss_Anon"] + kinds.get("Pss_Shmem", 0)
    return _pss(process)


def _pss(process: psutil.Process) -> int:
    """Proportional set size in bytes (proc(5), smaps_rollup); resident size where the system has no such count."""
    with contextlib.suppress(psutil.Error, AttributeError):
        return int(process.memory_full_info().pss)
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
