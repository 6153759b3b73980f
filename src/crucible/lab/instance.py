"""One instance of the solution: started from a fresh working copy, watched, ended with all that it started."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from crucible.errors import CrucibleError, Fault
from crucible.evidence import Printed
from crucible.lab.accounting import crowds
from crucible.lab.client import Client, Reply
from crucible.lab.connection import encode
from crucible.lab.environment import with_project
from crucible.lab.isolation import hand_over
from crucible.lab.logs import cut, tail
from crucible.lab.mistakes import advice
from crucible.lab.workspace import working_copy
from crucible.planning.plan import Instance
from crucible.processes.child import Child
from crucible.processes.confinement import Confinement
from crucible.processes.ports import free_port

PROBE_S = 2.0
IPV4, IPV6 = "127.0.0.1", "::1"
MOST_READ = 64 << 10
"""Bytes at the end of a log in which mistakes are looked for."""


@dataclass(frozen=True)
class Place:
    """Where an instance lives."""

    folder: Path
    """Its own, made anew for every start."""
    log: Path
    env: Mapping[str, str]
    confined: Confinement


class Running:
    """A process of the solution, through all its starts."""

    def __init__(self, instance: Instance, tree: Path, place: Place, port: int = 0) -> None:
        """`tree`: what was built; `port`: where it answers, if it does: a free one, where none is given."""
        self.instance = instance
        self.port = (port or free_port()) if instance.answers_http else 0
        self.host = IPV4
        self.log = place.log
        self.tree = tree
        self._place = place
        self._child: Child | None = None
        self._death_told = False
        self._ended_for: str | None = None
        self._log_begin = 0
        """Where in the log the present start begins."""

    @property
    def name(self) -> str:
        return self.instance.name

    @property
    def pid(self) -> int | None:
        """The root of the process tree while it runs."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    @property
    def ended(self) -> int | None:
        """The status with which the process itself has ended, whatever it left running."""
        return self._child.returncode if self._child is not None else None

    def death(self) -> int | None:
        """The status with which it has ended, told once for every start."""
        if self._death_told or self.ended is None:
            return None
        self._death_told = True
        return self.ended

    def start(self) -> None:
        """Start it in a new working copy; nothing of an earlier one is kept."""
        folder, confined = self._place.folder, self._place.confined
        shutil.rmtree(folder, ignore_errors=True)
        home, scratch = folder / "app", folder / "tmp"
        working_copy(self.tree, home)
        scratch.mkdir()
        hand_over(folder, confined)
        folder.chmod(0o700)  # the other instances are other users
        env = {**with_project(self._place.env, home), "HOME": str(home), "TMPDIR": str(scratch)}
        env["INSTANCE_ID"] = self.name
        if self.instance.answers_http:
            env["PORT"] = str(self.port)
        self._log_begin = self.log.stat().st_size if self.log.exists() else 0
        command = ["/bin/sh", "-c", f"exec {self.instance.command}"]
        self._child = Child.start(command, cwd=home, log=self.log, env=env, confined=confined)
        self._death_told, self._ended_for = False, None  # not before: it would tell the earlier one's death again

    def on_disk(self) -> int:
        """Bytes of the files in its working copy and its TMPDIR."""
        total = 0
        for at, _, names in os.walk(self._place.folder):
            for name in names:
                with contextlib.suppress(OSError):  # it has gone meanwhile
                    total += (Path(at) / name).lstat().st_size
        return total

    @property
    def url(self) -> str:
        """Where it answers, as `healthy` has found it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def last_lines(self) -> str:
        """The end of what it has printed since it was started: at most 1,000 bytes, as text that may hold anything."""
        return tail(self.log, 1000, self._log_begin)

    def printed(self) -> Printed:
        """Likewise, with what that tells of a mistake that many make."""
        return Printed(self.name, self.last_lines(), self._advice())

    def _advice(self) -> str:
        return advice(tail(self.log, MOST_READ, self._log_begin), self._place.env)

    def strike(self) -> None:
        """SIGKILL the process itself, at once; what it started is left to `kill`."""
        self._death_told = True
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGKILL)

    def kill(self) -> int:
        """SIGKILL the process and everything that it started, and see it gone; how many processes there were."""
        self._death_told = True
        if self._child is None:
            return 0
        number = crowds({self._place.confined.uid}).popitem()[1] if self._place.confined.uid is not None else 0
        self._place.confined.end_all()
        return max(number, self._child.kill())

    def end_for(self, reason: str) -> None:
        """End it and everything that it started, since it took more than it may. At once where it is a user of its own:
        to look for its processes takes long while others like it keep the machine busy."""
        self._death_told, self._ended_for = True, reason
        if self._place.confined.uid is not None:
            self._place.confined.end_all()
        else:
            self.kill()

    def terminate(self, grace_s: float) -> tuple[int | None, int]:
        """SIGTERM the process itself; the status with which it ended within `grace_s`, and how many were killed."""
        self._death_told = True
        return self._child.terminate(grace_s) if self._child is not None else (None, 0)

    def signal_all(self, sign: signal.Signals) -> int:
        """Send a signal to every process of the tree; how many got it."""
        reached = 0
        for process in self._child.tree() if self._child is not None else []:
            with contextlib.suppress(psutil.Error):
                process.send_signal(sign)
                reached += 1
        return reached

    async def healthy(self, client: Client, deadline_s: float) -> None:
        """Wait for `GET /healthz` to answer 200. Raises a CrucibleError that says what it did instead."""
        end = time.monotonic() + deadline_s
        seen = "nothing listened"
        while time.monotonic() < end:
            if self.ended is not None:
                raise self._failure(self._how_it_ended(), "start the command by hand with PORT set")
            self.host, reply = await self._where(client, min(PROBE_S, deadline_s))
            if reply.status == 200:
                return
            if not reply.never_sent:
                seen = f"the last answer was {reply.status}" if reply.status else str(reply.error)
            await asyncio.sleep(0.03)
            cut(self.log)
        listening = self._listening()
        if seen == "nothing listened" and listening:
            ports = ", ".join(str(port) for port in sorted(listening))
            raise self._failure(
                f"{self.name} listens on port {ports}, not on $PORT, which was {self.port}",
                "let `processes.web.command` pass $PORT on, and listen on 127.0.0.1 or 0.0.0.0",
            )
        raise self._failure(
            f"{self.name} did not answer GET /healthz with 200 within {deadline_s:.3g} s: {seen}",
            "answer GET /healthz with 200 on $PORT as soon as requests can be taken",
        )

    async def _where(self, client: Client, within_s: float) -> tuple[str, Reply]:
        """Which address answers, and what it says. Who came up after the first was asked is asked there again: Go's
        0.0.0.0 is every address, of both kinds."""
        request = encode("GET", self.port, "/healthz")
        first = await client.request(IPV4, self.port, request, within_s)
        if first.status == 200:
            return IPV4, first
        other = await client.request(IPV6, self.port, request, within_s)
        if other.status != 200:
            return IPV4, first if other.never_sent else other
        first = await client.request(IPV4, self.port, request, within_s)
        return (IPV4, first) if first.status == 200 else (IPV6, other)

    def _how_it_ended(self) -> str:
        status = self.ended
        if self._ended_for is not None:
            return f"{self.name} was ended before it answered GET /healthz: {self._ended_for}"
        how = f"was ended by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"
        left = len(self._child.tree()) if self._child is not None else 0
        if left:
            return f"{self.name} {how} and left {left} processes behind: run it in the foreground"
        return f"{self.name} {how} before it answered GET /healthz"

    def _failure(self, what: str, fix: str) -> CrucibleError:
        fix = self._advice() or fix
        return CrucibleError(
            what,
            where=f"processes.{self.instance.type} (`{self.instance.command}`)",
            fix=f"{fix}; the whole log is logs/{self.log.name}",
            fault=Fault.LEARNER,
            excerpt=tail(self.log, since=self._log_begin),
        )

    def owns(self, process: psutil.Process) -> bool:
        """Whether this is a process of its tree."""
        return self._child is not None and self._child.owns(process)

    def _listening(self) -> set[int]:
        """Ports that the process tree listens on."""
        ports: set[int] = set()
        for process in self._child.tree() if self._child is not None else []:
            with contextlib.suppress(psutil.Error):
                ports |= {c.laddr.port for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        return ports
