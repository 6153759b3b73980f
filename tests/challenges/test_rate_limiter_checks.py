"""The rate limiter's judges, on hand-made histories and on what the scenarios record of limiters made up in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from support import evidence_builder as build
from support import flawed_limiters as flawed
from support import limiters
from support.limiter_checks import CHECKS, MANIFEST, SCENARIOS, SUITE, Design, judge, watch, watch_all
from support.limiters import HonestLimiter

from crucible.authoring.memory_lab import EPOCH_NS, MS, MemoryLab, in_virtual_time
from crucible.authoring.testing import WAYS_TO_LOSE, history_of, lose
from crucible.check import Finding, History, NotCausedError, Outcome
from crucible.evidence import Evidence, FaultEvent, LoadBlock, Op, Recording, Request, Result, Traffic
from crucible.judging import judge as judging
from crucible.judging.tradeoffs import Judgement


def fixed_window(lab: MemoryLab) -> HonestLimiter:
    return limiters.FixedWindow(EPOCH_NS)


GOOD: dict[str, Design] = {
    "sliding log": Design(lambda lab: HonestLimiter()),
    "sliding log that says that it fails closed": Design(lambda lab: HonestLimiter(), declares="fail-closed"),
    "fixed window": Design(fixed_window),
    "GCRA": Design(lambda lab: limiters.Gcra()),
    "GCRA with half the burst": Design(lambda lab: limiters.Gcra(0.5)),
    "sliding window counter": Design(lambda lab: limiters.SlidingCounter(EPOCH_NS)),
    "sliding log in each process": Design(lambda lab: limiters.InProcess(), ()),
    "lets all through if its store is far": Design(lambda lab: limiters.GivesUpOnAFarStore(lab, 200)),
    "lets nobody through if its store is far": Design(lambda lab: limiters.GivesUpOnAFarStore(lab, 503)),
    "answers every second check if its store is far": Design(lambda lab: limiters.IsHalfSilentOnAFarStore(lab, 503)),
    "fails open and says so": Design(lambda lab: limiters.FailsOpen(), declares="fail-open"),
    "decides alone meanwhile and says so": Design(lambda lab: limiters.DecidesAloneMeanwhile(), declares="local"),
    "sweeps after ten seconds": Design(lambda lab: limiters.ForgetsWhenItIsTime()),
    "has a heap that warms up": Design(lambda lab: limiters.WarmsUp()),
    "loses its window with its process": Design(lambda lab: limiters.LosesItsWindowWithItsProcess()),
}
BAD: dict[str, list[Design]] = {
    "RL-1": [Design(lambda lab: flawed.LimitsNothingMuch())],
    "RL-2": [Design(lambda lab: flawed.ExtendsTheWindow())],
    "RL-3": [Design(lambda lab: flawed.RacyLimiter())],
    "RL-4": [
        Design(lambda lab: flawed.ConsumesWhatItRefuses()),
        Design(lambda lab: flawed.TrimsItsCount()),
        Design(lambda lab: flawed.CountsACostAsOneUnit()),
    ],
    "RL-5": [
        Design(lambda lab: flawed.HintsAtTheWholeWindow()),
        Design(lambda lab: flawed.HintsTooShort()),
        Design(lambda lab: flawed.HintsByTheNewestUnit()),
        Design(lambda lab: flawed.AlwaysHintsAtTheWholeWindow(EPOCH_NS)),
        Design(lambda lab: flawed.RefillsAndHintsAtTheWholeWindow()),
    ],
    "RL-6": [Design(lambda lab: flawed.CountsAllKeysTogether())],
    "RL-7": [Design(lambda lab: flawed.ExtendsTheWindow())],
    "RL-8": [Design(lambda lab: flawed.CachesLimits())],
    "RL-10": [
        Design(lambda lab: limiters.FailsOpen()),
        Design(lambda lab: limiters.FailsOpen(), declares="fail-closed"),
        Design(lambda lab: limiters.FailsOpen(), declares="local"),
        Design(lambda lab: HonestLimiter(), declares="fail-open"),
        Design(lambda lab: limiters.DecidesAloneMeanwhile()),
        Design(lambda lab: flawed.HangsWithItsStore()),
        Design(lambda lab: flawed.NeverComesBack()),
    ],
    "RL-11": [Design(lambda lab: flawed.KeepsEveryKey()), Design(lambda lab: flawed.KeepsEveryKeyInTheProcess())],
    "RL-12": [Design(lambda lab: flawed.SaysWhatThisReplicaSaw())],
    "RL-13": [Design(lambda lab: flawed.ConsumesOnBadInput())],
    "RL-14": [Design(lambda lab: flawed.BlocksKeysThatACrashMet())],
}
MEASURED = {"RL-9"}
"""Checks that no design fails: what they measure is a business's to judge."""


