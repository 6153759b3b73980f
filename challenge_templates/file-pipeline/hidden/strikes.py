"""FP-6: processes are killed, stopped and told to end, services crash, are away and drop connections, all in the middle
of uploads and of work."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note
from crucible.check import Lab, NotCausedError

from .ends import KILLS, STRIKES, Away, Wave
from .jobs import (
    OVER,
    WITHIN_S,
    Begun,
    Job,
    finish,
    heard,
    look,
    new_job,
    progress_of,
    read,
    state_of,
    submit,
    submitting,
)
from .tables import Table

SIZE = {"quick": 5_000_000, "full": 20_000_000}
POINTS = {"quick": (0.1, 0.5), "full": (0.1, 0.5, 0.9)}
SMALL, SMALLS = 30_000, 3
UPLOADED, UPLOADS, UPLOAD_S = 2_000_000, 3, 0.8
"""Files that are being sent when something is struck, and for how long each is sent."""
MOMENT_S, SOON_S = 8.0, 0.02
PAUSED_S, AWAY_S = {"quick": 10.0, "full": 35.0}, {"quick": 2.4, "full": 8.0}
"""For how long a worker is stopped at most, and a service away."""
DURING, AT_ONCE = 6, 8
FAR_MS, FARS = 40, 12
AGAIN_S, LOOKS_S, CHUNK_S = 1.0, 0.25, 5.0
ENDED = 2
"""Workers that are told to end in the middle of a file."""
Strike = Callable[[], Awaitable[None]]


class Going:
    """Jobs that are on their way, each looked at until it is over."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._tasks: list[asyncio.Task[None]] = []
        self._begun: list[Begun] = []
        self._healed_ns = lab.now_ns()

    def struck(self, wave: Wave, label: str) -> None:
        """That a failure is over."""
        note(self._lab, wave, label)
        self._healed_ns = self._lab.now_ns()

    def add(self, *works: Coroutine[None, None, None]) -> list[asyncio.Task[None]]:
        new = [asyncio.create_task(work) for work in works]
        self._tasks += new
        return new

    async def through(self, job: Job, index: int) -> None:
        """From its submission to its end."""
        begun = await submit(self._lab, job, index, tries=10)
        if begun is not None:
            await self._to_its_end(begun, index)

    async def begin(self, job: Job, index: int) -> None:
        """Until it is accepted; its end is looked for meanwhile."""
        begun = await submit(self._lab, job, index, tries=10)
        if begun is not None:
            self.add(self._to_its_end(begun, index))

    async def follow(self, sending: "asyncio.Task[Begun | None]") -> None:
        """From where somebody submits it."""
        begun = await sending
        if begun is not None:
            await self._to_its_end(begun, 0)

    async def _to_its_end(self, begun: Begun, index: int) -> None:
        """The promised time is reckoned from the last failure on, which may come later."""
        self._begun.append(begun)
        while not (over := await finish(self._lab, begun, CHUNK_S, index, LOOKS_S)):
            if self._lab.now_ns() > self._healed_ns + WITHIN_S * 1e9:
                break
        if over:
            await heard(self._lab, begun, WITHIN_S)

    async def over(self) -> None:
        """Of those that were added so far."""
        while any(not task.done() for task in self._tasks):
            await asyncio.gather(*self._tasks)
        for task in self._tasks:
            task.result()

    async def over_for_good(self) -> None:
        """And look once more: what is over stays as it is."""
        await self.over()
        await self._lab.sleep(AGAIN_S)
        for start in range(0, len(self._begun), AT_ONCE):
            await asyncio.gather(*(
                self._again(begun, index) for index, begun in enumerate(self._begun[start : start + AT_ONCE])
            ))  # fmt: skip
        self._begun.clear()

    async def _again(self, begun: Begun, index: int) -> None:
        if state_of(await look(self._lab, begun, index)) == "done":
            await read(self._lab, begun, index)

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


async def kills(lab: Lab, rng: Random) -> None:
    """Workers, where there are any: each large file is struck at one point of it, and others wait meanwhile."""
    workers = [name for name in lab.instances if name not in lab.replicas]
    victims = tuple(workers) or (lab.replicas[0],)
    going = Going(lab)
    try:
        for point in POINTS[lab.mode]:
            label = f"{KILLS}/at-{100 * point:.0f}"
            await _killed_at(lab, rng, label, point, victims, going)
        await _killed_when_sent(lab, rng, f"{KILLS}/sent", going)
        await going.over()  # no job is to be struck by more than it must survive
        if workers:
            await _zombie(lab, rng, f"{KILLS}/paused", workers[0], going)
        await _ended_in_turn(lab, rng, f"{KILLS}/ended", workers, going)
        await going.over_for_good()
    finally:
        going.cancel()


