"""How a scenario asks: a few at a time, each replica in turn, and again until it is known what came of it."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from crucible.check import Call, Lab
from crucible.evidence import Op, Result

AT_ONCE = 12
PAUSES_S = (0.3, 0.6, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0)
"""Between the tries that make an unknown definite."""
LONGEST_SEGMENT = 256
TRIED_AT_ONCE = (1, 2, 4, 8, AT_ONCE)
"""How many ask at once, one after the other, until it is known what a design takes."""
TRIED_NS = 100_000_000
"""How long each of them is tried, or until everybody has had an answer."""
HARDLY_MORE = 1.2
"""The factor by which more askers have to get more answers, or there are no more of them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What so many got who asked at once, each again as soon as it was answered."""

    at_once: int
    per_s: float


def in_turn(lab: Lab, index: int) -> str:
    """The replica whose turn it is."""
    return lab.replicas[index % len(lab.replicas)]


def segment(said: object) -> str | None:
    """An id that the solution said, as one segment of a path; None where it can be none. What a solution says is never
    put into a path as it is."""
    if isinstance(said, bool) or not isinstance(said, str | int) or not 0 < len(str(said)) <= LONGEST_SEGMENT:
        return None
    encoded = quote(str(said), safe="", errors="replace")
    return None if encoded in (".", "..") else encoded


async def few_at_once(lab: Lab, calls: Sequence[Call], most: int = AT_ONCE) -> list[Op]:
    """Make these calls, at most so many at a time; in the order of `calls`."""
    found: list[Op] = []
    for start in range(0, len(calls), most):
        found += await asyncio.gather(*(lab.call(call) for call in calls[start : start + most]))
    return found


def again(op: Op, target: str, name: str, timeout_s: float = 5.0) -> Call:
    """The same request once more, to `target`."""
    asked = op.request
    return Call(target, asked.method, asked.path, asked.body, name, headers=asked.headers, timeout_s=timeout_s)


async def until_definite(
    lab: Lab,
    ops: Iterable[Op],
    name: str,
    *,
    same: Callable[[Op], Hashable],
    definite: Callable[[Op], bool],
    most: int = 40,
) -> list[Op]:
    """Ask again, on each replica in turn and with growing pauses, until it is known of everything what came of it.

    `same` says which operations ask for one thing, which is known where one of them is definite. Who answers 501 is not
    asked again: nothing is there. Returns what was asked, in order.
    """
    every = list(ops)
    open_still = {same(op): op for op in every}
    found: list[Op] = []

    def close(answers: Iterable[Op]) -> None:
        for op in answers:
            if definite(op) or op.status == 501:
                open_still.pop(same(op), None)

    close(every)
    for tries, pause_s in enumerate(PAUSES_S):
        if not open_still:
            break
        await lab.sleep(pause_s)
        calls = [again(op, in_turn(lab, index + tries), name) for index, op in enumerate(open_still.values())]
        answers = await few_at_once(lab, calls, most)
        found += answers
        close(answers)
    return found


async def until_told(
    lab: Lab, call: Call, definite: Callable[[Op], bool], *, tries: int = 4, pause_s: float = 0.3
) -> Op:
    """The answer to one call; where it is not definite, to the same one on the next replica, so many times in all."""
    first = lab.replicas.index(call.target)
    op = await lab.call(call)
    for number in range(1, tries):
        if definite(op):
            break
        await lab.sleep(pause_s)
        op = await lab.call(replace(call, target=in_turn(lab, first + number)))
    return op


async def calm(
    lab: Lab,
    calls: Callable[[], Sequence[Call]],
    answers: Callable[[Op], bool],
    *,
    tries: int = 8,
    pause_s: float = 0.2,
) -> list[Op]:
    """Ask bursts of `calls` until one is answered whole: a process that has just started may still be connecting, and
    each stale connection of a pool may have one error. Returns everything that was asked."""
    found: list[Op] = []
    for _ in range(tries):
        ops = await lab.burst(calls())
        found += ops
        if all(map(answers, ops)):
            break
        await lab.sleep(pause_s)
    return found


async def at_half_pace(lab: Lab, calls: Iterable[Call], *, within_s: float, fewest: int = 0) -> list[Op]:
    """Make these calls, in order, at half the pace that the design takes, so that what is asked beside them is answered
    as it would be without; as far as they get in that time, or in three times as long until there are `fewest`.

    More and more are asked at once, until that brings hardly more; from then on everybody who asks rests for as long as
    the answer took, or would have taken. Returns what was asked, in the order of the answers.
    """
    begun_ns, waiting, done, best = lab.now_ns(), iter(calls), list[Op](), Pace(1, 0.0)

    def goes_on() -> bool:
        spent_s = (lab.now_ns() - begun_ns) / 1e9
        return spent_s < within_s or (len(done) < fewest and spent_s < 3 * within_s)

    async def work(until_ns: int | None, rest_s: float) -> None:
        while goes_on() and (until_ns is None or lab.now_ns() < until_ns):
            if (call := next(waiting, None)) is None:
                return
            op = await lab.call(call)
            done.append(op)
            if until_ns is None:
                await lab.sleep(max(rest_s, (op.received_ns - op.sent_ns) / 1e9))

    for at_once in TRIED_AT_ONCE:
        since_ns, before = lab.now_ns(), len(done)
        await asyncio.gather(*(work(since_ns + TRIED_NS, 0.0) for _ in range(at_once)))
        took_s = (lab.now_ns() - since_ns) / 1e9
        pace = Pace(at_once, (len(done) - before) / took_s if took_s else 0.0)
        if pace.per_s < HARDLY_MORE * best.per_s:
            break
        best = pace
    rest_s = best.at_once / best.per_s if best.per_s else 0.0
    await asyncio.gather(*(work(None, rest_s) for _ in range(best.at_once)))
    return done


async def insist(lab: Lab, call: Call, takes: Callable[[Op], bool]) -> None:
    """Configure something, again where it was not taken, because any design may fail to answer once."""
    for wait_s in (0.05, 0.2, 0.0):
        if all(map(takes, await lab.configure(call))):
            return
        await lab.sleep(wait_s)


async def alive(lab: Lab, target: str) -> bool:
    """Whether the replica still answers its health route, within five tries; recorded as `alive/TARGET`."""
    for _ in range(5):
        op = await lab.call(Call(target, "GET", "/healthz", name=f"alive/{target}", timeout_s=1, json_reply=False))
        if op.result is Result.OK:
            return True
        await lab.sleep(0.2)
    return False
