"""A challenge's load, aimed at any deployment: what it was answered, and how soon."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from crucible.errors import CrucibleError, Fault
from crucible.judging import blocks
from crucible.load.runner import Load, Sent
from crucible.planning.solution import read_solution
from crucible.processes.interrupt import interruptible

SHARES = (50, 90, 99, 99.9, 100)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asks for."""

    folder: Path
    """Of a solution, whose challenge says what is sent."""
    urls: tuple[str, ...]
    """Of the replicas, or of what stands before them."""
    rate: float
    """Requests per second, over all workers and replicas."""
    seconds: float
    workers: int = 1
    """Processes that send: each is one core at most."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it, over all workers."""

    sent: int
    outcomes: dict[str, int]
    answered_ms: dict[float, float]
    """By percentile: the time since a request was due until it was answered; no time-outs are in it."""
    unanswered: int
    late_ms: float
    """How late requests were sent (99th percentile): beyond a few ms it is this machine that is measured."""


def load(wanted: Wanted, environ: Mapping[str, str]) -> Told:
    """Send, and say what came of it. Raises a CrucibleError where there is no load, or its file fails."""
    challenge = read_solution(wanted.folder, environ).challenge
    if challenge.load_file is None:
        raise CrucibleError(
            f"{challenge.manifest.slug} has no load", where=str(challenge.folder), fix="add hidden/load.py",
            fault=Fault.AUTHOR,
        )  # fmt: skip
    for url in wanted.urls:
        if urlsplit(url).scheme != "http" or not urlsplit(url).hostname:
            fix = "give http://HOST:PORT"
            raise CrucibleError(f"`{url}` is no http:// URL", where="--url", fix=fix, fault=Fault.LEARNER)
    with tempfile.TemporaryDirectory(prefix="crucible-load-") as folder:
        return told(interruptible(_send(wanted, challenge.load_file, Path(folder))))


async def _send(wanted: Wanted, file: Path, folder: Path) -> list[Sent]:
    loads: list[Load] = []
    try:
        for worker in range(wanted.workers):
            place = folder / str(worker)
            place.mkdir()
            loads.append(await Load.start(file, wanted.urls, place, place / "load.log", shared=True))
        block = [(wanted.rate, wanted.seconds, str(wanted.seed))]
        parts = enumerate(loads)
        await asyncio.gather(*(one.prepare(block, part=part, parts=len(loads)) for part, one in parts))
        return list(await asyncio.gather(*(one.send(0) for one in loads)))
    finally:
        for one in loads:
            one.stop()


def told(sent: Sequence[Sent]) -> Told:
    """All workers' histograms as one."""
    outcomes: Counter[str] = Counter()
    for one in sent:
        outcomes.update(one.outcomes)
    answered, unanswered, late = (
        blocks.merged(*(getattr(one, name) for one in sent)) for name in ("latency_us", "unanswered_us", "lag_us")
    )
    return Told(
        sum(outcomes.values()),
        dict(outcomes),
        {share: blocks.percentile(answered, share) / 1000 for share in SHARES} if answered else {},
        sum(count for _, count in unanswered),
        blocks.percentile(late, 99) / 1000,
    )