def _small(lab: Lab, rng: Random, label: str) -> list[Job]:
    return [new_job(lab, rng, f"{label}/small-{i}", Table(rng.getrandbits(32), SMALL)) for i in range(SMALLS)]


async def _killed_at(lab: Lab, rng: Random, label: str, point: float, victims: tuple[str, ...], going: Going) -> None:
    large = new_job(lab, rng, f"{label}/large", Table(rng.getrandbits(32), SIZE[lab.mode]))
    before = await lab.received()
    sending = asyncio.create_task(submit(lab, large, 0))
    going.add(going.follow(sending))
    going.add(*(going.through(job, index) for index, job in enumerate(_small(lab, rng, label))))
    await _until_done_so_far(lab, sending, point, SIZE[lab.mode], victims, before)
    await lab.kill(*victims)
    await lab.start(*victims)
    going.struck(Wave(f"{_names(victims)} killed when {100 * point:.0f} % of a file was done"), label)


def _names(victims: tuple[str, ...]) -> str:
    return f"{victims[0]} was" if len(victims) == 1 else "all workers were"


async def _until_done_so_far(
    lab: Lab, sending: "asyncio.Task[Begun | None]", point: float, size: int, victims: tuple[str, ...],
    before: dict[str, int],
) -> None:  # fmt: skip
    """By what the job says, or by what a worker has been sent; or it is over, or takes too long."""
    begun_ns, in_request = lab.now_ns(), victims[0] in lab.replicas
    while (spent_s := (lab.now_ns() - begun_ns) / 1e9) < MOMENT_S:
        now = await lab.received()
        if not in_request and any(now[it] - before[it] >= point * size for it in victims):
            return
        if sending.done():
            begun = sending.result()
            if begun is None:
                return
            op = await look(lab, begun, 0)
            if state_of(op) in OVER or progress_of(op) >= point:
                return
        elif in_request and spent_s > point:
            return  # it works while it is being sent
        await lab.sleep(0.02)


async def _killed_when_sent(lab: Lab, rng: Random, label: str, going: Going) -> None:
    """Everything, as soon as files have been accepted."""
    jobs = [new_job(lab, rng, f"{label}/{i}", Table(rng.getrandbits(32), SIZE[lab.mode])) for i in range(3)]
    sending = [asyncio.create_task(submit(lab, job, index)) for index, job in enumerate(jobs)]
    going.add(*map(going.follow, sending))
    await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED, timeout=MOMENT_S)
    await lab.sleep(SOON_S)
    await lab.kill(*lab.instances)
    await lab.start(*lab.instances)
    going.struck(Wave("every process was killed as a file had been accepted"), label)


