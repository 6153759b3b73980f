"""Where references stand, and how a design ranks among them."""

from dataclasses import replace
from pathlib import Path

import pytest
from support import evidence_builder as build

from crucible.check import Measure
from crucible.errors import CrucibleError, Fault
from crucible.judging import references
from crucible.judging.judge import judge
from crucible.judging.tradeoffs import Fit, Judgement
from crucible.judging.verdict import Verdict


def verdict(**changes: object) -> Verdict:
    return judge(build.evidence(**changes), build.MANIFEST, build.SUITE, build.PRICES)


def fit(result: Judgement = Judgement.FITS, **values: float) -> Fit:
    found = tuple(Measure(axis, value, value, value, 1) for axis, value in values.items())
    return Fit("side-project", result, "", "", (), found, None)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / references.FILE).write_bytes(references.to_json(build.REFERENCES))
    assert references.read(tmp_path) == build.REFERENCES


def test_a_challenge_without_the_file_has_none(tmp_path: Path) -> None:
    assert references.read(tmp_path) == references.NONE


def test_a_broken_file_is_the_authors(tmp_path: Path) -> None:
    (tmp_path / references.FILE).write_text("{}")
    with pytest.raises(CrucibleError) as raised:
        references.read(tmp_path)
    assert raised.value.fault is Fault.AUTHOR


def test_several_runs_give_the_median_and_everything_that_any_of_them_saw() -> None:
    slow = tuple(replace(it, latency_us=((20_000, 600),)) for it in build.OWN.load)
    found = references.of_runs("one", [verdict(), verdict(), verdict(load=slow)])
    stand = found.profiles["paid-quota"]
    late = next(it for it in stand.positions if it.axis == "latency_p99_ms")
    assert (found.runs, stand.result) == (3, Judgement.FITS)
    assert (late.value, late.low, late.high) == (9, 9, 20)


def test_runs_that_disagree_leave_a_profile_open() -> None:
    bad = (*build.PASSING[:2], build.recording("steady", build.ops(240), ratio=2.0))
    found = references.of_runs("one", [verdict(), verdict(recordings=bad)])
    assert found.profiles["paid-quota"].result is Judgement.INCONCLUSIVE


def test_designs_that_fit_are_ranked_by_the_challenges_axes() -> None:
    cheap, dear = fit(monthly_cost_usd=11, moving_parts=4), fit(monthly_cost_usd=12, moving_parts=2)
    names = [[it.name for it in references.ranking(one, build.REFERENCES, build.MANIFEST)] for one in (cheap, dear)]
    assert names == [["yours", "in-process"], ["in-process", "yours"]]


def test_what_is_not_known_ranks_last() -> None:
    found = references.ranking(fit(), build.REFERENCES, build.MANIFEST)
    assert [it.name for it in found] == ["in-process", "yours"]


def test_a_design_that_does_not_fit_is_not_ranked() -> None:
    found = references.ranking(fit(Judgement.DOES_NOT), build.REFERENCES, build.MANIFEST)
    assert [it.name for it in found] == ["in-process"]
