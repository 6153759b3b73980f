"""UP-4 and UP-11: what was completed is kept, whatever ends, crashes or sweeps meanwhile; and the bytes really are."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from random import Random

from crucible.authoring import deaths
from crucible.authoring.asking import in_turn
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, taken
from crucible.check import Finding, History, Lab, Measure, NotCausedError
from crucible.evidence import Op

from .contents import expectation
from .expected import Bytes, Told, compared
from .files import (
    TTL_S,
    File,
    Range,
    announce,
    complete,
    new_file,
    new_user,
    read,
    read_until_known,
    sending,
    sent,
    store,
)
from .flows import Fate, Flow, Made, fates, finish, hold, run_all, settle
from .outage import OUTAGE, Outage, availability

PATIENCE, STRIKES, LATER = "patience", "strikes", "later"
PATIENT, SIZE = 3, 150_000
DRIBBLED, DRIBBLES_PER_S = 120_000, 20_000
AFTER_S = 4.0
"""After the end of the upload's time: a sweep that takes what it should not has come by then."""
FLOWS = {"quick": 36, "full": 100}
GAP_S, STRIKE_AFTER, WIDE_MS, DOWN_S = 0.04, 0.5, 8, 0.5
LARGE, SMALL = 400_000, 60_000
HELD = {"quick": 24, "full": 60}
"""Uploads of which nothing but `complete` is left when the strike comes."""
ANSWERED_FIRST, MOST_WAITED_NS = 5, 1_500_000_000


@dataclass(frozen=True, slots=True)
class Struck:
    """What was done while uploads went on, by the label of the strike."""

    what: str
    not_caused: str = ""


async def patience(lab: Lab, rng: Random) -> None:
    """Who takes his time between bytes and `complete`, and looks again when the upload's time is over."""
    user, ttl_s = new_user(rng, PATIENCE), TTL_S[lab.mode]
    early = [new_file(rng, user, SIZE) for _ in range(PATIENT)]
    late = [new_file(rng, user, SIZE) for _ in range(PATIENT)]
    kept = [new_file(rng, user, SIZE + 7 * index) for index in range(PATIENT)]
    begun_ns, dribbled = lab.now_ns(), new_file(rng, user, DRIBBLED)
    found = await asyncio.gather(
        *(_slowly(lab, file, f"{PATIENCE}/early-{index}", index, 0.0, 0.5 * ttl_s) for index, file in enumerate(early)),
        *(_slowly(lab, file, f"{PATIENCE}/late-{index}", index, 0.5 * ttl_s, 0.8 * ttl_s)
          for index, file in enumerate(late)),
        *(store(lab, file, f"{LATER}/{index}", index) for index, file in enumerate(kept)),
        _dribble(lab, dribbled),
    )  # fmt: skip
    await lab.sleep(max(0.0, ttl_s + AFTER_S - (lab.now_ns() - begun_ns) / 1e9))
    for index, (file, stored) in enumerate(zip([*early, *late], found[: 2 * PATIENT], strict=True)):
        if stored is not None:
            label = f"{PATIENCE}/{index}/read"
            note(lab, Bytes("a file that was completed in time", 200, file.content.sha256(), SIZE), label)
            await read_until_known(lab, stored, user, label, index)
    if found[-1] is not None:
        label = f"{PATIENCE}/dribbled/read"
        note(lab, Bytes("a file that was sent at 20 KB/s", 200, dribbled.content.sha256(), DRIBBLED), label)
        await read_until_known(lab, found[-1], user, label)
    for index, (file, stored) in enumerate(zip(kept, found[2 * PATIENT : -1], strict=True)):
        if stored is not None:
            await _some_of(lab, rng, file, stored, f"{LATER}/{index}")


async def _slowly(lab: Lab, file: File, label: str, turn: int, put_s: float, complete_s: float) -> str | None:
    """Announce now, send then, and complete then: seconds from the first."""
    upload = await announce(lab, file, label, turn)
    if upload is None:
        return None
    await lab.sleep(put_s)
    if not taken(await sent(lab, sending(in_turn(lab, turn), upload.put, file.content, f"{label}/put"))):
        return None
    await lab.sleep(complete_s - put_s)
    note(lab, Told("`complete`, asked well before the upload's time was over,", [200, 201]), f"{label}/complete")
    done = await complete(lab, upload.file, file.user, label, turn + 1)
    return upload.file if taken(done) else None


