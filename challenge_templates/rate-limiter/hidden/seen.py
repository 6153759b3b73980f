"""What was seen of one fault: what was asked while it lasted, and how that fared."""

from dataclasses import dataclass

from crucible.authoring.facts import fact
from crucible.check import History
from crucible.evidence import Op
from crucible.oracles.windows import NEVER_NS, wrong_refusals

from .requests import LONG_MS, Peak, allowed, claims, peak_of, refused, unanswered_claims
from .spells import FULL_LIMIT, FULL_MS, HOT_LIMIT, Lasted, Spell, spells

SECOND_NS = 1_000_000_000


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
        """Of the hot key, or of the one that was full before; who got a 503 was not let through."""
        every = (
            (self.during(self.hot), HOT_LIMIT, LONG_MS),
            ([*self.fill, *self.during(self.full)], FULL_LIMIT, FULL_MS),
        )
        peaks = [peak_of(ops, [op for op in ops if op.status is None], n, ms * 1_000_000) for ops, n, ms in every]
        return Peak(max(peak.certain for peak in peaks), max(peak.possible for peak in peaks))

    @property
    def back_s(self) -> list[float]:
        """After what time each replica was itself again, of those that were."""
        last = {op.target: op for op in self.well}.values()
        return [max(0.0, (op.received_ns - self.healed_ns) / 1e9) for op in last if allowed(op)]

    @property
    def recovery_s(self) -> float:
        return max(self.back_s, default=0.0)

    @property
    def vain(self) -> list[Op]:
        """The last checks afterwards of the replicas that were not themselves again; or else of all."""
        last = {op.target: op for op in self.well}
        return [op for op in last.values() if not allowed(op)] or list(last.values())

    @property
    def asked_s(self) -> float:
        """How long the replicas that did not come back were asked."""
        return max((max(0.0, (op.received_ns - self.healed_ns) / 1e9) for op in self.vain), default=0.0)

    def refused_before(self, replicas: int) -> bool:
        """Whether each replica had refused the full key twice, last, before the fault."""
        by_target: dict[str, list[Op]] = {}
        for op in self.fill:
            by_target.setdefault(op.target, []).append(op)
        twice = [len(ops) >= 2 and all(map(refused, ops[-2:])) for ops in by_target.values()]
        return len(twice) == replicas and all(twice)


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
    fill, well = history.named(spell.asked("fill")), history.named(spell.asked("well"))
    return Seen(spell, lasted.begin_ns, lasted.end_ns, lasted.healed_ns, fill, full, fresh, hot, well)
