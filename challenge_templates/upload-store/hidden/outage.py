"""What still works while a service is away: uploads and downloads, and that no quota is exceeded meanwhile."""

import asyncio
from dataclasses import dataclass
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import taken
from crucible.check import History, Lab
from crucible.evidence import Op

from .files import announcing, new_file, new_user, quota, read, store, told
from .flows import Flow, fates, run_all, settle

OUTAGE, AWAY, SLOTS_AWAY = "outage", "away", "quota-away"
SECONDS = {"quick": 2.0, "full": 8.0}
PER_S, SIZE, STORED = 12, 50_000, 6
SLOTS, ASKED = 2, 8


@dataclass(frozen=True, slots=True)
class Outage:
    """From when to when a service was away, by its name."""

    begin_ns: int
    end_ns: int


async def outage(lab: Lab, rng: Random) -> None:
    for service in lab.services:
        user, label = new_user(rng, OUTAGE), f"{OUTAGE}/{service}"
        files = [new_file(rng, user, SIZE) for _ in range(STORED)]
        ids = await asyncio.gather(*(store(lab, file, f"{label}-before/{i}", i) for i, file in enumerate(files)))
        there = [it for it in ids if it is not None]
        limited = new_user(rng, SLOTS_AWAY)
        await told(lab, quota(in_turn(lab, 0), limited, SLOTS * SIZE, "quota-set"))
        number = int(PER_S * SECONDS[lab.mode])
        flows = [Flow(f"{label}/{index}", new_file(rng, user, SIZE)) for index in range(number)]
        async with lab.fault(service, "refuse"):
            begin_ns = lab.now_ns()
            going = asyncio.gather(
                run_all(lab, flows, 1 / PER_S),
                _reads(lab, there, user, service, number),
                lab.paced([
                    announcing(in_turn(lab, index), new_file(rng, limited, SIZE), f"{SLOTS_AWAY}/{service}")
                    for index in range(ASKED)
                ], 0.1),
            )  # fmt: skip
            try:
                await lab.sleep(SECONDS[lab.mode] + 0.5)
            except asyncio.CancelledError:
                going.cancel()
                raise
            end_ns = lab.now_ns()
        made, _, _ = await going
        note(lab, Outage(begin_ns, end_ns), service)
        await lab.sleep(0.5)
        await settle(lab, made)


async def _reads(lab: Lab, there: list[str], user: str, service: str, number: int) -> None:
    async def later(index: int) -> None:
        await lab.sleep(index / PER_S)
        await read(lab, in_turn(lab, index), there[index % len(there)], user, f"{AWAY}/{service}/{index}", timeout_s=5)

    if there:
        await asyncio.gather(*(later(index) for index in range(number)))


def availability(history: History) -> dict[str, float]:
    """By service: of uploads and downloads that were begun while it was away, the share that came through."""
    shares: dict[str, float] = {}
    for service, it in noted(history, Outage).items():
        uploads = [fate.acknowledged for fate in fates(history, f"{OUTAGE}/{service}")]
        labels = {"/".join(op.name.split("/")[:3]) for op in history.named(f"{AWAY}/{service}")}
        asked = [ops for label in labels if (ops := history.named(label))[0].sent_ns <= it.end_ns]
        reads = [any(op.status == 200 for op in ops) for ops in asked]
        tried = int(PER_S * (it.end_ns - it.begin_ns) / 1e9)
        if reads and tried:
            shares[service] = (min(1.0, sum(uploads) / tried) + sum(reads) / len(reads)) / 2
    return shares


def too_many(history: History) -> list[tuple[str, tuple[Op, ...]]]:
    """Quotas that were exceeded while a service was away."""
    wrong = []
    for service in noted(history, Outage):
        got = tuple(filter(taken, history.named(f"{SLOTS_AWAY}/{service}")))
        if len(got) > SLOTS:
            wrong.append((f"while {service} was away, {len(got)} uploads got one of {SLOTS} slots of a quota", got))
    return wrong
