"""In which order designs are graded and visited, and how they are named; the grader itself is a stand-in here."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from support import evidence_builder as build

from crucible.commands import compare, grade
from crucible.commands.compare import Wanted
from crucible.commands.grade import Wanted as GradeWanted
from crucible.errors import CrucibleError, Fault
from crucible.evidence import Evidence
from crucible.judging import references
from crucible.judging.graded import Graded
from crucible.judging.judge import judge
from crucible.planning.names import UnknownNameError
from crucible.planning.plan import Plan

SLUG = "rate-limiter"
SOLUTION = f"challenge: {SLUG}\nprocesses: {{web: {{command: serve}}}}\n"


class Bench:
    """Folders with solutions, and a grader that writes down what it is asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.graded: list[tuple[str, tuple[str, ...], str | None]] = []
        self.visited: list[str] = []
        self.fails: str | None = None
        monkeypatch.setattr(grade, "grade", self._grade)
        monkeypatch.setattr(compare, "run", self._run)

    def solution(self, name: str, text: str = SOLUTION) -> Path:
        path = self.folder / name
        path.mkdir(parents=True)
        (path / "crucible.yaml").write_text(text)
        return path

    def _grade(self, request: GradeWanted, environ: object, progress: object) -> Graded:
        if self.fails == request.folder.name:
            raise CrucibleError("it did not start", where="processes.web", fix="mend it", fault=Fault.LEARNER)
        self.graded.append((request.folder.name, tuple(request.checks), request.profile))
        evidence = build.evidence()
        return Graded(
            judge(evidence, build.MANIFEST, build.SUITE, build.PRICES),
            evidence,
            build.MANIFEST,
            references.NONE,
        )

    async def _run(self, plan: Plan, *_: object) -> Evidence:
        self.visited.append(plan.solution.folder.name)
        assert plan.load is not None
        assert [scenario.phase for scenario in plan.scenarios] == ["contact"]
        rate = plan.load.rates[0]
        return build.evidence(load=tuple(build.block(rate) for _ in range(plan.load.blocks)))

    def step(self, what: str, estimate_s: float | None = None) -> AbstractContextManager[None]:
        self.said.append(what)
        return nullcontext()

    def compare(self, *folders: Path, environ: Mapping[str, str] = MappingProxyType({}), **wanted: Any) -> Any:
        place = self.folder / "out"
        compare.compare(Wanted(tuple(folders), place, 1, **wanted), environ, self)
        return json.loads((place / "comparison.json").read_bytes())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


@pytest.mark.machine
def test_designs_are_graded_and_visited_by_turns(bench: Bench) -> None:
    said = bench.compare(bench.solution("a"), bench.solution("b"), profile="paid-quota", rounds=2)
    assert [(name, bool(checks), profile) for name, checks, profile in bench.graded] == [
        ("a", False, "paid-quota"), ("b", False, "paid-quota"), ("a", True, "paid-quota"), ("b", True, "paid-quota"),
    ]  # fmt: skip
    assert bench.visited == ["a", "a", "b", "b", "a", "a"], "the first twice, and the order turns round"
    assert (said["base"]["name"], [it["design"]["name"] for it in said["others"]]) == ("a", ["b"])
    assert (said["profile"], said["rounds"], said["seed"]) == ("paid-quota", 2, 1)
    assert "b, compared with a" in (bench.folder / "out" / "comparison.md").read_text()
    assert bench.said[-1] == "load, round 2 of 2"


@pytest.mark.machine
def test_references_are_compared_with_too(bench: Bench) -> None:
    said = bench.compare(bench.solution("mine"), references=True, rounds=1)
    names = [it["design"]["name"] for it in said["others"]]
    assert "reference redis-sliding-log" in names
    assert len(names) == 5


@pytest.mark.machine
@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("x/limiter", "y/limiter"), ["x/limiter", "y/limiter"]),
        (("x/a", "y/b"), ["a", "b"]),
        (("x/a", "x/a"), ["a", "a (2)"]),
    ],
)
def test_designs_are_named_by_what_tells_them_apart(bench: Bench, folders: tuple[str, ...], names: list[str]) -> None:
    paths = [bench.folder / name for name in folders]
    for name in dict.fromkeys(folders):
        bench.solution(name)
    said = bench.compare(*paths, rounds=1)
    assert [said["base"]["name"], said["others"][0]["design"]["name"]] == names


def test_what_cannot_be_compared_is_told_before_anything_is_graded(bench: Bench, tmp_path: Path) -> None:
    one = bench.solution("one")
    with pytest.raises(CrucibleError, match="there is nothing to compare it with"):
        bench.compare(one)
    with pytest.raises(UnknownNameError, match="there is no profile `nobody`"):
        bench.compare(one, one, profile="nobody")
    with pytest.raises(CrucibleError, match=r"there is no crucible\.yaml"):
        bench.compare(one, tmp_path)
    assert bench.graded == []


def test_designs_for_two_challenges_are_not_compared(bench: Bench, tmp_path: Path) -> None:
    from crucible.commands import author
    from crucible.planning import challenges

    author.new("other", tmp_path)
    theirs = bench.solution("theirs", SOLUTION.replace(SLUG, "other"))
    with pytest.raises(CrucibleError, match="it answers other, and the first design answers rate-limiter"):
        bench.compare(bench.solution("mine"), theirs, environ={challenges.VARIABLE: str(tmp_path)})


@pytest.mark.machine
def test_what_goes_wrong_says_with_which_design_and_leaves_no_comparison(bench: Bench) -> None:
    one, two = bench.solution("one"), bench.solution("two")
    bench.compare(one, two, rounds=1)
    bench.fails = "two"
    with pytest.raises(CrucibleError, match=r"two: processes\.web: it did not start"):
        bench.compare(one, two, rounds=1)
    assert not (bench.folder / "out" / "comparison.json").exists(), "of an earlier one neither"


@pytest.mark.machine
def test_a_design_that_answers_nothing_is_unknown_and_not_equal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(plan: Plan, *_: object) -> Evidence:
        return (
            build.changed(await bench._run(plan), load=())
            if plan.solution.folder.name == "two"
            else await bench._run(plan)
        )

    monkeypatch.setattr(compare, "run", silent)
    said = bench.compare(bench.solution("one"), bench.solution("two"), rounds=1)
    changes = {row["axis"]: row["change"] for row in said["others"][0]["rows"]}
    assert changes["latency_p99_ms"] == "unknown"
