"""What a challenge is written against: scenarios observe through a `Lab` and record; checks judge what was recorded.

A scenario never judges and a judge never touches anything: it is a pure function of a `History`.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from random import Random
from typing import Literal, Protocol

from pydantic import JsonValue as JsonValue  # a challenge writes JSON, and imports nothing else

from crucible.content import Body as Body
from crucible.content import Content as Content
from crucible.evidence import Attempt, FaultEvent, Op, Problem

Phase = Literal["contact", "race", "steady", "fault"]
"""`contact` comes first and decides whether there is anything to grade; `steady` scenarios run side by side;
`race` and `fault` scenarios have the solution to themselves."""
Mode = Literal["quick", "full"]


NetworkFault = Literal["refuse", "close", "drop", "hold", "half_open", "cut_replies", "no_accept", "cap"]
"""`refuse`: nothing listens. `close`: taken and closed at once. `drop`: a hung peer; healing resets what lost bytes.
`hold`: a hung peer that wakes up and delivers. `half_open`: requests arrive, replies are lost. `cut_replies`: reset
once the next request has been passed on. `no_accept`: a connect is never answered. `cap`: so many connections."""


class NotCausedError(Exception):
    """A fault that could not be caused here; its check is `not_run`, with this reason."""


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
    beyond: bool = False
    """The true value is worse than `value`, by an unknown amount: it was not waited for longer."""
    open: bool = False
    """The true value is `value` or worse: too little was seen to say. It can miss a limit, and keeps none."""


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
    question: str = ""
    """For the learner, where one fits what was seen better than the check's `hint`."""


