"""A comparison, a comment and the changes since an earlier grade, in words; hostile words in each of them."""

import io
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from support import evidence_builder as build
from support import hostile

from crucible.check import Outcome
from crucible.errors import CrucibleError, Fault
from crucible.judging.comparison import Against, Change, Comparison, Contrast, Design, Suitability
from crucible.judging.graded import Graded
from crucible.judging.judge import judge
from crucible.judging.previous import Before
from crucible.judging.shift import Ratio
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import GradeOutcome, Verdict
from crucible.planning.manifest import Manifest
from crucible.report import comment, comparison_md, pointers, render_comparison, since_md
from crucible.report.pointers import Pointer

VERDICT = judge(build.evidence(), build.MANIFEST, build.SUITE, build.PRICES)
MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})
OUR_HTML = re.compile(r"\s*(</?(sub|details|summary)>[^<]*)+\s*|<!-- crucible-feedback [0-9a-f]{16} -->\s*")


def design(name: str = "head", result: Judgement = Judgement.FITS, failed: tuple[str, ...] = ()) -> Design:
    outcome = GradeOutcome.FAILED if failed else GradeOutcome.PASSED
    return Design(name, outcome, "all gates hold", failed, {"paid-quota": Suitability(result, "because so")})


def row(axis: str, change: Change, base: float | None = 1.0, other: float | None = 2.0) -> Contrast:
    return Contrast(axis, base, other, Ratio(2.0, 1.9, 2.1), Ratio(1.0, 0.98, 1.03), change)


WORSE, SAME = row("latency_p99_ms", Change.WORSE), row("cpu_s_per_1000", Change.NOISE, other=1.01)


def compared(*rows: Contrast, this: Design | None = None, base: Design | None = None) -> Comparison:
    one = Against(this or design(), rows)
    return Comparison(1, "1.0", "toy", "abc", "paid-quota", 1, "Example CPU", 6, base or design("base"), (one,))


def test_what_differs_is_shown_and_the_rest_is_folded_and_small() -> None:
    text = comparison_md(compared(WORSE, SAME))
    shown, _, folded = text.partition("<details>")
    assert "| 🔴 worse | `latency_p99_ms` | 1 | 2 | 2.00 (1.90 to 2.10) | ±3% |" in shown
    assert "cpu_s_per_1000" not in shown
    assert "<sub>1.01</sub>" in folded
    assert "Otherwise take it back: latency\\_p99\\_ms from 1 to 2" in shown


