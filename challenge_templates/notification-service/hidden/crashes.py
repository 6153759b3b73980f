"""NT-12: strikes, each on messages of its own, and one settling time for all of them.

Every strike widens first: the providers refuse for a moment, so that what was accepted waits, and is there to be lost.
"""

import asyncio
from collections import defaultdict
from random import Random

from crucible.check import Finding, History, Lab, Measure, NotCausedError, Outcome, SinkFault
from crucible.evidence import Attempt, Op

from .accounts import Books, books, percentile, shown
from .messages import CHANNELS, Message, accepted, calm, in_turn, key_of, message, messages, read_back, resolve, settle
from .providers import faulty

BACKLOG, IN_FLIGHT = 50, 8
"""How much must have been waiting, or under way, for a crash to show anything."""
WIDE_S, WIDE_PER_S = 1.5, 60
STRIKE_MS = (20, 80)
"""After an answer."""
DOWN_S = 0.5
SLOW_MS, INTO_CALL_S = 500, 0.03
AT_ONCE = 30
"""Messages that are there when a process is struck in the middle of its call: it has more of them in hand."""
TAKE_OVER_S = 15.0
AWAY_S, AWAY_PER_S = 1.5, 20
CARDS_S = 1.0
"""What a power failure may cost the store, by its card (`appendfsync everysec`)."""
PATIENCE_S = 5.0
PATIENCE_NS = 500_000_000
"""Before the crash: who was asked later may have been cut off by it."""


class Cohorts:
    """The messages of each strike, and what was answered."""

    def __init__(self, lab: Lab, rng: Random) -> None:
        self.lab, self.rng = lab, rng
        self.wanted: list[Message] = []
        self.ops: list[Op] = []

    def draw(self, number: int) -> list[Message]:
        drawn = messages(self.rng, number)
        self.wanted += drawn
        return drawn

    def post(self, name: str, seconds: float, per_s: float) -> "asyncio.Task[list[Op]]":
        """At a steady rate, whatever happens meanwhile."""
        calls = in_turn(self.lab, self.draw(int(seconds * per_s)), name, PATIENCE_S)

        async def posting() -> list[Op]:
            ops = await self.lab.paced(calls, 1 / per_s)
            self.ops += ops
            return ops

        return asyncio.create_task(posting())

    async def calm(self, name: str) -> None:
        """Wait until every replica answers."""
        wanted, ops = await calm(self.lab, self.rng, name)
        self.wanted += wanted
        self.ops += ops

    def note(self, name: str, **facts: float | str | bool | None) -> None:
        self.lab.note(f"strike/{name}", dict(facts))

    def waiting(self) -> int:
        """Messages that were sent and have had no effect: at most so many wait."""
        users = {it.user for it in self.wanted}
        done = {str(it.body.get("to")) for it in self.lab.sink.attempts if it.effect and isinstance(it.body, dict)}
        return len(users - done)


async def crashes(lab: Lab, rng: Random) -> None:
    them = Cohorts(lab, rng)
    await everything_killed(them)
    await them.calm("f2")
    for _ in range(2 if lab.mode == "quick" else 5):
        await caller_killed(them)
    await caller_paused(them)
    for service in lab.services:
        await service_crashed(them, service)
        await service_away(them, service)
    if lab.services:
        await connections_reset(them)
    if lab.mode == "full":
        await rolling_restart(them)
    healed = lab.now_ns()
    await resolve(lab, them.ops, "crashes")
    await settle(lab, them.wanted, healed)
    await read_back(lab, them.ops, "crashes")


async def everything_killed(them: Cohorts) -> None:
    """F2: all processes at once, with a backlog."""
    lab = them.lab
    async with faulty(lab, CHANNELS, SinkFault(outage=True)):
        posting = them.post("f2", WIDE_S + 0.5, WIDE_PER_S)
        await lab.sleep(WIDE_S + them.rng.uniform(*STRIKE_MS) / 1000)
        backlog, under_way = them.waiting() - lab.in_flight, lab.in_flight
        await lab.kill(*lab.instances)
        await lab.sleep(DOWN_S)
        await lab.start(*lab.instances)
    await posting
    them.note("f2", backlog=backlog, in_flight=under_way)


