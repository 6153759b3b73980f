"""The pipeline, written out: what is graded, in which steps, and what comes of it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import yaml

from crucible import evidence
from crucible.check import Mode
from crucible.commands import results
from crucible.errors import CrucibleError, Fault
from crucible.evidence import Evidence
from crucible.judging import previous, references
from crucible.judging.graded import Graded
from crucible.judging.judge import judge, settled
from crucible.judging.verdict import CheckResult
from crucible.lab import leftovers
from crucible.planning import challenges, yamlfile
from crucible.planning.challenges import Challenge
from crucible.planning.defaults import PRICES, Deadlines
from crucible.planning.plan import Plan, make_plan
from crucible.planning.prices import read_prices
from crucible.planning.solution import read_solution
from crucible.processes.interrupt import interruptible
from crucible.run import run


@dataclass(frozen=True)
class Wanted:
    """What a user asks for."""

    folder: Path
    output: Path
    seed: int
    mode: Mode = "quick"
    checks: Sequence[str] = ()
    profile: str | None = None
    network_ms: int = 1
    deadlines: Deadlines = field(default_factory=Deadlines)
    private: Sequence[Path] = ()
    """Folders that the solution must not see, besides the challenges and the results."""
    prices: Path = PRICES
    """The price list."""
    since: Path | None = None
    """The result of an earlier grade, as `previous` keeps it, that the summary tells the changes to."""
    challenge: str | None = None
    """The only challenge that may be graded, by its slug; any, if none is named."""
    on_top: bool = False
    """Whether to build on top of what was built of the folder before."""


def failed(wanted: Wanted) -> Wanted:
    """What came out otherwise than as a pass when the folder was graded last, again, with the seed and for the profile
    of that grade. Raises a CrucibleError where there is nothing of the kind."""
    verdict = results.last(wanted.output)
    ids = [check.id for check in verdict.checks if check.unsettled] if verdict is not None else []
    if verdict is None or not ids:
        what = "no grade has been kept there" if verdict is None else "nothing failed in the last grade"
        raise CrucibleError(what, where=str(wanted.output), fix="grade without --failed", fault=Fault.LEARNER)
    profile = verdict.profile if verdict.profile_chosen else wanted.profile
    return replace(wanted, checks=tuple(ids), seed=verdict.seed, profile=wanted.profile or profile, mode=verdict.mode)


class Telling(Protocol):
    """Told what is happening while it happens."""

    def plan(self, plan: Plan, cleared: str | None) -> None:
        """Before anything runs: what will be done, and what an interrupted run had left."""

    def step(self, what: str, estimate_s: float | None = None) -> AbstractContextManager[None]:
        """A step that begins now and ends with the block; `estimate_s` is how long it usually takes."""

    def fell(self, check: CheckResult) -> None:
        """A verdict, as soon as all that it rests on has been seen. The one in the end goes by everything."""


class _Falling:
    """Implements `run.Progress`: judges a check as soon as its scenarios have run."""

    def __init__(self, telling: Telling, challenge: Challenge) -> None:
        self._telling, self._challenge = telling, challenge
        self._told: set[str] = set()
        self.step = telling.step

    def observed(self, sofar: Evidence) -> None:
        for check in settled(sofar, self._challenge.manifest, self._challenge.suite, self._told):
            self._told.add(check.id)
            self._telling.fell(check)


def grade(wanted: Wanted, environ: Mapping[str, str], telling: Telling) -> Graded:
    """Grade a solution and write the results. Raises CrucibleError, UnknownNameError or InterruptedGradeError."""
    try:
        return _grade(wanted, environ, telling)
    except CrucibleError as error:
        results.write_error(error, wanted.output)
        raise


def _grade(wanted: Wanted, environ: Mapping[str, str], telling: Telling) -> Graded:
    solution = read_solution(wanted.folder, environ)
    if wanted.challenge not in (None, solution.manifest.slug):
        raise CrucibleError(
            f"it answers {solution.manifest.slug}, and {wanted.challenge} is to be graded",
            where=str(wanted.folder / "crucible.yaml"), fix=f"write `challenge: {wanted.challenge}`",
            fault=Fault.LEARNER,
        )  # fmt: skip
    challenge = solution.challenge
    plan = make_plan(
        solution,
        challenge.suite,
        seed=wanted.seed,
        mode=wanted.mode,
        checks=wanted.checks,
        profile=wanted.profile,
        network_ms=wanted.network_ms,
        deadlines=wanted.deadlines,
        loaded=challenge.load_file is not None,
        on_top=wanted.on_top,
    )
    prices, known = read_prices(wanted.prices), references.read(challenge.folder)
    before = previous.read(wanted.since) if wanted.since is not None else None
    results.make(wanted.output, wanted.folder)
    cleared = leftovers.clear()
    telling.plan(plan, cleared)
    private = (wanted.output, *wanted.private)
    try:
        facts = interruptible(run(plan, wanted.output / "logs", environ, _Falling(telling, challenge), private))
        verdict = judge(facts, challenge.manifest, challenge.suite, prices)
        graded = Graded(verdict, facts, challenge.manifest, known, before)
        results.write_grade(graded, wanted.output, partial(_line, wanted.folder / "crucible.yaml"))
    finally:
        results.give_back(wanted.output)
    return graded


def repeat(path: Path, environ: Mapping[str, str], prices: Path = PRICES) -> Graded:
    """Repeat the verdict from an `evidence.json` alone."""
    facts = evidence.from_json(path)
    challenge = challenges.find(facts.challenge, environ, where=str(path))
    verdict = judge(facts, challenge.manifest, challenge.suite, read_prices(prices))
    return Graded(verdict, facts, challenge.manifest, references.read(challenge.folder))


def _line(path: Path, keys: tuple[str, ...]) -> int | None:
    """Where in the learner's file something stands; None where it is no longer there."""
    try:
        return yamlfile.line_of(path, keys)
    except (OSError, ValueError, KeyError, yaml.YAMLError):
        return None
