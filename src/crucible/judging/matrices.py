"""Grades of references, flaws and fair designs -> what holds of a suite, what does not, and what is missing. Pure.

Whoever changes a check or a threshold reads here what that does to everything else.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from crucible.check import Outcome, Suite
from crucible.judging import separation, standings
from crucible.judging.references import References
from crucible.judging.standings import Matrix
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import Verdict
from crucible.judging.words import words
from crucible.planning.manifest import Manifest
from crucible.planning.trials import Kind, Trial

LATER = (
    "whether every check has a flaw that it catches",
    "whether the profiles tell the references apart, and by enough",
)
UNSURE = (Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial with its grades; none where it could not be graded, with the reason."""

    trial: Trial
    verdicts: tuple[Verdict, ...]
    seconds: tuple[float, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What is to be said of a suite."""

    tables: tuple[Matrix, ...]
    complaints: tuple[str, ...]
    """What does not hold, or is missing, one sentence each."""
    open: tuple[str, ...]
    """What was inconclusive and therefore neither holds nor fails, one sentence each."""
    tally: str
    """How many outcomes were expected, and how many of them came, in one sentence."""
    later: tuple[str, ...] = ()
    """What only a full run of everything asks, where this was none."""


def verified(tried: Sequence[Tried], suite: Suite, manifest: Manifest, known: References, *, whole: bool) -> Verified:
    """`known`: where the references stand, by these grades; `whole`: whether everything that there is was tried."""
    complaints = [f"{it.trial.kind} {it.trial.name} could not be graded: {it.error}" for it in tried if it.error]
    good = [it for it in tried if it.verdicts and it.trial.kind is not Kind.FLAW]
    flaws = [it for it in tried if it.verdicts and it.trial.kind is Kind.FLAW]
    for one in good:
        complaints += _accused(one)
    for one in flaws:
        complaints += _missed(one, known)
    if whole:
        complaints += _unguarded([it.trial for it in tried], suite, manifest)
        complaints += separation.complaints(known, manifest)
    tables = [
        _gates(good, suite),
        _caught(flaws),
        *(standings.tables(known, manifest) if any(map(_is_reference, good)) else ()),
    ]
    shown = tuple(table for table in tables if table.rows)
    return Verified(
        shown, tuple(complaints), tuple(_open(tried)), _tally(good, flaws, manifest), () if whole else LATER
    )


def holds(trial: Trial, verdict: Verdict, manifest: Manifest) -> bool:
    """Whether a grade came out as the trial is meant to."""
    if trial.kind is Kind.FLAW:
        return _hit(trial, verdict)[0]
    gates = not any(check.gate and check.finding.outcome in UNSURE for check in verdict.checks)
    return gates and _meant(trial, verdict, manifest) in (None, Judgement.FITS)


def _meant(trial: Trial, verdict: Verdict, manifest: Manifest) -> Judgement | None:
    """Whether a reference fits the profile that it was graded for, where it is meant for that."""
    profile = manifest.profile(verdict.profile)
    meant = profile is not None and profile.intended == trial.name and trial.kind is Kind.REFERENCE
    return verdict.fit.result if meant and verdict.fit is not None else None


def _is_reference(tried: Tried) -> bool:
    return tried.trial.kind is Kind.REFERENCE


def _tally(good: Sequence[Tried], flaws: Sequence[Tried], manifest: Manifest) -> str:
    gates = Counter(it.finding.outcome for one in good for verdict in one.verdicts for it in verdict.checks if it.gate)
    judged = gates.total() - gates[Outcome.NOT_RUN]
    hits = [_hit(one.trial, verdict)[0] for one in flaws for verdict in one.verdicts]
    wrong, unsure = gates[Outcome.FAIL] + gates[Outcome.ERROR], gates[Outcome.INCONCLUSIVE]
    meant = Counter(_meant(one.trial, verdict, manifest) for one in good for verdict in one.verdicts)
    fits = meant.total() - meant[None]
    said = [
        f"of {judged} gates on good designs {wrong} failed and {unsure} were inconclusive ({unsure / judged:.1%})"
        if judged else "",
        f"of {fits} references in the profile that they are meant for {meant[Judgement.DOES_NOT]} did not fit and "
        f"{meant[Judgement.INCONCLUSIVE]} were inconclusive" if fits else "",
        f"of {len(hits)} grades of flaws {len(hits) - sum(hits)} caught nothing" if hits else "",
    ]  # fmt: skip
    return "; ".join(it for it in said if it)


def _outcomes(tried: Tried, check: str) -> Counter[Outcome]:
    return Counter(it.finding.outcome for verdict in tried.verdicts for it in verdict.checks if it.id == check)


def _cell(outcomes: Counter[Outcome]) -> str:
    """`pass`, or `pass 9, inconclusive 1`."""
    if len(outcomes) == 1:
        return words(next(iter(outcomes)))
    return ", ".join(f"{words(name)} {count}" for name, count in outcomes.most_common())


def _gates(good: Sequence[Tried], suite: Suite) -> Matrix:
    rows = [
        (
            f"{one.trial.name} ({len(one.verdicts)} x)",
            *(_cell(_outcomes(one, check.id)) for check in suite.checks),
            f"{sum(one.seconds) / len(one.seconds):.0f}",
        )
        for one in good
    ]
    return Matrix("Designs and checks", ("design", *(check.id for check in suite.checks), "s"), tuple(rows))


def _caught(flaws: Sequence[Tried]) -> Matrix:
    rows = []
    for tried in flaws:
        hits = [_hit(tried.trial, verdict) for verdict in tried.verdicts]
        sentence = next((said for caught, said in hits if caught), hits[-1][1])
        count = sum(caught for caught, _ in hits)
        expected = tried.trial.check or tried.trial.profile
        rows.append((tried.trial.name, expected, f"{count} of {len(hits)}", sentence, f"{max(tried.seconds):.0f}"))
    return Matrix("Flaws and what catches them", ("flaw", "by", "caught", "what it is told", "s"), tuple(rows))


def _hit(trial: Trial, verdict: Verdict) -> tuple[bool, str]:
    """Whether the grade caught the flaw, and what it said."""
    if trial.check:
        found = next(it.finding for it in verdict.checks if it.id == trial.check)
        return found.outcome is Outcome.FAIL, f"{words(found.outcome)}: {found.what}"
    fit = next((it for it in verdict.fits if it.profile == trial.profile), None)
    if fit is None:
        return False, "the profile was not judged"
    failed = [it.name for it in verdict.checks if it.gate and it.finding.outcome is Outcome.FAIL]
    if failed:
        return False, f"a gate failed, so no limit of the profile is proven: {failed[0]}"
    return fit.result is Judgement.DOES_NOT, f"{words(fit.result)}: {fit.because}"


def _accused(tried: Tried) -> list[str]:
    """Gates that a good design failed."""
    failed: Counter[str] = Counter()
    words: dict[str, str] = {}
    for verdict in tried.verdicts:
        for check in verdict.checks:
            if check.gate and check.finding.outcome in (Outcome.FAIL, Outcome.ERROR):
                failed[check.id] += 1
                words[check.id] = check.finding.what
    return [
        f"{tried.trial.kind} {tried.trial.name} failed {check} in {count} of {len(tried.verdicts)}: {words[check]}"
        for check, count in failed.items()
    ]


def _missed(tried: Tried, known: References) -> list[str]:
    trial, hits = tried.trial, [_hit(tried.trial, verdict) for verdict in tried.verdicts]
    missed = [said for caught, said in hits if not caught]
    found = []
    if missed:
        by = trial.check or f"the limits of {trial.profile}"
        found.append(f"flaw {trial.name} was not caught by {by} in {len(missed)} of {len(hits)}: {missed[0]}")
    stand = known.of(trial.profile).get(trial.sibling) if trial.profile else None
    if stand is not None and stand.result is not Judgement.FITS:
        found.append(
            f"flaw {trial.name} shows nothing: its sibling {trial.sibling} does not fit {trial.profile} either"
        )
    return found


def _unguarded(there: Sequence[Trial], suite: Suite, manifest: Manifest) -> list[str]:
    """Checks without a flaw; a measure may have one that misses a profile instead, and needs none where no profile
    limits what it measures."""
    limited = {axis for profile in manifest.profiles for axis in profile.limits}
    caught = {trial.check for trial in there}
    profiles = any(trial.profile for trial in there)
    return [
        f"check {check.id} has no flaw: add flaws/{check.id.lower()}--<mistake>, with that one mistake"
        if check.gate
        else f"check {check.id} has no flaw: add flaws/<profile>--<mistake>, of a profile that limits what it measures"
        for check in suite.checks
        if check.id not in caught and (check.gate or not (profiles or (check.axes and limited.isdisjoint(check.axes))))
    ]


def _open(tried: Sequence[Tried]) -> list[str]:
    """Checks that came to no conclusion on designs of which one was expected."""
    found = []
    for one in tried:
        for check in one.verdicts[0].checks if one.verdicts else ():
            count = _outcomes(one, check.id)[Outcome.INCONCLUSIVE]
            if count and (one.trial.kind is not Kind.FLAW or check.id == one.trial.check):
                words = next(
                    c.finding.what for v in one.verdicts for c in v.checks
                    if c.id == check.id and c.finding.outcome is Outcome.INCONCLUSIVE
                )  # fmt: skip
                seen = f"{check.id} was inconclusive in {count} of {len(one.verdicts)}"
                found.append(f"{one.trial.name}: {seen}: {words}")
    return found