def test_every_check_has_a_flaw_that_it_catches() -> None:
    assert set(BAD) | MEASURED == set(CHECKS)


@cache
def failing(check: str, which: int = 0) -> History:
    return watch_all(check, BAD[check][which])


@pytest.mark.parametrize("limiter", GOOD)
@pytest.mark.parametrize("check", CHECKS)
def test_a_good_limiter_is_not_accused(check: str, limiter: str) -> None:
    finding = judge(check, watch_all(check, GOOD[limiter]))
    assert finding.outcome is Outcome.PASS, finding.what


@pytest.mark.parametrize(
    ("check", "which"), [(check, i) for check, designs in BAD.items() for i in range(len(designs))]
)
def test_a_flawed_limiter_is_caught(check: str, which: int) -> None:
    finding = judge(check, failing(check, which))
    assert finding.outcome is Outcome.FAIL, finding.what


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("check", CHECKS)
def test_a_limiter_that_fails_one_request_in_fifty_is_not_accused(check: str, seed: int) -> None:
    finding = judge(check, watch_all(check, Design(lambda lab: limiters.FailsNowAndThen()), seed=seed))
    assert finding.outcome in (Outcome.PASS, Outcome.INCONCLUSIVE), finding.what


@pytest.mark.parametrize("replicas", [1, 4])
@pytest.mark.parametrize("check", CHECKS)
def test_the_number_of_replicas_changes_nothing(check: str, replicas: int) -> None:
    finding = judge(check, watch_all(check, Design(lambda lab: HonestLimiter()), replicas=replicas))
    assert finding.outcome is Outcome.PASS, finding.what


def test_the_first_contact_sees_one_check_per_replica() -> None:
    seen = watch("contact", GOOD["sliding log"])
    assert [op.target for op in seen.named("contact/check")] == ["web.0", "web.1"]
    assert all(op.result is Result.OK for op in seen.ops)


def sentence(check: str, limiter: HonestLimiter) -> str:
    finding = judge(check, watch_all(check, Design(lambda lab: limiter)))
    assert finding.outcome is Outcome.FAIL, finding.what
    return finding.what


def test_what_is_said_of_a_race() -> None:
    assert sentence("RL-3", flawed.RacyLimiter()) == (
        "with limit 29, 36 units were certainly allowed within 0.05 s, where at most 31.6 may be; "
        "with limit 37, 48 units were certainly allowed within 0.05 s, where at most 40.0 may be; "
        "with limit 53, 60 units were certainly allowed within 0.06 s, where at most 56.9 may be"
    )


def test_what_is_said_of_a_cost_that_is_taken_in_part() -> None:
    assert sentence("RL-4", flawed.ConsumesWhatItRefuses()) == (
        "what was refused consumed: on 4 of 4 keys with limit 10 a cost of 11 was refused, and after it one of 3, "
        "which a key without the first refusal let through"
    )


def test_what_is_said_of_a_cost_above_the_limit() -> None:
    assert sentence("RL-4", flawed.AllowsAnyCost()) == "a cost of 11 was allowed on 4 of 4 keys with limit 10"


def test_a_race_of_mixed_costs_convicts_too() -> None:
    assert "units were certainly allowed within" in sentence("RL-4", flawed.RacyLimiter())


def test_what_is_said_of_one_counter_for_all_keys() -> None:
    assert sentence("RL-6", flawed.CountsAllKeysTogether()) == (
        "8 of 8 fresh keys beside a full one were refused twice, although nothing had ever been allowed on them"
    )


def test_a_key_that_refuses_from_the_start_is_as_full_as_any() -> None:
    assert sentence("RL-6", flawed.RefusesEverything()).startswith(
        "8 of 8 fresh keys beside a full one were refused twice"
    )


def test_what_is_said_of_keys_that_are_cut_short() -> None:
    assert sentence("RL-6", flawed.CutsKeysShort()).startswith("1 of 8 fresh keys beside a full one was refused twice")


