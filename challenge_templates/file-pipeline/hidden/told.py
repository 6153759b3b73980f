"""What a design said of its jobs, and whether that is right. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from crucible.authoring.facts import noted
from crucible.authoring.outcomes import refused
from crucible.check import History, JsonValue
from crucible.evidence import Attempt, Op

from .jobs import DELETE, OVER, POST, RESULT, STATE, Meant, id_of, known, state_of
from .tables import Expected

Wrong = tuple[str, tuple[Op, ...]]
"""What is wrong, in words, and the operations that show it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was asked of one job."""

    label: str
    meant: Meant
    posts: tuple[Op, ...]
    states: tuple[Op, ...]
    results: tuple[Op, ...]
    deletes: tuple[Op, ...]

    @property
    def accepted(self) -> bool:
        return any(id_of(op) is not None for op in self.posts)

    @property
    def refused(self) -> bool:
        """For sure, and never accepted."""
        return not self.accepted and any(map(refused, self.posts)) and all(map(known, self.posts))

    @property
    def over(self) -> Op | None:
        """What said last that it is over."""
        return next((op for op in reversed(self.states) if state_of(op) in OVER), None)

    @property
    def result(self) -> Op | None:
        """The last that is known."""
        return next((op for op in reversed(self.results) if known(op)), None)

    @property
    def ids(self) -> set[str]:
        return {it for op in self.posts if (it := id_of(op)) is not None}

    @property
    def raw_ids(self) -> set[str]:
        """As they were said."""
        return {str(op.reply["job"]) for op in self.posts if id_of(op) is not None and isinstance(op.reply, dict)}


def seen(history: History, *prefixes: str) -> list[Seen]:
    """Of the jobs with these labels, or labels that begin with them and a slash."""
    return [
        Seen(label, meant, *(history.named(f"{label}/{what}") for what in (POST, STATE, RESULT, DELETE)))
        for label, meant in noted(history, Meant).items()
        if any(label == it or label.startswith(f"{it}/") for it in prefixes)
    ]  # fmt: skip


def difference(reply: JsonValue, expected: Expected) -> str:
    """What a result says that is not so; empty where it is right."""
    if not isinstance(reply, dict):
        return "no JSON object"
    for name in ("bytes", "rows", "rejected", "distinct_users"):
        if not _is_number(reply.get(name), getattr(expected, name)):
            return f"`{name}` {_short(reply.get(name))} for {getattr(expected, name)}"
    if str(reply.get("sha256")).lower() != expected.sha256:
        return f"`sha256` {_short(reply.get('sha256'))} for {expected.sha256}"
    sums = reply.get("sums")
    if not isinstance(sums, dict):
        return "no `sums`"
    if missing := [name for name in expected.sums if name not in sums]:
        return f"no sum for the category {_short(missing[0])}"
    if more := [name for name in sums if name not in expected.sums]:
        return f"a sum for the category {_short(more[0])}, which no accepted row has"
    for name, total in expected.sums.items():
        if not _is_number(sums[name], total):
            return f"{_short(sums[name])} for {total} as the sum of the category {_short(name)}"
    return ""


def _is_number(said: JsonValue, right: int) -> bool:
    """Digits in a text are as good; and so is a number with an exponent that is exactly this one."""
    if isinstance(said, bool):
        return False
    if isinstance(said, str):
        return said == str(right)
    return isinstance(said, int | float) and said == right


def _short(said: JsonValue) -> str:
    shown = repr(said)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def wrong_end(it: Seen) -> Wrong | None:
    """What is wrong with how it ended; None where nothing is, or that is not known."""
    expected, over, result = it.meant.expected, it.over, it.result
    if it.refused:
        if expected is None:
            return None
        return f"a good file was refused ({it.posts[-1].status})", it.posts[-1:]
    if over is None:
        return None
    if expected is None:
        if state_of(over) == "failed":
            return None
        return f"a file that fails ended as {state_of(over)}", (over,)
    if state_of(over) == "failed":
        return f"the job of a good file failed, with {_short(over.field('error', str))}", (over,)
    if state_of(over) == "done" and result is not None:
        if result.status != 200:
            return f"the result of a job that is done was answered {result.status}", (over, result)
        if words := difference(result.reply, expected):
            return f"the result said {words}", (result,)
    return None


def ended_well(it: Seen) -> bool:
    """Whether it was seen to its end, and that was right."""
    if wrong_end(it) is not None:
        return False
    if it.meant.expected is None:
        return it.refused or it.over is not None
    return it.over is not None and state_of(it.over) == "done" and it.result is not None


def events(history: History, it: Seen) -> Sequence[Attempt]:
    """The calls of its callback."""
    path = f"/{it.meant.channel}/"
    return [attempt for attempt in history.attempts if attempt.path.startswith(path)]


def says(call: Attempt, state: str) -> bool:
    """Whether it tells of this state."""
    return isinstance(call.body, dict) and call.body.get("state") == state
