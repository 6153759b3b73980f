"""The rate limiter's judges, on hand-made histories and on what the scenarios record of limiters made up in memory."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from crucible.check import Call, Finding, History, Mode, Outcome
from crucible.evidence import FaultEvent, Op, Request, Result
from crucible.suite import load_suite

SUITE = load_suite(Path(__file__).parents[2] / "challenge_templates" / "rate-limiter")
CHECKS = {check.id: check for check in SUITE.checks}
SCENARIOS = {scenario.id: scenario for scenario in SUITE.scenarios}
MS = 1_000_000


# ---------------------------------------------------------------- limiters


class HonestLimiter:
    """An exact sliding log behind the whole contract, shared by all replicas."""

    def __init__(self) -> None:
        self.limits: dict[str, tuple[int, int]] = {}
        self.log: dict[str, list[tuple[int, int]]] = {}

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        n, window_ns = self.limits[key]
        counter = self.counter(key, target)
        used = sum(units for at, units in self.log.get(counter, []) if self.counts(at, at_ns, window_ns))
        if used + cost <= n:
            self.log.setdefault(counter, []).append((at_ns, cost))
        else:
            self.refuse(counter, cost, at_ns, n - used)
        return used + cost <= n

    def counter(self, key: str, target: str) -> str:
        return key

    def counts(self, granted_ns: int, now_ns: int, window_ns: int) -> bool:
        return granted_ns >= now_ns - window_ns

    def refuse(self, counter: str, cost: int, at_ns: int, left: int) -> None:
        pass

    def malformed(self, text: str, at_ns: int) -> tuple[int, JsonValue]:
        return 400, {"error": "malformed"}

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        key = path.rsplit("/", 1)[1]
        if method == "GET":
            if path == "/healthz":
                return 200, {}
            n, window_ns = self.limits.get(key, (0, 0))
            return (200, {"used": 0, "limit": n, "window_ms": window_ns // MS}) if n else (404, {})
        try:
            body = json.loads(text, parse_constant=lambda word: word, object_pairs_hook=dict)
            if method == "PUT":
                n, window_ms = body["limit"], body["window_ms"]
                if type(n) is not int or type(window_ms) is not int or n < 1 or window_ms < 100:
                    return self.malformed(text, at_ns)
                self.limits[key] = (n, window_ms * MS)
                return 200, {"limit": n, "window_ms": window_ms}
            key, cost = body["key"], body.get("cost", 1)
            if type(key) is not str or type(cost) is not int or cost < 1:
                return self.malformed(text, at_ns)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return self.malformed(text, at_ns)
        if key not in self.limits:
            return 404, {"error": "unknown key"}
        if self.admits(key, cost, target, at_ns):
            return 200, {"allowed": True, "remaining": 0}
        return 429, {"allowed": False, "retry_after_ms": 1}


class FixedWindow(HonestLimiter):
    def __init__(self, epoch_ns: int) -> None:
        super().__init__()
        self.epoch_ns = epoch_ns

    def counts(self, granted_ns: int, now_ns: int, window_ns: int) -> bool:
        return (granted_ns + self.epoch_ns) // window_ns == (now_ns + self.epoch_ns) // window_ns


class Gcra(HonestLimiter):
    """Refills steadily; its burst is the limit, or half of it."""

    def __init__(self, burst: float = 1.0) -> None:
        super().__init__()
        self.burst = burst
        self.level: dict[str, tuple[int, float]] = {}

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        n, window_ns = self.limits[key]
        then_ns, level = self.level.get(key, (at_ns, n * self.burst))
        level = min(n * self.burst, level + n * (at_ns - then_ns) / window_ns)
        self.level[key] = (at_ns, level - cost if cost <= level else level)
        return cost <= level


class SlidingCounter(HonestLimiter):
    """Two fixed windows, of which the earlier one is weighed by how much of it the sliding one still covers."""

    def __init__(self, epoch_ns: int) -> None:
        super().__init__()
        self.epoch_ns = epoch_ns
        self.used: dict[tuple[str, int], int] = {}

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        n, window_ns = self.limits[key]
        window, past_ns = divmod(self.epoch_ns + at_ns, window_ns)
        now, before = self.used.get((key, window), 0), self.used.get((key, window - 1), 0)
        if fits := before * (1 - past_ns / window_ns) + now + cost <= n:
            self.used[key, window] = now + cost
        return fits


class FailsNowAndThen(HonestLimiter):
    """One request in fifty gets a 503, before it is looked at or after."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = Random(11)

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        fate = self.rng.random()
        done = super().answer(at_ns, target, method, path, text) if fate > 0.01 else (503, None)
        return (503, {"error": "try again"}) if fate < 0.02 else done


