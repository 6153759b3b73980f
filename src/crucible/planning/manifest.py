"""`challenge.yaml` -> `Manifest`: what a challenge offers, measures, and for whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from crucible.errors import CrucibleError, Fault
from crucible.planning import yamlfile

_STRICT = ConfigDict(extra="forbid")
LATENCY = "latency_p99_ms"
KNEE_P99_MS = 100.0
"""What a rate is held with where a profile limits no latency."""

APART = {"counted": 1.1, "cpu": 1.2, "noisy": 1.5}
"""By steadiness of an axis: the factor by which two values must differ to be told apart for sure, and how far from a
limit a design stands that the limit is meant to admit or to exclude."""


@dataclass(frozen=True)
class Axis:
    """One thing that designs differ in."""

    __pydantic_config__ = _STRICT

    id: str
    """Snake case with its unit, such as `latency_p99_ms`."""
    title: str
    unit: str
    better: Literal["lower", "higher"]
    steadiness: Literal["counted", "cpu", "noisy"] = "counted"
    """How much it varies from run to run: a limit stands 1.1, 1.2 or 1.5 times away from what it tells apart."""


@dataclass(frozen=True)
class Limit:
    """A bound of a profile on an axis, in the axis's unit; exactly one of the two is set."""

    __pydantic_config__ = _STRICT

    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("must have either `at_most` or `at_least`")


@dataclass(frozen=True)
class Profile:
    """A business that some design is right for."""

    __pydantic_config__ = _STRICT

    id: str
    story: str
    replicas: int
    rate: float
    """Requests per second at which it is measured."""
    limits: dict[str, Limit]
    intended: str = ""
    """The reference that is meant to be the best choice for it."""

    @property
    def knee_p99_ms(self) -> float:
        """The latency with which a rate counts as held: the profile's own limit, where it has one."""
        limit = self.limits.get(LATENCY)
        return limit.at_most if limit is not None and limit.at_most is not None else KNEE_P99_MS


@dataclass(frozen=True)
class Number:
    """The whole numbers that a declaration may be."""

    __pydantic_config__ = _STRICT

    default: int
    """What who declares nothing is held to."""
    least: int
    most: int

    def __post_init__(self) -> None:
        if not self.least <= self.default <= self.most:
            raise ValueError("must have its `default` from `least` to `most`")


@dataclass(frozen=True)
class Declaration:
    """A promise that a design may choose to make: one of some values, or a whole number."""

    __pydantic_config__ = _STRICT

    about: str
    values: dict[str, str] = field(default_factory=dict)
    """Each value with what it obliges the design to."""
    number: Number | None = None

    def __post_init__(self) -> None:
        if bool(self.values) == (self.number is not None):
            raise ValueError("must have either `values` or a `number`")

    @property
    def choices(self) -> str:
        """What may be declared, in words."""
        if self.number is None:
            return ", ".join(self.values)
        return f"a whole number from {self.number.least} to {self.number.most:,}"

    @property
    def example(self) -> str:
        """Something that may be declared."""
        return next(iter(self.values)) if self.number is None else str(self.number.default)


@dataclass(frozen=True)
class Kept:
    """What a design keeps at any time, for the price of keeping it."""

    __pydantic_config__ = _STRICT

    axis: str
    """An axis in bytes per item."""
    items: int
    until: str = ""
    """A declaration of how many seconds an item may still be kept that is over. Whatever is asked for in so long may be
    kept at once, where that is more than `items`."""
    memory: str = ""
    """Another axis in bytes per item: what is kept in services that keep everything in memory, where that is not the
    same as what the others keep."""

    each: dict[str, str] = field(default_factory=dict)
    """By service, where it is seen what each keeps: an axis in bytes per item. What none is named for keeps nothing."""

    def most(self, rate: float, declares: Mapping[str, str]) -> float:
        """How many items are kept at any time at `rate` requests per second, by what the design declares."""
        return max(self.items, rate * int(declares.get(self.until, 0)))


@dataclass(frozen=True)
class ByMode:
    """A value that is another one in a quick grade."""

    __pydantic_config__ = _STRICT

    quick: str
    full: str


