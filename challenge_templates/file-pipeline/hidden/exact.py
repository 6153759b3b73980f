"""FP-1: files that readers get wrong, what lies across the ends of chunks, and the files of other scenarios."""

from dataclasses import replace
from random import Random

from crucible.authoring import deaths
from crucible.authoring.asking import in_turn
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Finding, History, Lab

from . import corpus
from .jobs import WITHIN_S, new_job, run, run_all, submitting
from .tables import Sample, Table
from .told import ended_well, seen, wrong_end

EXACT, CHUNKS, DRIBBLED = "exact", "chunks", "dribbled"
AT_ONCE = 6
FEWEST = 40
SHIFTS = {"quick": 1, "full": 3}
DRIBBLES_PER_S, DRIBBLE = 20_000, 90_000


async def exact(lab: Lab, rng: Random) -> None:
    """Every file of the corpus that is well formed."""
    names = [name for name in corpus.small() if Sample(name).certain and Sample(name).expected() is not None]
    rng.shuffle(names)
    jobs = [new_job(lab, rng, f"{EXACT}/{name.replace('/', '-')}", Sample(name)) for name in names]
    await run_all(lab, jobs, WITHIN_S, AT_ONCE)


async def chunks(lab: Lab, rng: Random) -> None:
    """What is more than one byte, across every end of a chunk that is likely; the largest of them once."""
    what = list(corpus.STRADDLING)
    rng.shuffle(what)
    samples = []
    for index, name in enumerate(what):
        wide = len(corpus.STRADDLING[name][1].encode())
        for turn in range(SHIFTS[lab.mode]):
            boundaries = corpus.BOUNDARIES[: 6 if index == 0 else 4 if index == 1 or lab.mode == "full" else 3]
            samples.append(Sample(name, -1 - (rng.randrange(wide) + turn) % wide, boundaries))
    jobs = [new_job(lab, rng, f"{CHUNKS}/{index}", sample) for index, sample in enumerate(samples)]
    await run_all(lab, jobs, WITHIN_S, at_once=2)


async def dribbled(lab: Lab, rng: Random) -> None:
    """Sent at 20 KB/s, while others look for work; and one whose first client went away."""
    slow = new_job(lab, rng, f"{DRIBBLED}/slow", Table(rng.getrandbits(32), DRIBBLE))
    target = in_turn(lab, 0)
    await lab.transfer(replace(submitting(lab, slow, target), sends_per_s=DRIBBLES_PER_S))
    again = new_job(lab, rng, f"{DRIBBLED}/again", Table(rng.getrandbits(32), 500_000))
    await lab.transfer(replace(submitting(lab, again, target), cut_at=300_000))
    for index, job in enumerate((slow, again)):
        await run(lab, job, WITHIN_S, index)


def judge_exact(history: History) -> Finding:
    found = seen(history, "contact", EXACT, CHUNKS, DRIBBLED, "watched", "heavy", "strikes", "kills")
    right = [it for it in found if it.meant.expected is not None and ended_well(it)]
    counted = {"files": len(found), "right results": len(right)}
    wrong = [(it, words) for it in found if it.meant.expected is not None and (words := wrong_end(it))]
    if wrong:
        what = "; ".join(dict.fromkeys(f"of the file `{it.label}`, {words[0]}" for it, words in wrong[:2]))
        return failed(what, *(op for _, words in wrong[:1] for op in words[1]), counted=counted)
    chunked = sum(it.label.startswith(CHUNKS) for it in right)
    small = sum(it.label.startswith(EXACT) for it in right)
    if small < FEWEST or chunked < len(corpus.STRADDLING):
        what = f"only {small} small files and {chunked} of {len(corpus.STRADDLING)} across chunks came to an end"
        return inconclusive(deaths.first_of_all(history, what), counted=counted)
    return passed(f"the results of all {len(right)} good files are right", counted=counted)