class RacyLimiter(HonestLimiter):
    """Sees a grant only 3 ms after it was made, like a GET that is followed by a SET."""

    def counts(self, granted_ns: int, now_ns: int, window_ns: int) -> bool:
        return now_ns - window_ns <= granted_ns <= now_ns - 3 * MS


class RacesAndFails(FailsNowAndThen, RacyLimiter):
    """Both, so that its races are repeated."""


class RefusesEverything(HonestLimiter):
    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        return False


class ConsumesWhatItRefuses(HonestLimiter):
    """Takes unit by unit until none is left, and then refuses."""

    def refuse(self, counter: str, cost: int, at_ns: int, left: int) -> None:
        self.log.setdefault(counter, []).append((at_ns, left))


class AllowsAnyCost(HonestLimiter):
    """Looks only at what was used before."""

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        fits = super().admits(key, 1, target, at_ns)
        if fits:
            self.log[key].append((at_ns, cost - 1))
        return fits


class CountsAllKeysTogether(HonestLimiter):
    def counter(self, key: str, target: str) -> str:
        return "all"


class CutsKeysShort(HonestLimiter):
    def counter(self, key: str, target: str) -> str:
        return key[:64]


class CountsPerReplica(HonestLimiter):
    def counter(self, key: str, target: str) -> str:
        return f"{target} {key}"


class ExtendsTheWindow(HonestLimiter):
    """What is refused counts as well, so that a steady overload is never let through again."""

    def refuse(self, counter: str, cost: int, at_ns: int, left: int) -> None:
        self.log.setdefault(counter, []).append((at_ns, cost))


class ConsumesOnBadInput(HonestLimiter):
    def malformed(self, text: str, at_ns: int) -> tuple[int, JsonValue]:
        if found := re.search(r'"(spent-\w+)"', text):
            self.log.setdefault(found[1], []).append((at_ns, 1))
        return super().malformed(text, at_ns)


class DiesOnBadInput(HonestLimiter):
    def malformed(self, text: str, at_ns: int) -> tuple[int, JsonValue]:
        raise SystemExit