def test_what_is_said_of_refusals_that_extend_the_window() -> None:
    assert sentence("RL-7", flawed.ExtendsTheWindow()) == (
        "only 47.6 % of 252 requests were answered as they should, and 95 % must be: "
        "132 were refused although the limit was not used up"
    )


def test_what_is_said_of_bad_input_that_consumes() -> None:
    assert sentence("RL-13", flawed.ConsumesOnBadInput()) == (
        "malformed requests took effect: a key that they named admitted 0 units, an untouched one 6"
    )


def test_what_is_said_of_bad_input_that_kills() -> None:
    assert sentence("RL-13", flawed.DiesOnBadInput()) == (
        "a body that is not JSON ended the process web.0; "
        "in all 2 of 2 kinds of bad input were not refused as they should be"
    )


@pytest.mark.parametrize("check", ["RL-3", "RL-4", "RL-13"])
def test_refusing_everything_shows_nothing(check: str) -> None:
    seen = watch_all(check, Design(lambda lab: flawed.RefusesEverything()))
    assert judge(check, seen).outcome is Outcome.INCONCLUSIVE


def test_refusing_everything_is_no_answer_under_overload() -> None:
    assert "were refused although the limit was not used up" in sentence("RL-7", flawed.RefusesEverything())


def test_two_counters_show_in_the_long_run_and_are_no_miss() -> None:
    twice = {m.axis: m for m in judge("RL-7", watch("overload", GOOD["sliding log in each process"])).measures}
    once = {m.axis: m for m in judge("RL-7", watch("overload", GOOD["fixed window"])).measures}
    assert twice["long_run_ratio"].value == pytest.approx(2.0, abs=0.1)
    assert once["long_run_ratio"].value == pytest.approx(1.0, abs=0.05)
    assert twice["wrong_refusals_ratio"].value == once["wrong_refusals_ratio"].value == 0


# ---------------------------------------------------------------- neither accused wrongly nor acquitted


@pytest.mark.parametrize("status", [200, 503])
def test_a_far_store_does_not_hide_a_race(status: int) -> None:
    seen = watch("race", Design(lambda lab: flawed.RacesOnANearStore(lab, status)))
    assert judge("RL-3", seen).outcome is Outcome.FAIL
    assert judge("RL-4", seen).outcome is Outcome.FAIL


@pytest.mark.parametrize("check", ["RL-3", "RL-4"])
def test_a_limiter_that_has_not_come_back_from_a_far_store_is_not_accused(check: str) -> None:
    seen = watch("race", Design(lambda lab: limiters.GivesUpOnAFarStore(lab, 200, for_s=600)))
    assert judge(check, seen).outcome is Outcome.INCONCLUSIVE


def test_allowing_everything_is_accused() -> None:
    class AllowsEverything(HonestLimiter):
        def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
            return True

    assert sentence("RL-3", AllowsEverything()).startswith("with limit 29, 145 units were certainly allowed")
    assert "with limit 29, 14" in sentence("RL-4", AllowsEverything())


@pytest.mark.parametrize("offset", range(0, 2_000, 100))
@pytest.mark.parametrize("limiter", [limiters.FixedWindow, limiters.SlidingCounter])
def test_wherever_in_its_window_an_overload_begins_no_limiter_is_accused(
    limiter: type[limiters.FixedWindow] | type[limiters.SlidingCounter], offset: int
) -> None:
    finding = judge("RL-7", watch("overload", Design(lambda lab: limiter(offset * MS))))
    assert finding.outcome is Outcome.PASS, finding.what
    assert {m.axis: m for m in finding.measures}["long_run_ratio"].value == pytest.approx(1.0, abs=0.1)


def test_one_counter_for_all_keys_is_caught_whatever_came_before() -> None:
    order = [scenario.id for scenario in SUITE.scenarios if scenario.phase in ("contact", "race")]
    assert order == ["contact", "neighbours", "race"]
    for seed in range(20):
        lab = MemoryLab(flawed.CountsTogetherWhileItLasts())

        async def observe(lab: MemoryLab = lab, seed: int = seed) -> None:
            await SCENARIOS["contact"].observe(lab, Random(seed))
            lab.ops.clear()
            await SCENARIOS["neighbours"].observe(lab, Random(seed))

        in_virtual_time(observe)
        assert judge("RL-6", history_of(lab.ops, lab.facts)).outcome is Outcome.FAIL


