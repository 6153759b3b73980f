"""Whether a challenge's profiles tell its references apart, and by enough. Pure."""

from crucible.check import Measure
from crucible.judging.references import References, ranking
from crucible.judging.tradeoffs import Fit, Judgement
from crucible.judging.words import number
from crucible.planning.manifest import APART, Axis, Limit, Manifest, Profile


def complaints(known: References, manifest: Manifest) -> list[str]:
    """Whether the profiles tell the references apart, and by enough."""
    found: list[str] = []
    names = [reference.name for reference in known.references]
    fitting = {
        profile.id: [name for name, stand in known.of(profile.id).items() if stand.result is Judgement.FITS]
        for profile in manifest.profiles
    }
    for name in names:
        profiles = [profile for profile, admitted in fitting.items() if name in admitted]
        if not profiles:
            found.append(f"reference {name} fits no profile: no business is right to choose it")
        if len(profiles) == len(manifest.profiles) > 1:
            found.append(f"reference {name} fits every profile: there is nothing to choose")
    for profile in manifest.profiles:
        admitted = fitting[profile.id]
        if not admitted:
            found.append(f"profile {profile.id} admits no reference")
        if names and len(admitted) == len(names) > 1:
            found.append(f"profile {profile.id} admits every reference: its limits tell nothing apart")
        ranked = [it.name for it in ranking(nobody(profile), known, manifest)]
        if profile.intended and ranked and ranked[0] != profile.intended:
            found.append(f"profile {profile.id} is meant for {profile.intended}, and {ranked[0]} is the best that fits")
        found += _too_near(profile, known, manifest)
    return found


def _too_near(profile: Profile, known: References, manifest: Manifest) -> list[str]:
    """Limits too near to what they are meant to admit, and designs that no limit excludes by enough."""
    axes = {axis.id: axis for axis in manifest.axes}
    found = []
    for name, stand in known.of(profile.id).items():
        taken = {measure.axis: measure for measure in stand.positions}
        away = {
            axis: _away(limit, taken[axis].value, axes[axis]) for axis, limit in profile.limits.items() if axis in taken
        }
        if name == profile.intended and stand.result is Judgement.FITS:
            found += [
                f"{axis} of {name} is only {number(factor)} times away from the limit of {profile.id}, "
                f"and should be {APART[axes[axis].steadiness]}"
                for axis, factor in away.items()
                if factor is not None
                and factor < APART[axes[axis].steadiness]
                and not _settled(taken[axis], axes[axis])
            ]
        missed = [(axis, 1 / factor) for axis, factor in away.items() if factor is not None and 0 < factor < 1]
        certain = any(factor is None for factor in away.values())
        if stand.result is Judgement.DOES_NOT and missed and not certain:
            axis, most = max(missed, key=lambda it: it[1] / APART[axes[it[0]].steadiness])
            if most < APART[axes[axis].steadiness]:
                found.append(
                    f"{profile.id} excludes {name} by no more than {number(most)} times, on {axis}, "
                    f"and should by {APART[axes[axis].steadiness]}"
                )
    return found


def _settled(measure: Measure, axis: Axis) -> bool:
    """A count that was the same in every run may be as near to a limit as it likes, on the right side."""
    return axis.steadiness == "counted" and measure.low == measure.high


def _away(limit: Limit, value: float, axis: Axis) -> float | None:
    """The factor of room between value and limit (below 1: it is missed); None where one of them is nought. Of a share
    that is to be large, it is the rest that counts."""
    if limit.at_most is not None:
        bound = limit.at_most
    else:
        assert limit.at_least is not None
        if axis.unit != "share":
            return value / limit.at_least if limit.at_least > 0 and value > 0 else None
        bound, value = 1 - limit.at_least, 1 - value
    return bound / value if bound > 0 and value > 0 else None


def nobody(profile: Profile) -> Fit:
    return Fit(profile.id, Judgement.DOES_NOT, "", "", (), (), None)
