"""How a scenario sends a cohort: batch by batch, again until each has an answer, and then until it can be read back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random

from crucible.authoring.asking import few_at_once, in_turn
from crucible.authoring.facts import note
from crucible.check import Call, JsonValue, Lab
from crucible.evidence import Op
from crucible.oracles.tallies import Tally

from .books import READ, Books, Sent, open_books, settled
from .events import cohort
from .reading import EVENTS, metrics_call, tallies

CONTACT = "contact"
PAUSES_S = (0.3, 0.5, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 3.0)
"""Between the tries that make an unknown definite."""
MOST_AGAIN = 500
"""Events of one batch that is sent again."""
AFTER_S = 5.0
"""How much longer than declared an event may take to be visible after a failure."""
LOST_AFTER_S = 30.0
"""After which what is still not there counts as lost, where that is longer."""
LOOK_S = 0.1
DEFAULT_FRESHNESS_MS = 2_000


def freshness_s(declares: Mapping[str, str]) -> float:
    """As declared, in seconds."""
    return int(declares.get("freshness_ms", DEFAULT_FRESHNESS_MS)) / 1000


def ever_counted(lab: Lab) -> bool:
    """Whether first contact saw anything counted, as far as it is over: else nothing is waited for."""
    seen = [tallies(op) for op in lab.recorded(CONTACT) if op.name == f"{CONTACT}/{READ}"]
    return any(seen) or not seen


class Sender:
    """Sends the events of one cohort, and knows what came of them."""

    def __init__(
        self,
        lab: Lab,
        rng: Random,
        label: str,
        number: int,
        *,
        single: bool = False,
        minutes: int = 3,
        hot: float = 0.0,
    ) -> None:
        self.lab, self.label = lab, label
        self.cohort = cohort(lab, rng, label, number, minutes=minutes, hot=hot)
        self.sent = Sent(self.cohort, single=single)
        self.ops: list[Op] = []
        self._next = 0
        self._patient = ever_counted(lab)
        note(lab, self.sent, label)

    def calls(self, number: int, size: int, *, targets: Sequence[str] = (), timeout_s: float = 5.0) -> list[Call]:
        """The next `number` batches of `size` events, to each replica (of `targets`) in turn; the last may be
        smaller."""
        spans = []
        for _ in range(number):
            size = min(size, self.cohort.number - self._next)
            if size:
                spans.append((self._next, size))
                self._next += size
        return self._called(spans, targets, timeout_s)

    def overlapping(self, step: int, size: int) -> list[Call]:
        """Batches that were sent as others, and more: from every `step`-th event on, `size` events."""
        return self._called([(start, size) for start in range(step, self._next - size + 1, size)], (), 5.0)

    def _called(self, spans: Sequence[tuple[int, int]], targets: Sequence[str], timeout_s: float) -> list[Call]:
        first = len(self.sent.spans)
        self.sent = replace(self.sent, spans=(*self.sent.spans, *spans))
        note(self.lab, self.sent, self.label)
        to = targets or self.lab.replicas
        return [
            self.call_of(first + turn, to[(first + turn) % len(to)], timeout_s) for turn in range(len(spans))
        ]  # fmt: skip

    def call_of(self, place: int, target: str, timeout_s: float = 5.0) -> Call:
        """Send a batch, or send it again."""
        start, size = self.sent.spans[place]
        body: JsonValue = self.cohort.event(start) if self.sent.single and size == 1 else self.cohort.batch(start, size)
        return Call(target, "POST", EVENTS, body, f"{self.label}/{place}", timeout_s=timeout_s)

    async def paced(self, number: int, size: int, gap_s: float, *, targets: Sequence[str] = ()) -> list[Op]:
        ops = await self.lab.paced(self.calls(number, size, targets=targets), gap_s)
        self.ops += ops
        return ops

    async def in_turn(self, number: int, size: int, at_once: int = 1) -> list[Op]:
        """Send batches, so many at a time."""
        ops: list[Op] = []
        for begin in range(0, number, at_once):
            ops += await few_at_once(self.lab, self.calls(min(at_once, number - begin), size), at_once)
        self.ops += ops
        return ops

    @property
    def books(self) -> Books:
        return open_books(self.sent, self.ops)

    def _unknown(self) -> list[tuple[int, int]]:
        """Events without a definite answer, in runs."""
        known, asked = set[int](), set[int]()
        for op in self.ops:
            start, size = self.sent.span(op) or (0, 0)
            asked.update(range(start, start + size))
            if settled(op):
                known.update(range(start, start + size))
        return runs(sorted(asked - known))

    async def resolve(self) -> None:
        """Send again what has no answer, until it has one: else a tolerance for the unknown would hide a loss. Who says
        501 is not asked again."""
        for tries, pause_s in enumerate(PAUSES_S):
            left = self._unknown()
            if not left or self.ops[-1].status == 501:
                return
            await self.lab.sleep(pause_s)
            replicas = self.lab.replicas
            calls = self._called(left, [in_turn(self.lab, tries + turn) for turn in range(len(replicas))], 5.0)
            self.ops += await few_at_once(self.lab, calls, 8)

    async def settle(self, since_ns: int, *, within_s: float | None = None, doubtful: Iterable[int] = ()) -> bool:
        """Read until every replica says what is certain, and `within_s` after `since_ns` at the latest (by default what
        is declared, and what a failure may take longer); whether they do."""
        lab, unsure = self.lab, set(doubtful)
        books = self.books
        patience_s = freshness_s(lab.declares) + AFTER_S if within_s is None else within_s
        end_ns = since_ns + int(1e9 * patience_s) if self._patient else lab.now_ns()
        left, pause_s, wrong = list(lab.replicas), LOOK_S, dict[str, dict[int, Tally] | None]()
        while True:
            over = lab.now_ns() >= end_ns
            reads = [metrics_call(target, self.cohort, f"{self.label}/{READ}") for target in left]
            answers = await few_at_once(lab, reads)
            left, hopeless = [], 0
            for op in answers:
                seen = tallies(op)
                if seen is not None and seen == wrong.get(op.target):
                    left.append(op.target)
                    continue
                found = books.against(seen, unsure) if seen is not None else None
                if found is None or found.wrong:
                    left.append(op.target)
                    wrong[op.target] = seen
                    hopeless += found is not None and found.doubled > 0  # what was counted stays counted
            if not left or over or hopeless == len(left):
                return not left
            await lab.sleep(pause_s)
            pause_s = min(1.0, pause_s * 1.3)


def runs(indexes: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending indexes as (first, how many), none longer than `MOST_AGAIN`."""
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and sum(found[-1]) == index and found[-1][1] < MOST_AGAIN:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((index, 1))
    return found
