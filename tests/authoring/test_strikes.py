"""Requests that go on while something is struck, and where they were at that moment."""

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from crucible.authoring.memory_lab import MS, LateAnswer, MadeUp, MemoryLab, in_virtual_time
from crucible.authoring.strikes import (
    PATIENCE_S,
    Posting,
    Struck,
    after_s,
    posting,
    struck,
    when_answered,
)
from crucible.authoring.testing import op
from crucible.check import Call, NotCausedError
from crucible.errors import CrucibleError, Fault
from crucible.evidence import Op

CALLS = [Call("web.0", "POST", f"/{number}", name="posted") for number in range(20)]
GAP_S = 0.01


class Obliging(MadeUp):
    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        return 200, {}


class Mute(MadeUp):
    """Never answers in time while its store is away."""

    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        return LateAnswer(None, None, 60_000)


def run(work: Callable[[MemoryLab], Awaitable[None]], solution: MadeUp | None = None) -> MemoryLab:
    lab = MemoryLab(solution or Obliging())

    async def working() -> None:
        await work(lab)

    in_virtual_time(working)
    return lab


def strike(**given: object) -> tuple[MemoryLab, Posting, Struck]:
    """What comes of a strike at a quarter of a second into twenty requests, unless it is said otherwise."""
    found: list[tuple[Posting, Struck]] = []

    async def work(lab: MemoryLab) -> None:
        async def kill() -> None:
            await lab.kill("web.0")

        wanted = {"when": after_s(lab, 0.055), "strike": kill, **given}
        found.append(await struck(lab, CALLS, GAP_S, **wanted))  # type: ignore[arg-type]  # the tests' own words

    lab = run(work)
    return lab, *found[0]


def test_requests_are_sent_at_a_steady_rate_whatever_becomes_of_them() -> None:
    async def work(lab: MemoryLab) -> None:
        async with posting(lab, CALLS, GAP_S):
            await lab.sleep(0.055)
            await lab.kill("web.0")

    lab = run(work)
    sent = sorted(one.sent_ns for one in lab.ops)
    assert sent == pytest.approx([number * GAP_S * 1e9 for number in range(20)], abs=1000)


def test_posting_is_over_when_the_last_one_is_answered() -> None:
    async def work(lab: MemoryLab) -> None:
        async with posting(lab, CALLS, GAP_S) as posted:
            assert posted.ops == []
        assert len(posted.ops) == 20
        assert lab.now_ns() == max(one.received_ns for one in posted.ops)

    run(work)


@given(spans=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=20), at=st.integers(0, 100))
def test_each_request_was_answered_on_its_way_or_not_yet_sent(spans: list[tuple[int, int]], at: int) -> None:
    ops = [op("posted", "GET", "/", 200, at_s=sent / 1000, took_ms=took) for sent, took in spans]
    posted = Posting(ops)
    before, met, after = posted.before(at * MS), posted.met(at * MS), posted.after(at * MS)
    assert sorted(map(id, [*before, *met, *after])) == sorted(map(id, ops))
    assert all(one.received_ns <= at * MS for one in before)
    assert all(one.sent_ns <= at * MS < one.received_ns for one in met)
    assert all(one.sent_ns > at * MS for one in after)


def test_the_moment_comes_when_so_many_have_been_answered() -> None:
    moments: list[int] = []

    async def work(lab: MemoryLab) -> None:
        async with posting(lab, CALLS, GAP_S) as posted:
            await when_answered(lab, 7)(posted)
            moments.append(len(posted.ops))

    run(work)
    assert moments == [7]


def test_the_moment_comes_at_last_where_nothing_is_answered() -> None:
    waited: list[float] = []

    async def work(lab: MemoryLab) -> None:
        async with lab.fault("redis", "drop"), posting(lab, [Call("web.0", "GET", "/", timeout_s=30)], GAP_S) as posted:
            await when_answered(lab, 1)(posted)
            waited.append(lab.now_ns() / 1e9)

    run(work, Mute())
    assert waited == [pytest.approx(PATIENCE_S, abs=0.01)]


def test_a_strike_meets_what_is_on_its_way() -> None:
    _, posted, found = strike(widen_ms=8)
    assert found.in_flight == len(posted.met(found.at_ns)) > 0
    assert all(one.status is None for one in posted.met(found.at_ns))
    assert all(one.status == 200 for one in posted.before(found.at_ns))
    assert len(posted.ops) == len(CALLS)


def test_it_strikes_at_its_moment() -> None:
    _, _, found = strike()
    assert found.at_ns == pytest.approx(0.055 * 1e9)


def test_services_are_further_away_until_all_is_over() -> None:
    distances: list[int] = []

    async def look() -> None:
        distances.append(lab.services_ms)

    lab = MemoryLab(Obliging())

    async def work() -> None:
        await struck(lab, CALLS, GAP_S, when=after_s(lab, 0.01), strike=look, heal=look, widen_ms=25)
        await look()

    in_virtual_time(work)
    assert distances == [25, 25, 1]


def test_who_is_not_to_be_widened_stays_where_it_is() -> None:
    lab, posted, _ = strike()
    assert lab.near_since_ns == 0
    assert posted.ops[0].received_ns == 2 * MS


def test_it_heals_after_the_strike_and_tells_when_that_was_over() -> None:
    done: list[str] = []
    lab = MemoryLab(Obliging())

    async def kill() -> None:
        done.append("struck")
        await lab.kill("web.0")

    async def start() -> None:
        done.append("healed")
        await lab.start("web.0")

    found: list[Struck] = []

    async def work() -> None:
        _, one = await struck(lab, CALLS, GAP_S, when=after_s(lab, 0.055), strike=kill, heal=start)
        found.append(one)

    in_virtual_time(work)
    assert done == ["struck", "healed"]
    assert found[0].until_ns - found[0].at_ns == pytest.approx(0.3e9)


def test_what_cannot_be_caused_is_told_and_healed_all_the_same() -> None:
    healed: list[bool] = []

    async def refuse() -> None:
        raise NotCausedError("it is somebody else's server")

    async def heal() -> None:
        healed.append(True)

    _, posted, found = strike(strike=refuse, heal=heal)
    assert found.not_caused == "it is somebody else's server"
    assert healed == [True]
    assert [one.status for one in posted.ops] == [200] * len(CALLS)


def test_what_was_caused_says_no_reason() -> None:
    assert strike()[2].not_caused == ""


AWAY = CrucibleError("it did not start", where="web.0", fix="make it start", fault=Fault.LEARNER)


@pytest.mark.parametrize("error", [ValueError("a slip"), AWAY], ids=["a slip", "a process that stays away"])
def test_what_else_a_strike_raises_is_raised_as_it_is_and_ends_the_posting(error: Exception) -> None:
    labs: list[MemoryLab] = []

    async def break_down() -> None:
        raise error

    async def work(lab: MemoryLab) -> None:
        labs.append(lab)
        with pytest.raises(type(error)) as raised:
            await struck(lab, CALLS, GAP_S, when=after_s(lab, 0.055), strike=break_down)
        assert raised.value is error
        await lab.sleep(1)

    run(work)
    assert max(one.sent_ns for one in labs[0].ops) < 0.06e9


def test_examples_of_a_strike_keep_the_order_of_their_answers() -> None:
    _, posted, _ = strike()
    answers: list[Op] = posted.ops
    assert answers == sorted(answers, key=lambda one: one.received_ns)
