"""What is said of a suite, from grades by hand."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from support import evidence_builder as build

from crucible.check import Check, Finding, Outcome, Suite
from crucible.errors import CrucibleError
from crucible.judging import matrices
from crucible.judging.judge import judge
from crucible.judging.matrices import Tried, Verified
from crucible.judging.references import NONE, Reference, References
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import Verdict
from crucible.planning.manifest import Limit, Manifest, Profile
from crucible.planning.trials import Kind, Trial, trials
from crucible.report import render_matrices, render_verified

FOLDER = Path("challenge/references/x")
SUITE = build.suite()
APART: Manifest = replace(
    build.MANIFEST,
    profiles=(
        Profile("fast", "", 2, 200, {"latency_p99_ms": Limit(at_most=10)}, intended="quick"),
        Profile("exact", "", 2, 200, {"long_run_ratio": Limit(at_most=1.1)}, intended="true"),
    ),
)
QUICK = Reference(
    "quick",
    2,
    {
        "fast": build.stand(latency_p99_ms=2, long_run_ratio=2),
        "exact": build.stand(Judgement.DOES_NOT, latency_p99_ms=2, long_run_ratio=2),
    },
)
TRUE = Reference(
    "true",
    2,
    {
        "fast": build.stand(Judgement.DOES_NOT, latency_p99_ms=40, long_run_ratio=1),
        "exact": build.stand(latency_p99_ms=40, long_run_ratio=1),
    },
)


def known(*them: Reference) -> References:
    return References(1, "", "Example CPU", them)


def saying(outcome: Outcome, check: Check = build.HOLDS) -> Verdict:
    finding = Finding(outcome, "it did", (), (), {"n": 1})
    other = build.AGREES if check is build.HOLDS else build.HOLDS
    checks = (replace(check, judge=lambda history: finding), other)
    return judge(build.evidence(), build.MANIFEST, build.suite(*checks), build.PRICES)


def tried(kind: Kind, name: str, *verdicts: Verdict, check: str = "", profile: str = "", sibling: str = "") -> Tried:
    trial = Trial(kind, name, FOLDER, check, profile, sibling)
    return Tried(trial, verdicts, (3.0,) * len(verdicts))


def found(*them: Tried, stands: References = NONE, whole: bool = False, suite: Suite = SUITE) -> Verified:
    return matrices.verified(them, suite, APART, stands, whole=whole)


GOOD = tried(Kind.REFERENCE, "quick", saying(Outcome.PASS), saying(Outcome.PASS))
CAUGHT = tried(Kind.FLAW, "t-1--bad", saying(Outcome.FAIL), saying(Outcome.FAIL), check="T-1")
MEASURED = tried(Kind.FLAW, "t-2--bad", saying(Outcome.FAIL, build.AGREES), check="T-2")


def test_a_suite_that_tells_good_from_bad_has_nothing_against_it() -> None:
    assert found(GOOD, CAUGHT, MEASURED, stands=known(QUICK, TRUE), whole=True).complaints == ()


@pytest.mark.parametrize("kind", [Kind.REFERENCE, Kind.FAIR])
def test_a_good_design_that_is_accused_once_is_told(kind: Kind) -> None:
    accused = tried(kind, "quick", saying(Outcome.PASS), saying(Outcome.FAIL))
    assert found(accused).complaints == (f"{kind} quick failed T-1 in 1 of 2: it did",)


def test_a_flaw_that_slips_through_once_is_told() -> None:
    slips = tried(Kind.FLAW, "t-1--bad", saying(Outcome.FAIL), saying(Outcome.INCONCLUSIVE), check="T-1")
    assert found(slips).complaints == ("flaw t-1--bad was not caught by T-1 in 1 of 2: inconclusive: it did",)
    assert found(slips).open == ("t-1--bad: T-1 was inconclusive in 1 of 2: it did",)


def test_a_check_without_a_flaw_is_told_what_is_missing() -> None:
    said = found(GOOD, MEASURED, stands=known(QUICK, TRUE), whole=True).complaints
    assert said == ("check T-1 has no flaw: add flaws/t-1--<mistake>, with that one mistake",)


def test_a_measure_may_have_a_flaw_that_misses_a_profile() -> None:
    misses = tried(Kind.FLAW, "side-project--two", saying(Outcome.PASS), profile="paid-quota", sibling="quick")
    said = found(GOOD, CAUGHT, misses, stands=known(QUICK, TRUE), whole=True).complaints
    assert said == (
        "flaw side-project--two was not caught by the limits of paid-quota in 1 of 1: fits: its one limit holds",
    )


def test_a_flaw_whose_sibling_does_not_fit_either_shows_nothing() -> None:
    bad = judge(build.evidence(profile="side-project"), build.MANIFEST, build.SUITE, build.PRICES)
    misses = tried(Kind.FLAW, "exact--two", replace_profile(bad, "exact"), profile="exact", sibling="quick")
    assert found(misses, stands=known(QUICK, TRUE)).complaints == (
        "flaw exact--two shows nothing: its sibling quick does not fit exact either",
    )


def replace_profile(verdict: Verdict, name: str) -> Verdict:
    return replace(verdict, fits=(replace(verdict.fits[0], profile=name),))


def test_what_could_not_be_graded_is_told() -> None:
    broken = Tried(Trial(Kind.FAIR, "odd", FOLDER), (), (), "the build failed (build.log)")
    assert found(broken).complaints == ("fair odd could not be graded: the build failed (build.log)",)


def everywhere(name: str, result: Judgement, **values: float) -> Reference:
    return Reference(name, 1, {profile.id: build.stand(result, **values) for profile in APART.profiles})


@pytest.mark.parametrize(
    ("them", "said"),
    [
        ((QUICK, TRUE, everywhere("idle", Judgement.DOES_NOT, latency_p99_ms=40, long_run_ratio=2)),
         "reference idle fits no profile: no business is right to choose it"),
        ((QUICK, TRUE, everywhere("all", Judgement.FITS, latency_p99_ms=2, long_run_ratio=1)),
         "reference all fits every profile: there is nothing to choose"),
        ((QUICK,), "profile exact admits no reference"),
        ((everywhere("a", Judgement.FITS), everywhere("b", Judgement.FITS)),
         "profile fast admits every reference: its limits tell nothing apart"),
    ],
)  # fmt: skip
def test_profiles_that_separate_nothing_are_told(them: tuple[Reference, ...], said: str) -> None:
    assert said in found(GOOD, CAUGHT, MEASURED, stands=known(*them), whole=True).complaints


def test_a_profile_whose_intended_design_is_not_the_best_is_told() -> None:
    cheap = Reference("cheap", 1, {"fast": build.stand(latency_p99_ms=2, monthly_cost_usd=1)})
    said = found(GOOD, CAUGHT, MEASURED, stands=known(QUICK, TRUE, cheap), whole=True).complaints
    assert "profile fast is meant for quick, and cheap is the best that fits" in said


def test_a_limit_too_near_to_whom_it_is_meant_for_is_told() -> None:
    near = replace(QUICK, profiles=QUICK.profiles | {"fast": build.stand(latency_p99_ms=9, long_run_ratio=2)})
    manifest = replace(APART, axes=tuple(replace(axis, steadiness="noisy") for axis in APART.axes))
    said = matrices.verified((GOOD,), SUITE, manifest, known(near, TRUE), whole=True).complaints
    assert "latency_p99_ms of quick is only 1.111 times away from the limit of fast, and should be 1.5" in said


def test_a_count_that_never_varies_may_be_near_and_a_share_is_judged_by_its_rest() -> None:
    shares = replace(
        APART,
        axes=tuple(replace(it, unit="share") if it.id == "answered_in_outage" else it for it in APART.axes),
        profiles=(
            replace(APART.profiles[0], limits={"answered_in_outage": Limit(at_least=0.9)}),
            replace(APART.profiles[1], limits={"long_run_ratio": Limit(at_most=1.02)}),
        ),
    )
    quick = Reference("quick", 2, {"fast": build.stand(answered_in_outage=0.99), "exact": QUICK.profiles["exact"]})
    true = Reference("true", 2, {
        "fast": build.stand(Judgement.DOES_NOT, answered_in_outage=0.895), "exact": TRUE.profiles["exact"]
    })  # fmt: skip
    said = matrices.verified((GOOD, CAUGHT, MEASURED), SUITE, shares, known(quick, true), whole=True).complaints
    assert said == ("fast excludes true by no more than 1.05 times, on answered_in_outage, and should by 1.1",)


def test_a_design_that_is_excluded_by_a_hair_is_told() -> None:
    near = build.stand(Judgement.DOES_NOT, latency_p99_ms=10.5, long_run_ratio=1)
    said = found(GOOD, stands=known(QUICK, replace(TRUE, profiles=TRUE.profiles | {"fast": near})), whole=True)
    assert "fast excludes true by no more than 1.05 times, on latency_p99_ms, and should by 1.5" in said.complaints


def test_the_matrices_are_markdown_tables() -> None:
    text = render_verified("Toy", found(GOOD, CAUGHT, stands=known(QUICK, TRUE), whole=True), "Why.")
    assert "| quick (2 x) | pass | pass | 3 |" in text
    assert "| t-1--bad | T-1 | 2 of 2 | fail: it did | 3 |" in text
    assert "| fast | quick | fits (1.) | does not |" in text
    assert "| exact: long\\_run\\_ratio ≤ 1.1 | 2 | 1 |" in text
    assert "Profiles" not in render_verified("Toy", found(CAUGHT, stands=known(QUICK, TRUE)), "Why.")


def test_a_folder_is_named_by_what_catches_it(tmp_path: Path) -> None:
    for path in ("references/good", "flaws/t-1--bad", "flaws/paid-quota--worse", "fair/odd"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "crucible.yaml").write_text("challenge: toy\n")
    for path in ("flaws/t-1--bad", "flaws/paid-quota--worse"):
        (tmp_path / path / "overlay.yaml").write_text("reference: good\nstory: It is wrong.\n")
    names = [(it.kind, it.name, it.check, it.profile, it.sibling) for it in trials(build.challenge(tmp_path, SUITE))]
    assert names == [
        ("reference", "good", "", "", ""),
        ("flaw", "paid-quota--worse", "", "paid-quota", "good"),
        ("flaw", "t-1--bad", "T-1", "", "good"),
        ("fair", "odd", "", "", ""),
    ]
    (tmp_path / "flaws" / "t-9--bad").mkdir()
    with pytest.raises(CrucibleError, match="`t-9` is neither a check nor a profile"):
        trials(build.challenge(tmp_path, SUITE))


def test_what_was_expected_and_how_often_it_came_is_counted() -> None:
    slips = tried(Kind.FLAW, "t-1--bad", saying(Outcome.FAIL), saying(Outcome.PASS), check="T-1")
    unsure = tried(Kind.FAIR, "odd", saying(Outcome.INCONCLUSIVE), saying(Outcome.NOT_RUN))
    assert found(GOOD, slips, unsure).tally == (
        "of 3 gates on good designs 0 failed and 1 were inconclusive (33.3%); of 2 grades of flaws 1 caught nothing"
    )
    assert found().tally == ""
    assert "of 2 gates on good designs 0 failed" in render_verified("Toy", found(GOOD), "Why.")


@pytest.mark.parametrize(
    ("kind", "outcome", "as_meant"),
    [
        (Kind.FLAW, Outcome.FAIL, True), (Kind.FLAW, Outcome.INCONCLUSIVE, False), (Kind.FLAW, Outcome.PASS, False),
        (Kind.FAIR, Outcome.PASS, True), (Kind.FAIR, Outcome.NOT_RUN, True), (Kind.FAIR, Outcome.FAIL, False),
        (Kind.REFERENCE, Outcome.INCONCLUSIVE, False), (Kind.REFERENCE, Outcome.ERROR, False),
    ],
)  # fmt: skip
def test_a_grade_comes_out_as_the_trial_is_meant_to(kind: Kind, outcome: Outcome, as_meant: bool) -> None:
    assert matrices.holds(Trial(kind, "x", FOLDER, check="T-1"), saying(outcome), APART) is as_meant


@pytest.mark.parametrize("width", [80, 200])
def test_the_matrices_can_be_read_in_a_terminal_of_any_width(width: int) -> None:
    many = build.suite(*(replace(build.HOLDS, id=f"T-{number}") for number in range(1, 13)))
    said_of_one = saying(Outcome.PASS)
    checks = tuple(replace(said_of_one.checks[0], id=check.id) for check in many.checks)
    good = tried(Kind.REFERENCE, "quick", replace(said_of_one, checks=checks))
    console = Console(file=io.StringIO(), width=width)
    render_matrices(found(good, suite=many), console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert max(len(line) for line in said.splitlines()) <= width
    lines = [line.split() for line in said.splitlines()]
    if width == 80:
        assert [*(f"T-{number}," for number in range(1, 12)), "T-12", "pass"] in lines, said
    else:
        assert ["quick", "(1", "x)", *["pass"] * 12, "3"] in lines


def test_a_reference_must_fit_the_profile_that_it_is_meant_for() -> None:
    fast = replace(APART, profiles=(replace(APART.profiles[0], id=GOOD.verdicts[0].profile), APART.profiles[1]))
    trial = GOOD.trial
    for result, as_meant in ((Judgement.FITS, True), (Judgement.INCONCLUSIVE, False), (Judgement.DOES_NOT, False)):
        fit = replace(GOOD.verdicts[0].fits[0], result=result)
        verdict = replace(GOOD.verdicts[0], fits=(fit,))
        assert matrices.holds(trial, verdict, fast) is as_meant
        assert matrices.holds(replace(trial, name="true"), verdict, fast), "nobody is meant to fit by another's profile"
    said = matrices.verified((replace(GOOD, verdicts=(verdict,)),), SUITE, fast, NONE, whole=False).tally
    assert said.endswith("of 1 references in the profile that they are meant for 1 did not fit and 0 were inconclusive")


def test_names_that_mean_nothing_are_the_authors_fault_before_anything_is_graded(tmp_path: Path) -> None:
    misspelt = replace(build.AGREES, axes=("long_run_ration",))
    with pytest.raises(CrucibleError, match="T-2 says that it measures `long_run_ration`, which is no axis"):
        trials(build.challenge(tmp_path, build.suite(misspelt)))
    (tmp_path / "references" / "quick").mkdir(parents=True)
    challenge = replace(build.challenge(tmp_path), manifest=APART)
    vars(challenge)["suite"] = SUITE
    with pytest.raises(CrucibleError, match="profile `exact` is intended for `true`, which is no reference"):
        trials(challenge)


def test_a_profiles_flaw_that_fails_a_gate_proves_no_limit() -> None:
    failing = judge(build.racing(14, profile="side-project"), build.MANIFEST, build.SUITE, build.PRICES)
    said = found(tried(Kind.FLAW, "side-project--x", failing, profile="side-project")).complaints
    assert said == (
        "flaw side-project--x was not caught by the limits of side-project in 1 of 1: a gate failed, so no limit "
        "of the profile is proven: T-1 holds-in-a-race",
    )


def test_a_measure_that_no_profile_limits_is_asked_for_no_flaw() -> None:
    other = replace(build.AGREES, id="T-3", axes=("bytes_per_key",))
    limited = replace(build.AGREES, id="T-4", axes=("long_run_ratio",))
    said = found(tried(Kind.FLAW, "t-1--x", saying(Outcome.FAIL), check="T-1"), whole=True,
                 suite=build.suite(build.HOLDS, other, limited)).complaints  # fmt: skip
    assert [it.split(":")[0] for it in said if "has no flaw" in it] == ["check T-4 has no flaw"]


def test_every_axis_of_the_references_is_shown_limited_or_not() -> None:
    seen = found(tried(Kind.REFERENCE, "quick", saying(Outcome.PASS)), stands=known(QUICK, TRUE))
    (axes,) = (it for it in seen.tables if it.title == "Every axis, and where the references stand")
    assert axes.header == ("axis", "unit", "quick", "true")
    assert ("long_run_ratio", "x the limit", "2", "1") in axes.rows
    assert any("only a full run" in line for line in shown(seen).splitlines()) == bool(seen.later)
    assert seen.later
    assert found(whole=True).later == ()


def shown(seen: Verified) -> str:
    console = Console(file=io.StringIO(), width=200)
    render_matrices(seen, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
