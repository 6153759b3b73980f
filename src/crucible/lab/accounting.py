"""CPU seconds and memory by process type and service, ended children included."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

from crucible.child import family


@dataclass
class _Account:
    kind: str
    cpu_of_root: dict[int, float]
    """CPU seconds of every tree that was ever seen, by the pid of its root, as last sampled."""
    opening: float = 0.0
    peak_memory: int = 0
    instances: int = 0


class Accounts:
    """Sampled from time to time; a process that dies between two samples keeps what it had at the earlier one."""

    def __init__(self, roots: Callable[[], Iterable[tuple[str, str, int]]]) -> None:
        """`roots` says which trees live now: (subject, `process` or `service`, pid of the root)."""
        self._roots = roots
        self._accounts: dict[str, _Account] = {}

    def sample(self) -> None:
        """Read every tree once; takes some milliseconds."""
        roots = list(self._roots())
        members = _trees([pid for _, _, pid in roots])
        memory: dict[str, int] = defaultdict(int)
        living: dict[str, int] = defaultdict(int)
        for subject, kind, pid in roots:
            account = self._accounts.setdefault(subject, _Account(kind, {}))
            cpu = sum(_cpu(process) for process in members[pid])
            account.cpu_of_root[pid] = max(cpu, account.cpu_of_root.get(pid, 0.0))
            memory[subject] += sum(_pss(process) for process in members[pid])
            living[subject] += 1
        for subject, account in self._accounts.items():
            account.peak_memory = max(account.peak_memory, memory[subject])
            account.instances = max(account.instances, living[subject])

    def open(self) -> None:
        """Count CPU from here on."""
        self.sample()
        for account in self._accounts.values():
            account.opening = sum(account.cpu_of_root.values())

    def totals(self) -> dict[str, tuple[str, int, float, int]]:
        """By subject: kind, instances, CPU seconds since `open`, peak memory in bytes."""
        return {
            subject: (a.kind, a.instances, max(0.0, sum(a.cpu_of_root.values()) - a.opening), a.peak_memory)
            for subject, a in self._accounts.items()
        }


def _trees(roots: list[int]) -> dict[int, list[psutil.Process]]:
    """The living members of each root's tree."""
    owner = {pid: pid for pid in roots}
    trees: dict[int, list[psutil.Process]] = {pid: [] for pid in roots}
    waiting = family()
    while waiting:
        rest = []
        for process in waiting:
            with contextlib.suppress(psutil.Error):
                root = owner.get(process.pid) or owner.get(process.ppid())
                if root is None:
                    rest.append(process)
                else:
                    owner[process.pid] = root
                    trees[root].append(process)
        if len(rest) == len(waiting):
            break
        waiting = rest
    return trees


def _cpu(process: psutil.Process) -> float:
    """User and system seconds, with those of children that have ended and been waited for."""
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return float(sum((times.user, times.system, times.children_user, times.children_system)))
    return 0.0


def _pss(process: psutil.Process) -> int:
    """Proportional set size in bytes (proc(5), smaps_rollup); resident size where the system has no such count."""
    with contextlib.suppress(psutil.Error, AttributeError):
        return int(process.memory_full_info().pss)
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
