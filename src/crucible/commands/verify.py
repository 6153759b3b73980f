"""Grades everything that a challenge has to show for its suite, and says whether the suite tells good from bad."""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crucible import report
from crucible.check import Mode, Suite
from crucible.commands import grade
from crucible.errors import CrucibleError, Fault
from crucible.judging import matrices, references
from crucible.judging.matrices import Tried, Verified
from crucible.judging.references import References
from crucible.judging.verdict import Verdict
from crucible.planning import challenges
from crucible.planning.manifest import Manifest, read_manifest
from crucible.planning.names import UnknownNameError
from crucible.planning.overlays import lay_out
from crucible.planning.plan import checks_of
from crucible.planning.suite import digest, load_suite
from crucible.planning.trials import Kind, Trial, trials
from crucible.run import Progress, machine

FILE = "verified.md"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an author asks for."""

    slug: str
    mode: Mode = "full"
    repeat: int = 1
    only: tuple[str, ...] = ()
    """Names of references, flaws or fair designs, or kinds of them; everything, if none is named."""
    seed: int = 1
    keep: Path | None = None
    """A folder for the results of each grade that did not come out as it is meant to."""


class Telling(Progress, Protocol):
    """`run.Progress`, and told of each grade as well."""

    def trial(self, trial: Trial, number: int, of: int) -> None:
        """A grade begins."""

    def graded(self, trial: Trial, verdict: Verdict, seconds: float) -> None:
        """A grade is over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    challenge: Path
    manifest: Manifest
    tried: tuple[Tried, ...]
    known: References
    verified: Verified
    whole: bool

    @property
    def exit_code(self) -> int:
        return 1 if self.verified.complaints else 0


def verify(wanted: Wanted, environ: Mapping[str, str], progress: Telling) -> Outcome:
    """Grade and compare. Raises CrucibleError or UnknownNameError for what cannot be begun, InterruptedGradeError."""
    challenge = challenges.folder_of(wanted.slug, where="crucible verify")
    manifest, suite = read_manifest(challenge), load_suite(challenge)
    every = trials(challenge, manifest, suite)
    chosen = _chosen(every, wanted.only)
    with tempfile.TemporaryDirectory(prefix="crucible-verify-") as folder:
        Path(folder).chmod(0o755)
        tried = tuple(_try(trial, wanted, manifest, suite, Path(folder), environ, progress) for trial in chosen)
    known = _stands(tried, challenge)
    whole = not wanted.only
    found = matrices.verified(tried, suite, manifest, known, whole=whole and wanted.mode == "full")
    return Outcome(challenge, manifest, tried, known, found, whole)


def publish(outcome: Outcome, wanted: Wanted) -> list[Path]:
    """Write the matrices, and, after a full run of all references, where they stand, into the challenge's folder."""
    intro = (
        f"Written by `crucible verify {wanted.slug}`: {wanted.mode} grades of references, {wanted.repeat} each, and of "
        f"flaws by the check that must catch them. {outcome.known.machine or ''}"
    )
    written = [outcome.challenge / FILE]
    text = report.render_verified(
        f"{outcome.manifest.title}: what its suite tells apart", outcome.verified, intro.rstrip()
    )
    written[0].write_text(text, encoding="utf-8")
    if outcome.whole and wanted.mode == "full":
        written.append(outcome.challenge / references.FILE)
        written[1].write_bytes(references.to_json(outcome.known))
    return written


def _chosen(every: Sequence[Trial], only: Sequence[str]) -> tuple[Trial, ...]:
    for name in only:
        if not any(name in (trial.name, trial.kind) for trial in every):
            raise UnknownNameError("solution", name, [*Kind, *(trial.name for trial in every)])
    return tuple(trial for trial in every if not only or trial.name in only or trial.kind in only)


def _try(
    trial: Trial, wanted: Wanted, manifest: Manifest, suite: Suite, folder: Path, environ: Mapping[str, str],
    progress: Telling,
) -> Tried:  # fmt: skip
    verdicts: list[Verdict] = []
    seconds: list[float] = []
    try:
        solution = lay_out(trial.folder, folder / f"{trial.kind}-{trial.name}")
        for number in range(wanted.repeat):
            progress.trial(trial, number + 1, wanted.repeat)
            shutil.rmtree(folder / "results", ignore_errors=True)  # or what fails at once is kept with another's
            asked = _asked_of(trial, wanted, manifest, suite, solution, folder / "results", number)
            begun = time.monotonic()
            verdicts.append(_grade(trial, asked, manifest, wanted.keep, environ, progress))
            seconds.append(time.monotonic() - begun)
            progress.graded(trial, verdicts[-1], seconds[-1])
    except CrucibleError as error:
        if error.fault is Fault.CRUCIBLE:
            raise
        last = next((f": {line}" for line in reversed(error.excerpt.splitlines()) if line.strip()), "")
        return Tried(trial, tuple(verdicts), tuple(seconds), f"{error.what} ({error.where}){last}")
    return Tried(trial, tuple(verdicts), tuple(seconds))


def _grade(
    trial: Trial,
    asked: grade.Wanted,
    manifest: Manifest,
    keep: Path | None,
    environ: Mapping[str, str],
    progress: Telling,
) -> Verdict:
    """One grade; into `keep` with what it left, where there is no verdict, or another one than the trial's."""
    verdict = None
    try:
        verdict = grade.grade(asked, environ, progress).verdict
        return verdict
    finally:
        as_meant = verdict is not None and matrices.holds(trial, verdict, manifest)
        if keep is not None and not as_meant and asked.output.is_dir():
            shutil.copytree(asked.output, keep / f"{trial.name}-{asked.seed}", dirs_exist_ok=True)


def _asked_of(
    trial: Trial, wanted: Wanted, manifest: Manifest, suite: Suite, solution: Path, output: Path, number: int
) -> grade.Wanted:
    """A flaw runs only what its check rests on, and one that misses a profile what that profile's limits rest on."""
    intended = [profile.id for profile in manifest.profiles if profile.intended == trial.name]
    profile = trial.profile or (intended[0] if intended else manifest.profiles[0].id)
    checks: tuple[str, ...] = (trial.check,) if trial.check else ()
    if trial.profile:
        wanted_profile = manifest.profile(trial.profile)
        assert wanted_profile is not None
        checks = tuple(check.id for check in checks_of([wanted_profile], suite))
    mode: Mode = wanted.mode if trial.kind is Kind.REFERENCE else "quick"
    return grade.Wanted(
        folder=solution, output=output, seed=wanted.seed + number, mode=mode, checks=checks, profile=profile,
        private=(trial.folder.parents[1],),
    )  # fmt: skip


def _stands(tried: Sequence[Tried], challenge: Path) -> References:
    """Where the references stand by these grades; by earlier ones, where none of them was graded now."""
    graded = [it for it in tried if it.trial.kind is Kind.REFERENCE and it.verdicts]
    if not graded:
        return references.read(challenge)
    return References(
        1, digest(challenge), machine().words,
        tuple(references.of_runs(it.trial.name, it.verdicts) for it in graded),
    )  # fmt: skip
