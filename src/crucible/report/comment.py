"""A verdict, and what changed since the base of a pull request, as the one comment on it. Pure.

Whatever a solution said appears escaped, and every list has a most: the comment stays below GitHub's 65,536 characters.
"""

import hashlib
import json
from collections.abc import Sequence

from crucible.check import Outcome
from crucible.judging.comparison import Against, Change, Comparison
from crucible.judging.verdict import GradeOutcome, Verdict
from crucible.report.comparison import against_md, differences
from crucible.report.text import code_md, escape_md, sentence

MOST = 60_000
"""Characters, of the 65,536 that GitHub takes."""
MARK = "<!-- crucible-feedback"
MOST_CHOICES = 3
_ICONS = {
    GradeOutcome.PASSED: "✅", GradeOutcome.FAILED: "❌", GradeOutcome.INCONCLUSIVE: "⚠️",
    GradeOutcome.NOT_STARTED: "👋", GradeOutcome.ERROR: "🛠️",
}  # fmt: skip


def digest(verdict: Verdict, found: Comparison | None) -> str:
    """Equal for two grades of which a comment would tell the same, but for numbers that differ every time."""
    others = found.others if found is not None else ()
    told = [
        verdict.outcome,
        [check.id for check in verdict.checks if check.gate and check.finding.outcome is Outcome.FAIL],
        [(fit.profile, fit.result) for fit in verdict.fits],
        [(row.axis, row.change) for it in others for row in differences(it)],
        [(it.design.failed, sorted((name, stand.result) for name, stand in it.design.stands.items())) for it in others],
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def news(verdict: Verdict, found: Comparison | None, before: str) -> bool:
    """Whether there is anything to comment; `before` is the digest of the push before, empty where it is not known."""
    return digest(verdict, found) != before if before else tells_anything(found)


def tells_anything(found: Comparison | None) -> bool:
    """Whether a pull request changes anything that was looked at; unknown counts as yes."""
    if found is None:
        return True
    return any(
        differences(it) or it.design.outcome is not found.base.outcome or _turned(it, found) for it in found.others
    )


def _turned(against: Against, found: Comparison) -> bool:
    """Whether a gate or a profile came out otherwise."""
    was = {name: stand.result for name, stand in found.base.stands.items()}
    now = {name: stand.result for name, stand in against.design.stands.items()}
    return against.design.failed != found.base.failed or any(
        was[name] is not now[name] for name in was.keys() & now.keys()
    )


def _against(against: Against, found: Comparison) -> list[str]:
    seen = any(row.change is not Change.UNKNOWN for row in against.rows)
    none = "Nothing that was measured differs beyond the noise." if seen else "Nothing was measured on both of them."
    return [*against_md(against, found), *([] if differences(against) else ["", none])]


def comment_md(verdict: Verdict, found: Comparison | None, commit: str, url: str, buys: Sequence[str] = ()) -> str:
    """The comment; `commit` is what was graded, `url` the page of the run, and `buys` what the design buys and costs
    against others."""
    mark = f"{MARK} {digest(verdict, found)} -->"
    head = [mark, f"## {_ICONS[verdict.outcome]} {escape_md(sentence(verdict.headline), 600)}", ""]
    tail = ["", f"<sub>{code_md(commit[:12])}, a {verdict.mode} grade of {code_md(verdict.challenge)}. "
            f"[The whole report]({url}).</sub>", ""]  # fmt: skip
    middle = [f"### Since {code_md('the base')}", ""]
    if found is None:
        middle += ["The base could not be graded beside it, so there is nothing to compare with."]
    else:
        middle += [line for it in found.others for line in _against(it, found)]
    if buys and verdict.gates is not GradeOutcome.FAILED:
        middle += ["", "### What the choice buys, and what it costs", ""]
        middle += [f"- {escape_md(sentence(said), 600)}" for said in buys[:MOST_CHOICES]]
    text = "\n".join([*head, *middle, *tail])
    if len(text) > MOST:
        text = "\n".join([*head, "What differs is too long for a comment: see the report.", *tail])
    return text