async def _dribble(lab: Lab, file: File) -> str | None:
    """As slowly as a client may be."""
    label = f"{PATIENCE}/dribbled"
    upload = await announce(lab, file, label)
    if upload is None:
        return None
    note(lab, Told("a put at 20 KB/s", [200, 201, 202, 204]), f"{label}/put")
    put = sending(in_turn(lab, 0), upload.put, file.content, f"{label}/put")
    if not taken(await lab.transfer(replace(put, sends_per_s=DRIBBLES_PER_S))):
        return None
    return upload.file if taken(await complete(lab, upload.file, file.user, label, 1)) else None


async def _some_of(lab: Lab, rng: Random, file: File, stored: str, label: str) -> None:
    """A range that nobody could have foreseen, on each replica."""
    for target in lab.replicas:
        start = rng.randrange(file.content.size - 1)
        end = rng.randrange(start + 1, file.content.size + 1)
        wanted = Range(f"bytes={start}-{end - 1}", start, end)
        note(lab, expectation(file.content, "a range of a file, asked for later,", wanted), f"{label}/{target}")
        await read(lab, target, stored, file.user, f"{label}/{target}", wanted=wanted)


async def strikes(lab: Lab, rng: Random) -> None:
    """Uploads, half of them of new versions, while processes and services are ended in the middle of them."""
    await _strike(lab, rng, "kill", "every process was killed")
    for service in lab.services:
        await _strike(lab, rng, f"crash-{service}", f"{service} crashed")
    await _strike(lab, rng, "terminate", "a process was told to end")
    await _stalled_strike(lab, rng)


async def _strike(lab: Lab, rng: Random, slug: str, what: str) -> None:
    """While uploads go on, many that lack nothing else are completed at once, and in the middle of that it comes."""
    label, user = f"{STRIKES}/{slug}", new_user(rng, STRIKES)
    number = FLOWS[lab.mode]
    flows = await _flows(lab, rng, label, user, number + HELD[lab.mode])
    waiting = await _held(lab, flows[number:])
    async with lab.slow(WIDE_MS):
        going = asyncio.create_task(run_all(lab, flows[:number], GAP_S))
        finishing: list[asyncio.Task[Made]] = []
        try:
            await lab.sleep(STRIKE_AFTER * GAP_S * number)
            finishing = _finishing(lab, waiting)
            await _until_some_are(lab, finishing)
            note(lab, Struck(what, await _do(lab, slug)), label)
            made = [*await going, *await asyncio.gather(*finishing)]
        finally:
            for task in (going, *finishing):
                task.cancel()
    await settle(lab, made)


async def _stalled_strike(lab: Lab, rng: Random) -> None:
    """Uploads are completed while nothing reaches the services; who has answered all the same, or waits, is killed."""
    label = f"{STRIKES}/stalled"
    waiting = await _held(lab, await _flows(lab, rng, label, new_user(rng, STRIKES), HELD[lab.mode]))
    finishing: list[asyncio.Task[Made]] = []
    try:
        async with AsyncExitStack() as stalled:
            for service in lab.services:
                await stalled.enter_async_context(lab.fault(service, "drop"))
            finishing = _finishing(lab, waiting)
            await _until_some_are(lab, finishing)
            await lab.kill(*lab.instances)
        await lab.start(*lab.instances)
        note(lab, Struck("nothing reached the services, and then every process was killed"), label)
        made = await asyncio.gather(*finishing)
    finally:
        for task in finishing:
            task.cancel()
    await settle(lab, made)


async def _held(lab: Lab, flows: list[Flow]) -> list[Made]:
    """Those of which nothing but `complete` is left."""
    held = await asyncio.gather(*(hold(lab, flow, index) for index, flow in enumerate(flows)))
    return [made for made in held if made is not None and made.sent]


def _finishing(lab: Lab, waiting: list[Made]) -> list[asyncio.Task[Made]]:
    return [asyncio.create_task(finish(lab, made, index)) for index, made in enumerate(waiting)]


