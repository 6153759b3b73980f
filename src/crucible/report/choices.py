"""What a choice buys and what it costs, in words, from measured differences alone. Strings here are still unescaped."""

from collections.abc import Iterable

from crucible.judging.graded import Graded
from crucible.judging.opposed import Difference, Missed, Opposed, missed, opposed
from crucible.judging.references import References
from crucible.judging.verdict import Verdict
from crucible.judging.words import number
from crucible.planning.manifest import Manifest

MOST = 4
"""Axes in a sentence."""


def against(verdict: Verdict, manifest: Manifest, references: References, most: int = MOST) -> tuple[str, ...]:
    """A sentence for each reference, the most different first, with at most so many axes on each side."""
    found = sorted(opposed(verdict, manifest, references), key=lambda it: -len(it.differences))
    return tuple(_against(it, most) for it in found)


def would_take(graded: Graded) -> tuple[str, ...]:
    """A sentence for each profile that was looked at and excludes the design."""
    return tuple(_would_take(it) for it in missed(graded))


def _against(it: Opposed, most: int) -> str:
    better, worse = ([one for one in it.differences if one.better is side][:most] for side in (True, False))
    buys, costs = [_words(one) for one in better], [_words(one) for one in worse]
    if not buys and not costs:
        return f"against {it.reference}, nothing that was measured tells them apart"
    said = [
        f"what it buys: {'; '.join(buys) or 'nothing that was measured'}",
        f"what it costs: {'; '.join(costs) or 'nothing that was measured'}",
    ]
    elsewhere = any(one.axis.steadiness == "noisy" for one in better + worse)
    aside = f" (the latencies of {it.reference} were taken on another machine)" if elsewhere else ""
    return f"against {it.reference}, {'. And '.join(said)}{aside}"


def _would_take(it: Missed) -> str:
    axes = _list(it.excluded_by)
    excluded = f"{it.profile}: {axes} {'excludes' if len(it.excluded_by) == 1 else 'exclude'} it"
    if it.keeper is None:
        return f"{excluded}, and no reference keeps that"
    pays = [_words(one, theirs_first=True) for one in it.pays][:MOST]
    paid = f", and pays for it: {'; '.join(pays)}" if pays else ", at no cost that was measured"
    return f"{excluded}; {it.keeper} keeps that{paid}"


def _words(it: Difference, *, theirs_first: bool = False) -> str:
    yours, theirs = (number(it.yours.value), number(it.theirs.value))
    unit = f" {it.axis.unit}"
    if it.axis.unit == "share":
        yours, theirs, unit = f"{it.yours.value:.0%}", f"{it.theirs.value:.0%}", ""
    first, second = (theirs, yours) if theirs_first else (yours, theirs)
    return f"{it.axis.title} ({first} instead of {second}{unit})"


def _list(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
