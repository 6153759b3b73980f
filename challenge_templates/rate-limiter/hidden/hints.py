"""The hint of a refusal: whether it is true when it has passed, and whether it sends nobody away for too long."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .requests import allowed, answered, check, fresh, limit, limits_set, number, put_limits, refused

HINT_LIMIT, HINT_MS = 5, 4_000
"""A window of 2 s would hide a hint that is always the window behind the rounding to whole seconds."""
ROUNDING_MS = 1_100
LATE_MS = 0.6 * HINT_MS
"""From the first unit of a key to the reading of a hint late in its window."""
GAP_MS, GROUPS = 600, 3
"""Between the units of a key that are to differ in age; and how many groups of such keys begin one after the other, a
third of a window apart: wherever a fixed window begins, all units of one group lie in one."""
KINDS = {"now": 14, "late": 8, "aged": 9}
"""How many keys have their hint read as soon as they are full, late in their window, and full of units of all ages."""
TRIES = 3
FEWEST, FEWEST_LATE, FEWEST_AGED = 20, 6, 3
"""Hints that were waited for; those read late, and of units of all ages, that would have shown the whole window."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key whose hint is read."""

    kind: str
    index: int

    def asked(self, *part: str) -> str:
        """What requests are called, in each try: those that `fill` it, one `late`, and the one `after` its hint."""
        return "/".join(("hint", self.kind, str(self.index), *part))


KEYS = tuple(Key(kind, i) for kind, many in KINDS.items() for i in range(many))


def hint_of(op: Op) -> float | None:
    hint = number(op, "retry_after_ms")
    return hint if hint is not None and hint >= 0 else None


async def hints(lab: Lab, rng: Random) -> None:
    """Each key on a replica of its own choice: fill it, read the hint (of some after 0.6 W), wait, ask once more."""
    called = {key: fresh(rng, "hint") for key in KEYS}
    puts = [limit(in_turn(lab, key.index), name, HINT_LIMIT, HINT_MS, key.asked()) for key, name in called.items()]
    await put_limits(lab, puts)
    await lab.sleep(1.0)

    async def follow(key: Key) -> None:
        if key.kind == "aged":
            await lab.sleep(key.index % GROUPS * HINT_MS / GROUPS / 1000)
        target, at_once = in_turn(lab, key.index), False
        for turn in range(TRIES):
            ops = await fill(lab, key, turn, target, called[key], at_once=at_once)
            if await wait_and_ask(lab, key, turn, target, called[key], ops):
                break
            at_once = not any(map(refused, ops))  # who lets callers wait in line is full only if many come at once
            if not at_once:
                await lab.sleep(HINT_MS / 1000)  # then the key is empty

    await asyncio.gather(*map(follow, KEYS))


async def fill(lab: Lab, key: Key, turn: int, target: str, name: str, *, at_once: bool) -> list[Op]:
    """Ask until it is refused, for a window at most; of an aged key the first units come with gaps."""
    call = check(target, name, key.asked(str(turn), "fill"))
    if at_once:
        return list(await asyncio.gather(*(lab.call(call) for _ in range(2 * HINT_LIMIT))))
    ops: list[Op] = []
    begun_ns = lab.now_ns()
    while not any(map(refused, ops)) and len(ops) < 4 * HINT_LIMIT and lab.now_ns() < begun_ns + HINT_MS * 1_000_000:
        if key.kind == "aged" and len(ops) < HINT_LIMIT:
            await lab.sleep(max(0.0, (begun_ns - lab.now_ns()) / 1e9 + len(ops) * GAP_MS / 1000))
        ops.append(await lab.call(call))
    return ops


async def wait_and_ask(lab: Lab, key: Key, turn: int, target: str, name: str, ops: list[Op]) -> bool:
    """Wait as long as the hint says and ask; False where an answer that was needed did not come."""
    full = full_by(ops)
    if full is None or not all(map(answered, ops)):
        return False
    if key.kind == "late":
        first_ns = min(op.received_ns for op in ops if allowed(op) or op is full)
        await lab.sleep(max(0.0, (first_ns - lab.now_ns()) / 1e9 + LATE_MS / 1000))
        full = await lab.call(check(target, name, key.asked(str(turn), "late")))
        if not refused(full):
            return answered(full)
    hint = hint_of(full)
    if hint is None or not can_be_waited_for(hint):
        return True
    await lab.sleep(max(0.0, (full.received_ns - lab.now_ns()) / 1e9 + hint / 1000 + 0.005))
    return answered(await lab.call(check(target, name, key.asked(str(turn), "after"))))


def can_be_waited_for(hint: float | None) -> bool:
    return hint is not None and hint <= HINT_MS + ROUNDING_MS