async def caller_killed(them: Cohorts) -> None:
    """F3: whoever calls the provider, in the middle of it."""
    lab = them.lab
    async with faulty(lab, CHANNELS, SinkFault(delay_ms=SLOW_MS)):
        call, posting = await _next_call(them, "f3")
        caller = await lab.sink.caller(call) if call else None
        if call is not None and caller is not None:
            await lab.sleep(max(0.0, INTO_CALL_S - (lab.now_ns() - call.at_ns) / 1e9))
            await lab.kill(caller)
            in_call = lab.sink.attempts[call.number].answered_ns is None
            await lab.sleep(DOWN_S)
            await lab.start(caller)
            them.note(f"f3/{call.number}", caller=caller, in_the_middle=in_call)
        await posting


async def caller_paused(them: Cohorts) -> None:
    """F4: a worker that stops in the middle of its call, until another one has taken over; then it goes on."""
    lab = them.lab
    async with faulty(lab, CHANNELS, SinkFault(delay_ms=SLOW_MS)):
        call, posting = await _next_call(them, "f4")
        caller = await lab.sink.caller(call) if call else None
        if call is None or caller is None or caller in lab.replicas:
            why = "nobody but the replicas called" if caller else "it was not seen who called"
            them.note("f4", taken_over=False, why=why)
            await posting
            return
        begun = lab.now_ns()
        async with lab.paused(caller):
            mine = {str(call.body.get("to"))} if isinstance(call.body, dict) else set()
            while not (over := _again(lab, call, mine)) and lab.now_ns() - begun < TAKE_OVER_S * 1e9:
                await lab.sleep(0.1)
        after = (lab.now_ns() - begun) / 1e9
        them.note(
            "f4", taken_over=over, after_s=after, why="" if over else f"nobody took over within {TAKE_OVER_S:g} s"
        )
        await posting


def _again(lab: Lab, call: Attempt, to: set[str]) -> bool:
    later = lab.sink.attempts[call.number + 1 :]
    return any(isinstance(it.body, dict) and str(it.body.get("to")) in to for it in later)


async def _next_call(them: Cohorts, name: str) -> tuple[Attempt | None, "asyncio.Task[list[Op]]"]:
    """Post some messages at once, and wait for the next call of the provider."""
    lab = them.lab
    calling = asyncio.create_task(lab.sink.next_call())
    calls = in_turn(lab, them.draw(AT_ONCE), name, PATIENCE_S)

    async def burst() -> list[Op]:
        ops = await lab.burst(calls)
        them.ops += ops
        return ops

    posting = asyncio.create_task(burst())
    try:
        return await asyncio.wait_for(calling, PATIENCE_S), posting
    except TimeoutError:
        return None, posting


async def service_crashed(them: Cohorts, service: str) -> None:
    """F5, while messages wait."""
    lab, name = them.lab, f"f5-{service}"
    async with faulty(lab, CHANNELS, SinkFault(outage=True)):
        posting = them.post(name, WIDE_S + 0.5, WIDE_PER_S)
        await lab.sleep(WIDE_S)
        backlog, under_way = them.waiting() - lab.in_flight, lab.in_flight
        try:
            await lab.crash(service, DOWN_S)
            them.note(name, backlog=backlog, in_flight=under_way)
        except NotCausedError as reason:
            them.note(name, why=str(reason))
    await posting
    await them.calm(name)


async def service_away(them: Cohorts, service: str) -> None:
    """F6: nobody listens where it was; then it is there again, and delivery goes on."""
    lab, name = them.lab, f"f6-{service}"
    async with lab.fault(service, "refuse"):
        await lab.sleep(0.2)
        ops = await them.post(name, AWAY_S, AWAY_PER_S)
    healed, begun = lab.now_ns(), len(lab.sink.attempts)
    them.note(name, accepted=sum(map(accepted, ops)), sent=len(ops))
    first = None
    while first is None and lab.now_ns() - healed < 15e9:
        it = message(them.rng, "push")
        them.wanted.append(it)
        them.ops.append(await lab.call(it.call(lab.replicas[0], f"{name}/after", 2.0)))
        await lab.sleep(0.1)
        new = lab.sink.attempts[begun:]
        first = next((a.at_ns for a in new if a.effect and a.at_ns > healed), None)
    them.note(f"{name}/recovery", seconds=(first - healed) / 1e9 if first else None)
    await them.calm(name)