def test_every_sentence_begins_small_and_ends_open() -> None:
    for check in CHECKS:
        bad = [failing(check, i) for i in range(len(BAD.get(check, ())))]
        for what in [judge(check, one).what for one in [*bad, watch_all(check, GOOD["fixed window"]), history_of(())]]:
            assert not what[0].isupper(), what
            assert not what.endswith("."), what


class CannotBeCrashed(MemoryLab):
    """Its store is somebody else's."""

    async def crash(self, service: str, down_s: float = 0.5) -> None:
        raise NotCausedError("only its owner can do that")


def test_a_race_is_not_taken_for_a_limit_that_did_not_change() -> None:
    class SeesNothingForAWhile(flawed.RacyLimiter):
        def counts(self, granted_ns: int, now_ns: int, window_ns: int) -> bool:
            return now_ns - window_ns <= granted_ns <= now_ns - 30 * MS

    finding = judge("RL-8", watch_all("RL-8", Design(lambda lab: SeesNothingForAWhile())))
    assert finding.outcome is Outcome.PASS, finding.what


def test_a_crash_that_cannot_be_caused_is_no_pass() -> None:
    seen = watch_all("RL-10", Design(lambda lab: HonestLimiter()), lab=CannotBeCrashed)
    finding = judge("RL-10", seen)
    assert (finding.outcome, finding.measures) == (Outcome.NOT_RUN, ())
    assert finding.what == "a crash of redis could not be caused: only its owner can do that"
    finding = judge("RL-9", watch_all("RL-9", Design(lambda lab: HonestLimiter()), lab=CannotBeCrashed))
    assert finding.outcome is Outcome.NOT_RUN
    assert [measure.axis for measure in finding.measures] == ["window_lost_app_units"]


def test_a_design_that_cannot_be_crashed_is_accused_of_what_else_it_does() -> None:
    seen = watch_all("RL-10", Design(lambda lab: flawed.HangsWithItsStore()), lab=CannotBeCrashed)
    assert judge("RL-10", seen).outcome is Outcome.FAIL


def lost_after_a_crash(design: Design) -> dict[str, float]:
    finding = judge("RL-9", watch_all("RL-9", design))
    assert finding.outcome is Outcome.PASS, finding.what
    return {measure.axis.removeprefix("window_lost_"): measure.value for measure in finding.measures}


def test_what_a_crash_costs_is_told_apart() -> None:
    class OnADisk(HonestLimiter):
        def store_crashed(self, service: str) -> None:
            pass

    assert lost_after_a_crash(GOOD["sliding log"]) == {"app_units": 0, "store_units": 20}
    assert lost_after_a_crash(Design(lambda lab: OnADisk())) == {"app_units": 0, "store_units": 0}
    assert lost_after_a_crash(GOOD["sliding log in each process"]) == {"app_units": 20, "store_units": 0}
    assert lost_after_a_crash(GOOD["loses its window with its process"])["app_units"] == 20


# ---------------------------------------------------------------- by hand


def answer(name: str, key: str, status: int | None, sent_ns: int, received_ns: int) -> Op:
    request = Request("POST", "/v1/check", {"key": key, "cost": 1})
    known = {200: (Result.OK, {"allowed": True}), 429: (Result.REFUSED, {"allowed": False})}
    result, reply = known.get(status or 0, (Result.UNKNOWN, {}))
    error = None if status in known else "timed out after 5 s" if status is None else f"status {status}"
    return Op("grader", name, "web.0", request, result, status, dict(reply), error, sent_ns, received_ns)


def noted_epoch(ms: int) -> dict[str, JsonValue]:
    """What the wall clock says when the clock of the race is at 0."""
    return {"Epoch/race": {"ns": ms * MS}}


def race_by_hand(allowed: Sequence[int], unknown: Sequence[int] = (0, 0, 0), width: int = 5) -> History:
    """Three bursts of 0.1 s in windows of 2 s, each at the beginning of its own."""
    ops: list[Op] = []
    for i, (n, yes, lost) in enumerate(zip((29, 37, 53), allowed, unknown, strict=True)):
        at, name = (2 + 2 * i) * 1_000 * MS, f"race/{n}"
        body: JsonValue = {"limit": n, "window_ms": 2000}
        ops.append(Op("g", f"put/{name}", "web.0", Request("PUT", f"/{name}", body), Result.OK, 200, body, None, 0, MS))
        for status, count in ((200, yes), (None, lost), (429, width * n - yes - lost)):
            ops += [answer(name, name, status, at, at + 100 * MS) for _ in range(count)]
    return history_of(ops, noted_epoch(0))


