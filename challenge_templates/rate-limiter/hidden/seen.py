"""What was seen of one fault: what was asked while it lasted, and how that fared."""

from collections.abc import Sequence
from dataclasses import dataclass

from crucible.authoring.facts import fact
from crucible.check import History
from crucible.evidence import Op
from crucible.oracles.windows import NEVER_NS, peak_units, wrong_refusals

from .requests import LONG_MS, allowed, claims, refused, unanswered_claims
from .spells import FULL_LIMIT, FULL_MS, HOT_LIMIT, Lasted, Spell, spells

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Peak:
    """Units let through in a window, by the limit."""

    certain: float
    possible: float
    """With those that had no answer at all; who got a 503 was not let through."""


@dataclass(frozen=True, slots=True)
class Seen:
    spell: Spell
    begin_ns: int
    end_ns: int
    healed_ns: int
    fill: tuple[Op, ...]
    """What was asked for the full key before."""
    full: tuple[Op, ...]
    """Checks of the full key, while it lasted or soon after; likewise the next two."""
    fresh: tuple[Op, ...]
    hot: tuple[Op, ...]
    well: tuple[Op, ...]
    """Checks of fresh keys afterwards, on each replica until one was allowed."""

    def during(self, *parts: tuple[Op, ...]) -> list[Op]:
        """What of it was sent while the fault lasted."""
        return [op for part in parts or (self.full, self.fresh, self.hot) for op in part if op.sent_ns <= self.end_ns]

    @property
    def settled(self) -> list[Op]:
        """What was sent from a second after the fault's beginning on."""
        return [op for op in (*self.full, *self.fresh, *self.hot) if op.sent_ns >= self.begin_ns + SECOND_NS]

    @property
    def answered(self) -> float:
        """Share of the requests, within 1 s, with what a caller can use."""
        hot = self.during(self.hot)
        serving = [*filter(allowed, self.during()), *filter(refused, self.during(self.full, self.hot))]
        soon = [op for op in serving if op.received_ns - op.sent_ns <= SECOND_NS]
        took = claims(filter(allowed, hot)) + unanswered_claims(hot, NEVER_NS)
        undeserved = wrong_refusals(claims(filter(refused, hot)), took, HOT_LIMIT, LONG_MS * 1_000_000)
        return max(0, len(soon) - len(undeserved)) / len(self.during())

    @property
    def p99_ms(self) -> float:
        times = sorted((op.received_ns - op.sent_ns) / 1e6 for op in self.during())
        return times[int(0.99 * (len(times) - 1))]

    @property
    def peak(self) -> Peak:
        """Of the hot key, or of the one that was full before."""
        hot = peak_of(self.during(self.hot), HOT_LIMIT, LONG_MS)
        full = peak_of([*self.fill, *self.during(self.full)], FULL_LIMIT, FULL_MS)
        return Peak(max(hot.certain, full.certain), max(hot.possible, full.possible))

    @property
    def back_s(self) -> list[float]:
        """After what time each replica was itself again, of those that were."""
        last = {op.target: op for op in self.well}.values()
        return [max(0.0, (op.received_ns - self.healed_ns) / 1e9) for op in last if allowed(op)]

    @property
    def recovery_s(self) -> float:
        return max(self.back_s, default=0.0)

    def refused_before(self, replicas: int) -> bool:
        """Whether each replica had refused the full key twice, last, before the fault."""
        by_target: dict[str, list[Op]] = {}
        for op in self.fill:
            by_target.setdefault(op.target, []).append(op)
        twice = [len(ops) >= 2 and all(map(refused, ops[-2:])) for ops in by_target.values()]
        return len(twice) == replicas and all(twice)


def peak_of(ops: Sequence[Op], n: int, window_ms: int) -> Peak:
    took, window_ns = claims(filter(allowed, ops)), window_ms * 1_000_000
    silent = unanswered_claims(op for op in ops if op.status is None)
    return Peak(peak_units(took, window_ns).units / n, peak_units(took + silent, window_ns).units / n)


def faults_seen(history: History) -> list[Seen]:
    return [seen for spell in spells(history.services) if (seen := see(history, spell)) is not None]


def see(history: History, spell: Spell) -> Seen | None:
    lasted = fact(history, Lasted, spell.name)
    if lasted is None:
        return None
    full, fresh, hot = (
        tuple(op for op in history.named(spell.asked(part)) if op.sent_ns >= lasted.begin_ns)
        for part in ("full", "fresh", "hot")
    )
    if not full + fresh + hot:
        return None
    last = max(op.sent_ns for op in full + fresh + hot)
    return Seen(
        spell,
        lasted.begin_ns,
        last if lasted.end_ns is None else lasted.end_ns,
        last if lasted.healed_ns is None else lasted.healed_ns,
        history.named(spell.asked("fill")), full, fresh, hot, history.named(spell.asked("well")),
    )  # fmt: skip
