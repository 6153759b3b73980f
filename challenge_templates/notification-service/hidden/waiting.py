"""What a scenario waits for: that unknowns are known, that messages have arrived, that the line is idle."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from crucible.authoring import asking
from crucible.authoring.asking import few_at_once, until_definite
from crucible.authoring.facts import note
from crucible.check import Call, History, Lab
from crucible.evidence import Op

from .messages import CHANNELS, Message, accepted, calls, definite, key_of, messages, place, reached, state

WITHIN_S = 60.0
"""Of the last heal: by then everything that was accepted has been delivered, by the contract (D)."""
GRACE_NS = 250_000_000
"""By which something may be later than that: a call that was begun in time."""
LOOK_S = 0.1
QUIET_S = 0.3
"""After everything has arrived. A second effect that comes later is seen all the same, while other scenarios run."""
AGAIN_S = 3.0
"""After which a state is read again at the latest."""
READ_BACK = 60
"""Messages whose states are read, of those that a scenario asked for."""
AT_ONCE = 40
SOON_S = 3.0
"""After which something arrives on an idle line, or nothing is idle."""


def again(name: str) -> str:
    """How what is asked again is labelled."""
    return f"{name}/again"


async def resolve(lab: Lab, ops: Iterable[Op], name: str) -> None:
    """Ask again, with the same key and on each replica in turn, until it is known of every message."""
    await until_definite(lab, ops, again(name), same=key_of, definite=definite, most=AT_ONCE)


async def settle(lab: Lab, wanted: Iterable[Message], since_ns: int, within_s: float = WITHIN_S) -> bool:
    """Wait until each of these has had an effect, and a moment longer; whether all have. Those that cannot have one are
    not to be among them."""
    users = {one.user for one in wanted}
    seen = 0
    while users and lab.now_ns() < since_ns + within_s * 1e9:
        new = lab.sink.attempts[seen:]
        seen += len(new)
        users -= reached(new)
        await lab.sleep(LOOK_S)
    await lab.sleep(QUIET_S)
    return not users


async def any_arrives(lab: Lab, wanted: Iterable[Message], since_ns: int, within_s: float = WITHIN_S) -> bool:
    """Wait until one of these has had an effect; whether it came to that."""
    users = {one.user for one in wanted}
    while not users & reached(lab.sink.attempts):
        if lab.now_ns() > since_ns + within_s * 1e9:
            return False
        await lab.sleep(LOOK_S)
    return True


async def idle(lab: Lab, rng: Random, name: str) -> bool:
    """Wait until what others have asked for before, such as the load, has been delivered: until one on each channel
    arrives soon. Whether it came to that."""
    begun = lab.now_ns()
    while lab.now_ns() - begun < WITHIN_S * 2e9:
        drawn = messages(rng, len(CHANNELS))
        await lab.burst(calls(lab, drawn, f"{name}/idle"))
        if await settle(lab, drawn, lab.now_ns(), within_s=SOON_S):
            return True
    return False


async def calm(lab: Lab, rng: Random, name: str) -> tuple[list[Message], list[Op]]:
    """Ask each replica for something until all answer. Returns what was asked for, and what came of it."""
    wanted: list[Message] = []

    def more() -> list[Call]:
        drawn = messages(rng, 3 * len(lab.replicas), ("push",))
        wanted.extend(drawn)
        return calls(lab, drawn, f"{name}/calm", 1.0)

    return wanted, await asking.calm(lab, more, accepted, pause_s=0.3)


READ = "/read"


@dataclass(frozen=True, slots=True)
class Deadline:
    """From when on nothing that was asked for under a label may be called queued any more; noted by that label."""

    at_ns: int


async def read_back(lab: Lab, ops: Iterable[Op], name: str, since_ns: int) -> None:
    """Ask every replica for the states of accepted messages; and again of those that are said to be queued, or
    that replicas say different things of, until `WITHIN_S` after `since_ns`, when nothing may be queued any more."""
    deadline = Deadline(int(since_ns + WITHIN_S * 1e9 + GRACE_NS))
    note(lab, deadline, name)
    left = list(dict.fromkeys(filter(None, map(place, ops))))
    pause_s, over = 0.5, False
    while left:
        over = lab.now_ns() > deadline.at_ns
        states: dict[str, set[str]] = defaultdict(set)
        for op in await read_states(lab, left, name):
            states[op.request.path].add(state(op))
        left = [path for path, said in states.items() if len(said) > 1 or "queued" in said]
        if over:
            return
        if left:
            await lab.sleep(min(pause_s, max(0.1, (deadline.at_ns - lab.now_ns()) / 1e9 + 0.1)))
            pause_s = min(AGAIN_S, 2 * pause_s)


def some(ops: Sequence[Op], most: int) -> list[Op]:
    """At most so many, evenly chosen."""
    return list(ops[:: max(1, -(-len(ops) // most))])


async def read_states(lab: Lab, places: Iterable[str], name: str) -> list[Op]:
    """Ask every replica for the states at these places, once."""
    reads = [Call(target, "GET", path, name=f"{name}{READ}") for path in places for target in lab.replicas]
    return await few_at_once(lab, reads, AT_ONCE)


def read_backs(history: History) -> list[Op]:
    """Every question for a state."""
    return [op for op in history.ops if op.request.method == "GET" and op.name.endswith(READ)]
