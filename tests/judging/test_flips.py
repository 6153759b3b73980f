"""What would make a profile fit: only what some business could mean."""

from dataclasses import replace

import pytest
from support import evidence_builder as build

from crucible.check import Measure
from crucible.judging import tradeoffs
from crucible.judging.tradeoffs import Checked, Judgement, Terms
from crucible.planning.manifest import Limit, Profile

PEAK, KEPT, KEYS = "long_run_ratio", "answered_in_outage", "bytes_per_key"


def profile(name: str, **limits: Limit) -> Profile:
    return Profile(name, "", 2, 200, limits)


MINE = profile("mine", long_run_ratio=Limit(at_most=1.02), answered_in_outage=Limit(at_least=0.99))
MANIFEST = replace(
    build.MANIFEST,
    profiles=(
        MINE,
        profile("strict", long_run_ratio=Limit(at_most=1.1)),
        profile("loose", long_run_ratio=Limit(at_most=3)),
    ),
)


def flips(mine: Profile, *seen: Measure, failed: str = "") -> str:
    evidence = build.evidence(load=())
    terms = Terms(MANIFEST, build.PRICES, evidence.process_types)
    found = tradeoffs.fit(mine, evidence.own, Checked(seen, {}, failed), terms, None)
    assert found.result is (
        Judgement.DOES_NOT if failed or found.limits[0].result is Judgement.DOES_NOT else found.result
    )
    return found.flips_at


def at(axis: str, value: float) -> Measure:
    return Measure(axis, value, value, value, 9)


def test_a_limit_as_loose_as_another_profile_has_it_may_be_meant() -> None:
    assert flips(MINE, at(PEAK, 2.9), at(KEPT, 1)) == "it would fit with a limit on long_run_ratio of at most 2.9"


def test_nobody_is_told_to_give_up_what_the_challenge_is_about() -> None:
    said = "no limit that a business here has would admit it: the loosest is at most 3 on long_run_ratio"
    assert flips(MINE, at(PEAK, 5), at(KEPT, 1)) == said
    assert flips(MINE, at(PEAK, 5), at(KEPT, 0.5)) == said


def test_an_axis_that_no_other_profile_limits_is_the_profiles_own_matter() -> None:
    found = flips(MINE, at(PEAK, 1), at(KEPT, 0.5))
    assert found == "it would fit with a limit on answered_in_outage of at least 0.5"


def test_a_limit_in_the_other_direction_is_not_compared() -> None:
    odd = profile("odd", long_run_ratio=Limit(at_least=6))
    assert flips(odd, at(PEAK, 5)) == "it would fit with a limit on long_run_ratio of at least 5"


def test_it_only_might_fit_while_another_limit_is_open() -> None:
    assert flips(MINE, at(PEAK, 2.9)) == "it might fit with a limit on long_run_ratio of at most 2.9"


def test_nothing_would_make_it_fit_while_a_gate_fails() -> None:
    assert flips(MINE, at(PEAK, 2.9), failed="T-1 word") == "nothing would make it fit while a gate fails"


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (at(KEPT, 0.995), "it would no longer fit with a limit on answered_in_outage above 0.995"),
        (Measure(KEPT, 1, 0.992, 1, 9), "it would no longer fit with a limit on answered_in_outage above 0.992"),
    ],
)
def test_a_fit_on_a_share_says_up_to_which_share(measure: Measure, text: str) -> None:
    assert flips(profile("mine", answered_in_outage=Limit(at_least=0.99)), measure) == text
