"""What is sent: cohorts of events, each of a source of its own, in which every value is a number of its own.

A cohort is drawn from a seed, so that a judge has its events again without one of them having been recorded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from random import Random

from crucible.check import JsonValue, Lab
from crucible.oracles.tallies import Entry

MINUTE_S = 60
KIND = "reading"
"""The type of a cohort's events."""
BACK_MINUTES = 12
"""How long ago the first minute of a cohort was: nothing of it is in the minute that is under way."""


@dataclass(frozen=True, slots=True)
class Cohort:
    source: str
    seed: int
    number: int
    """How many events there are."""
    first_minute: int
    """Since 1970."""
    minutes: int = 3
    hot: float = 0.0
    """The share of events that lie in the first minute, besides those that every minute has; they are large, so that
    what they add up to is past 2^53."""

    @property
    def span(self) -> range:
        """Its minutes."""
        return range(self.first_minute, self.first_minute + self.minutes)

    def id(self, index: int) -> str:
        return f"{self.source}-{index:06d}"

    def minute(self, index: int) -> int:
        return self.first_minute + (0 if _is_hot(index, self.hot) else index % self.minutes)

    def value(self, index: int) -> int:
        return (
            _large(self.seed, self.number, self.minutes, self.hot)[index]
            if self.hot
            else _values(self.seed, self.number)[index]
        )

    def event(self, index: int) -> dict[str, JsonValue]:
        at_ms = self.minute(index) * 60_000 + index * 7_919 % 60_000
        return {
            "event_id": self.id(index), "source": self.source, "type": KIND, "ts": rfc3339(at_ms),
            "value": self.value(index),
        }  # fmt: skip

    def batch(self, start: int, size: int) -> list[JsonValue]:
        return [self.event(index) for index in range(start, start + size)]

    def entries(self, indexes: Iterable[int], *, sure: bool = True) -> Iterator[Entry]:
        for index in indexes:
            yield Entry(self.id(index), self.minute(index), self.value(index), sure)


@lru_cache(maxsize=64)
def _values(seed: int, number: int) -> list[int]:
    """Distinct, below 2^40; some are negative."""
    return [
        -value if index % 7 == 3 else value
        for index, value in enumerate(Random(seed).sample(range(1, 1 << 40), number))
    ]


@lru_cache(maxsize=4)
def _large(seed: int, number: int, minutes: int, hot: float) -> list[int]:
    """Distinct, from 2^39 to 2^40. Those of the first minute add up to an odd number: no double beyond 2^53 is one."""
    found = Random(seed).sample(range(1 << 39, 1 << 40), number)
    first = [index for index in range(number) if _is_hot(index, hot) or index % minutes == 0]
    if sum(found[index] for index in first) % 2 == 0:
        taken = set(found)
        odd = next(index for index in first if found[index] ^ 1 not in taken)
        found[odd] ^= 1
    return found


def _is_hot(index: int, hot: float) -> bool:
    """Whether an event lies in the first minute, whatever its turn."""
    return (index * 61 % 100) / 100 < hot


def cohort(lab: Lab, rng: Random, name: str, number: int, *, minutes: int = 3, hot: float = 0.0) -> Cohort:
    """So many events of a source that nobody else has, in minutes that are over."""
    first = lab.wall_ns() // 10**9 // MINUTE_S - BACK_MINUTES - minutes
    return Cohort(f"{name}-{rng.getrandbits(48):012x}", rng.getrandbits(48), number, first, minutes, hot)


def rfc3339(at_ms: int) -> str:
    """A moment in ms since 1970, in UTC."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def minute_of(text: object) -> int | None:
    """The minute since 1970 that an RFC 3339 text begins; None where it is none, or lies within one."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text.strip().upper())
    except ValueError:
        return None
    seconds = at.timestamp() if at.tzinfo is not None else None
    return int(seconds // MINUTE_S) if seconds is not None and seconds % MINUTE_S == 0 else None
