"""Where a challenge's references stand, as tables for its author. Pure."""

from dataclasses import dataclass

from crucible.judging.references import References, ranking
from crucible.judging.separation import nobody
from crucible.judging.words import interval, number, words
from crucible.planning.manifest import Axis, Manifest, Profile

NONE = "–"


@dataclass(frozen=True, slots=True)
class Matrix:
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(known: References, manifest: Manifest) -> tuple[Matrix, ...]:
    """Whom each profile admits, by how much, and what there would be to limit."""
    return _profiles(known, manifest), _margins(known, manifest), _standing(known, manifest)


def _profiles(known: References, manifest: Manifest) -> Matrix:
    rows = []
    for profile in manifest.profiles:
        stands = known.of(profile.id)
        ranked = [it.name for it in ranking(nobody(profile), known, manifest)]
        cells = []
        for reference in known.references:
            stand = stands.get(reference.name)
            word = "–" if stand is None else words(stand.result)
            cells.append(f"{word} ({ranked.index(reference.name) + 1}.)" if reference.name in ranked else word)
        rows.append((profile.id, profile.intended or "–", *cells))
    header = ("profile", "meant for", *(reference.name for reference in known.references))
    return Matrix("Profiles and references (place among those that fit)", header, tuple(rows))


def _margins(known: References, manifest: Manifest) -> Matrix:
    axes = {axis.id: axis for axis in manifest.axes}
    rows = []
    for profile in manifest.profiles:
        for name, limit in profile.limits.items():
            bound = f"≤ {number(limit.at_most)}" if limit.at_most is not None else f"≥ {number(limit.at_least or 0)}"
            rows.append((f"{profile.id}: {name} {bound}", *_cells(known, profile, axes[name])))
    header = ("limit", *(reference.name for reference in known.references))
    return Matrix("Limits, and where the references stand", header, tuple(rows))


def _standing(known: References, manifest: Manifest) -> Matrix:
    """Every axis, limited or not: what an author chooses limits by. Profiles that differ in nothing share a row."""
    rows = []
    for axis in manifest.axes:
        shared: list[_Shared] = []
        for profile in manifest.profiles:
            _join(shared, profile.id, _cells(known, profile, axis))
        for row in shared:
            whose = "" if len(shared) == 1 else f" ({', '.join(row.profiles)})"
            rows.append((f"{axis.id}{whose}", axis.unit, *row.cells))
    header = ("axis", "unit", *(reference.name for reference in known.references))
    return Matrix("Every axis, and where the references stand", header, tuple(rows))


@dataclass(frozen=True, slots=True)
class _Shared:
    """Profiles under which the references stand alike, as far as that is known."""

    profiles: tuple[str, ...]
    cells: tuple[str, ...]


def _join(shared: list[_Shared], profile: str, cells: tuple[str, ...]) -> None:
    """Add a profile's cells to the first row that says nothing else, or as a row of their own."""
    if set(cells) <= {NONE}:
        return
    for index, row in enumerate(shared):
        pairs = list(zip(row.cells, cells, strict=True))
        if all(one == two or NONE in (one, two) for one, two in pairs):
            both = tuple(one if two == NONE else two for one, two in pairs)
            shared[index] = _Shared((*row.profiles, profile), both)
            return
    shared.append(_Shared((profile,), cells))


def _cells(known: References, profile: Profile, axis: Axis) -> tuple[str, ...]:
    """Where each reference stands on the axis, for the profile."""
    stands = [known.of(profile.id).get(reference.name) for reference in known.references]
    found = [
        next((it for it in stand.positions if it.axis == axis.id), None) if stand is not None else None
        for stand in stands
    ]
    return tuple(NONE if measure is None else interval(measure, axis.better) for measure in found)
