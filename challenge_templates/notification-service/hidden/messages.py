"""What is asked of a notification service: messages, each for a recipient of its own, and what is said of them.

An answer is definite with 2xx (accepted) and 4xx (not accepted); 409 to a POST says that its key is in progress. All
else is unknown, and asked again with the same key until it is definite: else a tolerance for it would hide a loss.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from crucible.authoring.asking import in_turn, segment
from crucible.check import Call, JsonValue, Lab
from crucible.evidence import Attempt, Op, Result

CHANNELS = ("email", "sms", "push")
PATH = "/v1/notifications"
KEY = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
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
        return Call(target, "POST", PATH, body, name, headers={KEY: self.key}, timeout_s=timeout_s)


def message(rng: Random, channel: str, *, high: bool = False, send_after: str | None = None) -> Message:
    drawn = f"{rng.getrandbits(64):016x}"
    return Message(f"k-{drawn}", f"u-{drawn}", channel, high, send_after, {"order": rng.randrange(10**6)})


def messages(rng: Random, number: int, channels: Sequence[str] = CHANNELS) -> list[Message]:
    """So many, on each channel in turn."""
    return [message(rng, channel) for channel, _ in zip(itertools.cycle(channels), range(number), strict=False)]


def calls(lab: Lab, wanted: Sequence[Message], name: str, timeout_s: float = 5.0) -> list[Call]:
    """Ask for these, of each replica in turn."""
    return [one.call(in_turn(lab, index), name, timeout_s) for index, one in enumerate(wanted)]


def preferences(user: str) -> str:
    """Where it is said what a user wants."""
    return f"/v1/users/{user}/preferences"


def key_of(op: Op) -> str:
    return op.request.headers.get(KEY, "")


def asked(op: Op, name: str) -> str:
    """A text in the body of a request; empty where there is none."""
    value = op.request.body.get(name) if isinstance(op.request.body, dict) else None
    return value if isinstance(value, str) else ""


def handed(attempt: Attempt, name: str) -> str:
    """What the provider was handed under `name`, such as whom it is `to`; empty where there is nothing."""
    return str(attempt.body.get(name, "")) if isinstance(attempt.body, dict) else ""


def reached(attempts: Iterable[Attempt]) -> set[str]:
    """The recipients of whatever arrived."""
    return {handed(attempt, "to") for attempt in attempts if attempt.effect}


def state(op: Op) -> str:
    """The state in an answer; empty where there is none."""
    return (op.field("state", str) or "") if op.result is Result.OK else ""


def number(op: Op) -> str:
    """The id in an answer, which may be a text or a whole number; empty where there is none."""
    if op.result is not Result.OK:
        return ""
    whole = op.field("id", int)
    return (op.field("id", str) or "") if whole is None else str(whole)


def place(op: Op) -> str:
    """Where one asks for what an answer gave an id to; empty where there is no id that a path can hold."""
    name = segment(number(op))
    return f"{PATH}/{name}" if name else ""


def accepted(op: Op) -> bool:
    """Whether it has an id; what is suppressed needs none."""
    return number(op) != "" or state(op) == "suppressed"


def definite(op: Op) -> bool:
    """Whether it is known what became of a POST. In progress, too many at once, and an id that is none: not."""
    return accepted(op) or (op.result is Result.REFUSED and op.status not in (None, 409, 425, 429))


def by_key(ops: Iterable[Op]) -> dict[str, list[Op]]:
    """The POSTs of each message, in the order of sending."""
    found: dict[str, list[Op]] = defaultdict(list)
    for op in ops:
        if op.request.method == "POST" and key_of(op):
            found[key_of(op)].append(op)
    return found
