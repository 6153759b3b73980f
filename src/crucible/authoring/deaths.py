"""Processes of the design that ended by themselves and did not come back: what a judge misses may be only that."""

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import JsonValue

from crucible.check import History
from crucible.evidence import ENDINGS, FaultEvent

SOON_S = 10.0
"""A fault that was over for longer than this is not named beside a death."""
RESTARTED_WITHIN_S = 3.0
"""A worker that ended less than this before the history's end may have been about to be started again."""
MOST_SAID = 90
"""Characters of what a process printed that a sentence quotes."""
TOO_MUCH = "held more memory than it may, and was ended"
BACK = ("start", "restarted")
ENDED_BY_THE_GRADER = ("kill", "terminate")
FAULTS = {
    "crash": "the crash of {}", "reset": "the reset of {}", "slow": "{} being slow", "kill": "the kill of {}",
    "terminate": "the termination of {}", "pause": "the pause of {}", "sink": "the fault of the provider of {}",
    "cap": "the cap on connections to {}", "cut_replies": "the cut replies of {}",
    **dict.fromkeys(("refuse", "close", "drop", "hold", "half_open", "no_accept"), "the outage of {}"),
    **dict.fromkeys(BACK, "the start of {}"),
}  # fmt: skip
"""What a death may have come of, in words."""
FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
"""Statuses of who was ended by somebody else, such as a machine without memory."""
_TELLS = re.compile(r"error|exception|panic|fatal|refused|denied|cannot|failed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a process that did not come back."""

    event: FaultEvent
    times: int
    """How often it had ended by itself, this time included."""

    @property
    def by_itself(self) -> bool:
        """Whether nothing but the process can have been the reason."""
        return self.event.kind != "died" or self.event.detail.get("status") not in FROM_OUTSIDE


def of(history: History) -> tuple[Death, ...]:
    """The deaths after which the process was not seen again, in the order of time."""
    last: dict[str, FaultEvent] = {}
    times: dict[str, int] = {}
    for event in sorted(history.events, key=_when):
        if event.kind in ENDINGS:
            times[event.subject] = times.get(event.subject, 0) + 1
        if event.kind in ENDINGS or event.kind in BACK or event.kind in ENDED_BY_THE_GRADER:
            last[event.subject] = event
    end_ns = max((op.received_ns for op in history.ops), default=0)
    gone = [
        Death(event, times[name]) for name, event in last.items()
        if event.kind in ENDINGS and (name.startswith("web.") or end_ns - event.at_ns > RESTARTED_WITHIN_S * 1e9)
    ]  # fmt: skip
    return tuple(sorted(gone, key=lambda death: death.event.at_ns))


def not_back(history: History) -> list[str]:
    """In words, each process that ended by itself and did not come back, with what it met and what it printed last."""
    return [_in_words(death, history.events) for death in of(history)]


def in_short(history: History) -> str:
    """Likewise as one clause: the first of them in full, the others by name. Empty where there is none."""
    gone = of(history)
    if not gone:
        return ""
    others = [death.event.subject for death in gone[1:]]
    return _in_words(gone[0], history.events) + (f"; nor did {' and '.join(others)}" if others else "")


def first_of_all(history: History, what: str) -> str:
    """`what`, behind who ended and did not come back, where there is anybody: what is missing may be only that."""
    gone = in_short(history)
    return f"{gone}; {what}" if gone else what


def untimely(history: History) -> list[FaultEvent]:
    """The ends of processes that nobody brought about, but for workers that had done their work."""
    return [event for event in history.events if event.kind in ENDINGS and not _has_done(event)]


def briefly(event: FaultEvent) -> str:
    """The end of a process, as a clause."""
    return f"{event.subject} {TOO_MUCH if event.kind == 'out_of_memory' else 'ended'}"


def left_unanswered(history: History) -> bool:
    """Whether requests to a process had no answer after an end that nothing but itself can have brought about."""
    ends = {death.event.subject: death.event.at_ns for death in of(history) if death.by_itself}
    return any(op.status is None and op.sent_ns >= ends[op.target] for op in history.ops if op.target in ends)


def printed_last(event: FaultEvent) -> str:
    """What a process had printed last when it ended, as `last_words` says it."""
    printed = event.detail.get("log")
    return last_words(printed) if isinstance(printed, str) else ""


def last_words(printed: str) -> str:
    """The line that tells most of what a process printed last, as the end of a sentence; empty where there is none.
    It is the solution's own text, and may hold anything that can be shown in one line."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    if not lines:
        return ""
    line = next((line for line in reversed(lines) if _TELLS.search(line)), lines[-1])
    shown = "".join(character if character.isprintable() else "\ufffd" for character in line[:MOST_SAID])
    return f" (the last it printed: {shown}{'…' if len(line) > MOST_SAID else ''})"


def _has_done(event: FaultEvent) -> bool:
    return event.kind == "died" and event.detail.get("status") == 0 and not event.subject.startswith("web.")


def _in_words(death: Death, events: Iterable[FaultEvent]) -> str:
    event, detail = death.event, death.event.detail
    often = f", the last of {death.times} times" if death.times > 1 else ""
    met = _met(event, events)
    return f"{event.subject} {_how(event.kind, detail)}{often}{met}, and did not come back{printed_last(event)}"


def _how(kind: str, detail: dict[str, JsonValue]) -> str:
    if kind == "out_of_memory":
        return TOO_MUCH
    if kind == "too_many_processes":
        return "had more processes than it may, and was ended"
    status = detail.get("status")
    if isinstance(status, int) and status < 0:
        return f"was ended by signal {-status}, which the grader did not send"
    return f"ended with status {status}"


def _met(death: FaultEvent, events: Iterable[FaultEvent]) -> str:
    """The fault, or the start of its own, that began last before the death, and how long before."""
    about = [
        it for it in events
        if it.kind in FAULTS and it.at_ns <= death.at_ns and _over(it) >= death.at_ns - SOON_S * 1e9
        and (it.subject == death.subject or it.kind not in BACK)
    ]  # fmt: skip
    if not about:
        return ""
    it = max(about, key=lambda event: event.at_ns)
    what = FAULTS[it.kind].format(it.subject)
    if death.at_ns <= _over(it):
        return f", {(death.at_ns - it.at_ns) / 1e9:.1f} s into {what}"
    return f", {(death.at_ns - _over(it)) / 1e9:.1f} s after {what}"


def _over(event: FaultEvent) -> int:
    return event.until_ns if event.until_ns is not None else event.at_ns


def _when(event: FaultEvent) -> int:
    """A process that is started is there when the start is over."""
    return _over(event) if event.kind in BACK else event.at_ns