@dataclass(frozen=True)
class History:
    """What a judge sees: the recordings of its check's scenarios, as one."""

    ops: tuple[Op, ...]
    """In the order of sending."""
    events: tuple[FaultEvent, ...]
    facts: dict[str, JsonValue]
    replicas: int
    services: tuple[str, ...]
    declares: dict[str, str]
    """What the design promises; a number as text. What it has not declared is not in it."""
    problems: tuple[Problem, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    """Every call of the sink while any scenario ran, in the order in which they were decided."""
    lag_ms: float = 0.0
    """How late the grader was itself, in ms: 99th percentile of the worst scenario."""

    def named(self, name: str) -> tuple[Op, ...]:
        """The operations labelled `name`, or `name/…`."""
        return self._by_label.get(name, ())

    @cached_property
    def _by_label(self) -> dict[str, tuple[Op, ...]]:
        """Under each label, and under what stands before each of its slashes: judges ask for dozens of labels."""
        found: dict[str, list[Op]] = defaultdict(list)
        for op in self.ops:
            parts = op.name.split("/")
            for length in range(1, len(parts) + 1):
                found["/".join(parts[:length])].append(op)
        return {label: tuple(ops) for label, ops in found.items()}


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
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further ones, such as `Idempotency-Key`; the challenge's own words, so trusted."""
    json_reply: bool = True
    """Whether the contract promises JSON with a 2xx: then a reply that is none leaves the outcome unknown."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A request whose body is sent, and whose answer is read, as it goes: by a client that may be slow, or go away. It
    has a connection of its own, and nothing of the bodies is kept but what they come to (`Op.moved`)."""

    target: str
    """The instance, which a path, or a relative address, is taken on."""
    method: str
    url: str
    """A path, or what the solution said: an absolute address leads to one of its instances, or to a service by the way
    of one of them. Where it leads elsewhere, or is none, nothing is sent, and the operation says so."""
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further ones; what no header can hold is not sent, and the operation says so."""
    sends: Body | None = None
    length: int | None = None
    """What Content-Length says, where that is not the size of what is sent."""
    cut_at: int | None = None
    """The client goes away when it has sent so many bytes of the body."""
    sends_per_s: int | None = None
    """Bytes; as fast as it goes, where nothing is said."""
    takes_per_s: int | None = None
    """Bytes of the answer."""
    leaves_at: int | None = None
    """The client goes away when it has read so many bytes of the answer."""
    timeout_s: float = 30.0
    """For all of it."""
    client: str = "grader"


@dataclass(frozen=True, slots=True)
class Stored:
    """What one store holds of the solution's, after the grader's own thorough clean-up."""

    bytes: int
    items: int
    """Objects, with unfinished multipart uploads; large objects, and rows with more than 1 kB in a column of bytes."""


@dataclass(frozen=True, slots=True)
class SinkFault:
    """What is wrong with one channel of the sink (F8)."""

    errors: float = 0.0
    """The largest share of calls that fail, half of them after they had their effect. It grows with the calls of the
    last second, to all of it at `most_per_s`; a key that has failed four times fails no more."""
    outage: bool = False
    """503 to every call, without an effect."""
    hangs: bool = False
    """No call is answered before the fault is over, nor has an effect."""
    delay_ms: int = 20
    """From the call to its answer."""
    most_per_s: float = 100.0
    """Calls of the last second from which on they are told 429, `Retry-After: 1`."""


class Sink(Protocol):
    """The grader's own provider, which the solution calls: `POST {SINK_URL}/CHANNEL/send`."""

    @property
    def attempts(self) -> Sequence[Attempt]:
        """Every call so far, in the order in which they were decided."""

    def reject(self, recipient: str) -> None:
        """From now on whatever is sent to this recipient (the body's `to`) is refused for good, with 400."""

    def fault(self, channel: str, fault: SinkFault) -> AbstractAsyncContextManager[None]:
        """While open, the channel is under this fault."""

    @property
    def url(self) -> str:
        """Where it listens: `http://HOST:PORT`. What is called back is taken under any path, whose first segment is
        the channel."""

    async def next_call(self, channel: str | None = None) -> Attempt:
        """The next call (of `channel`), as soon as it is decided and before it is answered."""

    async def caller(self, attempt: Attempt) -> str | None:
        """The instance that makes it, while it is not answered; None where that cannot be seen."""


class Lab(Protocol):
    """The running solution and its services, as a scenario may touch them."""

    @property
    def replicas(self) -> tuple[str, ...]:
        """The instances that answer HTTP: `web.0`, `web.1`, …"""

    @property
    def services(self) -> tuple[str, ...]:
        """The services that the design uses."""

    def simulated(self, service: str) -> bool:
        """Whether a simulation plays this service, of which less can be expected than its card says."""

    @property
    def mode(self) -> Mode: ...

    @property
    def declares(self) -> Mapping[str, str]:
        """What the design promises, as `History.declares`."""

    @property
    def sink(self) -> Sink:
        """Of a challenge whose manifest has one."""

    def now_ns(self) -> int:
        """Nanoseconds since the start of the run, on the clock of `Op.sent_ns`."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 by the wall clock, which designs go by."""

    async def call(self, call: Call) -> Op:
        """Make one request and record it. Nothing that the solution does makes this raise."""

    async def burst(self, calls: Sequence[Call]) -> list[Op]:
        """Open a connection for each call first, then send all at once; in the order of `calls`."""

    async def paced(self, calls: Sequence[Call], gap_s: float) -> list[Op]:
        """Send a call every `gap_s` seconds whether or not the earlier ones have been answered (an open model)."""

    async def transfer(self, transfer: Transfer) -> Op:
        """Send or read a body as it goes, and record what it came to. The operation's target is who was asked: an
        instance, or a service. Nothing that the solution does makes this raise."""

    async def configure(self, call: Call) -> list[Op]:
        """Send a configuration request: to its target where the design has a store to share it in, else to every
        replica."""

    @property
    def instances(self) -> tuple[str, ...]:
        """Every process of the solution: the replicas and the workers."""

    @property
    def in_flight(self) -> int:
        """Calls that have been sent and not been answered yet."""

    def slow(
        self, ms: int, service: str | None = None, *, instance: str | None = None
    ) -> AbstractAsyncContextManager[None]:
        """While open, `service` (every used one, if none is named) is `ms` away, each way, not the usual delay: from
        every process, or from `instance` alone. One at a time for each service."""

    def fault(self, service: str, kind: NetworkFault, *, most: int = 0) -> AbstractAsyncContextManager[None]:
        """While open, every way to `service` is under a network fault; `most` is the cap's number of connections."""

    async def reset(self, service: str) -> None:
        """Reset every live connection to `service`."""

    async def crash(self, service: str, down_s: float = 0.5) -> None:
        """SIGKILL the service and start the same one again, its data directory kept; returns when it answers.

        Raises NotCausedError where that cannot be done to an attached service.
        """

    async def kill(self, *instances: str) -> None:
        """SIGKILL the process trees of these instances; returns when they are gone."""

    async def start(self, *instances: str) -> None:
        """Start these instances again, in fresh working copies; returns when those that answer HTTP are healthy."""

    async def terminate(self, instance: str, grace_s: float = 10.0) -> None:
        """SIGTERM the process itself; what is left of its tree after `grace_s` is killed."""

    def paused(self, *instances: str) -> AbstractAsyncContextManager[None]:
        """While open, every process of these instances' trees is stopped (SIGSTOP)."""

    async def footprint(self) -> dict[str, int]:
        """Bytes that each store holds (after the grader's own VACUUM), and that each process type holds for itself: its
        programs and libraries are not in it."""

    async def stored(self) -> dict[str, Stored]:
        """What each service holds (after the grader's own VACUUM FULL); without those where it cannot be seen."""

    async def on_disk(self) -> dict[str, int]:
        """Bytes of the files in each instance's working copy and `TMPDIR`."""

    async def received(self) -> dict[str, int]:
        """Bytes that each instance has had from all services together so far."""

    async def exchanged(self) -> dict[str, int]:
        """Bytes that went to and fro between all processes and each service so far, with what a client exchanged with a
        service by the way of one of them."""

    def recorded(self, scenario: str) -> tuple[Op, ...]:
        """What an earlier scenario of this run asked, in the order of sending; empty where it has not run."""

    def note(self, name: str, value: JsonValue) -> None:
        """Record a fact for the judges, such as a key's limit."""

    def give_up(self, why: str) -> None:
        """Nothing further can be learnt of this solution, for the reason `why`: no later scenario runs, and no load.
        What this one saw stands, and is judged as ever."""

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
    after: str = ""
    """The scenario whose work it goes on with, if there is one: it has the same solution, and comes last of all."""


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
    axes: tuple[str, ...] = ()
    """The axes that its judge may measure; a full grade runs it for each profile that limits one of them."""
    unless: Mapping[str, str] = field(default_factory=dict)
    """Declarations under which a gate is only a measure, such as `{"delivery": "at-most-once"}`: any one of them."""
    explained_by: tuple[str, ...] = ()
    """Ids of checks whose failure explains this one's; the cause is named first."""


@dataclass(frozen=True, slots=True)
class Suite:
    """What `hidden/checks.py` exports as `SUITE`."""

    scenarios: tuple[Scenario, ...]
    checks: tuple[Check, ...]
