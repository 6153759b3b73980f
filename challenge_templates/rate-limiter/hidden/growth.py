"""What batches of keys that were used once left behind, by what stores and processes weighed."""

from dataclasses import dataclass

from crucible.authoring.facts import noted
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Measure

from .old_keys import BATCHES, FEWEST, FORGOTTEN_S, Weighed, batch, grows
from .requests import allowed

FEWEST_TO_WEIGH = 2_000
"""Keys in a batch below which a heap that warms up weighs more than they do."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Of one store, or of the processes of one type, in bytes."""

    subject: str
    is_store: bool
    first: int
    waiting: int
    """While as many checks asked for a key that was there already."""
    second: int
    """From the first batch to the second, less what was forgotten meanwhile."""
    third: int | None
    """Likewise, and without what setting its limits took; only where the second was conspicuous."""

    @property
    def keeps(self) -> bool:
        """Whether every batch left about as much as the first, and more than such checks do by themselves."""
        if self.third is None:
            return False
        grew = grows(self.is_store, self.first, self.second, self.third)
        return grew and 2 * max(0, self.waiting) < min(self.second, self.third)

    @property
    def is_open(self) -> bool:
        """Whether only a third batch would tell."""
        return self.third is None and grows(self.is_store, self.first, self.second)

    def says(self, size: int) -> str:
        return (
            f"{self.subject} grew by {self.first // 1000} kB with {size} keys that were used once, and by "
            f"{self.second // 1000} kB with as many more"
        )


def growths(history: History) -> list[Growth]:
    weighed = noted(history, Weighed)

    def between(subject: str, one: str, other: str) -> int | None:
        begin, end = (weighed[when].of.get(subject) if when in weighed else None for when in (one, other))
        return end - begin if begin is not None and end is not None else None

    found = []
    for subject in sorted(weighed["before"].of) if "before" in weighed else ():
        first, waiting = between(subject, "before", "first"), between(subject, "first", "waited")
        second, third = between(subject, "first", "second"), between(subject, "set", "third")
        forgotten = between(subject, "second", "waited once more")
        if first is not None and waiting is not None and second is not None:
            net = third + forgotten if third is not None and forgotten is not None else None
            found.append(Growth(subject, subject in history.services, first, waiting, second, net))
    return found


def per_key(history: History, found: list[Growth]) -> list[Measure]:
    """What stores and processes grew by with the first batch; at least, less what processes grew by while as many
    checks asked for one key."""
    used = sum(map(allowed, history.named(batch("first"))))
    if used < FEWEST_TO_WEIGH or not found or set(history.services) - {it.subject for it in found}:
        return []
    high = sum(max(0, it.first) for it in found) / used
    drift = sum(max(0, it.waiting) for it in found if not it.is_store) / used
    return [Measure("bytes_per_key", high, max(0.0, high - drift), high, used)]


def judge_old_keys(history: History) -> Finding:
    """Each store and process type by itself, so that the noise of one does not hide what another keeps."""
    found = growths(history)
    measures = per_key(history, found)
    ops = {name: history.named(batch(name)) for name in BATCHES}
    let = {name: sum(map(allowed, own)) for name, own in ops.items()}
    counted: dict[str, float] = {"one-shot keys in the first batch": let["first"], "in the second": let["second"]}
    for growth in found:
        counted[f"kB that {growth.subject} grew by, first"] = growth.first // 1000
        counted[f"kB that {growth.subject} grew by, second"] = growth.second // 1000
    size = len(ops["first"])
    equal = size > 0 and all(let[name] >= 0.95 * size for name in ("first", "second")) and let["third"] <= size
    kept = [growth for growth in found if growth.keeps]
    if kept and equal:
        what = "; ".join(growth.says(size) for growth in kept)
        what += f", {FORGOTTEN_S:.0f} s after the last use of the first"
        return failed(what, *list(filter(allowed, ops["second"]))[:1], counted=counted, measures=measures)
    unseen = set(history.services) - {growth.subject for growth in found}
    if kept or any(growth.is_open for growth in found) or unseen or not found or not equal or size < FEWEST:
        what = "the batches were not equal, too small, not let through, or not measured before and after"
        return inconclusive(what, counted=counted, measures=measures)
    what = f"a second batch of {let['second']} one-shot keys took no more room than the first had left behind"
    return passed(what, counted=counted, measures=measures)