async def _flows(lab: Lab, rng: Random, label: str, user: str, number: int) -> list[Flow]:
    """Every other one replaces a file that is stored now."""
    old = [new_file(rng, user, SMALL) for _ in range(number // 2)]
    ids = await asyncio.gather(*(store(lab, file, f"{label}-old/{index}", index) for index, file in enumerate(old)))
    there = [(file, stored) for file, stored in zip(old, ids, strict=True) if stored is not None]
    flows = [Flow(f"{label}/{index}", new_file(rng, user, rng.choice((SMALL, LARGE)))) for index in range(number // 2)]
    flows += [
        Flow(f"{label}/{number // 2 + index}", new_file(rng, user, rng.choice((SMALL, LARGE))), stored, file)
        for index, (file, stored) in enumerate(there)
    ]
    rng.shuffle(flows)
    return flows


async def _until_some_are(lab: Lab, finishing: list[asyncio.Task[Made]]) -> None:
    """A few have been answered, so that the others are being done; or they take long."""
    end_ns = lab.now_ns() + MOST_WAITED_NS
    while sum(task.done() for task in finishing) < ANSWERED_FIRST and lab.now_ns() < end_ns:
        await lab.sleep(0.002)


async def _do(lab: Lab, slug: str) -> str:
    """Why it could not be caused; empty where it was."""
    try:
        if slug == "kill":
            await lab.kill(*lab.instances)
            await lab.start(*lab.instances)
        elif slug == "terminate":
            await lab.terminate(lab.replicas[0])
            await lab.start(lab.replicas[0])
        else:
            await lab.crash(slug.removeprefix("crash-"), DOWN_S)
    except NotCausedError as error:
        return str(error)
    return ""


def judge_kept(history: History) -> Finding:
    struck = noted(history, Struck)
    found = {label: fates(history, label) for label in struck} | {
        f"{OUTAGE}/{service}": fates(history, f"{OUTAGE}/{service}") for service in noted(history, Outage)
    }
    patient = compared(history, PATIENCE)
    acknowledged = {label: sum(it.acknowledged for it in own) for label, own in found.items()}
    lost = {label: [it for it in own if it.lost] for label, own in found.items()}
    still_open = sum(it.open for own in found.values() for it in own) + patient.open
    counted: dict[str, float] = {"uploads that were acknowledged": sum(acknowledged.values()),
                                 "slow uploads": patient.right}  # fmt: skip
    working = availability(history)
    counted |= {f"share that worked without {service}": share for service, share in working.items()}
    measures = _measures(acknowledged, lost)
    if working and len(working) == len(history.services):
        measures.append(exactly("available_outage_ratio", min(working.values()), len(history.named(OUTAGE))))
    wrong: list[tuple[str, tuple[Op, ...]]] = [(what, (op,)) for what, op in patient.wrong]
    wrong += [(_said(label, struck, own, acknowledged[label]), own[0].shown) for label, own in lost.items() if own]
    if wrong:
        return failed("; ".join(what for what, _ in wrong[:2]), *wrong[0][1], counted=counted, measures=measures)
    if still_open and (gone := deaths.in_short(history)):
        what = f"{gone}; {still_open} uploads could not be read back"
        return inconclusive(what, counted=counted, measures=measures)
    if still_open or not patient.right or len(struck) < 3 + len(history.services) or not any(acknowledged.values()):
        what = f"{still_open} uploads could not be read back" if still_open else "not all of it was seen"
        return inconclusive(what, counted=counted, measures=measures)
    kinds = sum(not it.not_caused for it in struck.values())
    return passed(
        f"all {sum(acknowledged.values())} uploads that were acknowledged around {kinds} strikes are there, and so are "
        f"{patient.right // 2} of slow clients", counted=counted, measures=measures,
    )  # fmt: skip


def _said(label: str, struck: dict[str, Struck], lost: list[Fate], acknowledged: int) -> str:
    what = struck[label].what if label in struck else f"{label.split('/')[1]} was away"
    return f"when {what}, {len(lost)} of {acknowledged} files were lost: one {lost[0].lost}"


def _measures(acknowledged: dict[str, int], lost: dict[str, list[Fate]]) -> list[Measure]:
    shares = [1000 * len(lost[label]) / number for label, number in acknowledged.items() if number]
    return [exactly("lost_per_1000", max(shares), sum(acknowledged.values()))] if shares else []


def judge_ingested(history: History) -> Finding:
    found = compared(history, LATER)
    counted = {"ranges that were asked for later": found.right + len(found.wrong)}
    if found.wrong:
        return failed(found.wrong[0][0], *(op for _, op in found.wrong), counted=counted)
    if found.open or not found.right:
        return inconclusive("no file could be asked for later", counted=counted)
    return passed(f"all {found.right} ranges that nobody could foresee were those of the files", counted=counted)
