"""The pipeline, written out: what is graded, in which steps, and what comes of it."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from crucible import evidence, report
from crucible.check import Mode
from crucible.errors import CrucibleError, Fault
from crucible.evidence import Evidence
from crucible.judging import previous, references, verdict
from crucible.judging.previous import Before
from crucible.judging.references import References
from crucible.judging.verdict import Verdict
from crucible.lab import leftovers
from crucible.planning import challenges, yamlfile
from crucible.planning.defaults import PRICES, Deadlines
from crucible.planning.manifest import Manifest, read_manifest
from crucible.planning.plan import make_plan
from crucible.planning.prices import read_prices
from crucible.planning.solution import read_solution
from crucible.planning.suite import load_file, load_suite
from crucible.processes.interrupt import interruptible
from crucible.report import pointers
from crucible.run import Progress, run

POINTERS, IGNORED = "annotations.json", b"*\n"
WRITTEN = (
    ".gitignore", "evidence.json", "summary.md", "report.html", POINTERS, "result.json", "comparison.json",
    "comparison.md",
)  # fmt: skip


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


@dataclass(frozen=True)
class Graded:
    verdict: Verdict
    evidence: Evidence
    manifest: Manifest
    references: References
    """What the report compares the design with."""
    before: Before | None = None
    """An earlier grade."""


def grade(wanted: Wanted, environ: Mapping[str, str], progress: Progress) -> Graded:
    """Grade a solution and write the results. Raises CrucibleError, UnknownNameError or InterruptedGradeError."""
    try:
        return _grade(wanted, environ, progress)
    except CrucibleError as error:
        with contextlib.suppress(OSError):
            if _is_for_results(wanted.output):
                write(wanted.output / POINTERS, pointers.to_json([pointers.of_error(error)]))
                give_back(wanted.output)
        raise


def _grade(wanted: Wanted, environ: Mapping[str, str], progress: Progress) -> Graded:
    solution = read_solution(wanted.folder)
    if wanted.challenge not in (None, solution.manifest.slug):
        raise CrucibleError(
            f"it answers {solution.manifest.slug}, and {wanted.challenge} is to be graded",
            where=str(wanted.folder / "crucible.yaml"), fix=f"write `challenge: {wanted.challenge}`",
            fault=Fault.LEARNER,
        )  # fmt: skip
    challenge = challenges.folder_of(solution.manifest.slug, where=str(wanted.folder))
    suite = load_suite(challenge)
    plan = make_plan(
        solution,
        suite,
        seed=wanted.seed,
        mode=wanted.mode,
        checks=wanted.checks,
        profile=wanted.profile,
        network_ms=wanted.network_ms,
        deadlines=wanted.deadlines,
        loaded=load_file(challenge) is not None,
    )
    prices, known = read_prices(wanted.prices), references.read(challenge)
    before = previous.read(wanted.since) if wanted.since is not None else None
    make_output(wanted.output, wanted.folder)
    cleared = leftovers.clear()
    progress.plan(plan, cleared)
    private = (wanted.output, *wanted.private)
    try:
        facts = interruptible(run(plan, challenge, wanted.output / "logs", environ, progress, private))
        graded = Graded(verdict.judge(facts, solution.manifest, suite, prices), facts, solution.manifest, known, before)
        write_results(graded, wanted.output, partial(_line, wanted.folder / "crucible.yaml"))
    finally:
        give_back(wanted.output)
    return graded


def judge(path: Path, prices: Path = PRICES) -> Graded:
    """Repeat the verdict from an `evidence.json` alone."""
    facts = evidence.from_json(path)
    challenge = challenges.folder_of(facts.challenge, where=str(path))
    manifest = read_manifest(challenge)
    judged = verdict.judge(facts, manifest, load_suite(challenge), read_prices(prices))
    return Graded(judged, facts, manifest, references.read(challenge))


def write_results(graded: Graded, output: Path, line: pointers.Line = lambda keys: None) -> None:
    """Write the five files, each whole or not at all; `result.json` last, so that it never stands without the rest."""
    (output / "result.json").unlink(missing_ok=True)
    write(output / "evidence.json", evidence.to_json(graded.evidence))
    seen = (graded.verdict, graded.evidence, graded.manifest, graded.references)
    before = graded.before
    since = report.since_md(before.commit, before.verdict, graded.verdict, graded.manifest) if before else ""
    write(output / "summary.md", (report.render_summary(*seen) + since).encode("utf-8", "replace"))
    write(output / "report.html", report.render_html(*seen).encode("utf-8", "replace"))
    write(output / POINTERS, pointers.to_json(pointers.of_grade(graded.verdict, graded.evidence, line)))
    write(output / "result.json", verdict.to_json(graded.verdict))


def _line(path: Path, keys: tuple[str, ...]) -> int | None:
    """Where in the learner's file something stands; None where it is no longer there."""
    try:
        return yamlfile.line_of(path, keys)
    except (OSError, ValueError, KeyError, yaml.YAMLError):
        return None


def write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def make_output(output: Path, solution: Path) -> None:
    """Raises a CrucibleError where results cannot be written, or would stand among the learner's own files."""
    if output.is_symlink():
        raise CrucibleError(
            "the results would be written to where a link leads",
            where=str(output), fix="remove the link, or give another folder with --output", fault=Fault.LEARNER,
        )  # fmt: skip
    if solution.resolve().is_relative_to(output.resolve()):
        raise CrucibleError(
            "the results would be written over the solution",
            where=str(output), fix="give another folder with --output", fault=Fault.LEARNER,
        )  # fmt: skip
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not (output / ".gitignore").exists():
            write(output / ".gitignore", IGNORED)
    except OSError as error:
        raise CrucibleError(
            f"results cannot be written there: {error.strerror}",
            where=str(output), fix="give another folder with --output", fault=Fault.LEARNER,
        ) from error  # fmt: skip


def _is_for_results(output: Path) -> bool:
    """Whether it is a folder of nobody's: empty, or of results before these."""
    if output.is_symlink() or not output.is_dir():
        return False
    ignored = output / ".gitignore"
    return not any(output.iterdir()) or (ignored.is_file() and ignored.read_bytes() == IGNORED)


def give_back(output: Path) -> None:
    """Where the grader is root, make its results those of whom the folder belongs to that they lie in."""
    about = output.absolute().parent.stat()
    if os.geteuid() != 0 or about.st_uid == 0:
        return
    logs = output / "logs"
    for path in (output, *(output / name for name in WRITTEN), logs, *logs.rglob("*")):
        with contextlib.suppress(OSError):
            os.chown(path, about.st_uid, about.st_gid, follow_symlinks=False)
