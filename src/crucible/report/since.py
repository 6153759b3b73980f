"""What changed since an earlier grade, as Markdown. Pure.

The two ran on different machines at different times, so only what does not depend on the machine is compared: gates,
profiles, and positions on axes that are counted. `crucible compare` compares the rest.
"""

from crucible.judging.graded import Graded
from crucible.judging.verdict import Verdict
from crucible.judging.words import interval, words
from crucible.planning.manifest import Manifest
from crucible.report.text import code_md, escape_md


def since_md(graded: Graded) -> str:
    """Empty where there is no earlier grade, or none to compare with: another challenge, suite, profile or mode."""
    if graded.before is None or _about(graded.before.verdict) != _about(graded.verdict):
        return ""
    commit, before, now = graded.before.commit, graded.before.verdict, graded.verdict
    lines = [*_gates(before, now), *_profiles(before, now), *_counted(before, now, graded.manifest)]
    head = f"\n## Since {code_md(commit[:12]) if commit else 'the push before'}\n\n"
    shown = [f"- {line}" for line in lines] or ["No gate, no profile and nothing that is counted has changed."]
    return head + "\n".join([*shown, ""])


def _about(verdict: Verdict) -> tuple[str, ...]:
    return (verdict.challenge, verdict.suite, verdict.profile, verdict.mode)


def _gates(before: Verdict, now: Verdict) -> list[str]:
    was = {check.id: check.finding.outcome for check in before.checks}
    return [
        f"{escape_md(check.name)}: {words(was[check.id])} before, {words(check.finding.outcome)} now"
        for check in now.checks
        if check.id in was and was[check.id] is not check.finding.outcome
    ]


def _profiles(before: Verdict, now: Verdict) -> list[str]:
    was = {fit.profile: fit.result for fit in before.fits}
    return [
        f"{code_md(fit.profile)}: {words(was[fit.profile])} before, {words(fit.result)} now: {escape_md(fit.because)}"
        for fit in now.fits
        if fit.profile in was and was[fit.profile] is not fit.result
    ]


def _counted(before: Verdict, now: Verdict, manifest: Manifest) -> list[str]:
    """Positions whose intervals do not meet."""
    better = {axis.id: axis.better for axis in manifest.axes if axis.steadiness == "counted"}
    was = {measure.axis: measure for measure in before.positions if measure.axis in better and not measure.open}
    return [
        f"{code_md(found.axis)}: {interval(was[found.axis], better[found.axis])} before, "
        f"{interval(found, better[found.axis])} now"
        for found in now.positions
        if found.axis in was
        and not found.open
        and (found.high < was[found.axis].low or was[found.axis].high < found.low)
    ]
