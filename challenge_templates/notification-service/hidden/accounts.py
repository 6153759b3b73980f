"""What became of messages: the grader's own requests held against what its sink saw."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crucible.authoring.facts import noted
from crucible.check import History
from crucible.evidence import Attempt, Op
from crucible.oracles.delivery import Account, Effect, Item, Owes, account, waits_ns

from .messages import accepted, asked, by_key, definite, handed, key_of, number, place, preferences, state
from .providers import Rejected

CUTS = {"kill", "start", "crash", "reset", "terminate", "died", "cut_replies", "half_open", "drop", "close", "refuse"}
"""Faults that cut a process or a connection."""
LOAD = "load-"
"""How the load's recipients begin; what it asked for may arrive later."""


@dataclass(frozen=True, slots=True)
class Books:
    """Of some messages: what is owed, what was done, and how it was tried."""

    items: dict[str, Item]
    """By the message's key."""
    ops: dict[str, list[Op]]
    attempts: dict[str, list[Attempt]]
    """By the message's key, in the order of time."""
    strangers: tuple[Attempt, ...]
    """Effects that belong to no message of anybody's."""
    account: Account
    unsure: tuple[str, ...]
    """Keys of which it was never learnt whether they were accepted, however often they were sent again."""

    @property
    def open(self) -> list[str]:
        """Those that never arrived either: lost, if they were accepted."""
        return [key for key in self.unsure if key not in self.account.done]

    @property
    def lost(self) -> list[str]:
        return [item.id for item in self.account.lost]

    @property
    def owed(self) -> int:
        """How many must arrive."""
        return sum(item.owes is Owes.ONE for item in self.items.values())

    def shown(self, keys: Iterable[str]) -> list[Op]:
        """The first requests of some messages, as examples."""
        return [self.ops[key][0] for key in keys]

    def by_place(self) -> dict[str, str]:
        """The message's key, by where one asks for it."""
        return {place(op): key for key, ops in self.ops.items() for op in ops if place(op)}

    def waits_ms(self, ops: Iterable[Op]) -> list[float]:
        """How long each message that these asked for, and that arrived, was waited for."""
        waits = waits_ns(self.items.values(), self.account.done)
        return [waits[key] / 1e6 for key in dict.fromkeys(map(key_of, ops)) if key in waits]

    def waits_in_hand_ms(self, ops: Iterable[Op]) -> list[float]:
        """How long the service had each of these before it arrived: since the request that it accepted, not since one
        that it refused."""
        taken = {key: [op for op in self.ops[key] if accepted(op)] for key in dict.fromkeys(map(key_of, ops))}
        return [
            (self.account.done[key] - min(op.sent_ns for op in yes)) / 1e6
            for key, yes in taken.items() if yes and key in self.account.done
        ]  # fmt: skip


def books(history: History, ops: Iterable[Op]) -> Books:
    """The books of the messages that `ops` asked for."""
    mine, everybody = by_key(ops), by_key(history.ops)
    numbers, users = _owners(everybody)
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    strangers = []
    for attempt in history.attempts:
        key = numbers.get(handed(attempt, "ref")) or users.get(handed(attempt, "to"))
        if key is not None:
            attempts[key].append(attempt)
        elif attempt.effect and not handed(attempt, "to").startswith(LOAD):
            strangers.append(attempt)
    exceptions = Exceptions(history)
    items = {key: _item(key, asking, exceptions) for key, asking in mine.items()}
    effects = [
        Effect(key, attempt.at_ns, attempt.answered_ns is not None)
        for key in items for attempt in attempts[key] if attempt.effect
    ]  # fmt: skip
    unsure = tuple(key for key, ops in mine.items() if not any(map(accepted, ops)) and not all(map(definite, ops)))
    return Books(items, mine, attempts, tuple(strangers), account(items.values(), effects, cuts(history)), unsure)


def _owners(ops_by_key: dict[str, list[Op]]) -> tuple[dict[str, str], dict[str, str]]:
    """Whose a notification's id is, and whose a recipient, by key; a recipient of two messages is nobody's."""
    numbers: dict[str, str] = {}
    by_user: dict[str, set[str]] = defaultdict(set)
    for key, ops in ops_by_key.items():
        if user := asked(ops[0], "user"):
            by_user[user].add(key)
        for op in ops:
            if number(op):
                numbers.setdefault(number(op), key)
    return numbers, {user: next(iter(keys)) for user, keys in by_user.items() if len(keys) == 1}


class Exceptions:
    """Who need not get what was accepted."""

    def __init__(self, history: History) -> None:
        self.rejected = {user for rejected in noted(history, Rejected).values() for user in rejected.users}
        """Recipients that the sink takes nothing for."""
        self.opted_out = {
            op.request.path for op in history.ops
            if op.request.method == "PUT" and isinstance(op.request.body, dict) and False in op.request.body.values()
        }  # fmt: skip
        """The preferences of users who ever wanted nothing on some channel, whatever the answer was."""
        self.withdrawn = {op.request.path for op in history.ops if op.request.method == "DELETE"}
        """What somebody asked to cancel, whatever the answer was."""


def _item(key: str, ops: Sequence[Op], exceptions: Exceptions) -> Item:
    yes = [op for op in ops if accepted(op)]
    sent = min(op.sent_ns for op in ops)
    if not yes:
        refused = all(map(definite, ops))
        return Item(key, sent, ops[-1].received_ns, Owes.NONE if refused else Owes.AT_MOST_ONE)
    first = min(yes, key=lambda op: op.received_ns)
    user = asked(first, "user")
    suppressed = any(state(op) == "suppressed" for op in yes)
    if user in exceptions.rejected or (suppressed and preferences(user) in exceptions.opted_out):
        owes = Owes.NONE
    elif any(place(op) in exceptions.withdrawn for op in yes):
        owes = Owes.AT_MOST_ONE
    else:
        owes = Owes.ONE
    return Item(key, sent, first.received_ns, owes)


def cuts(history: History) -> list[int]:
    """When something of the solution was cut: at the beginning and at the end of each such fault."""
    cut = [event for event in history.events if event.kind in CUTS]
    return sorted(at_ns for event in cut for at_ns in (event.at_ns, event.until_ns or event.at_ns))
