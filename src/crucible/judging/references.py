"""Where a challenge's reference designs stand (`positions.json`), and how a design ranks among them.

The file is generated from full grades of the references; see `of_runs`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from crucible.check import Measure
from crucible.errors import CrucibleError, Fault
from crucible.judging.tradeoffs import Fit, Judgement
from crucible.judging.verdict import Verdict
from crucible.planning.manifest import Manifest

FILE = "positions.json"
YOURS = "yours"


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a reference stands, for one profile."""

    result: Judgement
    positions: tuple[Measure, ...]
    """Median of the runs, with the lowest and highest that any of them saw."""


@dataclass(frozen=True, slots=True)
class Reference:
    name: str
    runs: int
    """How many full grades it rests on."""
    profiles: dict[str, Stand]


@dataclass(frozen=True, slots=True)
class References:
    """`positions.json`."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    schema: Literal[1]
    suite: str
    """SHA-256 of the hidden files that graded them."""
    machine: str
    references: tuple[Reference, ...]

    def of(self, profile: str) -> dict[str, Stand]:
        """Where each reference stands for a profile."""
        return {it.name: it.profiles[profile] for it in self.references if profile in it.profiles}


NONE = References(1, "", "", ())


@dataclass(frozen=True, slots=True)
class Ranked:
    """A design that fits a profile, in the order of the challenge's `rank_by`."""

    name: str
    """A reference's, or `yours`."""
    values: tuple[float | None, ...]


_ADAPTER = TypeAdapter(References)


def read(challenge: Path) -> References:
    """The positions of the challenge's references; none where the file is not there."""
    path = challenge / FILE
    if not path.is_file():
        return NONE
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except ValidationError as error:
        raise CrucibleError(
            f"cannot be read: {error.errors()[0]['msg']}", where=f"{challenge.name}/{FILE}",
            fix="generate it again", fault=Fault.AUTHOR,
        ) from error  # fmt: skip


def to_json(references: References) -> bytes:
    return _ADAPTER.dump_json(references, indent=1) + b"\n"


def of_runs(name: str, verdicts: Sequence[Verdict]) -> Reference:
    """What several full grades of one reference say of it."""
    profiles = {fit.profile for verdict in verdicts for fit in verdict.fits}
    return Reference(name, len(verdicts), {it: _stand(verdicts, it) for it in sorted(profiles)})


def ranking(fit: Fit, references: References, manifest: Manifest) -> tuple[Ranked, ...]:
    """The designs that fit the profile, the best first: by the challenge's axes, in their order; unknown is last."""
    fitting: Mapping[str, Sequence[Measure]] = {
        name: stand.positions for name, stand in references.of(fit.profile).items() if stand.result is Judgement.FITS
    }
    if fit.result is Judgement.FITS:
        fitting = {YOURS: fit.positions} | dict(fitting)
    better = {axis.id: axis.better for axis in manifest.axes}

    def key(ranked: Ranked) -> tuple[float, ...]:
        signs = [1 if better[axis] == "lower" else -1 for axis in manifest.rank_by]
        return tuple(
            float("inf") if value is None else sign * round(value, 6)
            for sign, value in zip(signs, ranked.values, strict=True)
        )

    def values(positions: Sequence[Measure]) -> tuple[float | None, ...]:
        found = {measure.axis: measure.value for measure in positions}
        return tuple(found.get(axis) for axis in manifest.rank_by)

    return tuple(sorted((Ranked(name, values(positions)) for name, positions in fitting.items()), key=key))


def _stand(verdicts: Sequence[Verdict], profile: str) -> Stand:
    fits = [fit for verdict in verdicts for fit in verdict.fits if fit.profile == profile]
    results = {fit.result for fit in fits}
    by_axis: dict[str, list[Measure]] = {}
    for fit in fits:
        for measure in fit.positions:
            if not measure.open:
                by_axis.setdefault(measure.axis, []).append(measure)
    return Stand(
        results.pop() if len(results) == 1 else Judgement.INCONCLUSIVE,
        tuple(
            Measure(
                axis, median(it.value for it in seen), min(it.low for it in seen), max(it.high for it in seen),
                sum(it.samples for it in seen), any(it.beyond for it in seen),
            )
            for axis, seen in by_axis.items()
        ),
    )  # fmt: skip
