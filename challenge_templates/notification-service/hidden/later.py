"""NT-11: what is asked for a later moment."""

from datetime import datetime
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.clock import epoch_ns, moment, note_epoch
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab
from crucible.evidence import Op

from .accounts import books
from .arrivals import never_sure
from .messages import CHANNELS, asked, message
from .waiting import resolve, settle

LATER = "later"
LATE_S = 2.0
DUE_S = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
EARLY_S = 0.005
FEWEST = 4


async def later(lab: Lab, rng: Random) -> None:
    """Some messages for each of some moments, on a line that is idle otherwise."""
    note_epoch(lab, LATER)
    ops = []
    wanted = []
    for index, seconds in enumerate(DUE_S * 2):
        wanted.append(message(rng, CHANNELS[index % 3], send_after=moment(lab, seconds)))
        ops.append(await lab.call(wanted[-1].call(in_turn(lab, index), LATER)))
    await resolve(lab, ops, LATER)
    await settle(lab, wanted, lab.now_ns(), within_s=max(DUE_S) + 3 * LATE_S)


def judge_later(history: History) -> Finding:
    """Never early, and at most two seconds late."""
    told = books(history, history.named(LATER))
    epoch = epoch_ns(history, LATER)
    assert epoch is not None
    slack = history.lag_ms / 1000 + 0.05
    late_s = {
        key: (told.account.done[key] + epoch) / 1e9 - due_s(ops[0])
        for key, ops in told.ops.items() if key in told.account.done
    }  # fmt: skip
    early = [key for key, seconds in late_s.items() if seconds < -EARLY_S]
    late = [key for key, seconds in late_s.items() if seconds > LATE_S + slack]
    never = [item.id for item in told.account.lost]
    counted = {"asked for later": len(told.ops), "arrived": len(late_s)}
    if early:
        soonest = -min(late_s.values())
        what = f"{len(early)} of {len(late_s)} notifications arrived before `send_after`, up to {soonest:.2f} s"
        return failed(what, *told.shown(early), counted=counted)
    if late or never:
        number = len(late) + len(never)
        what = f"{number} of {len(told.ops)} notifications came more than {LATE_S:g} s after `send_after`"
        if never:
            what += f", {len(never)} of them not within {3 * LATE_S:g} s"
        return failed(what, *told.shown(late + never), counted=counted)
    if told.open:
        return inconclusive(never_sure(len(told.open)), *told.shown(told.open), counted=counted)
    if len(late_s) < FEWEST:
        return inconclusive(f"only {len(late_s)} were accepted and arrived", counted=counted)
    what = f"{len(late_s)} notifications arrived 0 to {max(late_s.values()):.2f} s after they were due"
    return passed(what, counted=counted)


def due_s(op: Op) -> float:
    """The moment that was asked for, in seconds of the wall clock."""
    return datetime.fromisoformat(asked(op, "send_after")).timestamp()
