"""FP-13: a file on which worker after worker is killed is given up, and what waits behind it is done."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from crucible.authoring import deaths
from crucible.authoring.facts import fact, note
from crucible.authoring.outcomes import failed, inconclusive, not_run, passed, taken
from crucible.check import Finding, History, Lab

from .jobs import OVER, WITHIN_S, Begun, delete, finish, look, new_job, progress_of, state_of, submit
from .tables import Table
from .told import seen, wrong_end

KILLER, BEHIND = "killer", "behind-killer"
SIZE, SMALL, SMALLS = 8_000_000, 2_000, 10
MOST_KILLS, CLAIMED = 5, 0.1
LOOK_S, GREW = 0.03, 0.02


@dataclass(frozen=True, slots=True)
class Killed:
    """How often a worker was killed that had claimed it, and how far the job said to be each time."""

    progress: list[float]
    claims: int
    """That were seen: one more, where it was claimed again after the last kill."""
    workers: int
    ended: str
    """The state that it ended in; empty where it did not."""
    waited_s: float


async def killer(lab: Lab, rng: Random) -> None:
    workers = tuple(name for name in lab.instances if name not in lab.replicas)
    if not workers:
        note(lab, Killed([], 0, 0, "", 0.0))
        return
    begun = await submit(lab, new_job(lab, rng, KILLER, Table(rng.getrandbits(32), SIZE)))
    if begun is None:
        return
    going = asyncio.gather(*(_behind(lab, rng, index) for index in range(SMALLS)))
    try:
        await _hunt(lab, begun, workers)
        await going
        await delete(lab, begun)
        await look(lab, begun, 1)
    finally:
        going.cancel()


async def _behind(lab: Lab, rng: Random, index: int) -> None:
    await lab.sleep(0.2)
    job = new_job(lab, rng, f"{BEHIND}/{index}", Table(rng.getrandbits(32), SMALL))
    begun = await submit(lab, job, index)
    if begun is not None:
        await finish(lab, begun, 4 * WITHIN_S, index, 0.5)


async def _hunt(lab: Lab, begun: Begun, workers: Sequence[str]) -> None:
    """Kill whoever has a tenth of it, and look how it ends when that was five times."""
    begun_ns, progress, claims, ended = lab.now_ns(), list[float](), 0, ""
    base = await lab.received()
    looked_ns = 0
    while (lab.now_ns() - begun_ns) / 1e9 < 3 * WITHIN_S and not ended and claims <= MOST_KILLS:
        now = await lab.received()
        holder = next((it for it in workers if now[it] - base[it] >= CLAIMED * SIZE), None)
        if holder is not None:
            claims += 1
            if claims <= MOST_KILLS:
                await lab.kill(holder)
                await lab.start(holder)
                progress.append(progress_of(await look(lab, begun, claims)))
                base = await lab.received()
        elif lab.now_ns() - looked_ns > 500_000_000:
            op = await look(lab, begun, claims)
            looked_ns, ended = lab.now_ns(), state_of(op) if state_of(op) in OVER else ""
        await lab.sleep(LOOK_S)
    if not ended and claims > MOST_KILLS:
        ended = await finish(lab, begun, WITHIN_S, 0, 0.3)
    note(lab, Killed(progress, claims, len(workers), ended, (lab.now_ns() - begun_ns) / 1e9))


def judge_killer(history: History) -> Finding:
    killed = fact(history, Killed)
    found = next(iter(seen(history, KILLER)), None)
    if killed is None or found is None:
        if killed is not None and not killed.workers:
            return not_run("the design has no workers that could claim a file")
        return inconclusive("the file could not be sent")
    kills = min(killed.claims, MOST_KILLS)
    behind = seen(history, BEHIND)
    counted = {"workers that were killed": kills, "jobs behind it": len(behind)}
    if not killed.claims:
        return not_run("no worker was seen to have claimed the file", counted=counted)
    further = any(b > a + GREW for a, b in zip(killed.progress, killed.progress[1:], strict=False))
    if wrong := wrong_end(found):
        if found.over is None or state_of(found.over) != "failed":
            return failed(wrong[0], *wrong[1], counted=counted)
        if kills <= 2:
            return failed(f"after {kills} of its workers had been killed, {wrong[0]}", *wrong[1], counted=counted)
    elif kills == MOST_KILLS and not further:
        again = ", and a worker then had it again" if killed.claims > MOST_KILLS else ""
        if killed.ended == "done" or killed.claims > MOST_KILLS:
            what = f"{kills} workers were killed that had a file in hand, none further than the ones before{again}"
            return failed(what, *found.states[-2:], counted=counted)
    held = [it for it in behind if it.accepted and it.over is None and it.states]
    if held:
        what = f"{len(held)} of {len(behind)} jobs behind a file whose workers were killed did not end"
        return failed(what, held[0].posts[-1], held[0].states[-1], counted=counted)
    undeleted = [op for op in found.deletes if op.status is not None and op.status < 500 and not taken(op)]
    if undeleted and undeleted[-1].status != 404:
        return failed(f"DELETE of the job was answered {undeleted[-1].status}", *undeleted[-1:], counted=counted)
    if killed.ended != "failed" and not (killed.ended == "done" and (further or kills < MOST_KILLS)):
        what = f"after {killed.waited_s:.0f} s, and {kills} workers that were killed, it was not over"
        if kills == MOST_KILLS and not further and not deaths.of(history) and killed.waited_s >= 3 * WITHIN_S - 1:
            return failed(what, *found.states[-2:], counted=counted)
        return inconclusive(deaths.first_of_all(history, what), counted=counted)
    return passed(
        f"the file was {killed.ended} after {kills} workers that had it were killed, and the {len(behind)} jobs behind "
        "it ended", counted=counted,
    )  # fmt: skip