async def connections_reset(them: Cohorts) -> None:
    """F11, of every service, in the middle of deliveries."""
    lab, name = them.lab, "f11"
    async with faulty(lab, CHANNELS, SinkFault(delay_ms=SLOW_MS)):
        posting = them.post(name, 0.6, WIDE_PER_S)
        await lab.sleep(0.5)
        under_way, backlog = lab.in_flight, them.waiting()
        for service in lab.services:
            await lab.reset(service)
        them.note(name, backlog=backlog, in_flight=under_way)
        await posting
    await them.calm(name)


async def rolling_restart(them: Cohorts) -> None:
    """F10: each process in turn is asked to end, and started again."""
    lab = them.lab
    posting = them.post("f10", 3.0 * len(lab.instances), 15)
    for name in lab.instances:
        await lab.terminate(name)
        await lab.start(name)
    await posting
    them.note("f10", restarted=len(lab.instances))


def judge_crashes(history: History) -> Finding:
    """What each strike lost and doubled."""
    told = {name: books(history, ops) for name, ops in sorted(_by_strike(history).items())}
    names = list(told)
    lost = {name: len(it.account.lost) for name, it in told.items()}
    unsure = {name: len(it.open) for name, it in told.items()}
    doubled = {name: len(it.account.doubled) for name, it in told.items()}
    owed = {name: _owed(it) for name, it in told.items()}
    measures = (*_losses(lost, unsure, doubled, owed), *_measures(history))
    evidence = {f"accepted under {name}": float(count) for name, count in owed.items()}
    evidence |= {f"lost under {name}": float(count) for name, count in lost.items() if count}
    declared = history.declares.get("delivery", "exactly-once-effect")
    wrong = [name for name, count in lost.items() if count]
    if wrong and declared != "at-most-once":
        what = "; ".join(
            f"{_in_words(name)} lost {lost[name]} of {owed[name]} accepted notifications" for name in wrong
        )
        return Finding(
            Outcome.FAIL, what, shown(told[wrong[0]], [it.id for it in told[wrong[0]].account.lost]), measures, evidence
        )
    if any(unsure.values()):
        never = [
            f"{count} notifications never arrived after {_in_words(name)}" for name, count in unsure.items() if count
        ]
        what = "; ".join(never) + ", and it was never said for sure that they were accepted"
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    narrow = [name for name in names if name.startswith(("f2", "f5")) and not _was_wide(history, name)]
    strikes = [dict(it) for name, it in history.facts.items() if name.startswith("strike/f3/") and isinstance(it, dict)]
    narrow += [] if any(it.get("in_the_middle") for it in strikes) else ["f3"]
    if not names or narrow:
        what = f"too little was waiting when {', '.join(narrow) or 'anything'} struck to show anything"
        return Finding(Outcome.INCONCLUSIVE, what, (), measures, evidence)
    notes = _not_run(history)
    what = f"{len(names)} kinds of strike lost {sum(lost.values())} of {sum(owed.values())} accepted notifications" + (
        f" ({notes})" if notes else ""
    )
    return Finding(Outcome.PASS, what, (), measures, evidence)


WORDS = {
    "f2": "a crash of all processes{}", "f3": "the crash of a process in the middle of its call{}",
    "f4": "a process that stood still and went on{}", "f5": "a crash of {}", "f6": "an outage of {}",
    "f10": "a rolling restart{}", "f11": "a reset of all connections to services{}",
}  # fmt: skip


def _in_words(name: str) -> str:
    strike, _, service = name.partition("-")
    return WORDS[strike].format(service)


