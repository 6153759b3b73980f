"""What a call of the sink comes to: a ledger of effects, and faults by a programme.

A call is decided at one instant, when all of its request is there: whether it has an effect, and what it will be told.
What follows (the answer's delay, a connection that is cut) changes nothing of that. An `Idempotency-Key` makes a call
safe to repeat: the same key and body is one effect, and answered 200 again; another body is 422; a key whose first call
has not been answered yet is 409.
"""

import hashlib
import json
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from pydantic import JsonValue

from crucible.check import SinkFault

PATIENCE = 4
"""Failures of one key after which it fails no more, so that a client that tries again comes to an end."""
CALM = SinkFault()
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What a call comes to."""

    status: int | None
    """None: nothing is said until the fault is over."""
    effect: bool
    why: str
    retry_after_s: int | None = None


@dataclass
class Ledger:
    """Decides, and remembers. Pure but for its own state: the time is given."""

    seed: int
    callbacks: bool = False
    """Whether what is called is no provider: any JSON will do, and a key says nothing."""
    effects: dict[str, bytes] = field(default_factory=dict)
    """The digest of the body that took effect, by key."""
    rejected: set[str] = field(default_factory=set)
    """Recipients that are never delivered to."""
    faults: dict[str, SinkFault] = field(default_factory=dict)
    _in_flight: Counter[str] = field(default_factory=Counter)
    _failures: Counter[str] = field(default_factory=Counter)
    _recent: dict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))

    def decide(self, channel: str, key: str | None, body: JsonValue, now_ns: int) -> Decision:
        """What this call comes to, and what it changes."""
        fault, volume = self.faults.get(channel, CALM), self._volume(channel, now_ns)
        recipient = body.get("to") if isinstance(body, dict) else None
        if self.callbacks:
            key = None
        elif not isinstance(recipient, str):
            return Decision(400, effect=False, why="not a JSON object with `to`")
        if fault.hangs:
            return Decision(None, effect=False, why="hung")
        if fault.outage:
            return Decision(503, effect=False, why="outage")
        if volume > fault.most_per_s:
            return Decision(429, effect=False, why="too many calls", retry_after_s=1)
        if key is not None and self._in_flight[key]:
            return Decision(409, effect=False, why="its key is in flight")
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
        if key is not None and key in self.effects:
            same = self.effects[key] == digest
            return Decision(200 if same else 422, effect=False, why="repeated" if same else "its key had another body")
        if isinstance(recipient, str) and recipient in self.rejected:
            return Decision(400, effect=False, why="rejected for good")
        return self._by_chance(fault, volume, key, digest)

    def _by_chance(self, fault: SinkFault, volume: int, key: str | None, digest: bytes) -> Decision:
        name, share = key or digest.hex(), fault.errors * min(1.0, volume / fault.most_per_s)
        failures = self._failures[name]
        drawn = _uniform(self.seed, name, failures)
        fails = drawn < share and failures < PATIENCE
        self._failures[name] += fails
        if fails and drawn < share / 2:
            return Decision(500, effect=False, why="failed before the effect")
        if key is not None:
            self.effects[key] = digest
        if fails:
            return Decision(500, effect=True, why="failed after the effect")
        return Decision(200, effect=True, why="delivered")

    def begin(self, key: str | None) -> None:
        """The key's call is under way."""
        if key is not None:
            self._in_flight[key] += 1

    def end(self, key: str | None) -> None:
        """It has been answered, or cannot be any more."""
        if key is not None:
            self._in_flight[key] -= 1
            if not self._in_flight[key]:
                del self._in_flight[key]

    def _volume(self, channel: str, now_ns: int) -> int:
        """Calls of the last second, this one included."""
        recent = self._recent[channel]
        recent.append(now_ns)
        while recent[0] <= now_ns - SECOND_NS:
            recent.popleft()
        return len(recent)


def _uniform(seed: int, key: str, failures: int) -> float:
    """A number in [0, 1) that depends on nothing but these."""
    drawn = hashlib.sha256(f"{seed}/{key}/{failures}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64
