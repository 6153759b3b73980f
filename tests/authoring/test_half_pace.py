"""Asking for much at half the pace that a design takes."""

import asyncio
from itertools import count

import pytest
from pydantic import JsonValue

from crucible.authoring.asking import at_half_pace
from crucible.authoring.memory_lab import MadeUp, MemoryLab, in_virtual_time
from crucible.check import Call
from crucible.evidence import Op


class AnswersAll(MadeUp):
    """Answers whatever comes."""

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, JsonValue]:
        return 200, {}


class PoolLab(MemoryLab):
    """A lab in which a call waits for one of a few connections, and is sent away after `patience_s`."""

    def __init__(self, connections: int, takes_s: float, patience_s: float = 60.0) -> None:
        super().__init__(AnswersAll())
        self.pool, self.takes_s, self.patience_s = asyncio.Semaphore(connections), takes_s, patience_s
        self.sent_away: list[str] = []

    async def call(self, call: Call) -> Op:
        sent = self.now_ns()
        async with self.pool:
            if self.now_ns() - sent > self.patience_s * 1e9:
                self.sent_away.append(call.name)
            else:
                await asyncio.sleep(self.takes_s)
        op = await super().call(call)
        return Op(op.client, op.name, op.target, op.request, op.result, op.status, op.reply, op.error, sent,
                  op.received_ns)  # fmt: skip


def calls(name: str = "fill") -> list[Call]:
    return [Call("web.0", "POST", "/x", {"n": n}, name) for n in range(100_000)]


@pytest.mark.parametrize("connections", [1, 3, 8])
def test_half_of_what_a_design_takes_is_asked_of_it(connections: int) -> None:
    lab = PoolLab(connections, takes_s=0.02)

    async def fill() -> None:
        await at_half_pace(lab, calls(), within_s=20.0)

    in_virtual_time(fill)
    late = [op for op in lab.ops if op.sent_ns > 2e9]
    takes = connections / 0.02
    assert 0.3 * takes * 18 < len(late) < 0.55 * takes * 18


def test_who_asks_beside_it_is_answered_as_soon_as_without_it() -> None:
    """A pool of four, and 50 ms of patience: twelve that ask as fast as they can would have most sent away."""
    lab = PoolLab(4, takes_s=0.02, patience_s=0.05)

    async def both() -> None:
        beside = [Call("web.0", "POST", "/y", None, "beside") for _ in range(200)]
        await asyncio.gather(at_half_pace(lab, calls(), within_s=10.0), lab.paced(beside, 0.05))

    in_virtual_time(both)
    assert lab.sent_away.count("beside") <= 2


def test_it_goes_as_far_as_it_gets_in_its_time_and_on_until_there_are_the_fewest() -> None:
    lab = PoolLab(1, takes_s=0.3)
    done: list[Op] = []

    async def fill() -> None:
        done.extend(await at_half_pace(lab, calls(), within_s=6.0, fewest=20))

    in_virtual_time(fill)
    assert 20 <= len(done) <= 24
    assert max(op.received_ns for op in done) < 19e9


def test_calls_are_made_in_order_and_all_of_them_if_there_is_time() -> None:
    lab = PoolLab(4, takes_s=0.001)
    done: list[Op] = []

    async def fill() -> None:
        done.extend(await at_half_pace(lab, calls()[:500], within_s=60.0))

    in_virtual_time(fill)
    assert sorted(str(op.request.body["n"]) for op in done if isinstance(op.request.body, dict)) == sorted(
        map(str, range(500))
    )


def test_an_endless_row_of_calls_ends_with_its_time() -> None:
    lab = PoolLab(2, takes_s=0.01)

    async def fill() -> None:
        await at_half_pace(lab, (Call("web.0", "POST", "/x", None, str(n)) for n in count()), within_s=3.0)

    in_virtual_time(fill)
    assert max(op.sent_ns for op in lab.ops) < 3.2e9
