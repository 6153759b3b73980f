"""The faults of an outage, as their scenario and its judges know them."""

from collections.abc import Sequence
from dataclasses import dataclass

from crucible.check import NetworkFault

STALLS: tuple[NetworkFault, ...] = ("refuse", "drop")
CRASH = "crash"
KINDS: tuple[str, ...] = (*STALLS, CRASH)
NONE = "none"
"""The place of a service's name where there is none: the same load, without a fault."""
FULL_LIMIT, FULL_MS = 2, 3_600_000
"""So long that a steady refill adds nothing."""
HOT_LIMIT = 5
HEALTHY_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Spell:
    """One fault of one service: what is asked around it, and noted of it, bears its name."""

    service: str
    kind: str

    @property
    def name(self) -> str:
        return f"out/{self.service}/{self.kind}"

    def asked(self, part: str, *target: str) -> str:
        """`full`, `fresh` and `hot` keys while it lasts; before it `fill`, for the full key, afterwards `well`."""
        return "/".join((self.name, part, *target))


def spells(services: Sequence[str]) -> list[Spell]:
    return [Spell(service, kind) for service in services for kind in KINDS] or [Spell(NONE, NONE)]


@dataclass(frozen=True, slots=True)
class Lasted:
    """When a fault began and ended, and when its service was there again; without a fault, when its load did."""

    begin_ns: int
    end_ns: int
    healed_ns: int


@dataclass(frozen=True, slots=True)
class NotCaused:
    """Why a service could not be crashed here."""

    service: str
    why: str
