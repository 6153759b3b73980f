"""What is asked of a notification service: messages, each for a recipient of its own, and how unknowns are resolved.

An answer is definite with 2xx (accepted) and 4xx (not accepted); 409 to a POST says that its key is in progress. All
else is unknown, and asked again with the same key until it is definite: else a tolerance for it would hide a loss.
"""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from crucible.check import Call, JsonValue, Lab
from crucible.evidence import Op, Result

CHANNELS = ("email", "sms", "push")
PATH = "/v1/notifications"
WITHIN_S = 60.0
"""Of the last heal: by then everything that was accepted has been delivered, by the contract (D)."""
LOOK_S = 0.1
QUIET_S = 0.3
"""After everything has arrived. A second effect that comes later is seen all the same, while other scenarios run."""
AGAIN_S = 3.0
"""After which replicas that differed are asked again."""
PAUSES_S = (0.3, 0.6, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0)
"""Between the tries that make an unknown definite."""
AT_ONCE = 40
SOON_S = 3.0
"""After which something arrives on an idle line, or nothing is idle."""


@dataclass(frozen=True)
class Message:
    """A notification to ask for. Its recipient is nobody else's, so what arrives there is known to be its."""

    key: str
    user: str
    channel: str
    high: bool = False
    send_after: str | None = None
    data: dict[str, JsonValue] = field(default_factory=dict)

    def call(self, target: str, name: str, timeout_s: float = 5.0) -> Call:
        body: dict[str, JsonValue] = {
            "user": self.user, "channel": self.channel, "template": "order-shipped", "data": self.data,
            "priority": "high" if self.high else "low",
        }  # fmt: skip
        if self.send_after is not None:
            body["send_after"] = self.send_after
        return Call(target, "POST", PATH, body, name, headers={"Idempotency-Key": self.key}, timeout_s=timeout_s)


def message(rng: Random, channel: str, *, high: bool = False, send_after: str | None = None) -> Message:
    drawn = f"{rng.getrandbits(64):016x}"
    return Message(f"k-{drawn}", f"u-{drawn}", channel, high, send_after, {"order": rng.randrange(10**6)})


def messages(rng: Random, number: int, channels: Sequence[str] = CHANNELS) -> list[Message]:
    """So many, on each channel in turn."""
    return [message(rng, channel) for channel, _ in zip(itertools.cycle(channels), range(number), strict=False)]


def in_turn(lab: Lab, wanted: Sequence[Message], name: str, timeout_s: float = 5.0) -> list[Call]:
    """To each replica in turn."""
    return [it.call(lab.replicas[i % len(lab.replicas)], name, timeout_s) for i, it in enumerate(wanted)]


def moment(lab: Lab, epoch_ns: int, seconds: float) -> str:
    """A moment of the wall clock, so many seconds from now."""
    at = (epoch_ns + lab.now_ns()) / 1e9 + seconds
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def note_epoch(lab: Lab) -> int:
    """When the run began by the wall clock, which a design goes by, in ns; a fact for the judges as well."""
    epoch_ns = time.time_ns() - lab.now_ns()
    lab.note("epoch_ns", epoch_ns)
    return epoch_ns


def key_of(op: Op) -> str:
    return op.request.headers.get("Idempotency-Key", "")


def field_of(op: Op, name: str) -> str:
    value = op.request.body.get(name) if isinstance(op.request.body, dict) else None
    return value if isinstance(value, str) else ""


def said(op: Op, name: str) -> str:
    """A text in its answer; empty where there is none."""
    value = op.reply.get(name) if op.result is Result.OK and isinstance(op.reply, dict) else None
    return value if isinstance(value, str) else ""


def number(op: Op) -> str:
    """The id in its answer, which may be a text or a whole number; empty where there is none."""
    value = op.reply.get("id") if op.result is Result.OK and isinstance(op.reply, dict) else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def accepted(op: Op) -> bool:
    """Whether it has an id; what is suppressed needs none."""
    return number(op) != "" or said(op, "state") == "suppressed"


def definite(op: Op) -> bool:
    """Whether it is known what became of a POST. In progress, too many at once, and an id that is none: not."""
    return accepted(op) or (op.result is Result.REFUSED and op.status not in (None, 409, 425, 429))