class CountsTogetherWhileItLasts(HonestLimiter):
    """One counter for all keys, gone a window after its first unit, whichever key that window was of."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.until_ns = 0, 0

    def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
        n, window_ns = self.limits[key]
        if at_ns >= self.until_ns:
            self.used, self.until_ns = 0, at_ns + window_ns
        self.used += cost
        return self.used <= n


# ---------------------------------------------------------------- a lab without a network


class MemoryLab:
    """Calls a limiter in memory, in virtual time: 1 ms each way, and twelve at once every 4 ms in a burst."""

    services = ("redis",)
    mode: Mode = "quick"

    def __init__(self, solution: HonestLimiter, replicas: int = 2) -> None:
        self.solution = solution
        self.replicas = tuple(f"web.{i}" for i in range(replicas))
        self.ops: list[Op] = []
        self.facts: dict[str, JsonValue] = {}
        self.events: list[FaultEvent] = []
        self.clock_ns = 0
        self.services_ms = 1
        self.near_since_ns = 0

    def now_ns(self) -> int:
        return self.clock_ns

    async def call(self, call: Call) -> Op:
        self.clock_ns += 2 * MS
        return self._do(call, self.clock_ns - 2 * MS, self.clock_ns - MS)

    async def burst(self, calls: Sequence[Call]) -> list[Op]:
        sent = self.clock_ns
        ops = [self._do(call, sent, sent + MS + i // 12 * 4 * MS) for i, call in enumerate(calls)]
        self.clock_ns = max(op.received_ns for op in ops)
        return ops

    async def paced(self, calls: Sequence[Call], gap_s: float) -> list[Op]:
        begin = self.clock_ns
        ops = [self._do(c, sent := begin + int(i * gap_s * 1e9), sent + MS) for i, c in enumerate(calls)]
        self.clock_ns = ops[-1].received_ns
        return ops

    async def configure(self, call: Call) -> list[Op]:
        return [await self.call(call)]

    @asynccontextmanager
    async def slow(self, ms: int) -> AsyncIterator[None]:
        self.services_ms = ms
        yield
        self.services_ms, self.near_since_ns = 1, self.clock_ns

    def note(self, name: str, value: JsonValue) -> None:
        self.facts[name] = value

    async def sleep(self, seconds: float) -> None:
        self.clock_ns += int(seconds * 1e9)

    def _do(self, call: Call, sent_ns: int, decided_ns: int) -> Op:
        text = call.raw.decode("utf-8", "replace") if call.raw is not None else json.dumps(call.body)
        status, reply, error = None, None, None
        if any(event.subject == call.target for event in self.events):
            error = "connection refused"
        else:
            try:
                status, reply = self.solution.answer(decided_ns, call.target, call.method, call.path, text)
            except SystemExit:
                error = "connection lost"
                self.events.append(FaultEvent("died", call.target, decided_ns))
        result = Result.UNKNOWN if status is None or status >= 500 else Result.OK if status < 300 else Result.REFUSED
        request = Request(call.method, call.path, "words" if call.raw is not None else call.body)
        op = Op("grader", call.name, call.target, request, result, status, reply, error, sent_ns, decided_ns + MS)
        self.ops.append(op)
        return op


class GivesUpOnAFarStore(HonestLimiter):
    """Answers `status` by itself while its store is 20 ms away, and for some seconds after that."""

    def __init__(self, lab: MemoryLab, status: int, for_s: float = 0.0) -> None:
        super().__init__()
        self.lab, self.status, self.for_ns = lab, status, int(for_s * 1e9)

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        lab = self.lab
        recovering = lab.near_since_ns and at_ns < lab.near_since_ns + self.for_ns
        if path == "/v1/check" and (lab.services_ms > 1 or recovering):
            return self.status, {"allowed": True, "remaining": 0}
        return super().answer(at_ns, target, method, path, text)


class RacesOnANearStore(GivesUpOnAFarStore, RacyLimiter):
    """Both, so that it can only be caught near by."""


class IsHalfSilentOnAFarStore(GivesUpOnAFarStore):
    """Gives up on every second check only, as a pool does that is too small for the distance."""

    turn = 0

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        self.turn += 1
        if self.turn % 2:
            return HonestLimiter.answer(self, at_ns, target, method, path, text)
        return super().answer(at_ns, target, method, path, text)


def watch(scenario: str, solution: Callable[[MemoryLab], HonestLimiter], replicas: int = 2, seed: int = 7) -> History:
    lab = MemoryLab(HonestLimiter(), replicas)
    lab.solution = solution(lab)

    async def observe() -> None:
        await SCENARIOS[scenario].observe(lab, Random(seed))

    asyncio.run(observe())
    return history(lab.ops, lab.facts, lab.events, replicas)


def history(
    ops: Sequence[Op], facts: dict[str, JsonValue], events: Sequence[FaultEvent] = (), replicas: int = 2
) -> History:
    in_order = tuple(sorted(ops, key=lambda op: op.sent_ns))
    return History(in_order, tuple(events), facts, replicas, ("redis",), {})


def judge(check: str, seen: History) -> Finding:
    finding = CHECKS[check].judge(seen)
    assert len(finding.examples) <= 3
    assert list(finding.examples) == sorted(finding.examples, key=lambda op: op.sent_ns)
    assert finding.outcome is not Outcome.PASS or finding.evidence
    return finding


def fixed_window(lab: MemoryLab) -> HonestLimiter:
    return FixedWindow(time.time_ns() - lab.now_ns())


GOOD: dict[str, Callable[[MemoryLab], HonestLimiter]] = {
    "sliding log": lambda lab: HonestLimiter(),
    "fixed window": fixed_window,
    "GCRA": lambda lab: Gcra(),
    "GCRA with half the burst": lambda lab: Gcra(0.5),
    "sliding window counter": lambda lab: SlidingCounter(time.time_ns() - lab.now_ns()),
    "one counter per replica": lambda lab: CountsPerReplica(),
    "lets all through if its store is far": lambda lab: GivesUpOnAFarStore(lab, 200),
    "lets nobody through if its store is far": lambda lab: GivesUpOnAFarStore(lab, 503),
    "answers every second check if its store is far": lambda lab: IsHalfSilentOnAFarStore(lab, 503),
    "lets all through for 20 s after that": lambda lab: GivesUpOnAFarStore(lab, 200, for_s=20),
}
BAD: dict[str, tuple[str, Callable[[], HonestLimiter]]] = {
    "RL-3": ("race", RacyLimiter),
    "RL-4": ("race", ConsumesWhatItRefuses),
    "RL-6": ("neighbours", CountsAllKeysTogether),
    "RL-7": ("overload", ExtendsTheWindow),
    "RL-13": ("bad-input", ConsumesOnBadInput),
}
RESTS_ON = {"RL-3": "race", "RL-4": "race", "RL-6": "neighbours", "RL-7": "overload", "RL-13": "bad-input"}


@cache
def failing(check: str) -> History:
    scenario, solution = BAD[check]
    return watch(scenario, lambda lab: solution())


@pytest.mark.parametrize("limiter", GOOD)
@pytest.mark.parametrize("check", RESTS_ON)
def test_a_good_limiter_is_not_accused(check: str, limiter: str) -> None:
    finding = judge(check, watch(RESTS_ON[check], GOOD[limiter]))
    assert finding.outcome is Outcome.PASS, finding.what


@pytest.mark.parametrize("check", RESTS_ON)
def test_a_limiter_that_fails_one_request_in_fifty_is_not_accused(check: str) -> None:
    finding = judge(check, watch(RESTS_ON[check], lambda lab: FailsNowAndThen()))
    assert finding.outcome in (Outcome.PASS, Outcome.INCONCLUSIVE), finding.what


def test_a_single_replica_is_enough() -> None:
    for check, scenario in RESTS_ON.items():
        assert judge(check, watch(scenario, lambda lab: HonestLimiter(), replicas=1)).outcome is Outcome.PASS


def test_the_first_contact_sees_one_check_per_replica() -> None:
    seen = watch("contact", lambda lab: HonestLimiter())
    assert [op.target for op in seen.named("contact/check")] == ["web.0", "web.1"]
    assert all(op.result is Result.OK for op in seen.ops)


def sentence(check: str, limiter: HonestLimiter) -> str:
    finding = judge(check, watch(RESTS_ON[check], lambda lab: limiter))
    assert finding.outcome is Outcome.FAIL, finding.what
    return finding.what


def test_what_is_said_of_a_race() -> None:
    assert sentence("RL-3", RacyLimiter()) == (
        "with limit 29, 36 units were certainly allowed within 0.01 s; "
        "with limit 37, 48 units were certainly allowed within 0.01 s; "
        "with limit 53, 60 units were certainly allowed within 0.02 s"
    )


def test_what_is_said_of_a_cost_that_is_taken_in_part() -> None:
    assert sentence("RL-4", ConsumesWhatItRefuses()) == (
        "what was refused consumed: on 4 of 4 keys with limit 10 a refused cost kept out a later one that fits "
        "and that a key without the refusal let through"
    )


def test_what_is_said_of_a_cost_above_the_limit() -> None:
    assert sentence("RL-4", AllowsAnyCost()) == "a cost of 11 was allowed on 4 of 4 keys with limit 10"


def test_a_race_of_mixed_costs_convicts_too() -> None:
    assert "units were certainly allowed within" in sentence("RL-4", RacyLimiter())


def test_what_is_said_of_one_counter_for_all_keys() -> None:
    assert sentence("RL-6", CountsAllKeysTogether()) == (
        "8 of 8 fresh keys beside a full one were refused twice, although nothing had ever been allowed on them"
    )


def test_a_key_that_refuses_from_the_start_is_as_full_as_any() -> None:
    assert sentence("RL-6", RefusesEverything()).startswith("8 of 8 fresh keys beside a full one were refused twice")


def test_what_is_said_of_keys_that_are_cut_short() -> None:
    assert sentence("RL-6", CutsKeysShort()).startswith("1 of 8 fresh keys beside a full one was refused twice")


def test_what_is_said_of_refusals_that_extend_the_window() -> None:
    assert sentence("RL-7", ExtendsTheWindow()) == (
        "only 47.6 % of 252 requests were answered as they should: 132 were refused although the limit was not used up"
    )


def test_what_is_said_of_bad_input_that_consumes() -> None:
    assert sentence("RL-13", ConsumesOnBadInput()) == (
        "malformed requests took effect: a key that they named admitted 6 units, an untouched one 12"
    )


def test_what_is_said_of_bad_input_that_kills() -> None:
    assert sentence("RL-13", DiesOnBadInput()) == (
        "a body that is not JSON ended the process web.0; "
        "in all 2 of 2 kinds of bad input were not refused as they should be"
    )


@pytest.mark.parametrize("check", ["RL-3", "RL-4", "RL-13"])
def test_refusing_everything_shows_nothing(check: str) -> None:
    seen = watch(RESTS_ON[check], lambda lab: RefusesEverything())
    assert judge(check, seen).outcome is Outcome.INCONCLUSIVE


def test_refusing_everything_is_no_answer_under_overload() -> None:
    assert "were refused although the limit was not used up" in sentence("RL-7", RefusesEverything())


def test_two_counters_show_in_the_long_run_and_are_no_miss() -> None:
    twice = {m.axis: m for m in judge("RL-7", watch("overload", GOOD["one counter per replica"])).measures}
    once = {m.axis: m for m in judge("RL-7", watch("overload", GOOD["fixed window"])).measures}
    assert twice["long_run_ratio"].value == pytest.approx(2.0, abs=0.1)
    assert once["long_run_ratio"].value == pytest.approx(1.0, abs=0.05)
    assert twice["wrong_refusals_ratio"].value == once["wrong_refusals_ratio"].value == 0


# ---------------------------------------------------------------- neither accused wrongly nor acquitted


@pytest.mark.parametrize("status", [200, 503])
def test_a_far_store_does_not_hide_a_race(status: int) -> None:
    seen = watch("race", lambda lab: RacesOnANearStore(lab, status))
    assert judge("RL-3", seen).outcome is Outcome.FAIL
    assert judge("RL-4", seen).outcome is Outcome.FAIL


@pytest.mark.parametrize("check", ["RL-3", "RL-4"])
def test_a_limiter_that_has_not_come_back_from_a_far_store_is_not_accused(check: str) -> None:
    seen = watch("race", lambda lab: GivesUpOnAFarStore(lab, 200, for_s=600))
    assert judge(check, seen).outcome is Outcome.INCONCLUSIVE


def test_allowing_everything_is_accused() -> None:
    class AllowsEverything(HonestLimiter):
        def admits(self, key: str, cost: int, target: str, at_ns: int) -> bool:
            return True

    assert sentence("RL-3", AllowsEverything()).startswith("with limit 29, 145 units were certainly allowed")
    assert sentence("RL-4", AllowsEverything()).startswith("with limit 29, 14")


@pytest.mark.parametrize("offset", range(0, 2_000, 100))
@pytest.mark.parametrize("limiter", [FixedWindow, SlidingCounter])
def test_wherever_in_its_window_an_overload_begins_no_limiter_is_accused(
    limiter: type[FixedWindow] | type[SlidingCounter], offset: int
) -> None:
    finding = judge("RL-7", watch("overload", lambda lab: limiter(offset * MS)))
    assert finding.outcome is Outcome.PASS, finding.what
    assert {m.axis: m for m in finding.measures}["long_run_ratio"].value == pytest.approx(1.0, abs=0.1)


def test_one_counter_for_all_keys_is_caught_whatever_came_before() -> None:
    order = [scenario.id for scenario in SUITE.scenarios if scenario.phase in ("contact", "race")]
    assert order == ["contact", "neighbours", "race"]
    for seed in range(20):
        lab = MemoryLab(CountsTogetherWhileItLasts())

        async def observe(lab: MemoryLab = lab, seed: int = seed) -> None:
            await SCENARIOS["contact"].observe(lab, Random(seed))
            lab.ops.clear()
            await SCENARIOS["neighbours"].observe(lab, Random(seed))

        asyncio.run(observe())
        assert judge("RL-6", history(lab.ops, lab.facts)).outcome is Outcome.FAIL


def test_every_sentence_begins_small_and_ends_open() -> None:
    seen = [watch(RESTS_ON[check], lambda lab, bad=bad: bad()) for check, (_, bad) in BAD.items()]  # type: ignore[misc]
    for check, scenario in RESTS_ON.items():
        for what in [judge(check, one).what for one in [*seen, watch(scenario, fixed_window), history((), {})]]:
            assert not what[0].isupper(), what
            assert not what.endswith("."), what


# ---------------------------------------------------------------- by hand


def answer(name: str, key: str, status: int | None, sent_ns: int, received_ns: int, cost: int = 1) -> Op:
    request = Request("POST", "/v1/check", {"key": key, "cost": cost})
    known = {200: (Result.OK, {"allowed": True}), 429: (Result.REFUSED, {"allowed": False})}
    result, reply = known.get(status or 0, (Result.UNKNOWN, {}))
    error = None if status in known else "timed out after 5 s" if status is None else f"status {status}"
    return Op("grader", name, "web.0", request, result, status, dict(reply), error, sent_ns, received_ns)


def race_by_hand(allowed: Sequence[int], unknown: Sequence[int] = (0, 0, 0), width: int = 5) -> History:
    """Three bursts of 0.1 s in windows of 2 s, each at the beginning of its own."""
    ops: list[Op] = []
    for i, (n, yes, lost) in enumerate(zip((29, 37, 53), allowed, unknown, strict=True)):
        at, name = (2 + 2 * i) * 1_000 * MS, f"race/{n}"
        body: JsonValue = {"limit": n, "window_ms": 2000}
        ops.append(Op("g", f"put/{name}", "web.0", Request("PUT", f"/{name}", body), Result.OK, 200, body, None, 0, MS))
        for status, count in ((200, yes), (None, lost), (429, width * n - yes - lost)):
            ops += [answer(name, name, status, at, at + 100 * MS) for _ in range(count)]
    return history(ops, {"epoch_ms": 0})


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
    moved = replace(seen, facts={"epoch_ms": 1_950})
    few = replace(seen, ops=tuple(op for i, op in enumerate(seen.ops) if op.name.startswith("put") or i % 40 == 5))
    assert "the burst took 0.30 s, too long for a window of 2.0 s" in judge("RL-3", late).what
    assert "the burst lay across the border of two windows" in judge("RL-3", moved).what
    assert "requests were in flight at once" in judge("RL-3", few).what
    assert "nothing was allowed" in judge("RL-3", race_by_hand((0, 0, 0))).what
    assert "did not get as far as its burst" in judge("RL-3", history((), {})).what


@pytest.mark.parametrize("check", RESTS_ON)
def test_without_a_recording_nothing_is_decided(check: str) -> None:
    assert judge(check, history((), {})).outcome is Outcome.INCONCLUSIVE


def bad_input_with(slug: str, change: Callable[[Op], Op]) -> Finding:
    seen = watch("bad-input", GOOD["sliding log"])
    return judge("RL-13", replace(seen, ops=tuple(change(op) if op.name == f"bad/{slug}" else op for op in seen.ops)))


@pytest.mark.parametrize(
    ("slug", "status", "said"),
    [
        ("deep", 500, "10,000 nested arrays was answered with 500"),
        ("cost-0", 200, "a cost of 0 was accepted (200)"),
        ("cost-0", 429, "a cost of 0 was treated as a check of a full key (429)"),
        ("cost-0", None, "a cost of 0 got no answer (timed out after 5 s)"),
        ("cost-0", 422, ""),
        ("cost-big", 429, ""),
        ("two-megabytes", None, ""),
        ("two-megabytes", 413, ""),
        ("two-megabytes", 500, "a body of 2 MB was answered with 500"),
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


def test_of_two_costs_in_one_body_a_parser_may_take_either() -> None:
    class TakesTheFirst(HonestLimiter):
        def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
            return super().answer(at_ns, target, method, path, text.replace('"cost": 1, "cost": 0', '"cost": 1'))

    assert judge("RL-13", watch("bad-input", lambda lab: TakesTheFirst())).outcome is Outcome.PASS


# ---------------------------------------------------------------- honesty


def lose(op: Op, how: str) -> Op:
    if how == "timeout":
        late = op.sent_ns + 5_000 * MS
        return replace(op, result=Result.UNKNOWN, status=None, reply=None, error="timed out", received_ns=late)
    if how == "503":
        return replace(op, result=Result.UNKNOWN, status=503, reply=None, error="status 503")
    return replace(op, result=Result.OK, status=200, reply={"surprise": True})


def test_a_race_with_too_many_lost_answers_is_repeated_on_a_fresh_key() -> None:
    honest = watch("race", lambda lab: FailsNowAndThen())
    sizes = [len(honest.named(f"race/{n}")) // (5 * n) for n in (29, 37, 53)]
    assert max(sizes) > 1
    assert judge("RL-3", honest).outcome is Outcome.PASS
    assert judge("RL-3", watch("race", lambda lab: RacesAndFails())).outcome is Outcome.FAIL


def test_an_earlier_try_that_was_violated_counts() -> None:
    first, second = race_by_hand((36, 45, 60)), race_by_hand((29, 37, 53))
    later = [
        replace(op, request=replace(op.request, body={"key": "again", "cost": 1}), sent_ns=op.sent_ns + 8_000 * MS,
                received_ns=op.received_ns + 8_000 * MS)
        for op in second.named("race")
    ]  # fmt: skip
    later += [replace(op, request=replace(op.request, path="/again")) for op in second.named("put")]
    assert judge("RL-3", history([*first.ops, *later], first.facts)).outcome is Outcome.FAIL


@given(seed=st.integers(0, 2**32), share=st.floats(0, 1), how=st.sampled_from(["timeout", "503", "made up"]))
@settings(max_examples=60, deadline=None)
def test_losing_answers_never_acquits_a_repeated_race(seed: int, share: float, how: str) -> None:
    seen, rng = watch_once(), Random(seed)
    ops = [lose(op, how) if rng.random() < share**3 else op for op in seen.ops]
    assert judge("RL-3", history(ops, seen.facts)).outcome is not Outcome.PASS


@cache
def watch_once() -> History:
    return watch("race", lambda lab: RacesAndFails())


@pytest.mark.parametrize("check", BAD)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    share=st.floats(0, 1),
    how=st.sampled_from(["timeout", "503", "made up"]),
    which=st.sampled_from([Result.OK, Result.REFUSED, None]),
)
def test_losing_answers_never_acquits(check: str, seed: int, share: float, how: str, which: Result | None) -> None:
    seen, rng = failing(check), Random(seed)
    share = share**3  # mostly a few
    ops = [lose(op, how) if which in (None, op.result) and rng.random() < share else op for op in seen.ops]
    assert judge(check, history(ops, seen.facts, seen.events)).outcome is not Outcome.PASS
