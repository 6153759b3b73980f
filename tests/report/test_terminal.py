"""The report in a terminal."""

import io
import re

import pytest
from rich.console import Console
from support import evidence_builder as build
from support import golden, hostile

from crucible.evidence import Evidence, from_json
from crucible.judging.graded import Graded
from crucible.judging.judge import judge
from crucible.judging.references import NONE
from crucible.planning import challenges
from crucible.planning.manifest import Manifest
from crucible.report import render_terminal

RUNS = {
    "pass": build.evidence(),
    "full": build.full(),
    "fail": build.racing(14, profile="public-api"),
    "measure": build.disagreeing(),
    "ended": build.ended(),
    "not-started": build.unfinished(status=501),
    "no-contact": build.unfinished(status=None),
}
RECORDED = sorted(path.parent for path in golden.FOLDER.glob("*/evidence.json"))


def shown(evidence: Evidence, manifest: Manifest = build.MANIFEST, suite=build.SUITE, width: int = 100) -> str:  # type: ignore[no-untyped-def]
    """What is on the screen, without the spaces that end its lines."""
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, force_terminal=False)
    known = build.REFERENCES if manifest is build.MANIFEST else NONE
    verdict = judge(evidence, manifest, suite, build.PRICES)
    render_terminal(Graded(verdict, evidence, manifest, known), console)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


@pytest.mark.parametrize("name", RUNS)
def test_a_terminal_report_reads_as_its_golden_says(name: str) -> None:
    golden.check(golden.FOLDER / "by-hand" / f"{name}.txt", shown(RUNS[name]))


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_a_recorded_report_reads_as_its_golden_says(folder) -> None:  # type: ignore[no-untyped-def]
    evidence = from_json(folder / "evidence.json")
    challenge = challenges.find(evidence.challenge, {}, where=str(folder))
    golden.check(folder / "terminal.txt", shown(evidence, challenge.manifest, challenge.suite))


def test_the_verdict_and_what_to_do_next_come_last() -> None:
    *_, verdict, step = shown(RUNS["pass"]).splitlines()
    assert verdict == "passed: the one gate holds, and the design fits paid-quota"
    assert step.startswith("next  ")


def test_what_was_told_already_is_not_told_again() -> None:
    evidence = build.evidence()
    verdict = judge(evidence, build.MANIFEST, build.SUITE, build.PRICES)
    file = io.StringIO()
    told = {check.id: check for check in verdict.checks[:1]}
    graded = Graded(verdict, evidence, build.MANIFEST, build.REFERENCES)
    render_terminal(graded, Console(file=file, width=80, color_system=None), told)
    assert "T-1" not in file.getvalue()
    assert "✓ T-2 replicas-agree" in file.getvalue()


def test_markup_in_an_answer_is_shown_not_obeyed() -> None:
    assert "[bold red]x[/bold red]" in shown(hostile.wordy(build.racing(14), "[bold red]x[/bold red]"))


@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
@pytest.mark.parametrize("width", [40, 100])
def test_hostile_text_reaches_no_terminal(text: str, width: int) -> None:
    for evidence in hostile.everywhere(build.racing(14), text):
        found = shown(evidence, width=width)
        assert not hostile.leaks(found)
        assert not [line for line in found.splitlines() if re.match(r"\s*(::\w|##\[)", line)]
