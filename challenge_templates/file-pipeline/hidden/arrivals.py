"""How long small jobs take from their submission to done, where nothing else is asked for."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note, noted
from crucible.check import History, Lab, Measure

from .jobs import STATE, WITHIN_S, Job, getting, new_job, state_of, submit
from .tables import Table

ARRIVALS = "arrivals"
SIZE, PER_S = 100_000, 5
SECONDS = {"quick": 5, "full": 20}
LOOKS_S, FEWEST = 0.02, 20


@dataclass(frozen=True, slots=True)
class Took:
    """From the first byte that was sent to the first answer that said done, in ms."""

    ms: float


async def arrivals(lab: Lab, rng: Random) -> None:
    files = [Table(rng.getrandbits(32), SIZE) for _ in range(PER_S * SECONDS[lab.mode])]
    jobs = [new_job(lab, rng, f"{ARRIVALS}/{index}", file) for index, file in enumerate(files)]
    await asyncio.gather(*(_one(lab, job, index) for index, job in enumerate(jobs)))


async def _one(lab: Lab, job: Job, index: int) -> None:
    await lab.sleep(index / PER_S)
    begun_ns = lab.now_ns()
    begun = await submit(lab, job, index, tries=1)
    end_ns = begun_ns + WITHIN_S * 1e9
    while begun is not None and lab.now_ns() < end_ns:
        op = await lab.call(getting(in_turn(lab, index), begun, STATE))
        if state_of(op) == "done":
            note(lab, Took((op.received_ns - begun_ns) / 1e6), f"{index}")
            return
        await lab.sleep(LOOKS_S)


def times(history: History) -> list[Measure]:
    """The axes of it; what never was done took longer than any other."""
    took = sorted(it.ms for it in noted(history, Took).values())
    asked = len([name for name in history.facts if name.startswith(f"Meant/{ARRIVALS}/")])
    if len(took) < FEWEST:
        return []
    found = []
    for axis, share in (("done_p50_ms", 0.5), ("done_p95_ms", 0.95)):
        at = int(share * (asked - 1))
        value = took[min(at, len(took) - 1)]
        low, high = took[max(0, min(at, len(took) - 1) - 2)], took[min(at + 2, len(took) - 1)]
        found.append(Measure(axis, value, low, high, len(took), beyond=at >= len(took)))
    return found
