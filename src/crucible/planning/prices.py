"""`prices.yaml` -> `Prices`: what machines, services, storage and requests cost, and where and when that was seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ConfigDict

from crucible.errors import CrucibleError, Fault
from crucible.planning import yamlfile
from crucible.planning.defaults import PRICES

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Where a price was read, and when."""

    source: str
    seen: str
    """An ISO date."""
    checked: bool = True
    """False where the page itself could not be read."""


@dataclass(frozen=True, kw_only=True)
class Size(Seen):
    """One of several that are paid by the month."""

    name: str
    memory_gb: float
    usd_per_month: float


@dataclass(frozen=True, kw_only=True)
class MachineSize(Size):
    """What the design's own processes run on."""

    __pydantic_config__ = _STRICT

    vcpus: float


@dataclass(frozen=True, kw_only=True)
class Tier(Size):
    """A size of a managed service."""

    __pydantic_config__ = _STRICT

    connections: int
    vcpus: float | None = None
    """None where the list does not say: then it is taken to be enough."""


@dataclass(frozen=True, kw_only=True)
class Storage(Seen):
    __pydantic_config__ = _STRICT

    usd_per_gb_month: float
    included_gb: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Requests(Seen):
    __pydantic_config__ = _STRICT

    usd_per_million: float


@dataclass(frozen=True)
class ServicePrices:
    """Tiers from the cheapest on (none: there is no floor), storage, and operations that are paid by number."""

    __pydantic_config__ = _STRICT

    tiers: tuple[Tier, ...]
    storage: Storage | None
    requests: dict[str, Requests]


@dataclass(frozen=True)
class Prices:
    __pydantic_config__ = _STRICT

    currency: str
    region: str
    machines: tuple[MachineSize, ...]
    services: dict[str, ServicePrices]

    @property
    def entries(self) -> list[Seen]:
        """Every single price."""
        found: list[Seen] = list(self.machines)
        for service in self.services.values():
            found += [*service.tiers, *service.requests.values(), *([service.storage] if service.storage else [])]
        return found

    @property
    def seen_by(self) -> str:
        """The latest day on which one of them was seen."""
        return max(it.seen for it in self.entries)


@cache
def read_prices(path: Path = PRICES) -> Prices:
    """Read a price file; one of the user's own is the user's fault, where it is wrong."""
    fault = Fault.CRUCIBLE if path == PRICES else Fault.LEARNER
    prices = yamlfile.read(path, Prices, fault=fault)
    lists: list[Sequence[Size]] = [
        prices.machines,
        *(service.tiers for service in prices.services.values()),
    ]
    if not prices.machines or any(
        [it.usd_per_month for it in one] != sorted(it.usd_per_month for it in one) for one in lists
    ):
        raise CrucibleError(
            "machines and tiers must be there, the cheapest first",
            where=str(path), fix="order them by usd_per_month", fault=fault,
        )  # fmt: skip
    return prices