async def resolve(lab: Lab, ops: Iterable[Op], name: str) -> None:
    """Ask again, with the same key and on each replica in turn, until it is known of every message."""
    open_still = {key_of(op): op for op in ops}
    for op in ops:
        if definite(op):
            open_still.pop(key_of(op), None)
    for tries, pause_s in enumerate(PAUSES_S):
        if not open_still:
            return
        await lab.sleep(pause_s)
        again = [_again(lab, op, index + tries, name) for index, op in enumerate(open_still.values())]
        for start in range(0, len(again), AT_ONCE):
            for op in await asyncio.gather(*(lab.call(call) for call in again[start : start + AT_ONCE])):
                if definite(op):
                    open_still.pop(key_of(op), None)


def _again(lab: Lab, op: Op, turn: int, name: str) -> Call:
    target = lab.replicas[turn % len(lab.replicas)]
    return Call(
        target, "POST", PATH, op.request.body, f"{name}/again", headers={"Idempotency-Key": key_of(op)}, timeout_s=5.0
    )


async def settle(lab: Lab, wanted: Iterable[Message], since_ns: int, within_s: float = WITHIN_S) -> bool:
    """Wait until each of these has had an effect, and a moment longer; whether all have. Those that cannot have one are
    not to be among them."""
    users = {it.user for it in wanted}
    seen = 0
    while users and lab.now_ns() < since_ns + within_s * 1e9:
        for attempt in lab.sink.attempts[seen:]:
            seen += 1
            if attempt.effect and isinstance(attempt.body, dict):
                users.discard(str(attempt.body.get("to")))
        await lab.sleep(LOOK_S)
    await lab.sleep(QUIET_S)
    return not users


async def idle(lab: Lab, rng: Random, name: str) -> bool:
    """Wait until what others have asked for before, such as the load, has been delivered: until one on each channel
    arrives soon. Whether it came to that."""
    begun = lab.now_ns()
    while lab.now_ns() - begun < WITHIN_S * 2e9:
        drawn = messages(rng, len(CHANNELS))
        await lab.burst(in_turn(lab, drawn, f"{name}/idle"))
        if await settle(lab, drawn, lab.now_ns(), within_s=SOON_S):
            return True
    return False


async def read_back(lab: Lab, ops: Iterable[Op], name: str, most: int = 60) -> None:
    """Ask every replica for the state of up to `most` accepted messages, evenly chosen."""
    ids = list(dict.fromkeys(number(op) for op in ops if number(op)))
    chosen = ids[:: max(1, -(-len(ids) // most))]
    first = await _read(lab, chosen, name)
    states: dict[str, set[str]] = defaultdict(set)
    for op in first:
        states[op.request.path].add(said(op, "state"))
    differ = [path.rsplit("/", 1)[1] for path, them in states.items() if len(them) > 1]
    if differ:  # one of them may have been asked just before it changed
        await lab.sleep(AGAIN_S)
        await _read(lab, differ, name)


async def _read(lab: Lab, numbers: Sequence[str], name: str) -> list[Op]:
    calls = [Call(target, "GET", f"{PATH}/{it}", name=f"{name}/read") for it in numbers for target in lab.replicas]
    found: list[Op] = []
    for start in range(0, len(calls), AT_ONCE):
        found += await asyncio.gather(*(lab.call(call) for call in calls[start : start + AT_ONCE]))
    return found


async def calm(lab: Lab, rng: Random, name: str) -> tuple[list[Message], list[Op]]:
    """Ask each replica for something until all answer: one that has just started may still be connecting. Returns what
    was asked for, and what came of it."""
    wanted: list[Message] = []
    ops: list[Op] = []
    for _ in range(8):
        wanted += (drawn := messages(rng, 3 * len(lab.replicas), ("push",)))
        ops += (answers := await lab.burst(in_turn(lab, drawn, f"{name}/calm", 1.0)))
        if all(map(accepted, answers)):
            break
        await lab.sleep(0.3)
    return wanted, ops


def by_key(ops: Iterable[Op]) -> dict[str, list[Op]]:
    """The POSTs of each message, in the order of sending."""
    found: dict[str, list[Op]] = defaultdict(list)
    for op in ops:
        if op.request.method == "POST" and key_of(op):
            found[key_of(op)].append(op)
    return found