def full_by(ops: list[Op] | tuple[Op, ...]) -> Op | None:
    """The last refusal."""
    return max(filter(refused, ops), key=lambda op: op.received_ns, default=None)


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of one key, the last time that it was tried."""

    took: tuple[Op, ...]
    """What filled it, in the order of sending."""
    full: Op
    """The refusal that showed that it was full."""
    late: Op | None
    """What was asked late in its window."""
    after: Op | None
    """What was asked when the hint had passed."""

    @property
    def read(self) -> Op | None:
        """The refusal whose hint was waited for; None where it was let through late in its window."""
        return self.full if self.late is None else self.late if refused(self.late) else None

    def left_ms(self, refusal: Op) -> float:
        """What the window has left for the oldest of the last N units that were allowed."""
        units = [op for op in self.took if op.received_ns <= refusal.sent_ns][-HINT_LIMIT:]
        return HINT_MS - (refusal.sent_ns - units[0].received_ns) / 1e6 if units else HINT_MS

    @property
    def most_ms(self) -> float:
        """The longest hint that is none too long: until it was let through, or what the window has left and the time of
        one unit for who estimates; and the rounding to whole seconds."""
        if self.late is not None and allowed(self.late):
            return (self.late.received_ns - self.full.sent_ns) / 1e6 + ROUNDING_MS
        return max(0.0, self.left_ms(self.read or self.full)) + HINT_MS / HINT_LIMIT + ROUNDING_MS

    @property
    def judged(self) -> Op:
        """The refusal whose hint is held against that."""
        return self.read or self.full

    @property
    def too_long(self) -> bool:
        return (hint_of(self.judged) or 0) > self.most_ms

    @property
    def tells(self) -> bool:
        """Whether a hint of the whole window would have been too long."""
        return hint_of(self.judged) is not None and self.most_ms < HINT_MS

    @property
    def why(self) -> str:
        """What is wrong with a hint that is too long."""
        said = f"one of {(hint_of(self.judged) or 0) / 1000:.1f} s"
        if self.read is None and self.late is not None:
            waited_s = (self.late.received_ns - self.full.sent_ns) / 1e9
            return f"{said} came {waited_s:.1f} s before the next check was let through"
        left_s = self.left_ms(self.judged) / 1000
        return f"{said} came when the oldest of the last {HINT_LIMIT} units had {left_s:.1f} s left in the window"


def followed(history: History, key: Key) -> Followed | None:
    """None where an answer was missing."""
    tried = [ops for turn in range(TRIES) if (ops := history.named(key.asked(str(turn))))]
    if not tried or limits_set(history, key.asked()) is None:
        return None
    fill, late, after = ([op for op in tried[-1] if op.name.endswith(part)] for part in ("fill", "late", "after"))
    full = full_by(fill)
    if full is None or not all(map(answered, tried[-1])) or (key.kind == "late" and not late):
        return None
    one = Followed(tuple(filter(allowed, fill)), full, late[-1] if late else None, after[-1] if after else None)
    return one if after or one.read is None or not can_be_waited_for(hint_of(one.read)) else None


def judge_hints(history: History) -> Finding:
    """Several keys must show the same, and as many as 95 % must be right."""
    known = {key: one for key in KEYS if (one := followed(history, key)) is not None}
    if not known:
        return inconclusive("no limit was taken, or no key became full, so no hint could be read")
    missing = [one.judged for one in known.values() if hint_of(one.judged) is None]
    after = [one.after for one in known.values() if one.after is not None]
    true, false = sum(map(allowed, after)), [op for op in after if refused(op)]
    too_long = [one for one in known.values() if one.too_long]
    late, aged = ([one for key, one in known.items() if key.kind == kind] for kind in ("late", "aged"))
    told_late, told_aged = sum(one.tells for one in late), sum(one.tells for one in aged)
    counted = {
        "hints waited for": len(after), "true": true, "hints read after 0.6 of the window": told_late,
        "hints of units that differ in age": told_aged,
    }  # fmt: skip
    if len(missing) >= 3:
        what = f"{len(missing)} refusals of full keys carried no retry_after_ms that is a number of 0 or more"
        return failed(what, *missing, counted=counted)
    if len(false) >= 3 and len(false) > 0.05 * len(after):
        what = f"{len(false)} of {len(after)} checks that waited as long as the hint said were refused (5 % may be)"
        return failed(what, *in_order(false), counted=counted, question=TOO_SHORT)
    if len(too_long) >= 3:
        first = max(too_long, key=lambda one: (hint_of(one.judged) or 0) - one.most_ms)
        what = (
            f"{len(too_long)} of {len(known)} hints were too long: {first.why}, "
            f"and at most {first.most_ms / 1000:.1f} s may be said"
        )
        return failed(what, first.judged, *(one.judged for one in too_long if one is not first), counted=counted)
    unknown = len(KEYS) - len(known)
    still_open = sum(key.kind != "now" and key not in known for key in KEYS)
    wrong = len(false) + len(missing) + unknown
    if wrong > 0.05 * (len(after) + len(missing) + unknown) or len(too_long) + still_open >= 3:
        what = f"{wrong} of {len(KEYS)} hints were not shown to be true, too few to say which is so"
        return inconclusive(what, counted=counted)
    waited = len(after) + sum(one.read is None for one in late)
    grows_back = sum(one.read is None for one in late) >= FEWEST_AGED
    if waited < FEWEST or told_late < FEWEST_LATE or (told_aged < FEWEST_AGED and not grows_back):
        what = (
            f"{waited} hints were waited for, {told_late} read late in the window and {told_aged} when the units "
            "differed in age, too few to say"
        )
        return inconclusive(what, counted=counted)
    return passed(f"{true} of {len(after)} checks that waited as long as the hint said were allowed", counted=counted)


TOO_SHORT = "When the time that you name has passed, which units are still counted?"


def in_order(ops: list[Op]) -> list[Op]:
    return sorted(ops, key=lambda op: op.sent_ns)