async def _zombie(lab: Lab, rng: Random, label: str, worker: str, going: Going) -> None:
    """One worker sleeps until others have done its work, or past any lease, and wakes up."""
    jobs = [new_job(lab, rng, f"{label}/{i}", Table(rng.getrandbits(32), SIZE[lab.mode])) for i in range(3)]
    before = await lab.received()
    sending = [asyncio.create_task(submit(lab, job, index)) for index, job in enumerate(jobs)]
    ended = going.add(*map(going.follow, sending))
    await _holder(lab, [worker], before, SIZE[lab.mode] // 5, ended)
    begun_ns = lab.now_ns()
    async with lab.paused(worker):
        await asyncio.wait(ended, timeout=PAUSED_S[lab.mode])
    stopped_s = (lab.now_ns() - begun_ns) / 1e9
    going.struck(Wave(f"{worker} was stopped for {stopped_s:.0f} s and went on"), label)


async def _ended_in_turn(lab: Lab, rng: Random, label: str, workers: Sequence[str], going: Going) -> None:
    """As a deployment does it: one replica after the other, and workers in the middle of a file."""
    for index, name in enumerate(lab.replicas):
        jobs = [new_job(lab, rng, f"{label}/{index}-{i}", Table(rng.getrandbits(32), UPLOADED)) for i in range(2)]
        going.add(*(going.through(job, i) for i, job in enumerate(jobs)))
        await lab.sleep(0.2)
        await lab.terminate(name)
        await lab.start(name)
    await going.over()
    for index in range(ENDED if workers else 0):
        size, before = 3 * SIZE[lab.mode], await lab.received()
        job = new_job(lab, rng, f"{label}/worker-{index}", Table(rng.getrandbits(32), size))
        ended = going.add(going.through(job, index))
        holder = await _holder(lab, workers, before, size // 5, ended)
        if holder is not None:
            await lab.terminate(holder)
            await lab.start(holder)
    going.struck(Wave("one process after the other was told to end"), label)


async def _holder(
    lab: Lab, workers: Sequence[str], before: dict[str, int], size: int, ended: "list[asyncio.Task[None]]"
) -> str | None:
    """The worker that has been sent so much since then, as soon as there is one."""
    end_ns = lab.now_ns() + MOMENT_S * 1e9
    while lab.now_ns() < end_ns and not all(task.done() for task in ended):
        now = await lab.received()
        if (it := next((it for it in workers if now[it] - before[it] >= size), None)) is not None:
            return it
        await lab.sleep(0.02)
    return None


async def strikes(lab: Lab, rng: Random) -> None:
    going = Going(lab)
    try:
        for service in lab.services:
            for what, said, strike in (
                ("reset", f"all connections to {service} were reset", lab.reset),
                ("crash", f"{service} crashed", lab.crash),
            ):
                await _wave(lab, rng, f"{STRIKES}/{what}-{service}", said, partial(strike, service), going)
            await _away(lab, rng, service, going)
            await _far(lab, rng, service, going)
        await going.over_for_good()
    finally:
        going.cancel()


async def _wave(lab: Lab, rng: Random, label: str, what: str, strike: Strike, going: Going) -> None:
    """In the middle of uploads, and a moment after something was accepted."""
    _uploads(lab, rng, label, going)
    await lab.sleep(UPLOAD_S / 2)
    sending = [asyncio.create_task(submit(lab, job, index)) for index, job in enumerate(_small(lab, rng, label))]
    going.add(*map(going.follow, sending))
    await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED, timeout=MOMENT_S)
    await lab.sleep(SOON_S)
    going.struck(Wave(what, await _caused(strike)), label)


async def _far(lab: Lab, rng: Random, service: str, going: Going) -> None:
    """One service is further away than the others: what is done there first is seen there last."""
    label = f"{STRIKES}/far-{service}"
    async with lab.slow(FAR_MS, service):
        jobs = [new_job(lab, rng, f"{label}/{i}", Table(rng.getrandbits(32), SMALL // 10)) for i in range(FARS)]
        for start in range(0, FARS, 2):
            await asyncio.gather(*(going.begin(job, index) for index, job in enumerate(jobs[start : start + 2])))
    going.struck(Wave(f"{service} was {FAR_MS} ms away"), label)


async def _away(lab: Lab, rng: Random, service: str, going: Going) -> None:
    """A service is away for a while; what is sent meanwhile is sent again until it is taken."""
    label = f"{STRIKES}/away-{service}"
    _uploads(lab, rng, label, going)
    await lab.sleep(UPLOAD_S / 2)
    gap_s = AWAY_S[lab.mode] / (DURING + 1)
    async with lab.fault(service, "refuse"):
        for index in range(DURING):
            job = new_job(lab, rng, f"{label}/{index}/during", Table(rng.getrandbits(32), SMALL))
            going.add(going.through(job, index))
            await lab.sleep(gap_s)
    note(lab, Away(DURING), service)
    going.struck(Wave(f"{service} was away for {AWAY_S[lab.mode]:g} s"), label)


def _uploads(lab: Lab, rng: Random, label: str, going: Going) -> None:
    """Files that are sent slowly enough to be met."""
    for index in range(UPLOADS):
        job = new_job(lab, rng, f"{label}/upload-{index}", Table(rng.getrandbits(32), UPLOADED))
        going.add(_slowly(lab, job, index, going))


async def _caused(strike: Strike) -> str:
    """Why it could not be; empty where it was."""
    try:
        await strike()
    except NotCausedError as error:
        return str(error)
    return ""


async def _slowly(lab: Lab, job: Job, index: int, going: Going) -> None:
    first = submitting(lab, job, in_turn(lab, index))
    await lab.transfer(replace(first, sends_per_s=int(UPLOADED / UPLOAD_S)))
    await going.through(job, index)
