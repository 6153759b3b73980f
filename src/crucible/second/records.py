"""What the two labs tell each other: pickles of Crucible's own records, each after its length."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from crucible.check import Mode
from crucible.evidence import Attempt, FaultEvent, Op, Recording, Timing, Traffic, Usage
from crucible.planning.defaults import Deadlines

Recorded = Mapping[str, tuple[Op, ...]]
"""What scenarios have asked, by id."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the second lab is to do."""

    folder: Path
    environ: Mapping[str, str]
    hidden: Sequence[Path]
    logs: Path
    begun_ns: int
    """The beginning of the first lab's clock, on that of `time.monotonic_ns`."""
    seed: int
    mode: Mode
    checks: Sequence[str]
    profile: str
    network_ms: int
    deadlines: Deadlines
    scenarios: Sequence[str]


@dataclass(frozen=True, slots=True)
class Seen:
    """Scenarios that are over, and every call of the second lab's sink so far, by which they are judged."""

    recordings: tuple[Recording, ...]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """What the second lab has counted by its end."""

    late: tuple[FaultEvent, ...]
    """What happened after its last scenario."""
    attempts: tuple[Attempt, ...]
    traffic: tuple[Traffic, ...]
    usage: tuple[Usage, ...]
    timings: tuple[Timing, ...]
    notes: tuple[str, ...]
    bypasses: tuple[str, ...]
    given_up: str


@dataclass(frozen=True, slots=True)
class Stands:
    """The second lab has come up."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Why there is no second lab."""

    why: str


def write(pipe: IO[bytes], told: object) -> None:
    """Raises OSError where nobody reads any more."""
    pickled = pickle.dumps(told)
    pipe.write(len(pickled).to_bytes(8, "big") + pickled)
    pipe.flush()


def read(pipe: IO[bytes]) -> bytes:
    """The next one, to `unpickle`; empty where there is none any more."""
    head = pipe.read(8)
    size = int.from_bytes(head, "big")
    body = pipe.read(size) if len(head) == 8 else b""
    return body if len(body) == size else b""


def unpickle(pickled: bytes) -> Any:
    return pickle.loads(pickled)  # noqa: S301  (of Crucible's own process)