@pytest.mark.parametrize(
    ("allowed", "unknown", "outcome"),
    [
        ((29, 37, 53), (0, 0, 0), Outcome.PASS),
        ((30, 38, 55), (0, 0, 0), Outcome.PASS),
        ((1, 1, 1), (0, 0, 0), Outcome.PASS),
        ((36, 37, 53), (0, 0, 0), Outcome.PASS),
        ((36, 45, 53), (0, 0, 0), Outcome.FAIL),
        ((36, 48, 60), (0, 0, 0), Outcome.FAIL),
        ((36, 30, 53), (0, 20, 0), Outcome.INCONCLUSIVE),
        ((29, 30, 53), (0, 20, 0), Outcome.PASS),
        ((29, 30, 40), (0, 20, 30), Outcome.INCONCLUSIVE),
        ((29, 0, 0), (0, 0, 0), Outcome.INCONCLUSIVE),
        ((29, 37, 53), (3, 3, 4), Outcome.PASS),
    ],
)
def test_two_violated_races_convict_and_undecided_ones_never_acquit(
    allowed: tuple[int, ...], unknown: tuple[int, ...], outcome: Outcome
) -> None:
    finding = judge("RL-3", race_by_hand(allowed, unknown))
    assert finding.outcome is outcome, finding.what


def test_one_violated_race_enters_the_peak_ratio() -> None:
    (peak,) = judge("RL-3", race_by_hand((36, 37, 53))).measures
    assert (peak.axis, peak.value, peak.samples) == ("peak_ratio", 36 / 29, 3)


def test_an_undecided_race_says_why() -> None:
    seen = race_by_hand((36, 48, 60))
    late = replace(seen, ops=tuple(replace(op, received_ns=op.received_ns + 200 * MS) for op in seen.ops))
    moved = replace(seen, facts=noted_epoch(1_950))
    few = replace(seen, ops=tuple(op for i, op in enumerate(seen.ops) if op.name.startswith("put") or i % 40 == 5))
    assert "the burst took 0.30 s, too long for a window of 2.0 s" in judge("RL-3", late).what
    assert "the burst lay across the border of two windows" in judge("RL-3", moved).what
    assert "requests were in flight at once" in judge("RL-3", few).what
    assert "nothing was allowed" in judge("RL-3", race_by_hand((0, 0, 0))).what
    assert "did not get as far as its burst" in judge("RL-3", history_of(())).what


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_recording_nothing_is_decided(check: str) -> None:
    assert judge(check, history_of(())).outcome is Outcome.INCONCLUSIVE


def bad_input_with(slug: str, change: Callable[[Op], Op]) -> Finding:
    seen = watch("bad-input", GOOD["sliding log"])
    return judge("RL-13", replace(seen, ops=tuple(change(op) if op.name == f"bad/{slug}" else op for op in seen.ops)))


@pytest.mark.parametrize(
    ("slug", "status", "said"),
    [
        ("deep", 500, "10,000 nested arrays was answered with 500"),
        ("cost-0", 200, "a cost of 0 was accepted (200)"),
        ("cost-0", 429, "a cost of 0 was treated as one too many (429)"),
        ("cost-0", None, "a cost of 0 got no answer (timed out after 5 s)"),
        ("cost-0", 422, ""),
        ("cost-big", 429, ""),
        ("large", None, ""),
        ("large", 413, ""),
        ("large", 500, "a body of 2 MB was answered with 500"),
    ],
)
def test_only_a_refusal_refuses(slug: str, status: int | None, said: str) -> None:
    result = Result.UNKNOWN if status in (None, 500) else Result.OK if status == 200 else Result.REFUSED
    error = "timed out after 5 s" if status is None else None
    finding = bad_input_with(slug, lambda op: replace(op, status=status, result=result, error=error))
    assert finding.outcome is (Outcome.FAIL if said else Outcome.PASS)
    assert finding.what.startswith(said)


def test_a_huge_limit_may_be_taken_if_it_is_echoed_exactly() -> None:
    def taking(limit: int) -> Finding:
        return bad_input_with("limit-big", lambda op: replace(op, status=200, result=Result.OK, reply={"limit": limit}))

    assert taking(2**53 + 1).outcome is Outcome.PASS
    assert taking(2**53).outcome is Outcome.FAIL


