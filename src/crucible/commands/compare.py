"""Grades designs by turns on this machine, and compares each of them with the first."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from crucible import __version__, report
from crucible.commands import grade, results
from crucible.errors import CrucibleError, Fault
from crucible.evidence import Evidence
from crucible.judging import blocks, comparison
from crucible.judging.comparison import Comparison, Observed
from crucible.judging.verdict import CheckResult, Verdict
from crucible.planning.challenges import Challenge
from crucible.planning.defaults import ROUNDS
from crucible.planning.manifest import Profile
from crucible.planning.names import UnknownNameError
from crucible.planning.overlays import lay_out
from crucible.planning.plan import VISIT, Plan, make_plan
from crucible.planning.solution import Solution, read_solution
from crucible.planning.trials import Kind, trials
from crucible.processes.interrupt import interruptible
from crucible.run import machine, run

FILE, MARKDOWN = "comparison.json", "comparison.md"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user asks for."""

    folders: tuple[Path, ...]
    """Solutions, the base first."""
    output: Path
    seed: int
    profile: str | None = None
    """Default: the base's own, or else the challenge's first."""
    rounds: int = ROUNDS
    references: bool = False
    """Whether to compare the base with the challenge's references as well."""
    private: tuple[Path, ...] = ()


class Telling(Protocol):
    """Told what is happening while it happens."""

    def step(self, what: str) -> AbstractContextManager[None]:
        """A grade, or a round of visits, that begins now and ends with the block."""


@dataclass(frozen=True, slots=True)
class _Design:
    name: str
    solution: Solution
    results: Path


@dataclass(frozen=True, slots=True)
class _Setting:
    """What is the same for every grade and every visit."""

    wanted: Wanted
    challenge: Challenge
    profile: Profile
    environ: Mapping[str, str]
    telling: Telling


def compare(wanted: Wanted, environ: Mapping[str, str], telling: Telling) -> Comparison:
    """Compare each design with the first, and write that, and the first grade of each, into `wanted.output`.

    Raises CrucibleError, UnknownNameError or InterruptedGradeError.
    """
    with tempfile.TemporaryDirectory(prefix="crucible-compare-") as folder:
        Path(folder).chmod(0o755)
        setting, designs = _set_out(wanted, Path(folder), environ, telling)
        results.make(wanted.output, wanted.folders[0])
        results.give_back(wanted.output)
        for name in (MARKDOWN, FILE):
            (wanted.output / name).unlink(missing_ok=True)
        whole = [_graded(design, setting, (), design.results) for design in designs]
        measuring = tuple(check.id for check in setting.challenge.suite.checks if check.axes)
        further = [_graded(design, setting, measuring, Path(folder) / "further") for design in designs]
        again, *visits = _visits([designs[0], *designs], setting, Path(folder) / "visits")
    each = zip(designs, whole, further, visits, strict=True)
    observed = [Observed(design.name, (first, second), tuple(visited)) for design, first, second, visited in each]
    base = replace(observed[0], again=tuple(again))
    found = Comparison(
        schema=comparison.SCHEMA, crucible=__version__, challenge=setting.challenge.manifest.slug,
        suite=setting.challenge.digest, profile=setting.profile.id, seed=wanted.seed, machine=machine().words,
        rounds=wanted.rounds, base=comparison.design(base),
        others=tuple(comparison.against(base, other, setting.challenge.manifest) for other in observed[1:]),
    )  # fmt: skip
    results.write(wanted.output / FILE, comparison.to_json(found))
    results.write(wanted.output / MARKDOWN, report.comparison_md(found).encode("utf-8", "replace"))
    results.give_back(wanted.output)
    return found


