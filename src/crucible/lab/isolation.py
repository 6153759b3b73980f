"""Who the solution's processes are, and what is kept from them: decided once for a run, as far as this machine allows.

Where the grader is root, each instance is a user of its own, in a view of the files without the suite and the results,
and a firewall rule keeps it from attached services. Where something of that cannot be had, a note says what.
"""

import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from crucible.lab.accounting import crowds
from crucible.processes import names
from crucible.processes.child import Child
from crucible.processes.confinement import Confinement, FileView

BUILDER = 61_184
"""The user that builds; always the same, since package managers want to own their caches. No account needs to exist: it
is the first of those that systemd keeps for such users (DynamicUser)."""
FIRST, LAST, MOST_INSTANCES = 61_248, 65_500, 64
MOST_TASKS = 1_024
"""Processes and threads of one instance; further ones cannot be started."""
MOST_PROCESSES = 256
"""Processes of one instance; it is ended for more."""
FIREWALLS = ("iptables", "ip6tables")


@dataclass
class Isolation:
    """How the processes of one run are kept to themselves."""

    notes: list[str] = field(default_factory=list)
    """What could not be had here, for the reader of the report."""
    _first: int | None = None
    _view: FileView | None = None
    _given: dict[str, int] = field(default_factory=dict)
    _tag: str = ""
    _held: int | None = None
    """Keeps the row of users from other graders, however few processes they own at the moment."""

    def confine(self, instance: str) -> Confinement:
        """For an instance, by name; always the same one for the same name."""
        if self._first is None:
            return Confinement()
        uid = self._given.setdefault(instance, self._first + len(self._given))
        return Confinement(uid, self._view, MOST_TASKS)

    @property
    def builder(self) -> Confinement:
        return Confinement(BUILDER if self._first is not None else None, self._view, MOST_TASKS)

    def crowded(self) -> dict[str, int]:
        """The instances that have more processes than they may, and how many."""
        given = dict(self._given)
        number = crowds(set(given.values()))
        return {name: number[uid] for name, uid in given.items() if number[uid] > MOST_PROCESSES}

    def forbid(self, ports: Iterable[int]) -> None:
        """Let no instance open a connection to one of these ports, wherever; the ways through the proxies stay open."""
        open_still = [port for port in sorted(set(ports)) if self._first is None or not self._reject(port)]
        if open_still:
            self.notes.append(
                f"no firewall keeps the solution from the services' own ports ({', '.join(map(str, open_still))}); "
                "connections to them were only looked for"
            )

    def _reject(self, port: int) -> bool:
        instances = f"{self._first}-{(self._first or 0) + MOST_INSTANCES - 1}"
        rules = [
            ["OUTPUT", "-p", "tcp", "--dport", str(port), "-m", "owner", "--uid-owner", users,
             "-m", "comment", "--comment", self._tag, "-j", "REJECT"]
            for users in (instances, str(BUILDER))
        ]  # fmt: skip
        versions = FIREWALLS if _has_ipv6() else FIREWALLS[:1]
        return all(_firewall(program, "-I", *rule) for program in versions for rule in rules)

    def lift(self) -> None:
        """Take the firewall rules away again, and let others have the users."""
        if self._first is not None:
            lift(self._tag)
        if self._held is not None:
            names.let_go(self._held)
            self._held = None


def isolate(folder: Path, needed: Sequence[Path], tools: Sequence[Path], hidden: Sequence[Path]) -> Isolation:
    """What can be had on this machine for the run in `folder`.

    `needed`: folders that the solution must reach. `tools`: folders of programs, which have their libraries somewhere
    beside them. `hidden`: folders that it must not reach.
    """
    found = Isolation(_tag=folder.name)
    if sys.platform != "linux" or os.geteuid() != 0:
        found.notes.append(
            "nothing was isolated, since the grader is not root: the solution ran as the grader's own user, who may "
            "read the suite and signal the grader"
        )
        return found
    first, found._held = _take_users()
    covered, shown = _openings(_ways(needed), _ways(tools))
    view = FileView(
        covered, shown, tuple(_outermost({path.resolve() for path in hidden if path.is_dir()})), folder.name
    )
    view = replace(view, hidden=tuple(path for path in view.hidden if _visible(path, view)))
    if _works(Confinement(first, view), folder):
        found._first, found._view = first, view
    elif not view.covered and _works(Confinement(first), folder):
        found._first = first
        seen = [path for path in view.hidden if not _closed_on_the_way(path)]
        if seen:
            names = ", ".join(path.name for path in seen)
            found.notes.append(f"the solution could read {names}: this machine lets the grader hide no folders")
    else:
        found.notes.append(
            "nothing was isolated: this machine lets the grader start no process as another user that reaches its tools"
        )
    return found


