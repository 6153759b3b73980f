"""FP-4: one key is one job, and one event; the same file under another key is another job."""

import asyncio
from dataclasses import dataclass, replace
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import failed, inconclusive, passed, refused, taken
from crucible.check import Finding, History, Lab

from .jobs import WITHIN_S, Begun, finish, id_of, new_job, submit, submitting
from .tables import Table
from .told import Seen, Wrong, seen, wrong_end

RETRIES = "retries"
AT_ONCE, SIZE, GROUPS = 4, 120_000, 3


@dataclass(frozen=True, slots=True)
class Twin:
    """The label of the job of the same file under another key, by the label of the first."""

    other: str


async def retries(lab: Lab, rng: Random) -> None:
    await asyncio.gather(*(_group(lab, rng, f"{RETRIES}/{index}", index) for index in range(GROUPS)))


async def _group(lab: Lab, rng: Random, label: str, index: int) -> None:
    file = Table(rng.getrandbits(32), SIZE)
    job, other = new_job(lab, rng, f"{label}/one", file), new_job(lab, rng, f"{label}/two", file)
    note(lab, Twin(other.label), job.label)
    if index == 1:  # what was cut uses no key up
        await lab.transfer(replace(submitting(lab, job, in_turn(lab, index)), cut_at=SIZE // 2))
    await asyncio.gather(*(lab.transfer(submitting(lab, job, in_turn(lab, turn))) for turn in range(AT_ONCE)))
    begun = await submit(lab, job, index)
    if begun is None:
        return
    await finish(lab, begun, WITHIN_S, index)
    await lab.transfer(submitting(lab, job, in_turn(lab, index + 1)))
    another = replace(job, body=Table(rng.getrandbits(32), SIZE), label=f"{label}/another")
    await lab.transfer(submitting(lab, another, in_turn(lab, index)))
    twin = await submit(lab, other, index + 1)
    if twin is not None:
        await finish(lab, twin, WITHIN_S, index)
        await finish(lab, Begun(job, begun.id), 1.0, index + 1)


def judge_retries(history: History) -> Finding:
    found = {it.label: it for it in seen(history, RETRIES)}
    twins = noted(history, Twin)
    asked = sum(taken(op) for it in found.values() for op in it.posts)
    counted = {"submissions that were taken": asked, "keys": len(found)}
    wrong = [words for label, twin in twins.items() for words in _wrong(history, found[label], found[twin.other])]
    if wrong:
        return failed(wrong[0][0], *wrong[0][1], counted=counted)
    both = [label for label, twin in twins.items() if found[label].ids and found[twin.other].ids]
    if len(both) < GROUPS:
        return inconclusive(f"only {len(both)} of {GROUPS} files were taken under both of their keys", counted=counted)
    return passed(f"{asked} submissions under {len(found)} keys were {len(found)} jobs", counted=counted)


def _wrong(history: History, one: Seen, two: Seen) -> list[Wrong]:
    if len(one.ids) > 1:
        return [(f"one key was {len(one.ids)} jobs", tuple(op for op in one.posts if id_of(op)))]
    if one.ids and one.ids & two.ids:
        return [("the same file under another key was the same job", (*one.posts[-1:], *two.posts[-1:]))]
    for it in (one, two):
        if it.posts and refused(it.posts[-1]) and not it.ids and it.posts[-1].status != 409:
            return [(f"a file was refused ({it.posts[-1].status})", it.posts[-1:])]
        if words := wrong_end(it):
            return [words]
    other = history.named(f"{one.label.rsplit('/', 1)[0]}/another/post")
    second = [op for op in other if (own := id_of(op)) is not None and own not in one.ids]
    if second and one.ids:
        return [("a key that had a job was another one's with another file", tuple(second))]
    return []
