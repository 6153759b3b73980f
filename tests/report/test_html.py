"""The page that a learner opens: what it says, that it harms nobody, and that anybody can use it."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise, product
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from support import browser as browsers
from support import evidence_builder as build
from support import hostile

from crucible import report
from crucible.check import Finding, Measure, Outcome
from crucible.evidence import Evidence, FaultEvent, LoadBlock, Part
from crucible.judging.references import NONE, Reference, References
from crucible.report import render_html
from crucible.report.timeline import MOST_POINTS

Look = Callable[[str], tuple[Page, browsers.Seen]]
Scheme = Literal["light", "dark"]
SHAPES = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]
MS = build.MS
LIBRARY = (Path(report.__file__).parent / "vendor" / "plotly-basic.min.js").read_text(encoding="utf-8")
BUDGET_BYTES = 2_000_000
"""Of the page, without the library that draws the plots."""


def page(evidence: Evidence, references: References = build.REFERENCES) -> str:
    return render_html(build.graded(evidence, references))


def own(html: str) -> str:
    """The page without the library."""
    assert html.count(LIBRARY) <= 1
    return html.replace(LIBRARY, "")


def at(rate: float, start_s: float, **changes: object) -> LoadBlock:
    block = build.block(rate, **changes)
    return replace(block, started_ns=int(start_s * 1e9), ended_ns=int((start_s + 3) * 1e9))


def full() -> Evidence:
    """A full grade with everything that a page can show: faults, spans, a ramp, parts, predictions."""
    contact, race, steady = build.PASSING
    faults = (
        FaultEvent("slow", "redis", 400 * MS, 900 * MS, {"ms_each_way": 20}),
        FaultEvent("kill", "web.0", 1_500 * MS, detail={"requests_in_flight": 14}),
        FaultEvent("died", "web.1", 2_000 * MS, detail={"status": 1}),
    )
    steady = replace(steady, ops=(*steady.ops, *build.ops(30, status=None)), events=faults)
    load = (*(at(200, 4 + 4 * index) for index in range(4)), at(200, 20, spoiled="requests were sent 9 ms late"))
    slow = ((40_000, 500), (400_000, 80))
    ramp = (at(400, 24), at(800, 28, latency_us=slow, unanswered_us=((1_900_000, 20),)), at(800, 32, latency_us=slow))
    shield = tuple(at(600, 4 + 4 * index, replicas=4, latency_us=((6_000, 990), (30_000, 10))) for index in range(3))
    part = Part(4, ("T-1", "T-2"), build.PASSING, shield, build.OWN.traffic, build.OWN.usage)
    return build.evidence(
        mode="full", recordings=(contact, race, steady), load=load, ramp=ramp, others=(part,),
        predictions={"latency_p99_ms": 40.0, "bytes_per_key": 3.0},
    )  # fmt: skip


def crowded() -> References:
    """References that stand close together, as they do."""
    names = ("in-process", "redis-lua", "redis-incr", "row-lock", "partitioned", "leases", "hybrid", "two-tier", "more")
    return replace(
        NONE,
        references=tuple(
            Reference(
                name,
                3,
                {
                    profile.id: build.stand(latency_p99_ms=8 + index / 4, long_run_ratio=1 + index / 50, moving_parts=2)
                    for profile in build.MANIFEST.profiles
                },
            )
            for index, name in enumerate(names)
        ),
    )


RUNS = {
    "full": page(full(), crowded()),
    "passed": page(build.evidence()),
    "failed": page(build.racing(14, profile="public-api"), NONE),
    "ended": page(build.ended()),
    "not-started": page(build.unfinished(status=501)),
    "no-contact": page(build.unfinished(status=None)),
}
OPENED = ("full", "failed", "no-contact", "not-started")
"""Those that a browser opens."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    paths = {name: folder / f"{name}.html" for name in RUNS}
    for name, path in paths.items():
        path.write_text(RUNS[name], encoding="utf-8")
    return paths