@dataclass(frozen=True)
class Manifest:
    """A challenge, as its author wrote it down."""

    __pydantic_config__ = _STRICT

    slug: str
    title: str
    line: str
    """The challenge in one line, for lists."""
    story: str
    services: dict[str, str]
    """Services offered, each with its card: what it promises."""
    axes: tuple[Axis, ...]
    profiles: tuple[Profile, ...]
    """The first is judged where the learner has chosen none."""
    declares: dict[str, Declaration] = field(default_factory=dict)
    questions: dict[str, str] = field(default_factory=dict)
    """What a starter asks where the work begins, for each route of the contract, such as `PUT /v1/limits/{key}`."""
    sink: bool | Literal["callbacks"] = False
    """Whether solutions deliver to a provider of the grader's, which they find in `SINK_URL`; or call back, with JSON
    of their own, where a request says."""
    durable: tuple[Literal["redis"], ...] = ()
    """The offered services that keep what they hold over a crash, where they could also be caches."""
    consumer_timeout_s: Annotated[int, Field(ge=10)] | None = None
    """How long RabbitMQ waits for the acknowledgement of a delivery; its own half an hour, where nothing is said."""
    settings: dict[str, str | ByMode] = field(default_factory=dict)
    """Further environment of every process."""
    memory_mib: Annotated[int, Field(ge=64, le=1 << 16)] = 2048
    """How much memory (PSS) a process of the solution may hold, with all that it starts."""
    rank_by: tuple[str, ...] = ()
    """The axes by which designs that fit a profile are ranked, the most important one first."""
    kept: Kept | None = None
    larger: float | None = None
    """How many times the load a bill is reckoned for as well, with what would be full first."""
    chart: tuple[str, str] | None = None
    """The two axes that designs trade against each other most: the report's picture."""

    @property
    def memory(self) -> str:
        """How much a process may hold, in words."""
        return f"{self.memory_mib >> 10} GiB" if self.memory_mib % 1024 == 0 else f"{self.memory_mib} MiB"

    def environment(self, mode: Literal["quick", "full"]) -> dict[str, str]:
        """The further environment of every process in such a grade."""
        return {
            name: value if isinstance(value, str) else getattr(value, mode) for name, value in self.settings.items()
        }

    def profile(self, name: str) -> Profile | None:
        return next((profile for profile in self.profiles if profile.id == name), None)


def json_schema() -> dict[str, object]:
    """The JSON schema of `challenge.yaml`, for editors."""
    return TypeAdapter(Manifest).json_schema()


def read_manifest(folder: Path) -> Manifest:
    """Read `folder/challenge.yaml`; anything wrong with it is the author's."""
    path = folder / "challenge.yaml"
    manifest = yamlfile.read(path, Manifest, fault=Fault.AUTHOR)
    known = {axis.id for axis in manifest.axes}
    uses = [(f"profile `{profile.id}` limits", name) for profile in manifest.profiles for name in profile.limits]
    uses += [("`rank_by` names", name) for name in manifest.rank_by]
    if manifest.kept is not None:
        uses += [("`kept` names", axis) for axis in (manifest.kept.axis, manifest.kept.memory) if axis]
    uses += [("`chart` names", name) for name in manifest.chart or ()]
    if manifest.kept is not None and manifest.kept.until and not _is_number(manifest, manifest.kept.until):
        raise CrucibleError(
            f"`kept.until` names `{manifest.kept.until}`, which is no declaration of a number",
            where=str(path),
            fix="name one of `declares` that has a `number`, of seconds",
            fault=Fault.AUTHOR,
        )
    for who, name in uses:
        if name not in known:
            raise CrucibleError(
                f"{who} `{name}`, which is not an axis",
                where=str(path),
                fix="add the axis, or use one of: " + ", ".join(sorted(known)),
                fault=Fault.AUTHOR,
            )
    if manifest.slug != folder.name or not manifest.profiles:
        raise CrucibleError(
            "`slug` must be the folder's name, and at least one profile must be there",
            where=str(path),
            fix=f"write `slug: {folder.name}` and a profile",
            fault=Fault.AUTHOR,
        )
    return manifest


def _is_number(manifest: Manifest, name: str) -> bool:
    return name in manifest.declares and manifest.declares[name].number is not None
