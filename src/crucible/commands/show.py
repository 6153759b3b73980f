"""The references of a challenge, to be read by who has built a design of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crucible.commands import results
from crucible.errors import CrucibleError, Fault
from crucible.judging import references
from crucible.judging.limits import Judgement
from crucible.judging.references import References
from crucible.judging.verdict import GradeOutcome
from crucible.lab.workspace import files_of
from crucible.planning.challenges import Challenge
from crucible.planning.names import UnknownNameError
from crucible.planning.overlays import lay_out
from crucible.planning.solution import read_solution
from crucible.planning.trials import Kind, trials


@dataclass(frozen=True, slots=True)
class Shelf:
    """What there is to read."""

    challenge: Challenge
    known: References
    folders: dict[str, Path]
    """Of the references, by name."""


def shelf(folder: Path, environ: Mapping[str, str]) -> Shelf:
    """The references of the challenge that the solution in `folder` answers. Raises a CrucibleError where its gates do
    not hold yet: what there was to decide would be given away."""
    challenge = read_solution(folder, environ).challenge
    last = results.last(folder / results.FOLDER)
    if last is None or last.challenge != challenge.manifest.slug or last.gates is not GradeOutcome.PASSED:
        raise CrucibleError(
            "the references are shown once every gate holds for a design of your own", where=str(folder),
            fix="build one, and grade it with `crucible grade`", fault=Fault.LEARNER,
        )  # fmt: skip
    found = {trial.name: trial.folder for trial in trials(challenge) if trial.kind is Kind.REFERENCE}
    return Shelf(challenge, references.read(challenge.folder), found)


def fits(one: Shelf, name: str) -> list[str]:
    """The profiles that a reference fits."""
    every = [profile.id for profile in one.challenge.manifest.profiles]
    stands = {profile: one.known.of(profile).get(name) for profile in every}
    return [profile for profile, stand in stands.items() if stand is not None and stand.result is Judgement.FITS]


def decision(one: Shelf, name: str) -> str:
    """What was decided, and why. Raises an UnknownNameError."""
    return (_folder(one, name) / "DECISION.md").read_text(encoding="utf-8")


def files(one: Shelf, name: str) -> list[Path]:
    """What it is made of."""
    return sorted(files_of(_folder(one, name)))


def copy(one: Shelf, name: str, target: Path) -> Path:
    """Write it into the new folder `target`, whole, to be graded as it lies there."""
    if target.exists():
        raise CrucibleError(
            "there is something already", where=str(target), fix="name a folder that is not there yet",
            fault=Fault.LEARNER,
        )  # fmt: skip
    return lay_out(_folder(one, name), target)


def _folder(one: Shelf, name: str) -> Path:
    if name not in one.folders:
        raise UnknownNameError("reference", name, list(one.folders))
    return one.folders[name]
