"""How a scenario asks, of a solution that answers as it is told to."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain, pairwise, repeat

import pytest
from pydantic import JsonValue

from crucible.authoring.asking import (
    LONGEST_SEGMENT,
    PAUSES_S,
    again,
    alive,
    calm,
    few_at_once,
    in_turn,
    insist,
    segment,
    until_definite,
    until_told,
)
from crucible.authoring.memory_lab import MadeUp, MemoryLab, in_virtual_time
from crucible.authoring.outcomes import answered, taken
from crucible.check import Call
from crucible.evidence import Op


class Scripted(MadeUp):
    """Answers each path with the statuses that are given for it, one after the other, and then 200."""

    def __init__(self, **statuses: Sequence[int]) -> None:
        self._left: dict[str, Iterator[int]] = {f"/{name}": chain(some, repeat(200)) for name, some in statuses.items()}

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        return next(self._left.get(path, repeat(200))), {}


def run(
    work: Callable[[MemoryLab], Awaitable[object]],
    solution: MadeUp | None = None,
    services: tuple[str, ...] = ("redis",),
) -> MemoryLab:
    """The lab after this work."""
    lab = MemoryLab(solution or Scripted(), 2, services)

    async def working() -> None:
        await work(lab)

    in_virtual_time(working)
    return lab


def call(path: str = "/a", target: str = "web.0") -> Call:
    return Call(target, "POST", path, {"path": path}, f"first{path}", headers={"Idempotency-Key": path})


def paths(ops: Sequence[Op]) -> list[str]:
    return [op.request.path for op in ops]


def test_replicas_take_turns() -> None:
    lab = MemoryLab(MadeUp(), 3)
    assert [in_turn(lab, index) for index in range(5)] == ["web.0", "web.1", "web.2", "web.0", "web.1"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("n7", "n7"), (7, "7"), (-7, "-7"), ("a/b?c#d", "a%2Fb%3Fc%23d"), ("é", "%C3%A9"), ("a b\r\n", "a%20b%0D%0A"),
        ("%2e", "%252e"),
    ],
)  # fmt: skip
def test_an_id_is_one_segment_of_a_path(said: object, expected: str) -> None:
    assert segment(said) == expected


@pytest.mark.parametrize("said", [None, True, False, 1.5, "", ".", "..", [], {"id": 1}, "a" * (LONGEST_SEGMENT + 1)])
def test_what_can_be_no_segment_is_none(said: object) -> None:
    assert segment(said) is None


def test_a_text_that_is_no_utf_8_makes_no_path_fail() -> None:
    assert segment("\udcff") == "%3F"


def test_few_are_asked_at_once_and_told_in_their_order() -> None:
    flights = []

    class Counts(MadeUp):
        def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
            flights.append(lab.in_flight)
            return 200, {}

    lab = MemoryLab(Counts())
    found: list[Op] = []

    async def work() -> None:
        found.extend(await few_at_once(lab, [call(f"/{number}") for number in range(10)], 4))

    in_virtual_time(work)
    assert paths(found) == [f"/{number}" for number in range(10)]
    assert max(flights) == 4


def test_the_same_request_again_differs_in_target_name_and_patience_alone() -> None:
    (op,) = run(lambda lab: lab.call(call())).ops
    second = again(op, "web.1", "again", 2.0)
    assert (second.target, second.name, second.timeout_s) == ("web.1", "again", 2.0)
    first = call()
    assert (second.method, second.path, second.body, second.headers) == (
        first.method, first.path, first.body, first.headers,
    )  # fmt: skip


async def ask(lab: MemoryLab, *names: str, most: int = 40) -> list[Op]:
    ops = [await lab.call(call(f"/{name}")) for name in names]
    return await until_definite(lab, ops, "again", same=lambda op: op.request.path, definite=answered, most=most)


def asked_again(lab: MemoryLab) -> list[Op]:
    return [op for op in lab.ops if op.name == "again"]


def test_what_is_definite_is_not_asked_again() -> None:
    assert asked_again(run(lambda lab: ask(lab, "a", "b"), Scripted(b=[409]))) == []


def test_an_unknown_is_asked_again_until_it_is_definite() -> None:
    tries = asked_again(run(lambda lab: ask(lab, "a", "b"), Scripted(b=[503, 503, 500])))
    assert [(op.request.path, op.status) for op in tries] == [("/b", 503), ("/b", 500), ("/b", 200)]


def test_it_is_asked_on_each_replica_in_turn_with_growing_pauses() -> None:
    tries = asked_again(run(lambda lab: ask(lab, "a"), Scripted(a=[503] * 100)))
    assert [op.target for op in tries] == ["web.0", "web.1"] * 4
    waits = [(later.sent_ns - op.received_ns) / 1e9 for op, later in pairwise(tries)]
    assert waits == pytest.approx(PAUSES_S[1:])


def test_what_stays_unknown_is_given_up_in_the_end() -> None:
    assert len(asked_again(run(lambda lab: ask(lab, "a"), Scripted(a=[503] * 100)))) == len(PAUSES_S)


@pytest.mark.parametrize("before", [[], [503], [503, 500]])
def test_nobody_is_asked_again_who_says_that_nothing_is_there(before: list[int]) -> None:
    tries = asked_again(run(lambda lab: ask(lab, "a"), Scripted(a=[*before, *[501] * 9])))
    assert [op.status for op in tries] == [*before, 501][1:]


def test_one_definite_answer_tells_of_all_that_ask_for_the_same() -> None:
    assert asked_again(run(lambda lab: ask(lab, "a", "a", "a"), Scripted(a=[503, 200, 503]))) == []


def test_several_are_asked_at_once_but_no_more_than_may_be() -> None:
    lab = run(lambda lab: ask(lab, "a", "b", "c", most=2), Scripted(a=[503], b=[503], c=[503]))
    first, second, third = asked_again(lab)
    assert first.sent_ns == second.sent_ns
    assert third.sent_ns == max(first.received_ns, second.received_ns)
    assert [op.target for op in (first, second, third)] == ["web.0", "web.1", "web.0"]


async def calmly(lab: MemoryLab) -> list[Op]:
    return await calm(lab, lambda: [call("/a"), call("/b", "web.1")], taken, tries=3, pause_s=0.5)


def test_bursts_are_asked_until_one_is_answered_whole() -> None:
    lab = run(calmly, Scripted(a=[503], b=[200, 503]))
    assert [(op.request.path, op.status) for op in lab.ops] == [
        ("/a", 503), ("/b", 200), ("/a", 200), ("/b", 503), ("/a", 200), ("/b", 200),
    ]  # fmt: skip


def test_between_bursts_there_is_the_pause_that_was_asked_for() -> None:
    lab = run(calmly, Scripted(a=[503]))
    assert (lab.ops[2].sent_ns - lab.ops[1].received_ns) / 1e9 == pytest.approx(0.5)


def test_who_never_calms_down_is_left_in_the_end_and_all_of_it_is_told() -> None:
    found: list[Op] = []

    async def work(lab: MemoryLab) -> None:
        found.extend(await calmly(lab))

    lab = run(work, Scripted(a=[503] * 100))
    assert found == lab.ops
    assert len(found) == 6


@pytest.mark.parametrize(("statuses", "times"), [([], 1), ([503], 2), ([503, 500], 3), ([503] * 9, 3)])
def test_a_configuration_is_sent_until_it_is_taken_and_thrice_at_most(statuses: list[int], times: int) -> None:
    assert len(run(lambda lab: insist(lab, call(), taken), Scripted(a=statuses)).ops) == times


def test_without_a_store_every_replica_is_told_and_all_again_where_one_did_not_take_it() -> None:
    lab = run(lambda lab: insist(lab, call(), taken), Scripted(a=[200, 503]), services=())
    assert [op.target for op in lab.ops] == ["web.0", "web.1"] * 2


@pytest.mark.parametrize(
    ("statuses", "lives", "times"), [([], True, 1), ([503] * 4, True, 5), ([503] * 5, False, 5), ([404] * 5, False, 5)]
)
def test_who_answers_its_health_route_within_five_tries_is_alive(statuses: list[int], lives: bool, times: int) -> None:
    found = []

    async def work(lab: MemoryLab) -> None:
        found.append(await alive(lab, "web.1"))

    lab = run(work, Scripted(healthz=statuses))
    assert found == [lives]
    assert [op.name for op in lab.ops] == ["alive/web.1"] * times


def test_one_call_is_made_again_on_the_next_replica_until_it_is_told() -> None:
    async def twice(lab: MemoryLab) -> None:
        assert (await until_told(lab, call("/a", "web.1"), answered)).status == 200
        assert (await until_told(lab, call("/b"), answered, tries=2)).status == 503
        assert (await until_told(lab, call("/c"), answered)).status == 200

    lab = run(twice, Scripted(a=(503, 500), b=(503, 503, 503)))
    assert [op.target for op in lab.ops if op.request.path == "/a"] == ["web.1", "web.0", "web.1"]
    assert [op.target for op in lab.ops if op.request.path == "/b"] == ["web.0", "web.1"]
    assert [op.target for op in lab.ops if op.request.path == "/c"] == ["web.0"]
