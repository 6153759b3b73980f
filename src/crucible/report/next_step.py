"""The one thing to do after a grade. Strings here are still unescaped."""

from crucible.judging.graded import Graded
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import GradeOutcome
from crucible.report import model

MOST_PROFILES = 8


def next_step(graded: Graded) -> tuple[str, ...]:
    """What to look at first, and the command that shows whether it helped; after a pass, what to try for."""
    verdict = graded.verdict
    if verdict.outcome is GradeOutcome.ERROR:
        return ("tell whoever made the challenge, with the folder of the results",)
    explained = model.details(verdict)
    if verdict.gates is not GradeOutcome.PASSED and explained:
        first = explained[0]
        return (f"{first.name.split()[0]}: {first.promise} {first.question}", first.again)
    if advice := [said.advice for said in model.printed(graded.evidence) if said.advice]:
        return (advice[0], model.replay(verdict))
    if verdict.fit is None or verdict.gates is not GradeOutcome.PASSED:
        return ("read the logs, in the folder of the results", model.replay(verdict))
    if not verdict.profile_chosen:
        names = ", ".join(profile.id for profile in graded.manifest.profiles[:MOST_PROFILES])
        return (f"choose whom it is for, with `profile` in crucible.yaml: {names}",)
    if verdict.fit.result is Judgement.DOES_NOT:
        return ("change what excludes it, or choose whom it is right for: every profile asks for something else",)
    if verdict.fit.result is Judgement.INCONCLUSIVE:
        return ("once more, on a machine that does nothing else", model.replay(verdict))
    if not verdict.predictions:
        return ("before the next change, write what you expect of it under `predictions` in crucible.yaml",)
    return ("try the opposed design, and compare: crucible compare . --with-references",)