def _by_strike(history: History) -> dict[str, list[Op]]:
    """What was asked for under each strike, and asked again after it."""
    found: dict[str, list[Op]] = defaultdict(list)
    strikes: dict[str, str] = {}
    for op in history.ops:
        name = op.name.split("/")[0]
        if name.partition("-")[0] in WORDS:
            found[name].append(op)
            strikes[key_of(op)] = name
    for op in history.named("crashes/again"):
        found[strikes[key_of(op)]].append(op)
    return dict(found)


def _owed(them: Books) -> int:
    return sum(it.owes.value == "one" for it in them.items.values())


def _strike(history: History, name: str) -> dict[str, object]:
    said = history.facts.get(f"strike/{name}")
    return dict(said) if isinstance(said, dict) else {}


def _was_wide(history: History, name: str) -> bool:
    said = _strike(history, name)
    backlog, under_way = said.get("backlog"), said.get("in_flight")
    if "why" in said:
        return True  # it could not be caused, which is told
    return (isinstance(backlog, int) and backlog >= BACKLOG) or (isinstance(under_way, int) and under_way >= IN_FLIGHT)


def _not_run(history: History) -> str:
    """Strikes that could not be caused, and why."""
    notes = [
        str(_strike(history, name)["why"])
        for name in ("f4", *(f"f5-{it}" for it in history.services))
        if _strike(history, name).get("why")
    ]
    return "; ".join(notes)


def _losses(
    lost: dict[str, int], unsure: dict[str, int], doubled: dict[str, int], owed: dict[str, int]
) -> list[Measure]:
    """Under the worst strike. What never arrived, and may have been accepted, may have been lost as well."""

    def worst(counts: dict[str, int]) -> float:
        return max((1000 * counts[name] / owed[name] for name in counts if owed[name]), default=0.0)

    total, twice = sum(owed.values()), worst(doubled)
    least, most = worst(lost), worst({name: lost[name] + unsure[name] for name in lost})
    found = [
        Measure("doubled_per_1000", twice, twice, twice, total),
        Measure("lost_per_1000", least, least, most, total),
    ]
    if "f2" in owed:
        found.append(Measure("lost_per_crash", lost["f2"], lost["f2"], lost["f2"] + unsure["f2"], owed["f2"]))
    return found


def _measures(history: History) -> list[Measure]:
    """What an outage costs."""
    found = _while_providers_are_away(history)
    shares, recoveries = {}, []
    for service in history.services:
        said = _strike(history, f"f6-{service}")
        if isinstance(said.get("accepted"), int) and said.get("sent"):
            shares[service] = int(str(said["accepted"])) / int(str(said["sent"]))
        seconds = _strike(history, f"f6-{service}/recovery").get("seconds")
        if isinstance(seconds, float):
            recoveries.append(seconds)
    if recoveries:
        found.append(Measure("recovery_s", max(recoveries), min(recoveries), max(recoveries), len(recoveries)))
    sent = int(AWAY_S * AWAY_PER_S)
    if shares:
        low = min(shares.values())
        found.append(Measure("accepted_store_outage_ratio", low, low, low, sent * len(shares)))
    postgres = shares.get("postgres", 1.0 if "postgres" not in history.services else None)
    if postgres is not None:
        found.append(Measure("accepted_postgres_outage_ratio", postgres, postgres, postgres, sent))
    loss = CARDS_S if "redis" in history.services else 0.0
    # Beside a service that loses nothing it is not known which of the two holds what was accepted.
    least = 0.0 if len(history.services) > 1 else loss
    found.append(Measure("declared_loss_s", loss, least, loss, 1))
    return found


def _while_providers_are_away(history: History) -> list[Measure]:
    """What was answered to the first messages of F2: every provider refused, and nothing had been killed yet."""
    killed = min((event.at_ns for event in history.events if event.kind == "kill"), default=0)
    ops = [op for op in history.named("f2") if op.name == "f2" and op.sent_ns < killed - PATIENCE_NS]
    if len(ops) < BACKLOG:
        return []
    share = sum(map(accepted, ops)) / len(ops)
    slow = percentile([(op.received_ns - op.sent_ns) / 1e6 for op in ops], 0.99)
    return [
        Measure("accepted_provider_outage_ratio", share, share, share, len(ops)),
        Measure("refusal_p99_ms", slow, slow, slow, len(ops)),
    ]