@pytest.fixture(scope="module")
def look(browser: Browser, files: dict[str, Path]) -> Iterator[Look]:
    """Pages that stay open for tests that change nothing but their shape; everything that can be unfolded is."""
    with ExitStack() as stack:

        @cache
        def opened(name: str) -> tuple[Page, browsers.Seen]:
            shown, seen = stack.enter_context(browsers.opened(browser, files[name]))
            open_all(shown)
            return shown, seen

        def look(name: str) -> tuple[Page, browsers.Seen]:
            shown, seen = opened(name)
            browsers.shaped(shown, 1280, "light")
            return shown, seen

        yield look


class Outline(HTMLParser):
    """The elements of a page, with what is inside scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset")]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        else:
            self.text.append(data)


def open_all(shown: Page) -> None:
    shown.evaluate("document.querySelectorAll('details').forEach(it => { it.open = true })")


# What it says


def test_the_verdict_comes_first() -> None:
    heading = re.search(r"<h1>(.*?)</h1>", RUNS["failed"])
    assert heading is not None
    assert heading[1] == "Failed: T-1 holds-in-a-race: 14 units were allowed on one key whose limit is 10"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("full", "it would no longer fit with a limit on long_run_ratio below 1.05"),
        ("full", "What can happen between reading the count and writing it?"),
        ("full", "50 requests in flight at once"),
        ("full", "It held 400 requests per second"),
        ("full", "web.1 ended by itself with status 1"),
        ("full", "lower by a factor of 4.444"),
        ("full", "no: requests were sent 9 ms late"),
        ("full", "ms each way 20"),
        ("full", "crucible grade --seed 42 --profile paid-quota --full"),
        ("full", "edge-shield: 600 requests per second, 4 replicas"),
        ("passed", "cache (0.5 GB): 9 MB of memory, 4 connections"),
        ("failed", "crucible grade --check T-1 --seed 42 --profile public-api"),
        ("failed", "This challenge has no reference designs"),
        ("failed", "POST /v1/check {&#34;key&#34;:&#34;k-1&#34;,&#34;cost&#34;:1}"),
        ("no-contact", "The first requests"),
        ("no-contact", "timed out after 5.0 s"),
        ("not-started", "Welcome!"),
        ("not-started", "However many ask at once, no more than the limit is allowed."),
    ],
)
def test_a_page_says(name: str, said: str) -> None:
    assert said in RUNS[name]


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("not-started", "next checks run"),
        ("no-contact", "first checks time seen run"),
        ("passed", "fits buys checks choice latency time bill seen run"),
        ("ended", "mishaps fits buys checks choice latency time bill seen run"),
        ("full", "mishaps fits buys checks choice latency time bill guesses seen run"),
    ],
)
def test_a_section_without_content_is_left_out_and_nothing_leads_to_it(name: str, sections: str) -> None:
    html = own(RUNS[name])
    assert re.findall(r'<section aria-labelledby="(\w+)"', html) == sections.split()
    assert re.findall(r'<li><a href="#(\w+)"', html) == sections.split()


def test_a_page_without_plots_does_without_the_library() -> None:
    assert LIBRARY not in RUNS["not-started"]
    assert "script-src 'none'" in RUNS["not-started"]
    assert all(html.count(LIBRARY) == 1 for name, html in RUNS.items() if name != "not-started")


def test_headings_are_in_order() -> None:
    for html in RUNS.values():
        levels = [int(level) for level in re.findall(r"<h(\d)", own(html))]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("references", [NONE, build.REFERENCES], ids=["none", "references"])
@pytest.mark.parametrize(
    "evidence",
    [
        build.evidence(),
        build.racing(14),
        build.unfinished(status=501),
        build.unfinished(status=None),
        build.evidence(profile="no-such-profile", profile_chosen=False),
        build.evidence(bypasses=("web.0 reached redis past the lab network",)),
    ],
    ids=["passed", "failed", "not-started", "no-contact", "no-profile", "bypass"],
)
def test_any_verdict_without_anything_else_has_a_page(evidence: Evidence, references: References) -> None:
    bare = build.changed(evidence, load=(), traffic=(), usage=(), services=(), timings=(), notes=())
    spoiled = build.changed(
        evidence, load=(build.block(spoiled="noise"),), ramp=(build.block(latency_us=(), spoiled="x"),)
    )
    unanswered = build.changed(evidence, load=(build.block(latency_us=(), unanswered_us=((2_000_000, 9),)),) * 3)
    nothing = build.changed(evidence, recordings=(), load=(), ramp=())
    for it in (evidence, bare, spoiled, unanswered, nothing):
        assert page(it, references).endswith("</html>")


def test_an_error_is_not_charged_to_the_learner() -> None:
    def broken(history: object) -> Finding:
        raise ZeroDivisionError

    suite = build.suite(replace(build.HOLDS, judge=broken))
    evidence = build.evidence(checks=("T-1",))
    html = render_html(build.graded(evidence, NONE, judged_by=suite))
    assert "nothing here is charged to you" in html


def test_numbers_that_are_none_do_not_break_the_plots() -> None:
    endless = Measure("long_run_ratio", float("inf"), 0.0, float("nan"), 3)
    finding = Finding(Outcome.PASS, "it did", (), (endless,), {"requests": 3})
    suite = build.suite(replace(build.AGREES, judge=lambda history: finding))
    evidence = build.evidence(checks=("T-2",))
    html = render_html(build.graded(evidence, NONE, judged_by=suite))
    for script in Outline(own(html)).scripts[:-2]:
        json.loads(script, parse_constant=lambda name: pytest.fail(f"{name} in the data of a plot"))


def test_the_same_run_makes_the_same_page() -> None:
    assert page(full(), crowded()) == RUNS["full"]


# What it must not do


@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
def test_hostile_text_stays_text(text: str) -> None:
    known = set(Outline(own(RUNS["full"])).tags) | {"ol"}
    for evidence in hostile.everywhere(build.changed(build.racing(14), predictions={text[:40]: 1.0}), text):
        html = own(page(evidence))
        outline = Outline(html)
        assert set(outline.tags) <= known
        assert not [name for name in outline.attributes if name.startswith("on")]
        assert not [link for link in outline.links if not re.fullmatch(r"#\w+", link)]
        assert not hostile.leaks(html)
        for script in outline.scripts[:-2]:
            assert not re.search(r"[<>&\u2028]", script)
            assert not re.search(r"\\u00(3c|3e|26)", script.replace("\\u003cbr\\u003e", "").replace(EXTRA, ""))
        assert len(html.encode("utf-8", "replace")) < 200_000


@cache
def calm_tags() -> Counter[str]:
    return Outline(own(page(hostile.wordy(build.racing(14), "calm")))).tags


EXTRA = "\\u003cextra\\u003e\\u003c/extra\\u003e"
"""Of a hovertemplate of ours."""


@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
def test_hostile_words_leave_the_elements_as_they_are(text: str) -> None:
    assert Outline(own(page(hostile.wordy(build.racing(14), text)))).tags == calm_tags()


def test_the_largest_run_stays_within_the_budget() -> None:
    noise = "&😀<" * 20_000
    ops = tuple(build.op(index / 7, target=noise, reply=noise, error=noise, name=noise) for index in range(3_000))
    events = tuple(FaultEvent(noise, f"{index}{noise}", index, index + 1, {noise: noise}) for index in range(500))
    finding = Finding(Outcome.FAIL, noise, ops[:3], (Measure("long_run_ratio", 1, 1, 1, 1),), {noise: 1.0})
    check = replace(build.HOLDS, slug=noise, promise=noise, hint=noise, judge=lambda history: finding)
    checks = [replace(check, id=f"{noise}{index}") for index in range(200)]
    many = tuple((value, 1) for value in range(3_000, 3_600))
    load = tuple(build.block(outcomes={noise: 1}, latency_us=many, spoiled=None) for _ in range(50))
    recordings = (
        *build.PASSING,
        *(replace(build.recording(f"{index}{noise}", ops), events=events) for index in range(60)),
    )
    evidence = hostile.wordy(build.evidence(checks=tuple(check.id for check in checks), recordings=recordings), noise)
    part = Part(4, (), recordings, load)
    evidence = build.changed(
        evidence, mode="full", load=load, ramp=load, others=(part,) * 9, notes=(noise,) * 200,
        timings=evidence.timings * 300, services=evidence.own.services * 300, traffic=evidence.own.traffic * 300,
        predictions={f"{index}{noise}": 1.0 for index in range(300)},
    )  # fmt: skip
    html = own(render_html(build.graded(evidence, crowded(), judged_by=build.suite(*checks))))
    assert len(html.encode()) < BUDGET_BYTES
    plots = [json.loads(script) for script in Outline(html).scripts[:-2]]
    assert (
        sum(len(trace["x"]) for plot in plots for trace in plot["figure"]["data"] if "ms, at" in str(trace))
        <= MOST_POINTS
    )


@pytest.mark.machine
@pytest.mark.parametrize("name", OPENED)
def test_a_page_opens_without_a_complaint_and_asks_for_nothing(look: Look, name: str) -> None:
    shown, seen = look(name)
    assert shown.evaluate("document.querySelectorAll('.modebar-btn').length") == 0
    assert seen.requests == [shown.url]
    assert seen.complaints == []


@pytest.mark.machine
def test_nothing_that_a_solution_says_comes_alive(browser: Browser, tmp_path: Path) -> None:
    text = '</script><script>alert(1)</script><img src=x onerror=alert(2)><a href="http://evil.example">b</a><b>c</b>'
    evidence = full()
    events = tuple(FaultEvent(f"{text[start:]}", text[9:], 1_000 * MS) for start in (0, 9, 34, 65))
    recordings = tuple(replace(it, scenario=text[65:], events=events) for it in evidence.own.recordings[1:])
    path = tmp_path / "hostile.html"
    hostile_run = build.changed(hostile.wordy(evidence, text), recordings=(evidence.own.recordings[0], *recordings))
    names = crowded()
    references = replace(names, references=tuple(replace(it, name=text[65:] + it.name) for it in names.references))
    path.write_text(page(hostile_run, references), encoding="utf-8")
    with browsers.opened(browser, path) as (shown, seen):
        open_all(shown)
        assert shown.evaluate("document.querySelectorAll('img, iframe, b, svg a, main a').length") == 0
        assert shown.evaluate("document.scripts.length") == path.read_text(encoding="utf-8").count(
            "</script>"
        ) - LIBRARY.count("</script>")
        shown.evaluate(
            "document.head.append(Object.assign(document.createElement('script'), {textContent: 'window.alive = 1'}))"
        )
        assert shown.evaluate("window.alive") is None
        assert [it for it in seen.complaints if "Content Security Policy" not in it] == []
    assert seen.requests == [path.as_uri()]


# That anybody can use it


@pytest.mark.machine
@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [*(("full", *shape) for shape in SHAPES), *product(("failed", "not-started"), (360,), ("light", "dark"))],
)
def test_a_page_can_be_used_by_anybody(look: Look, name: str, width: int, scheme: Scheme) -> None:
    shown, _ = look(name)
    browsers.shaped(shown, width, scheme)
    found = Axe().run(shown).response["violations"]
    assert [(it["id"], [node["html"][:200] for node in it["nodes"]]) for it in found] == []


@pytest.mark.machine
@pytest.mark.parametrize("name", OPENED)
def test_a_phone_never_scrolls_a_page_sideways(look: Look, name: str) -> None:
    shown, _ = look(name)
    browsers.shaped(shown, 360, "light")
    assert shown.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.machine
def test_the_keyboard_reaches_everything_and_shows_where_it_is(look: Look) -> None:
    wanted = "select, summary, .scroll, a[href]"
    shown, _ = look("full")
    shown.evaluate(f"document.querySelectorAll('{wanted}').forEach((it, index) => it.dataset.stop = index)")
    there = shown.evaluate(f"[...document.querySelectorAll('{wanted}')].filter(it => it.checkVisibility()).length")
    shown.focus(".skip")
    reached, outlined = [], []
    for _ in range(there):
        reached.append(shown.evaluate("document.activeElement.dataset.stop"))
        outlined.append(shown.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
        shown.keyboard.press("Tab")
    assert reached[0] == "0"
    assert None not in reached
    assert len(set(reached)) == there
    assert set(outlined) == {"solid"}


@pytest.mark.machine
def test_the_first_stop_leads_past_the_navigation(look: Look) -> None:
    shown, _ = look("full")
    shown.focus(".skip")
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "main"


@pytest.mark.machine
def test_two_axes_and_a_business_are_chosen_with_the_keyboard(browser: Browser, files: dict[str, Path]) -> None:
    axis = "document.getElementById('choice-0').layout.{}axis.title.text"
    drawn = "document.getElementById('choice-0').data.map(trace => [trace.name, trace.x[0], trace.y[0]])"
    with browsers.opened(browser, files["full"]) as (shown, _):
        assert shown.evaluate(axis.format("x")) == "time to answer a check (ms), less is better"
        before = shown.evaluate(drawn)
        assert before[0] == ["your design", 9, 1]
        assert [name for name, _, _ in before[1:]] == [it.name for it in crowded().references[:8]]
        shown.focus("#choose-x")
        shown.keyboard.type("services to run")
        browsers.until(shown, f"{axis.format('x')}.startsWith('services to run')")
        assert shown.evaluate(drawn)[0] == ["your design", 1, 1]
        shown.select_option("#choose-y", "latency_p99_ms")
        shown.select_option("#choose-profile", "public-api")
        said = shown.inner_text("#choice-said")
        alt = shown.get_attribute("#choice-0", "aria-label") or ""
        tables = shown.evaluate("[...document.querySelectorAll('.of-profile')].map(it => it.hidden)")
    assert said == "public-api asks for latency_p99_ms at most 20; shaded is what it cannot live with."
    assert "your design: 1 services, 9 ms" in alt
    assert tables.count(False) == 1


@pytest.mark.machine
@pytest.mark.parametrize("width", [1280, 360])
def test_names_in_the_picture_do_not_cover_each_other(look: Look, width: int) -> None:
    shown, _ = look("full")
    browsers.shaped(shown, width, "light")
    names = "[...document.querySelectorAll('#choice-0 .annotation-text')]"
    browsers.until(shown, f"{names}.length >= 5")
    boxes = shown.evaluate(f"{names}.map(it => it.getBoundingClientRect().toJSON())")
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            apart_x = one["right"] <= other["left"] + 1 or other["right"] <= one["left"] + 1
            apart_y = one["bottom"] <= other["top"] + 3 or other["bottom"] <= one["top"] + 3
            assert apart_x or apart_y


@pytest.mark.machine
def test_another_business_shows_its_own_latency(look: Look) -> None:
    shown, _ = look("full")
    shown.select_option("select[data-group=latency]", "edge-shield: 600 requests per second, 4 replicas")
    browsers.drawn(shown)
    assert shown.is_visible("#latency-2")
    assert not shown.is_visible("#latency-0")
    shown.select_option("select[data-group=latency]", index=0)
    assert shown.is_visible("#latency-0")


@pytest.mark.machine
def test_the_colours_follow_the_system_at_once(look: Look) -> None:
    layout = "document.getElementById('time-0').layout"
    shown, _ = look("full")
    assert shown.evaluate(f"{layout}.paper_bgcolor") == "#ffffff"
    browsers.shaped(shown, 1280, "dark")
    browsers.until(shown, f"{layout}.paper_bgcolor === '#1c1f25'")
    assert "var(--" not in json.dumps(shown.evaluate(layout))


@pytest.mark.machine
@pytest.mark.parametrize(("width", "scheme"), SHAPES)
def test_there_is_something_to_see(look: Look, tmp_path: Path, width: int, scheme: Scheme) -> None:
    shown, _ = look("full")
    browsers.shaped(shown, width, scheme)
    path = tmp_path / "page.png"
    assert browsers.shades(shown.screenshot(path=path, full_page=True)) > 100
    for plot in shown.locator(".view:not([hidden]) > .plot").all():
        assert browsers.shades(plot.screenshot()) > 50


@pytest.mark.machine
def test_without_scripts_every_number_is_in_a_table(browser: Browser, files: dict[str, Path]) -> None:
    with browsers.opened(browser, files["full"], scripts=False) as (shown, _):
        assert shown.locator(".plot").first.is_hidden()
        for summary in shown.locator(".view > details > summary").all():
            summary.click()
        for caption in ("Positions under paid-quota", "Every rate that was offered", "Faults and mishaps, 2 replicas"):
            assert shown.get_by_role("region", name=caption).is_visible()
