"""What a challenge is written against: scenarios observe through a `Lab` and record; checks judge what was recorded.

A scenario never judges and a judge never touches anything: it is a pure function of a `History`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Literal, Protocol

from pydantic import JsonValue

from crucible.evidence import FaultEvent, Op, Problem

Phase = Literal["contact", "race", "steady", "fault"]
"""`contact` comes first and decides whether there is anything to grade; `steady` scenarios run side by side;
`race` and `fault` scenarios have the solution to themselves."""
Mode = Literal["quick", "full"]


class Outcome(StrEnum):
    """Of a check, worst last."""

    PASS = "pass"
    NOT_RUN = "not_run"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    ERROR = "error"
    """Crucible's or the author's fault; never charged to the learner."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A position on an axis: the value, the interval it was seen in, and how many samples it rests on."""

    axis: str
    value: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What a judge says of one check."""

    outcome: Outcome
    what: str
    """One sentence in the past tense: what happened."""
    examples: tuple[Op, ...] = ()
    """At most three operations that show it, in the order of time."""
    measures: tuple[Measure, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    """Counters that say how much was looked at, such as `requests in flight at once`. Never empty on a pass."""


@dataclass(frozen=True, slots=True)
class History:
    """What a judge sees: the recordings of its check's scenarios, as one."""

    ops: tuple[Op, ...]
    """In the order of sending."""
    events: tuple[FaultEvent, ...]
    facts: dict[str, JsonValue]
    replicas: int
    services: tuple[str, ...]
    declares: dict[str, str]
    problems: tuple[Problem, ...] = ()

    def named(self, name: str) -> tuple[Op, ...]:
        """The operations labelled `name`, or `name/…`."""
        return tuple(op for op in self.ops if op.name == name or op.name.startswith(f"{name}/"))


@dataclass(frozen=True, slots=True)
class Call:
    """A request to make. `raw` is sent as it is, in place of `body` as JSON."""

    target: str
    method: str
    path: str
    body: JsonValue = None
    name: str = ""
    raw: bytes | None = None
    content_type: str = "application/json"
    timeout_s: float = 5.0
    client: str = "grader"
    json_reply: bool = True
    """Whether the contract promises JSON with a 2xx: then a reply that is none leaves the outcome unknown."""


class Lab(Protocol):
    """The running solution and its services, as a scenario may touch them."""

    @property
    def replicas(self) -> tuple[str, ...]:
        """The instances that answer HTTP: `web.0`, `web.1`, …"""

    @property
    def services(self) -> tuple[str, ...]:
        """The services that the design uses."""

    @property
    def mode(self) -> Mode: ...

    def now_ns(self) -> int:
        """Nanoseconds since the start of the run, on the clock of `Op.sent_ns`."""

    async def call(self, call: Call) -> Op:
        """Make one request and record it. Nothing that the solution does makes this raise."""

    async def burst(self, calls: Sequence[Call]) -> list[Op]:
        """Open a connection for each call first, then send all at once; in the order of `calls`."""

    async def paced(self, calls: Sequence[Call], gap_s: float) -> list[Op]:
        """Send a call every `gap_s` seconds whether or not the earlier ones have been answered (an open model)."""

    async def configure(self, call: Call) -> list[Op]:
        """Send a configuration request: to its target where the design has a store to share it in, else to every
        replica."""

    def slow(self, ms: int) -> AbstractAsyncContextManager[None]:
        """While open, every used service is `ms` away, each way, instead of the usual network delay."""

    def note(self, name: str, value: JsonValue) -> None:
        """Record a fact for the judges, such as a key's limit."""

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Scenario:
    id: str
    phase: Phase
    observe: Callable[[Lab, Random], Awaitable[None]]
    budget_s: float
    """After this long it is stopped, and what rests on it is inconclusive."""
    estimate_s: float
    """How long it usually takes."""
    modes: frozenset[Mode] = frozenset({"quick", "full"})


@dataclass(frozen=True, slots=True)
class Check:
    id: str
    slug: str
    promise: str
    """One sentence, in the present tense: what a good solution does."""
    hint: str
    """A question for a learner whose solution failed it; never an architecture."""
    gate: bool
    """Whether no business accepts a miss."""
    scenarios: tuple[str, ...]
    judge: Callable[[History], Finding]


@dataclass(frozen=True, slots=True)
class Suite:
    """What `hidden/checks.py` exports as `SUITE`."""

    scenarios: tuple[Scenario, ...]
    checks: tuple[Check, ...]