def test_the_terminal_says_the_same() -> None:
    console = Console(file=io.StringIO(), width=80)
    lost = compared(WORSE, SAME, this=design(result=Judgement.DOES_NOT, failed=("T-1 holds",)))
    render_comparison(lost, console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert re.search(r"latency_p99_ms +1 +2 +2.00 \(1.90 to 2.10\) +±3% +worse", said)
    assert "within noise: cpu_s_per_1000" in said
    assert max(len(line) for line in said.splitlines()) <= 80
    assert "T-1 holds fails, and did not before" in said
    assert "paid-quota: fits before, does not now" in said


def test_a_comment_begins_with_its_mark_and_ends_with_the_run() -> None:
    text = comment.comment_md(VERDICT, compared(WORSE), "0123456789abcdef", "https://example.org/run")
    assert re.match(r"<!-- crucible-feedback [0-9a-f]{16} -->\n## ", text)
    assert "`0123456789ab`" in text
    assert "[The whole report](https://example.org/run)" in text


def test_a_comment_says_what_the_choice_buys_where_the_gates_hold() -> None:
    buys = ("against in-process: it buys <b>; it costs cost (21 instead of 12 USD)",) * 9
    text = comment.comment_md(VERDICT, compared(WORSE), "abc", "x", buys)
    assert text.count("gainst in-process: it buys &lt;b&gt;") == comment.MOST_CHOICES
    assert "in-process" not in comment.comment_md(replace(VERDICT, gates=GradeOutcome.FAILED), None, "abc", "x", buys)


def test_there_is_news_where_the_comment_would_say_anything_else() -> None:
    same, worse = compared(SAME), compared(WORSE)
    told = comment.digest(VERDICT, worse)
    assert not comment.news(VERDICT, worse, told)
    assert comment.news(VERDICT, same, told), "what was worse no longer is"
    assert comment.news(VERDICT, worse, "")
    assert not comment.news(VERDICT, same, "")


def test_a_base_that_was_never_started_is_not_what_it_was_before() -> None:
    starter = replace(design("base"), outcome=GradeOutcome.NOT_STARTED, stands={})
    text = comment.comment_md(VERDICT, compared(row("peak_ratio", Change.UNKNOWN, None, 1.0), base=starter), "abc", "x")
    assert "- paid-quota: fits\n" in text
    assert "as before" not in text
    assert "Nothing was measured on both of them." in text
    assert comment.tells_anything(compared(row("peak_ratio", Change.UNKNOWN, None, 1.0), base=starter))


def test_numbers_alone_are_no_news_and_what_they_mean_is() -> None:
    before = comment.digest(VERDICT, compared(WORSE, SAME))
    assert comment.digest(VERDICT, compared(replace(WORSE, other=2.2), replace(SAME, other=0.97))) == before
    assert comment.digest(VERDICT, compared(replace(WORSE, change=Change.BETTER), SAME)) != before
    assert comment.digest(VERDICT, compared(WORSE, SAME, this=design(result=Judgement.DOES_NOT))) != before
    assert comment.digest(replace(VERDICT, outcome=GradeOutcome.FAILED), compared(WORSE, SAME)) != before
    assert comment.digest(VERDICT, None) != before


@pytest.mark.parametrize(
    ("found", "tells"),
    [
        (None, True),
        (compared(SAME), False),
        (compared(WORSE), True),
        (compared(SAME, this=design(result=Judgement.DOES_NOT)), True),
        (compared(SAME, this=design(failed=("T-1",))), True),
        (compared(SAME, this=design(failed=("T-1",)), base=design("base", failed=("T-1",))), False),
    ],
)
def test_a_comment_is_worth_writing_where_something_changes(found: Comparison | None, tells: bool) -> None:
    assert comment.tells_anything(found) is tells


def test_a_comment_is_never_longer_than_github_takes() -> None:
    many = compared(*(replace(WORSE, axis=f"axis_{number}_" + "x" * 200) for number in range(2_000)))
    text = comment.comment_md(VERDICT, many, "abc", "https://example.org/run")
    assert len(text) < 65_536
    assert "too long for a comment" in text


def judged(outcome: Outcome = Outcome.PASS, result: Judgement = Judgement.FITS, parts: int = 1, ms: int = 1) -> Verdict:
    checks = tuple(replace(it, finding=replace(it.finding, outcome=outcome)) for it in VERDICT.checks)
    stand = build.stand(moving_parts=parts, latency_p99_ms=ms)
    return replace(VERDICT, checks=checks, fits=(replace(VERDICT.fits[0], result=result, positions=stand.positions),))


def since(commit: str, before: Verdict, now: Verdict, manifest: Manifest = build.MANIFEST) -> str:
    return since_md(Graded(now, build.EVIDENCE, manifest, build.REFERENCES, Before(commit, before)))


def test_since_an_earlier_grade_only_what_no_machine_changes_is_told() -> None:
    before = judged()
    now = judged(Outcome.FAIL, Judgement.DOES_NOT, parts=2, ms=9)
    noisy = tuple(replace(it, steadiness="noisy" if it.unit == "ms" else "counted") for it in build.MANIFEST.axes)
    text = since("0123456789abcdef", before, now, replace(build.MANIFEST, axes=noisy))
    assert "## Since `0123456789ab`" in text
    assert "T-1 holds-in-a-race: pass before, fail now" in text
    assert "`paid-quota`: fits before, does not now" in text
    assert "`moving_parts`: 1 before, 2 now" in text
    assert "latency_p99_ms" not in text
    assert "has changed" in since("abc", now, now)


def test_grades_of_another_kind_are_not_compared() -> None:
    assert since("abc", replace(VERDICT, mode="full"), VERDICT) == ""
    assert since("abc", replace(VERDICT, suite="other"), VERDICT) == ""


def test_an_error_points_at_its_line() -> None:
    error = CrucibleError("`x` is no service", where="/w/crucible.yaml:7", fix="use redis", fault=Fault.LEARNER)
    assert pointers.of_error(error) == Pointer(
        "error", "Crucible could not grade this", "`x` is no service. What to do: use redis.", 7
    )
    ours = CrucibleError("no server", where="the PATH", fix="install one", fault=Fault.CRUCIBLE)
    assert pointers.of_error(ours).line is None
    assert pointers.of_error(ours).message.endswith("This is not your fault.")


@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
def test_hostile_words_stay_words_in_every_markdown(text: str) -> None:
    this = Design(text, GradeOutcome.FAILED, text, (text,), {text: Suitability(Judgement.DOES_NOT, text)})
    base = Design(text, GradeOutcome.PASSED, text, (), {text: Suitability(Judgement.FITS, text)})
    found = replace(compared(replace(WORSE, axis=text), this=this, base=base), profile=text)
    verdict = replace(VERDICT, headline=text, challenge=text)
    earlier = replace(judged(Outcome.FAIL), fits=(replace(VERDICT.fits[0], profile=text, because=text),))
    now = replace(judged(), fits=(replace(earlier.fits[0], result=Judgement.DOES_NOT),))
    rough = comment.comment_md(verdict, found, text, "https://example.org")
    for said in (rough, comparison_md(found), since(text, earlier, now)):
        assert len(said) < comment.MOST
        assert not hostile.leaks(said)
        tokens = [token for block in MARKDOWN.parse(said) for token in (block.children or [block])]
        assert not [it for it in tokens if it.type == "text" and hostile.lures(it.content)]
        links = [it.attrs.get("href") for it in tokens if it.type == "link_open"]
        assert set(links) <= {"https://example.org"}
        assert not [it for it in tokens if it.type == "image"]
        html = [it.content for it in tokens if it.type in ("html_inline", "html_block")]
        assert not [it for it in html if not OUR_HTML.fullmatch(it)]


@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
def test_hostile_words_are_no_command_in_a_terminal_or_a_pointer(text: str) -> None:
    console = Console(file=io.StringIO(), width=60)
    render_comparison(replace(compared(replace(WORSE, axis=text), this=design(text)), profile=text), console)
    assert isinstance(console.file, io.StringIO)
    assert not hostile.leaks(console.file.getvalue())
    error = CrucibleError(text, where=text, fix=text, fault=Fault.LEARNER)
    found = pointers.from_json(pointers.to_json([pointers.of_error(error)]))
    assert not hostile.leaks(found[0].message)
    for evidence in hostile.everywhere(build.racing(14), text):
        verdict = judge(evidence, build.MANIFEST, build.SUITE, build.PRICES)
        for it in pointers.of_grade(verdict, evidence, lambda keys: 1):
            assert len(it.message) < 1_000
            assert not hostile.leaks(it.message + it.title)