def _set_out(
    wanted: Wanted, scratch: Path, environ: Mapping[str, str], telling: Telling
) -> tuple[_Setting, list[_Design]]:
    """Raises a CrucibleError where the designs do not answer one challenge, or there is nothing to compare with."""
    solutions = [read_solution(folder, environ) for folder in wanted.folders]
    first = solutions[0]
    for solution in solutions:
        if solution.manifest.slug != first.manifest.slug:
            raise CrucibleError(
                f"it answers {solution.manifest.slug}, and the first design answers {first.manifest.slug}",
                where=str(solution.folder), fix="compare designs for one challenge", fault=Fault.LEARNER,
            )  # fmt: skip
    names = _names([solution.folder for solution in solutions])
    if wanted.references:
        references = [it for it in trials(first.challenge) if it.kind is Kind.REFERENCE]
        solutions += [read_solution(lay_out(it.folder, scratch / it.name), environ) for it in references]
        names += [f"reference {it.name}" for it in references]
    if len(solutions) < 2:
        raise CrucibleError(
            "there is nothing to compare it with", where=str(first.folder),
            fix="name another folder, or use --with-references", fault=Fault.LEARNER,
        )  # fmt: skip
    name = wanted.profile or first.profile or first.manifest.profiles[0].id
    profile = first.manifest.profile(name)
    if profile is None:
        raise UnknownNameError("profile", name, [it.id for it in first.manifest.profiles])
    designs = [
        _Design(name, solution, wanted.output / f"{index}-{_slug(name)}")
        for index, (name, solution) in enumerate(zip(names, solutions, strict=True))
    ]
    return _Setting(wanted, first.challenge, profile, environ, telling), designs


def _names(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart; of a folder that is given twice, the number."""
    parts = [folder.resolve().parts for folder in folders]
    names: list[str] = []
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(it[-length:]) for it in parts]
        if len(set(names)) == len(set(parts)):
            break
    return [name if names.index(name) == index else f"{name} ({index + 1})" for index, name in enumerate(names)]


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "design"


def _graded(design: _Design, setting: _Setting, checks: tuple[str, ...], results: Path) -> Verdict:
    """A quick grade; of some checks only, where any are named."""
    asked = grade.Wanted(
        folder=design.solution.folder, output=results, seed=setting.wanted.seed, checks=checks,
        profile=setting.profile.id, private=(*setting.wanted.private, setting.wanted.output),
    )  # fmt: skip
    what = f"{design.name}: {'what is measured, again' if checks else 'a quick grade'}"
    with setting.telling.step(what), _named(design):
        return grade.grade(asked, setting.environ, _SILENT).verdict


def _visits(designs: Sequence[_Design], setting: _Setting, logs: Path) -> list[list[dict[str, float]]]:
    """What each design's load cost in each round. The order turns round every time, so that a drift favours nobody."""
    found: list[list[dict[str, float]]] = [[] for _ in designs]
    if setting.challenge.load_file is None:
        return found
    for number in range(setting.wanted.rounds):
        turns = list(enumerate(designs))
        with setting.telling.step(f"load, round {number + 1} of {setting.wanted.rounds}"):
            for index, design in turns[:: -1 if number % 2 else 1]:
                with _named(design):
                    seen = run(_visit(design, setting, number), logs, setting.environ, _SILENT)
                    evidence = interruptible(seen)
                if values := blocks.values(evidence.own.load[1:]):
                    found[index].append(values)
    return found


def _visit(design: _Design, setting: _Setting, number: int) -> Plan:
    """Nothing but the first requests, and load."""
    seed, suite = setting.wanted.seed + number, setting.challenge.suite
    plan = make_plan(design.solution, suite, seed=seed, profile=setting.profile.id)
    contact = tuple(scenario for scenario in plan.scenarios if scenario.phase == "contact")
    return replace(plan, scenarios=contact, checks=(), load=replace(VISIT, rates=(setting.profile.rate,)))


@contextmanager
def _named(design: _Design) -> Iterator[None]:
    """What goes wrong says with which design it did."""
    try:
        yield
    except CrucibleError as error:
        raise CrucibleError(
            error.what, where=f"{design.name}: {error.where}", fix=error.fix, fault=error.fault, excerpt=error.excerpt
        ) from error


class _Silent:
    """Implements `grade.Telling` and `run.Progress`: of a grade among many, only that it is made is told."""

    def plan(self, plan: Plan, cleared: str | None) -> None:
        pass

    def step(self, what: str, estimate_s: float | None = None) -> AbstractContextManager[None]:
        return nullcontext()

    def observed(self, sofar: Evidence) -> None:
        pass

    def fell(self, check: CheckResult) -> None:
        pass


_SILENT = _Silent()
