"""Grades everything that a challenge has to show for its suite, and says whether the suite tells good from bad."""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crucible import report
from crucible.check import Mode
from crucible.commands import grade
from crucible.errors import CrucibleError, Fault
from crucible.judging import matrices, references
from crucible.judging.matrices import Tried, Verified
from crucible.judging.references import References
from crucible.judging.verdict import Verdict
from crucible.planning import challenges
from crucible.planning.challenges import Challenge
from crucible.planning.names import UnknownNameError
from crucible.planning.overlays import lay_out
from crucible.planning.plan import rests_on
from crucible.planning.trials import Kind, Trial, trials
from crucible.run import machine

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


class Telling(grade.Telling, Protocol):
    """Told of each grade, and of what happens in it."""

    def trial(self, trial: Trial, number: int, of: int) -> None:
        """A grade begins."""

    def graded(self, trial: Trial, verdict: Verdict, seconds: float) -> None:
        """A grade is over."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was tried, and what is to be said of it."""

    challenge: Challenge
    tried: tuple[Tried, ...]
    known: References
    verified: Verified
    whole: bool

    @property
    def exit_code(self) -> int:
        return 1 if self.verified.complaints else 0


@dataclass(frozen=True, slots=True)
class _Setting:
    """What is the same for every trial."""

    wanted: Wanted
    challenge: Challenge
    folder: Path
    """For what is thrown away in the end."""
    environ: Mapping[str, str]
    telling: Telling


def verify(wanted: Wanted, environ: Mapping[str, str], telling: Telling) -> Verification:
    """Grade and compare. Raises CrucibleError or UnknownNameError for what cannot be begun, InterruptedGradeError."""
    challenge = challenges.find(wanted.slug, environ, where="crucible verify")
    chosen = _chosen(trials(challenge), wanted.only)
    with tempfile.TemporaryDirectory(prefix="crucible-verify-") as folder:
        Path(folder).chmod(0o755)
        setting = _Setting(wanted, challenge, Path(folder), environ, telling)
        tried = tuple(_try(trial, setting) for trial in chosen)
    known = _stands(tried, challenge)
    whole = not wanted.only
    found = matrices.verified(tried, challenge.suite, challenge.manifest, known, whole=whole and wanted.mode == "full")
    return Verification(challenge, tried, known, found, whole)


def publish(outcome: Verification, wanted: Wanted) -> list[Path]:
    """Write the matrices, and where the references stand that were graded in full, into the challenge's folder; of
    full grades of some references alone, only that."""
    written = []
    if wanted.mode == "full" and _references(outcome.tried):
        written.append(outcome.challenge.folder / references.FILE)
        written[0].write_bytes(references.to_json(outcome.known))
        if not outcome.whole:
            return written
    intro = (
        f"Written by `crucible verify {wanted.slug}`: {wanted.mode} grades of references, {wanted.repeat} each, and of "
        f"flaws by the check that must catch them. {outcome.known.machine or ''}"
    )
    title = f"{outcome.challenge.manifest.title}: what its suite tells apart"
    written.append(outcome.challenge.folder / FILE)
    written[-1].write_text(report.render_verified(title, outcome.verified, intro.rstrip()), encoding="utf-8")
    return written


def _chosen(every: Sequence[Trial], only: Sequence[str]) -> tuple[Trial, ...]:
    for name in only:
        if not any(name in (trial.name, trial.kind) for trial in every):
            raise UnknownNameError("solution", name, [*Kind, *(trial.name for trial in every)])
    return tuple(trial for trial in every if not only or trial.name in only or trial.kind in only)


def _try(trial: Trial, setting: _Setting) -> Tried:
    verdicts: list[Verdict] = []
    seconds: list[float] = []
    repeat, output = setting.wanted.repeat, setting.folder / "results"
    try:
        solution = lay_out(trial.folder, setting.folder / f"{trial.kind}-{trial.name}")
        for number in range(repeat):
            setting.telling.trial(trial, number + 1, repeat)
            shutil.rmtree(output, ignore_errors=True)  # or what fails at once is kept with another's
            begun = time.monotonic()
            verdicts.append(_grade(trial, _asked(trial, setting, solution, output, number), setting))
            seconds.append(time.monotonic() - begun)
            setting.telling.graded(trial, verdicts[-1], seconds[-1])
    except CrucibleError as error:
        if error.fault is Fault.CRUCIBLE:
            raise
        last = next((f": {line}" for line in reversed(error.excerpt.splitlines()) if line.strip()), "")
        return Tried(trial, tuple(verdicts), tuple(seconds), f"{error.what} ({error.where}){last}")
    return Tried(trial, tuple(verdicts), tuple(seconds))


def _grade(trial: Trial, asked: grade.Wanted, setting: _Setting) -> Verdict:
    """One grade; kept with what it left, where there is no verdict, or another one than the trial's."""
    verdict, keep = None, setting.wanted.keep
    try:
        verdict = grade.grade(asked, setting.environ, setting.telling).verdict
        return verdict
    finally:
        as_meant = verdict is not None and matrices.holds(trial, verdict, setting.challenge.manifest)
        if keep is not None and not as_meant and asked.output.is_dir():
            shutil.copytree(asked.output, keep / f"{trial.name}-{asked.seed}", dirs_exist_ok=True)


def _asked(trial: Trial, setting: _Setting, solution: Path, output: Path, number: int) -> grade.Wanted:
    """A flaw runs only what its check rests on, and one that misses a profile what that profile's limits rest on."""
    manifest, wanted = setting.challenge.manifest, setting.wanted
    intended = [profile.id for profile in manifest.profiles if profile.intended == trial.name]
    profile = trial.profile or (intended[0] if intended else manifest.profiles[0].id)
    checks: tuple[str, ...] = (trial.check,) if trial.check else ()
    if trial.profile:
        missed = manifest.profile(trial.profile)
        assert missed is not None
        checks = rests_on(missed, setting.challenge.suite)
    mode: Mode = wanted.mode if trial.kind is Kind.REFERENCE else "quick"
    return grade.Wanted(
        folder=solution, output=output, seed=wanted.seed + number, mode=mode, checks=checks, profile=profile,
        private=(trial.folder.parents[1],),
    )  # fmt: skip


def _references(tried: Sequence[Tried]) -> list[Tried]:
    return [it for it in tried if it.trial.kind is Kind.REFERENCE and it.verdicts]


def _stands(tried: Sequence[Tried], challenge: Challenge) -> References:
    """Where the references stand by these grades; by earlier ones, those that were not graded now, where the same suite
    graded them on the same kind of machine."""
    now, before = _references(tried), references.read(challenge.folder)
    if not now:
        return before
    found = {it.trial.name: references.of_runs(it.trial.name, it.verdicts) for it in now}
    if (before.suite, before.machine) == (challenge.digest, machine().words):
        found = {it.name: it for it in before.references} | found
    return References(1, challenge.digest, machine().words, tuple(found[name] for name in sorted(found)))
