"""The grader's side of the load: one child process that is told what to send, and says what came of it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from crucible.errors import CrucibleError, Fault
from crucible.evidence import Counts
from crucible.processes.child import Child

START_S, OVER_S, SETTING_UP_S = 30.0, 20.0, 120.0
SOURCES = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Sent:
    """What the child says of a block; its fields are those of `evidence.LoadBlock`, but for the clock."""

    started_ns: int
    """On the clock of `time.monotonic_ns`."""
    ended_ns: int
    outcomes: dict[str, int]
    latency_us: Counts
    unanswered_us: Counts
    lag_us: Counts
    echoes: int
    """Of the pacer."""
    apart_us: dict[str, Counts] = field(default_factory=dict)


_SENT = TypeAdapter(Sent)


class Load:
    """The generator, between `start` and `stop`. Every method raises a CrucibleError where the load file fails."""

    def __init__(self, child: Child, pacer: Child, loadfile: Path) -> None:
        self._child = child
        self._pacer = pacer
        self._loadfile = loadfile
        self.timeout_s = 0.0
        self._seconds: list[float] = []

    @classmethod
    async def start(
        cls, loadfile: Path, urls: Sequence[str], folder: Path, log: Path, *, shared: bool, ports: Sequence[int] = ()
    ) -> "Load":
        """`shared`: whether one replica is enough to configure all; `ports`: those on this machine that lead to
        services, where the solution may send its clients."""
        child = _spawn(folder, log, "crucible.load.child", str(loadfile))
        load = cls(child, _spawn(folder, log.with_name("pacer.log"), "crucible.load.pacer"), loadfile)
        try:
            connected = await load._ask(START_S, do="connect", urls=list(urls), shared=shared, ports=list(ports))
            load.timeout_s = float(connected["timeout_s"])
            await load._ask(START_S, do="pace", port=await load._pacer_port())
        except BaseException:
            load.stop()
            raise
        return load

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def pacer_pid(self) -> int:
        return self._pacer.pid

    async def _pacer_port(self) -> int:
        line = await _line(self._pacer, START_S)
        try:
            return int(line)
        except ValueError as error:
            raise CrucibleError(
                "what tells the machine's speed did not start",
                where="crucible/load/pacer.py", fix="see logs/pacer.log", fault=Fault.CRUCIBLE,
            ) from error  # fmt: skip

    async def prepare(self, blocks: Sequence[tuple[float, float, str]], part: int = 0, parts: int = 1) -> None:
        """Compute blocks of (requests per second, seconds, seed), or of so many processes' shares of them that `part`,
        and put in place what they need."""
        shown = [list(block) for block in blocks]
        await self._ask(SETTING_UP_S, do="prepare", blocks=shown, part=part, parts=parts)
        self._seconds = [seconds for _, seconds, _ in blocks]

    async def send(self, index: int) -> Sent:
        """Send the block that was prepared as number `index`."""
        answer = await self._ask(self._seconds[index] + OVER_S, do="send", index=index)
        try:
            return _SENT.validate_python(answer)
        except ValidationError as error:
            raise self._failed("it did not say what came of a block") from error

    async def _ask(self, within_s: float, **request: Any) -> dict[str, Any]:
        pipe_in = self._child.popen.stdin
        assert pipe_in is not None
        with suppress(OSError):  # then there will be no answer, which says so
            pipe_in.write(json.dumps(request).encode() + b"\n")
            pipe_in.flush()
        line = await _line(self._child, within_s)
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:
            self.stop()
            raise self._failed("it ended, or did not answer in time") from error
        if "failed" in answer:
            self.stop()
            raise self._failed(str(answer["failed"]), answer["line"])
        return answer

    def _failed(self, what: str, line: int | None = None) -> CrucibleError:
        where = f"{self._loadfile.parent.parent.name}/hidden/{self._loadfile.name}"
        if line is not None:
            where += f":{line}"
        return CrucibleError(f"the load failed: {what}", where=where, fix="see logs/load.log", fault=Fault.AUTHOR)

    def stop(self) -> None:
        for child in (self._child, self._pacer):
            child.kill()
            for pipe in (child.popen.stdin, child.popen.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


async def _line(child: Child, within_s: float) -> bytes:
    """The next line that a child prints; empty, and the child ended, where there is none in time."""
    pipe = child.popen.stdout
    assert pipe is not None
    reading = asyncio.ensure_future(asyncio.to_thread(pipe.readline))
    try:
        async with asyncio.timeout(within_s):
            return await asyncio.shield(reading)
    except TimeoutError:
        child.kill()
        await reading
        return b""
    except asyncio.CancelledError:
        child.kill()
        await reading
        raise


def _spawn(folder: Path, log: Path, *module: str) -> Child:
    """Run a module of ours, with its arguments, in a process that is spoken to through pipes."""
    return Child.start(
        [sys.executable, "-P", "-m", *module],
        cwd=folder, log=log, env={"PYTHONPATH": str(SOURCES), "PATH": ""},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