def test_a_process_that_stays_dumb_is_named() -> None:
    seen = watch("bad-input", GOOD["sliding log"])
    ops = [replace(op, result=Result.UNKNOWN) if op.name == "alive/web.1" else op for op in seen.ops]
    finding = judge("RL-13", replace(seen, ops=tuple(ops)))
    assert finding.what == "web.1 no longer answered"
    assert {op.name for op in finding.examples} == {"alive/web.1"}


@pytest.mark.parametrize("kind", ["died", "out_of_memory", "too_many_processes"])
def test_whatever_ends_a_process_meanwhile_is_held_against_the_input(kind: str) -> None:
    seen = watch("bad-input", GOOD["sliding log"])
    (bad,) = seen.named("bad/deep")
    finding = judge("RL-13", replace(seen, events=(FaultEvent(kind, bad.target, bad.received_ns),)))
    assert finding.outcome is Outcome.FAIL
    assert f"ended the process {bad.target}" in finding.what


def test_a_worker_that_ends_by_itself_is_not_held_against_the_input() -> None:
    seen = watch("bad-input", GOOD["sliding log"])
    late = seen.ops[-1].sent_ns
    done = FaultEvent("died", "sweeper.0", late, detail={"status": 0})
    usual = [FaultEvent("died", "sweeper.0", at_ns, detail={"status": 1}) for at_ns in (MS, late)]
    for events in ([done], usual):
        assert judge("RL-13", replace(seen, events=tuple(events))).outcome is Outcome.PASS


def test_a_worker_that_a_malformed_request_ends_is_held_against_the_input() -> None:
    seen = watch("bad-input", GOOD["sliding log"])
    died = FaultEvent("died", "sweeper.0", seen.ops[-1].sent_ns, detail={"status": 1})
    finding = judge("RL-13", replace(seen, events=(died,)))
    assert (finding.outcome, finding.what) == (Outcome.FAIL, "the process sweeper.0 ended with status 1")


def test_of_two_costs_in_one_body_a_parser_may_take_either() -> None:
    class TakesTheFirst(HonestLimiter):
        def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
            return super().answer(at_ns, target, method, path, text.replace('"cost": 1, "cost": 0', '"cost": 1'))

    assert judge("RL-13", watch("bad-input", Design(lambda lab: TakesTheFirst()))).outcome is Outcome.PASS


# ---------------------------------------------------------------- honesty


def test_a_race_with_too_many_lost_answers_is_repeated_on_a_fresh_key() -> None:
    honest = watch("race", Design(lambda lab: limiters.FailsNowAndThen()))
    sizes = [len(honest.named(f"race/{n}")) // (5 * n) for n in (29, 37, 53)]
    assert max(sizes) > 1
    assert judge("RL-3", honest).outcome is Outcome.PASS
    assert judge("RL-3", watch("race", Design(lambda lab: flawed.RacesAndFails()))).outcome is Outcome.FAIL


def test_an_earlier_try_that_was_violated_counts() -> None:
    first, second = race_by_hand((36, 45, 60)), race_by_hand((29, 37, 53))
    later = [
        replace(op, request=replace(op.request, body={"key": "again", "cost": 1}), sent_ns=op.sent_ns + 8_000 * MS,
                received_ns=op.received_ns + 8_000 * MS)
        for op in second.named("race")
    ]  # fmt: skip
    later += [replace(op, request=replace(op.request, path="/again")) for op in second.named("put")]
    assert judge("RL-3", history_of([*first.ops, *later], first.facts)).outcome is Outcome.FAIL


@given(seed=st.integers(0, 2**32), share=st.floats(0, 1), how=st.sampled_from(WAYS_TO_LOSE))
@settings(max_examples=30)
def test_losing_answers_never_acquits_a_repeated_race(seed: int, share: float, how: str) -> None:
    seen, rng = watch_once(), Random(seed)
    ops = [lose(op, how) if rng.random() < share**3 else op for op in seen.ops]
    assert judge("RL-3", history_of(ops, seen.facts)).outcome is not Outcome.PASS


@cache
def watch_once() -> History:
    return watch("race", Design(lambda lab: flawed.RacesAndFails()))


@pytest.mark.parametrize("check", BAD)
@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    share=st.floats(0, 1),
    how=st.sampled_from(WAYS_TO_LOSE),
    which=st.sampled_from([Result.OK, Result.REFUSED, None]),
)
def test_losing_answers_never_acquits(check: str, seed: int, share: float, how: str, which: Result | None) -> None:
    seen, rng = failing(check), Random(seed)
    share = share**3  # mostly a few
    ops = [lose(op, how) if which in (None, op.result) and rng.random() < share else op for op in seen.ops]
    assert judge(check, history_of(ops, seen.facts, events=seen.events)).outcome is not Outcome.PASS


