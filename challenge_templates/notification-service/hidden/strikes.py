"""NT-12: what is struck, and what a scenario notes of it for the judge."""

from collections.abc import Iterable
from dataclasses import dataclass

BACKLOG, IN_FLIGHT = 50, 8
"""How much must have been waiting, or under way, for a crash to show anything."""
AWAY_S, AWAY_PER_S = 1.5, 20
"""How long a service is away, and what is asked for meanwhile."""
RECOVERS_S = 15.0
"""How long it is waited for the first delivery after a service was away."""
FOR_SURE = "crashes"
"""The label of what is asked again after all strikes."""


@dataclass(frozen=True, slots=True)
class Strike:
    """What is struck, and how; `name` labels everything that is asked for under it."""

    name: str
    words: str


ALL_KILLED = Strike("f2", "a crash of all processes")
CALLER_KILLED = Strike("f3", "the crash of a process in the middle of its call")
CALLER_PAUSED = Strike("f4", "a process that stood still and went on")
ROLLING = Strike("f10", "a rolling restart")
RESET = Strike("f11", "a reset of all connections to services")


def crash_of(service: str) -> Strike:
    return Strike(f"f5-{service}", f"a crash of {service}")


def outage_of(service: str) -> Strike:
    return Strike(f"f6-{service}", f"an outage of {service}")


def every(services: Iterable[str]) -> list[Strike]:
    """All that a design with these services may have met, by name."""
    found = [ALL_KILLED, CALLER_KILLED, CALLER_PAUSED, ROLLING, RESET]
    found += [make(service) for service in services for make in (crash_of, outage_of)]
    return sorted(found, key=lambda strike: strike.name)


@dataclass(frozen=True, slots=True)
class Met:
    """What a strike met, by its name."""

    backlog: int
    """Messages that were accepted and had not had an effect yet."""
    in_flight: int
    not_caused: str = ""

    @property
    def wide(self) -> bool:
        """Whether it was enough to show something. What could not be caused is told elsewhere."""
        return self.not_caused != "" or self.backlog >= BACKLOG or self.in_flight >= IN_FLIGHT


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a strike lasted, with what was asked for under it; noted under a number."""

    strike: str
    begin_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Healed:
    """When the last strike was over, and everything was there again."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class KilledInCall:
    """Whose call was unanswered when it was killed, or was not, by the number of the call."""

    caller: str
    unanswered: bool


@dataclass(frozen=True, slots=True)
class TakenOver:
    """How long it took until another worker made the call of the one that stood still; else why that was not seen."""

    after_s: float
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Away:
    """What was asked for while a service was away, by the service."""

    sent: int
    accepted: int
    recovery_s: float | None = None
    """From the moment that it was there again to the first delivery; None where that was not seen."""
