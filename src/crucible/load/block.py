"""A block of load: what is to be sent, what it may be made from, and what came of it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hdrh.histogram import HdrHistogram

UNKNOWN = "unknown"
LONGEST_US, DIGITS = 60_000_000, 3
LONGEST_KEPT = 256


@dataclass(frozen=True, slots=True)
class Send:
    """One request of the load."""

    method: str
    path: str
    body: Any = None
    target: int = 0
    """Which replica, by its index."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further ones, such as `Idempotency-Key`."""
    everywhere: bool = False
    """Whether it configures: then it goes to every replica of a design that has no store to share it in."""
    keep: str = ""
    """A field of the reply, such as `id`: with a 2xx its text, or its whole number, is kept for requests that are due
    later."""
    label: str = ""
    """What Locust's statistics call it, by hand; its path, if empty."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    reply: Any
    """Its JSON; None where it was none."""
    size: int


@dataclass(frozen=True, slots=True)
class Move:
    """A request with a body that is no JSON, or whose answer has one, to an address that the solution may have said."""

    method: str
    url: str
    """A path, or an absolute address on this machine of the solution's, or of a service's."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    target: int = 0
    """Which replica a path is taken on, by its index."""


@dataclass(frozen=True, slots=True)
class MovedAnswer:
    """What came of a move."""

    status: int
    received: int
    """Bytes of the answer's body."""
    first_byte_ns: int
    """When the answer began, on the clock of `time.monotonic_ns`."""
    location: str
    """Where it redirects to; empty where it does not."""


class Asks(Protocol):
    """What a course asks by. None is for no answer."""

    def ask(self, send: Send) -> Answer | None: ...

    def move(self, move: Move) -> MovedAnswer | None: ...


@dataclass(frozen=True, slots=True)
class Came:
    """What a course came to, and when: at its end, where no moment is said, on the clock of `time.monotonic_ns`."""

    outcome: str
    at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """Several requests one after the other, which count as one of the load."""

    run: Callable[[Asks], Came]
    apart: str = ""
    """Where it is not what the latency is of: the name that its own times are told under."""
    label: str = ""
    """What Locust's statistics call it, by hand."""


KeptFields = Mapping[str, Sequence[str]]
"""What was kept so far, by name of field, in the order in which the answers came: of what was put in place, and of this
block. A name of which nothing is there yet has an empty sequence."""
Later = Callable[[KeptFields], Send]
"""A request that is made when it is due, from what was kept by then; it must have one to send where nothing was."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A block that can be sent without computing anything, but for what depends on answers."""

    seconds: float
    due: Sequence[int]
    sends: Sequence["Send | Course | Later"]
    bodies: Sequence[bytes]
    """Empty where the request is made later."""


def kept(send: Send, status: int, reply: Any) -> str | None:
    """What there is to keep of an answer; the reply may be anything."""
    if not send.keep or not 200 <= status < 300 or not isinstance(reply, dict):
        return None
    value = reply.get(send.keep)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_KEPT else None


def _histogram() -> HdrHistogram:
    return HdrHistogram(1, LONGEST_US, DIGITS)


@dataclass
class Block:
    """What came of one block; as JSON, what `evidence.LoadBlock` says of it."""

    started_ns: int
    ended_ns: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latency: HdrHistogram = field(default_factory=_histogram)
    unanswered: HdrHistogram = field(default_factory=_histogram)
    lag: HdrHistogram = field(default_factory=_histogram)
    apart: dict[str, HdrHistogram] = field(default_factory=lambda: defaultdict(_histogram))
    """Latencies of courses that are told apart, by name; of those without an answer as long as can be."""
    echoes: int = 0
    failure: Exception | None = None
    """What the challenge's own code raised of an answer."""

    def note(self, due_ns: int, sent_ns: int, done_ns: int, outcome: str, apart: str = "") -> None:
        """Count one request, from the moment that it was due."""
        latency = self.apart[apart] if apart else self.unanswered if outcome == UNKNOWN else self.latency
        latency.record_value(min(LONGEST_US, max(1, (done_ns - due_ns) // 1000)))
        self.lag.record_value(min(LONGEST_US, max(1, (sent_ns - due_ns) // 1000)))
        self.outcomes[outcome] += 1

    def as_json(self) -> dict[str, Any]:
        return {
            "started_ns": self.started_ns, "ended_ns": self.ended_ns, "outcomes": dict(self.outcomes),
            "latency_us": _counts(self.latency), "unanswered_us": _counts(self.unanswered), "lag_us": _counts(self.lag),
            "echoes": self.echoes, "apart_us": {name: _counts(histogram) for name, histogram in self.apart.items()},
        }  # fmt: skip


def _counts(histogram: HdrHistogram) -> list[tuple[int, int]]:
    return [(int(it.value_iterated_to), int(it.count_at_value_iterated_to)) for it in histogram.get_recorded_iterator()]
