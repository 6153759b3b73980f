"""The hint of a refusal: whether it is true when it has passed, and whether it shrinks as the window does."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .requests import allowed, answered, check, fresh, limit, limits_set, number, put_limit, refused

HINT_LIMIT, HINT_MS = 5, 4_000
"""A window of 2 s would hide a hint that is always the window behind the rounding to whole seconds."""
AT_ONCE, LATER = 14, 8
ROUNDING_MS = 1_100
LATE_MOST_MS = 0.6 * HINT_MS + ROUNDING_MS


@dataclass(frozen=True, slots=True)
class Key:
    """A key whose hint is read: as soon as it is full, or late in its window."""

    is_late: bool
    index: int

    def asked(self, *part: str) -> str:
        """What requests are called: those that `fill` it, one `late` in its window, and the one `after` its hint."""
        return "/".join(("hint", "late" if self.is_late else "now", str(self.index), *part))


KEYS = (*(Key(False, i) for i in range(AT_ONCE)), *(Key(True, i) for i in range(LATER)))


def hint_of(op: Op) -> float | None:
    hint = number(op, "retry_after_ms")
    return hint if hint is not None and hint >= 0 else None


async def hints(lab: Lab, rng: Random) -> None:
    """Each key on a replica of its own choice: fill it, read the hint (later ones after 0.6 W), wait, ask once more."""
    called = {key: fresh(rng, "hint") for key in KEYS}
    for key, name in called.items():
        await put_limit(lab, limit(in_turn(lab, key.index), name, HINT_LIMIT, HINT_MS, key.asked()))
    await lab.sleep(1.0)

    async def follow(key: Key) -> None:
        if not await wait_and_ask(lab, key, in_turn(lab, key.index), called[key]):
            await lab.sleep(HINT_MS / 1000)  # then the key is empty, and it can be tried once more
            await wait_and_ask(lab, key, in_turn(lab, key.index), called[key])

    await asyncio.gather(*map(follow, KEYS))


async def wait_and_ask(lab: Lab, key: Key, target: str, name: str) -> bool:
    """Fill a key, wait as long as its hint says and ask; False where an answer that was needed did not come."""
    last, full = 0, None
    for _ in range(4 * HINT_LIMIT):
        op = await lab.call(check(target, name, key.asked("fill")))
        if allowed(op):
            last = op.received_ns
        elif refused(op):
            full = op
            break
    if full is None:
        return False
    if key.is_late:
        await lab.sleep(max(0.0, (last - lab.now_ns()) / 1e9 + 0.6 * HINT_MS / 1000))
        full = await lab.call(check(target, name, key.asked("late")))
        if not refused(full):
            return answered(full)
    hint = hint_of(full)
    if hint is not None and hint <= HINT_MS + ROUNDING_MS:
        await lab.sleep(max(0.0, (full.received_ns - lab.now_ns()) / 1e9 + hint / 1000 + 0.005))
        return answered(await lab.call(check(target, name, key.asked("after"))))
    return True


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of one key, the last time that it was tried."""

    key: Key
    late: Op | None
    """What was asked late in its window."""
    refusal: Op | None
    """The one whose hint was read."""
    after: Op | None


def followed(history: History, key: Key) -> Followed:
    fill, late, after = (
        ops[-1] if (ops := history.named(key.asked(part))) else None for part in ("fill", "late", "after")
    )
    source = late if key.is_late else fill
    return Followed(key, late, source if source is not None and refused(source) else None, after)


def judge_hints(history: History) -> Finding:
    """Several keys must show the same, and as many as 95 % must be right."""
    if limits_set(history, "hint") is None:
        return inconclusive("no limit was taken, so no hint could be read")
    true, silent, false, missing = 0, 0, [], []
    every = [followed(history, key) for key in KEYS]
    for one in every:
        if one.refusal is not None and hint_of(one.refusal) is None:
            missing.append(one.refusal)
        elif one.after is not None and allowed(one.after):
            true += 1
        elif one.after is not None and refused(one.after):
            false.append(one.after)
        elif not one.key.is_late or one.refusal is not None or one.late is None or not allowed(one.late):
            silent += 1
    late_known = sum(one.late is not None and answered(one.late) for one in every)
    read_late = [one.refusal for one in every if one.key.is_late and one.refusal is not None]
    too_long = [op for op in read_late if (hint_of(op) or 0) > LATE_MOST_MS]
    asked = true + len(false)
    counted = {"hints waited for": asked, "true": true, "hints read after 0.6 of the window": len(read_late)}
    if len(missing) >= 3:
        what = f"{len(missing)} refusals of full keys carried no retry_after_ms that is a number of 0 or more"
        return failed(what, *missing, counted=counted)
    if len(false) >= 3 and len(false) > 0.05 * asked:
        what = f"{len(false)} of {asked} checks that waited as long as the hint said were refused again"
        return failed(what, *in_order(false), counted=counted)
    if len(too_long) >= 3:
        what = (
            f"{len(too_long)} of {len(read_late)} hints were longer than {LATE_MOST_MS / 1000:.1f} s although "
            f"{0.6 * HINT_MS / 1000:.1f} s of the window of {HINT_MS / 1000:.0f} s had passed"
        )
        return failed(what, *in_order(too_long), counted=counted)
    wrong, due = len(false) + len(missing) + silent, asked + len(missing) + silent
    if not asked or wrong > 0.05 * due:
        what = f"{wrong} of {due} hints were not shown to be true, too few to say which is so"
        return inconclusive(what, counted=counted)
    if len(too_long) + LATER - late_known >= 3:
        what = f"only {late_known} of {LATER} keys gave an answer after 0.6 of the window"
        return inconclusive(what, counted=counted)
    what = f"{true} of {asked} checks that waited as long as the hint said were allowed"
    return passed(what, counted=counted)


def in_order(ops: list[Op]) -> list[Op]:
    return sorted(ops, key=lambda op: op.sent_ns)
