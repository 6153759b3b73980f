"""What there is to try a challenge's suite on: references, flawed designs, and designs that must not be accused."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crucible.errors import CrucibleError, Fault
from crucible.planning.challenges import Challenge
from crucible.planning.overlays import read_overlay


class Kind(StrEnum):
    REFERENCE = "reference"
    """A complete solution: no gate fails it, and some business is right to choose it."""
    FLAW = "flaw"
    """A mistake: one check fails it, or one profile that its sibling fits does not fit it."""
    FAIR = "fair"
    """Unusual and right: no gate fails it."""


FOLDERS = {Kind.REFERENCE: "references", Kind.FLAW: "flaws", Kind.FAIR: "fair"}


@dataclass(frozen=True, slots=True)
class Trial:
    """One solution to grade, and what is expected of the grade."""

    kind: Kind
    name: str
    folder: Path
    check: str = ""
    """The check that must fail it."""
    profile: str = ""
    """The profile that must not fit it."""
    sibling: str = ""
    """The reference that it is laid over."""


def trials(challenge: Challenge) -> tuple[Trial, ...]:
    """Everything in the challenge's folders, in the order of their names."""
    found = []
    for kind, place in FOLDERS.items():
        for folder in sorted(path for path in (challenge.folder / place).glob("*") if path.is_dir()):
            found.append(_trial(kind, folder, challenge))
    return tuple(found)


def _trial(kind: Kind, folder: Path, challenge: Challenge) -> Trial:
    sibling = overlay.reference if (overlay := read_overlay(folder)) is not None else ""
    if kind is not Kind.FLAW:
        return Trial(kind, folder.name, folder, sibling=sibling)
    expected = folder.name.partition("--")[0]
    check = next((check.id for check in challenge.suite.checks if check.id.lower() == expected), "")
    profile = expected if challenge.manifest.profile(expected) is not None else ""
    if not check and not profile:
        raise CrucibleError(
            f"`{expected}` is neither a check nor a profile", where=f"{folder.parents[1].name}/flaws/{folder.name}",
            fix="name the folder <check-id>--<mistake>, or <profile>--<mistake>", fault=Fault.AUTHOR,
        )  # fmt: skip
    return Trial(kind, folder.name, folder, check, profile, sibling)
