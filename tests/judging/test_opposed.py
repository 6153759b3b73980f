"""What a choice buys and what it costs: measured differences, and no others."""

from dataclasses import replace

import pytest
from support import evidence_builder as build

from crucible.check import Measure
from crucible.evidence import Evidence
from crucible.judging.graded import Graded
from crucible.judging.judge import judge
from crucible.judging.opposed import Opposed, missed, opposed
from crucible.judging.references import NONE, Reference, References, Stand
from crucible.judging.tradeoffs import Judgement
from crucible.report import choices


def graded(evidence: Evidence, references: References = build.REFERENCES) -> Graded:
    verdict = judge(evidence, build.MANIFEST, build.SUITE, build.PRICES)
    return Graded(verdict, evidence, build.MANIFEST, references)


def differences(found: Graded) -> tuple[Opposed, ...]:
    return opposed(found.verdict, found.manifest, found.references)


def sentences(found: Graded) -> tuple[str, ...]:
    return choices.against(found.verdict, found.manifest, found.references)


def against_itself(factor: float) -> Graded:
    """Beside a reference that stands where it stands itself, but for latencies, on another machine."""
    mine = graded(build.evidence())
    positions = tuple(
        replace(it, value=it.value * factor, low=it.low * factor, high=it.high * factor) if "latency" in it.axis else it
        for it in mine.verdict.positions
    )
    twin = Reference("twin", 1, {"paid-quota": Stand(Judgement.FITS, positions)})
    return graded(build.evidence(), replace(build.REFERENCES, references=(twin,)))


def test_each_reference_is_told_with_what_is_bought_and_what_is_paid() -> None:
    found = {it.reference: it.differences for it in differences(graded(build.evidence()))}
    assert {it.axis.id: it.better for it in found["in-process"]} == {
        "long_run_ratio": True,
        "latency_p99_ms": False,
        "monthly_cost_usd": False,
        "moving_parts": False,
    }
    first = found["in-process"][0]
    assert first.axis.id == "long_run_ratio", "what a business limits comes first"


def test_it_is_told_in_words() -> None:
    (said,) = [it for it in sentences(graded(build.evidence())) if "in-process" in it]
    assert said == (
        "against in-process, what it buys: allowed units per window, over the limit (1 instead of 2 x the limit). And "
        "what it costs: time to answer a check (9 instead of 2 ms); services and process types (2 instead of 1 parts); "
        "cost (21 instead of 12 USD) (the latencies of in-process were taken on another machine)"
    )


@pytest.mark.parametrize("factor", [0.5, 1, 1.48, 2])
def test_the_same_design_on_another_machine_is_no_other_design(factor: float) -> None:
    assert differences(against_itself(factor))[0].differences == ()
    assert sentences(against_itself(factor)) == ("against twin, nothing that was measured tells them apart",)


def test_what_was_not_seen_enough_of_is_no_difference() -> None:
    mine = graded(build.evidence())
    fit = mine.verdict.fits[0]
    unsure = tuple(replace(it, open=True) for it in fit.positions)
    verdict = replace(mine.verdict, fits=(replace(fit, positions=unsure),))
    assert all(it.differences == () for it in differences(replace(mine, verdict=verdict)))


def test_a_profile_that_excludes_it_is_told_with_who_keeps_its_limits_and_what_that_pays() -> None:
    (found,) = missed(graded(build.evidence(profile="side-project")))
    assert (found.profile, found.excluded_by, found.keeper) == ("side-project", ("backing_services",), "in-process")
    assert [it.axis.id for it in found.pays] == ["long_run_ratio"]
    (said,) = choices.would_take(graded(build.evidence(profile="side-project")))
    assert said == (
        "side-project: backing_services excludes it; in-process keeps that, and pays for it: "
        "allowed units per window, over the limit (2 instead of 1 x the limit)"
    )


def test_nothing_would_do_while_a_gate_fails() -> None:
    assert missed(graded(build.racing(14, profile="side-project"))) == ()


def test_nothing_is_promised_where_no_reference_keeps_the_limits() -> None:
    nobody = replace(build.REFERENCES, references=())
    (said,) = choices.would_take(graded(build.evidence(profile="side-project"), nobody))
    assert said == "side-project: backing_services excludes it, and no reference keeps that"


def test_shares_that_hardly_differ_are_alike() -> None:
    mine = graded(build.evidence())
    fit = mine.verdict.fits[0]
    share = Measure("answered_in_outage", 0.99, 0.99, 0.99, 100)
    verdict = replace(mine.verdict, fits=(replace(fit, positions=(share,)),))
    theirs = Reference("other", 1, {"paid-quota": Stand(Judgement.FITS, (replace(share, value=1, low=1, high=1),))})
    beside = replace(mine, verdict=verdict, references=replace(build.REFERENCES, references=(theirs,)))
    assert differences(beside)[0].differences == ()


def test_nothing_is_said_of_who_keeps_what_where_no_reference_was_published() -> None:
    assert choices.would_take(graded(build.evidence(profile="side-project"), NONE)) == ()