def hand_over(tree: Path, owner: Confinement) -> None:
    """Make everything in `tree` the confined user's, with folders that others may pass through."""
    if owner.uid is None:
        return
    for at, folders, files in os.walk(tree):
        here = Path(at)
        here.chmod(here.stat().st_mode | 0o755)
        for path in (here, *(here / name for name in (*folders, *files))):
            os.chown(path, owner.uid, owner.uid, follow_symlinks=False)


def lift(tag: str) -> None:
    """Delete every firewall rule that carries `tag`; for the next start, too, where a grader was killed."""
    for program in FIREWALLS:
        if shutil.which(program) is None:
            continue
        listed = subprocess.run([program, "-w", "-S", "OUTPUT"], capture_output=True, text=True, check=False).stdout
        for rule in (line.split() for line in listed.splitlines() if tag in line.split()):
            _firewall(program, "-D", *rule[1:])


def _firewall(program: str, *arguments: str) -> bool:
    try:
        return subprocess.run([program, "-w", *arguments], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _take_users() -> tuple[int, int | None]:
    """The first of a row of users that own no process and that no other grader holds, and the descriptor that holds
    them. Where all are held it is a row that nobody seems to use."""
    taken = set()
    for process in psutil.process_iter():
        try:
            taken.add(process.uids().real)
        except psutil.Error:
            continue
    rows = list(range(FIRST, LAST - MOST_INSTANCES, MOST_INSTANCES))
    free = [row for row in rows if not taken & set(range(row, row + MOST_INSTANCES))]
    random.SystemRandom().shuffle(free)
    for row in free:
        if (held := names.take(f"users-{row}")) is not None:
            return row, held
    return random.SystemRandom().choice(free or rows), None


def _has_ipv6() -> bool:
    try:
        return bool(Path("/proc/net/if_inet6").read_text())
    except OSError:
        return False


def _ways(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in {folder, folder.resolve()}]


def _openings(needed: Iterable[Path], tools: Iterable[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The closed folders on the way to what is needed, and what must show in them: of tools all that lies beside them
    in the innermost closed folder, as in `~/.cargo` or `~/.pyenv`."""
    covered, shown = set(), set()
    for way, whole in [*((way, False) for way in needed), *((way, True) for way in tools)]:
        closed = [parent for parent in reversed(way.parents) if parent.is_dir() and _is_closed(parent)]
        if closed and way.exists():
            covered.add(closed[0])
            shown.add(closed[-1] / way.relative_to(closed[-1]).parts[0] if whole else way)
    widest = {path.resolve() if path.is_symlink() else path for path in _outermost(shown)}
    return tuple(_outermost(covered)), tuple(sorted(widest))


def _outermost(paths: set[Path]) -> list[Path]:
    """Those that lie in no other one."""
    return sorted(path for path in paths if not any(other in path.parents for other in paths))


def _is_closed(folder: Path) -> bool:
    return not folder.stat().st_mode & stat.S_IXOTH


def _closed_on_the_way(path: Path) -> bool:
    return any(_is_closed(parent) for parent in (path, *path.parents))


def _visible(path: Path, view: FileView) -> bool:
    covered = any(folder in path.parents or folder == path for folder in view.covered)
    return not covered or any(folder in path.parents or folder == path for folder in view.shown)


def _works(confinement: Confinement, folder: Path) -> bool:
    """Whether a process so confined can be started here."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        try:
            child = Child.start(["/bin/sh", "-c", "exit 0"], cwd=place, log=place / "log", env={}, confined=confinement)
        except (OSError, subprocess.SubprocessError):
            return False
        try:
            return child.popen.wait(timeout=10) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            child.kill()
