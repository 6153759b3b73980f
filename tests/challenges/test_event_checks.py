"""Event ingestion: what its scenarios see of solutions made up in memory, and what its judges say of that."""

import pytest
from support import memory_events as made

from crucible.authoring.memory_lab import MadeUp, MemoryLab
from crucible.authoring.testing import as_one, complaints, watch
from crucible.check import Check, Finding, History, Outcome
from crucible.planning import challenges

CHALLENGE = challenges.find("event-ingestion", {}, where="tests")
SUITE = CHALLENGE.suite
SCENARIOS = {scenario.id: scenario for scenario in SUITE.scenarios}
IN_MEMORY = tuple(check.id for check in SUITE.checks)


def check(name: str) -> Check:
    return next(check for check in SUITE.checks if check.id == name)


def seen(name: str, solution: type[made.Honest], declares: dict[str, str], only: str = "") -> History:
    """What the scenarios of a check see, or contact and one of them."""
    wanted = check(name).scenarios if not only else ("contact", only)
    histories = [
        watch(SCENARIOS[scenario], solution, MemoryLab(MadeUp(), services=("postgres",)), declares=declares)
        for scenario in wanted
        if scenario != "again"
    ]
    return as_one(histories)


def finding(name: str, solution: type[made.Honest], only: str = "", **declares: str) -> Finding:
    return check(name).judge(seen(name, solution, declares, only))


@pytest.mark.parametrize("name", IN_MEMORY)
def test_an_honest_store_keeps_every_promise(name: str) -> None:
    found = finding(name, made.Honest)
    if name == "EV-2":  # what comes again 40 s later is another scenario, which knows of the first in a real lab alone
        assert found.outcome is Outcome.INCONCLUSIVE, found.what
        assert "40 s later" in found.what
    else:
        assert (found.outcome, complaints(found)) == (Outcome.PASS, []), found.what


@pytest.mark.parametrize(
    ("name", "solution", "words"),
    [
        ("EV-2", made.KeepsDuplicates, "counted twice"),
        ("EV-3", made.CountsByArrival, "was not counted in its minute"),
        ("EV-4", made.EachReplicaCachesForFiveSeconds, "2,000 ms are declared"),
        ("EV-5", made.PagesByMoment, "missed"),
        ("EV-6", made.TakesWhatIsGoodOfABatch, "events were counted all the same"),
        ("EV-7", made.TakesIntoMemoryWithoutAnEnd, "all of 200,000 events were accepted"),
        ("EV-9", made.SaysFiveHundred, "were answered 500"),
        ("EV-9", made.WaitsForTheStore, "refused only after 4.0 s"),
        ("EV-10", made.RoundsFractions, "a value with a fraction was accepted"),
        ("EV-11", made.CountsPoisonAsNothing, "was accepted, and is not there"),
    ],
)
def test_a_mistake_is_caught_with_a_sentence_that_says_what_happened(
    name: str, solution: type[made.Honest], words: str
) -> None:
    found = finding(name, solution)
    assert found.outcome is Outcome.FAIL, found.what
    assert words in found.what


@pytest.mark.parametrize(
    ("solution", "scenario", "words"),
    [
        (made.LosesEveryThousandth, "volume", "lost"),
        (made.InMemory, "strikes", "a crash of all processes lost"),
        (made.AddsUpInFloats, "volume", "a sum was wrong by"),
        (made.SaysSumsInDoubles, "volume", "a sum was wrong by"),
    ],
)
def test_what_is_lost_or_added_up_wrongly_is_seen_where_it_shows(
    solution: type[made.Honest], scenario: str, words: str
) -> None:
    found = finding("EV-1", solution, scenario)
    assert found.outcome is Outcome.FAIL, found.what
    assert words in found.what


def test_what_is_declared_to_be_lost_in_a_crash_is_measured_and_no_fault() -> None:
    found = finding("EV-1", made.InMemory, max_loss_ms="1200")
    assert found.outcome is Outcome.PASS, found.what
    lost = {measure.axis: measure.value for measure in found.measures}
    assert 500 < lost["lost_ms_crash"] < 1200
    assert lost["declared_loss_s"] == 1.2


def test_who_stores_nothing_is_asked_nothing_more() -> None:
    lab = MemoryLab(MadeUp(), services=("postgres",))
    watch(SCENARIOS["contact"], made.StoresNothing, lab)
    assert "none of the first 14 events that were acknowledged was counted" in lab.given_up


def test_who_stores_whatever_json_can_say_is_right() -> None:
    found = finding("EV-11", made.StoresPoison)
    assert found.outcome is Outcome.PASS, found.what
    assert "of 8 kinds of poison 7 were taken and counted" in found.what
