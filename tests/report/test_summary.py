"""The Markdown that GitHub shows."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import JsonValue
from support import evidence_builder as build
from support import golden, hostile

from crucible.check import Finding, Measure, Outcome
from crucible.evidence import ENDINGS, Evidence, FaultEvent, from_json
from crucible.judging.graded import Graded
from crucible.judging.judge import judge
from crucible.judging.references import NONE
from crucible.planning import challenges
from crucible.planning.prices import read_prices
from crucible.report import circumstances, render_summary
from crucible.report.summary import BUDGET_BYTES
from crucible.report.text import code_md, escape_md

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


def summary(evidence: Evidence) -> str:
    return render_summary(build.graded(evidence))


def tokens(text: str) -> Iterator[Token]:
    """What a Markdown reader makes of it."""
    for block in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        yield block
        yield from block.children or ()


def shape(text: str) -> list[str]:
    """The kinds of blocks, without what they say."""
    return [token.type for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)]


@pytest.mark.parametrize("name", RUNS)
def test_a_summary_reads_as_its_golden_says(name: str) -> None:
    golden.check(golden.FOLDER / "by-hand" / f"{name}.md", summary(RUNS[name]))


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_a_recorded_summary_reads_as_its_golden_says(folder) -> None:  # type: ignore[no-untyped-def]
    evidence = from_json(folder / "evidence.json")
    challenge = challenges.find(evidence.challenge, {}, where=str(folder))
    verdict = judge(evidence, challenge.manifest, challenge.suite, read_prices())
    text = render_summary(Graded(verdict, evidence, challenge.manifest, NONE))
    golden.check(folder / "summary.md", text)


def test_the_verdict_comes_first() -> None:
    assert summary(RUNS["fail"]).splitlines()[0] == (
        "## ❌ Failed: T-1 holds-in-a-race: 14 units were allowed on one key whose limit is 10"
    )


def test_the_table_has_at_most_ten_checks_and_the_worst_are_among_them() -> None:
    checks = [replace(build.HOLDS, id=f"T-{index}") for index in range(1, 15)]
    checks[13] = replace(checks[13], judge=lambda history: Finding(Outcome.FAIL, "it did"))
    evidence = build.evidence(checks=tuple(check.id for check in checks))
    text = render_summary(build.graded(evidence, judged_by=build.suite(*checks)))
    assert text.count("| gate |") == 10
    assert "| T-14 holds-in-a-race | gate | ❌ fail | it did |" in text
    assert "And 4 more:" in text


def test_a_service_that_was_never_asked_is_said_to_have_had_no_traffic() -> None:
    text = summary(build.evidence(traffic=()))
    assert '[("redis, no traffic")]' in text
    assert "| – | redis | no traffic | 0 | 0 | – | – |" in text


def test_what_befell_a_process_is_told_once_and_what_the_grader_did_to_it_is_not() -> None:
    text = summary(build.ended())
    assert text.count("- web.0 ended by itself with status 1 (2 times)") == 1
    assert "- web.0 held 2,311 MiB of memory, and may hold 2,048 MiB: the grader ended it" in text
    assert len(re.findall("^- web.0 ", text, re.MULTILINE)) == 5


@pytest.mark.parametrize("kind", ["died", "out_of_memory", "too_many_processes"])
@pytest.mark.parametrize("detail", [{}, {"status": None, "held_bytes": "x"}, {"status": -4711, "most": []}])
def test_an_event_without_its_detail_spoils_no_report(kind: str, detail: dict[str, JsonValue]) -> None:
    first, *rest = build.PASSING
    events = (FaultEvent(kind, "web.0", 1, detail=detail),)
    text = summary(build.evidence(recordings=(replace(first, events=events), *rest)))
    assert "- web.0 " in text


def test_no_design_is_called_wrong() -> None:
    assert not any("wrong" in summary(evidence).lower() for evidence in RUNS.values())


@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
def test_hostile_text_becomes_no_markup_no_mention_and_no_link(text: str) -> None:
    own_html = ["<details>", "<summary>", "</summary>", "</details>"]
    for evidence in hostile.everywhere(build.racing(14), text):
        found = summary(evidence)
        seen = list(tokens(found))
        html = "".join(token.content for token in seen if token.type == "html_block")
        assert re.findall(r"</?\w+", html) == [tag.rstrip(">") for tag in own_html]
        assert not [token for token in seen if token.type in ("html_inline", "link_open", "image")]
        assert not [token for token in seen if token.type == "text" and hostile.lures(token.content)]
        assert not hostile.leaks(found)
        assert len(found.encode()) < 40_000


@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
def test_hostile_words_leave_the_blocks_as_they_are(text: str) -> None:
    calm, rough = (summary(hostile.wordy(build.racing(14), words)) for words in ("calm", text))
    assert shape(calm) == shape(rough)


def test_the_largest_run_stays_within_the_budget() -> None:
    noise = "&😀<" * 20_000
    ops = tuple(build.op(index, target=noise, reply=noise, error=noise) for index in range(3))
    finding = Finding(Outcome.FAIL, noise, ops, (Measure("long_run_ratio", 1, 1, 1, 1),))
    check = replace(build.HOLDS, slug=noise, promise=noise, hint=noise, judge=lambda history: finding)
    checks = [replace(check, id=f"{noise}{index}") for index in range(60)]
    evidence = hostile.wordy(build.evidence(checks=tuple(check.id for check in checks)), noise)
    evidence = build.changed(
        evidence, notes=(noise,) * 200, timings=evidence.timings * 300, services=evidence.own.services * 300
    )
    text = render_summary(build.graded(evidence, judged_by=build.suite(*checks)))
    assert len(text.encode()) < BUDGET_BYTES


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 1.5 and (this)", "plain words, 1.5 and (this)"),
        ("a | b", "a \\| b"),
        ("1. one", "1\\. one"),
        ("- one", "\\- one"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("\x1b[31mred", "�\\[31mred"),
        ("::error::x", ": :error: :x"),
        ("@team", "@\u2060team"),
        ("a\nb", "a b"),
    ],
)
def test_text_is_escaped(text: str, shown: str) -> None:
    assert escape_md(text) == shown


def test_a_code_span_cannot_be_left() -> None:
    assert code_md("a`|b\n") == "`a'¦b`"


def test_every_end_of_a_process_has_words() -> None:
    assert set(circumstances.MISHAPS) == ENDINGS