# ---------------------------------------------------------------- honesty of profiles

MISFITS: dict[str, tuple[Design, int, frozenset[str]]] = {
    "in each process": (Design(lambda lab: limiters.InProcess(), ()), 3, frozenset({"paid-quota", "login-guard"})),
    "fixed window": (Design(fixed_window), 3, frozenset({"paid-quota", "login-guard", "public-api", "side-project"})),
    "fails closed": (Design(lambda lab: HonestLimiter()), 3, frozenset({"public-api", "side-project"})),
    "too slow": (Design(lambda lab: HonestLimiter()), 160, frozenset({"paid-quota", "login-guard", "public-api"})),
    "fails open": (
        Design(lambda lab: limiters.FailsOpen(), declares="fail-open"), 3, frozenset({"login-guard", "side-project"})
    ),
    "loses its window": (
        Design(lambda lab: limiters.LosesItsWindowWithItsProcess()), 3, frozenset({"paid-quota", "login-guard"})
    ),
}  # fmt: skip
"""Each design, how many ms it takes under load, and profiles that it does not fit."""


@cache
def graded(name: str) -> Evidence:
    """A whole grade of a design in memory, with load by hand."""
    design, ms, _ = MISFITS[name]
    recordings = []
    for scenario in SUITE.scenarios:
        seen = watch(scenario.id, design)
        recordings.append(
            Recording(scenario.id, scenario.phase, 0, 1, seen.ops, seen.events, dict(seen.facts), None)
        )  # fmt: skip
    trips = tuple(Traffic("web", service, 4, 4, 1_000, 9_000, 9_000) for service in design.services)
    return build.evidence(
        challenge="rate-limiter", mode="full", profile="paid-quota", checks=tuple(CHECKS), recordings=tuple(recordings),
        services=tuple(build.OWN.services[:1] if design.services else ()),
        declares={"on_store_outage": design.declares} if design.declares else {}, traffic=trips,
        load=tuple(build.block(rate, latency_us=((ms * 1_000, 600),)) for rate in (50, 200) for _ in range(3)),
    )  # fmt: skip


def profiles(evidence: Evidence) -> dict[str, Judgement]:
    return {fit.profile: fit.result for fit in judging.judge(evidence, MANIFEST, SUITE, build.PRICES).fits}


@pytest.mark.parametrize("name", MISFITS)
def test_a_design_does_not_fit_where_it_is_not_meant_to(name: str) -> None:
    found = profiles(graded(name))
    assert {profile for profile, result in found.items() if result is Judgement.DOES_NOT} >= MISFITS[name][2], found


@pytest.mark.parametrize("name", MISFITS)
@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    share=st.floats(0, 1),
    how=st.sampled_from(WAYS_TO_LOSE),
    lost=st.floats(0, 1),
)
def test_losing_answers_makes_no_design_fit(name: str, seed: int, share: float, how: str, lost: float) -> None:
    """In the scenarios as in the load, whose slowest answers are the first to be lost."""
    honest, rng = graded(name), Random(seed)
    recordings = tuple(
        replace(recording, ops=tuple(lose(op, how) if rng.random() < share**3 else op for op in recording.ops))
        for recording in honest.own.recordings
    )
    load = tuple(_lose_slowest(block, lost**3) for block in honest.own.load)
    found = profiles(build.changed(honest, recordings=recordings, load=load))
    assert not {profile for profile in MISFITS[name][2] if found.get(profile) is Judgement.FITS}


def _lose_slowest(block: LoadBlock, share: float) -> LoadBlock:
    """Turn that share of a block's answers into errors that come at once."""
    (value, count), *_ = block.latency_us
    gone = int(count * share)
    return replace(block, latency_us=((value, count - gone),) if count > gone else (), unanswered_us=((1, gone),))
