"""What there is to try a challenge's suite on: references, flawed designs, and designs that must not be accused."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crucible.errors import CrucibleError, Fault
from crucible.planning.challenges import Challenge
from crucible.planning.names import nearest
from crucible.planning.overlays import REFERENCES, read_overlay


class Kind(StrEnum):
    REFERENCE = "reference"
    """A complete solution: no gate fails it, and some business is right to choose it."""
    FLAW = "flaw"
    """A mistake: one check fails it, or one profile that its sibling fits does not fit it."""
    FAIR = "fair"
    """Unusual and right: no gate fails it."""


FOLDERS = {Kind.REFERENCE: REFERENCES, Kind.FLAW: "flaws", Kind.FAIR: "fair"}


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
    """The reference that a flaw or a fair design is laid over."""


def trials(challenge: Challenge) -> tuple[Trial, ...]:
    """Everything in the challenge's folders, in the order of their names. Raises a CrucibleError for names in suite and
    manifest that mean nothing."""
    _check_names(challenge)
    found = []
    for kind, place in FOLDERS.items():
        for folder in sorted(path for path in (challenge.folder / place).glob("*") if path.is_dir()):
            found.append(_trial(kind, folder, challenge))
    return tuple(found)


def _check_names(challenge: Challenge) -> None:
    """Axes that checks say they measure, and references that profiles are intended for."""
    axes = [axis.id for axis in challenge.manifest.axes]
    for check in challenge.suite.checks:
        for axis in check.axes:
            if axis not in axes:
                what = f"{check.id} says that it measures `{axis}`, which is no axis of the manifest"
                raise CrucibleError(
                    what, where=f"{challenge.folder.name}/hidden", fix=nearest(axis, axes), fault=Fault.AUTHOR
                )
    references = sorted(path.name for path in (challenge.folder / "references").glob("*") if path.is_dir())
    for profile in challenge.manifest.profiles:
        if profile.intended and profile.intended not in references:
            what = f"profile `{profile.id}` is intended for `{profile.intended}`, which is no reference"
            where = f"{challenge.folder.name}/challenge.yaml"
            raise CrucibleError(
                what, where=where, fix=nearest(profile.intended, references, "(there are none)"), fault=Fault.AUTHOR
            )


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
