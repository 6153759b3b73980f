"""What is observed of a solution, and what is said of that. A scenario records and never judges; a judge sees a history
and touches nothing."""

from random import Random

from crucible.check import Call, Check, Finding, History, Lab, Measure, Outcome, Scenario, Suite
from crucible.evidence import Op, Result

RACE = 60


def press(target: str, name: str) -> Call:
    return Call(target, "POST", "/v1/press", name=name)


def read(target: str, name: str) -> Call:
    return Call(target, "GET", "/v1/value", name=name)


async def contact(lab: Lab, rng: Random) -> None:
    """The first requests of the contract: if none succeeds, there is nothing to judge."""
    for target in lab.replicas:
        await lab.call(press(target, "contact"))
        await lab.call(read(target, "contact"))


async def race(lab: Lab, rng: Random) -> None:
    """Many presses at once, with the services far away, so that what is between two steps of a design takes long."""
    target = lab.replicas[0]
    await lab.call(read(target, "before"))
    async with lab.slow(10):
        await lab.burst([press(target, "race")] * RACE)
    await lab.sleep(0.5)
    await lab.call(read(target, "after"))


async def crash(lab: Lab, rng: Random) -> None:
    target = lab.replicas[0]
    for _ in range(10):
        await lab.call(press(target, "pressed"))
    await lab.call(read(target, "kept/before"))
    await lab.kill(*lab.instances)
    await lab.start(*lab.instances)
    await lab.call(read(target, "kept/after"))


def value_of(ops: tuple[Op, ...]) -> int | None:
    """What the last of these answers said; None where it said nothing."""
    reply = ops[-1].reply if ops else None
    value = reply.get("value") if isinstance(reply, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def judge_race(history: History) -> Finding:
    """Every press that was answered 200 counts; one without an answer may count or not."""
    ops, before, after = history.named("race"), value_of(history.named("before")), value_of(history.named("after"))
    sure = sum(op.result is Result.OK for op in ops)
    maybe = sum(op.result is Result.UNKNOWN for op in ops)
    evidence = {"presses at once": len(ops), "answered": sure, "without an answer": maybe}
    if before is None or after is None or sure < RACE // 2:
        return Finding(
            Outcome.INCONCLUSIVE, "too few presses were answered, or the value was not said", (), (), evidence
        )
    counted = after - before
    if not sure <= counted <= sure + maybe:
        what = f"of {sure} presses that were answered, {counted} were counted"
        return Finding(Outcome.FAIL, what, ops[-2:] + history.named("after"), (), evidence)
    return Finding(Outcome.PASS, f"{counted} of {sure} presses at once were counted", (), (), evidence)


def judge_crash(history: History) -> Finding:
    before, after = value_of(history.named("kept/before")), value_of(history.named("kept/after"))
    if before is None or after is None:
        return Finding(Outcome.INCONCLUSIVE, "the value was not said before and after a crash")
    lost = max(0, before - after)
    measure = Measure("lost_units", lost, lost, lost, before)
    what = f"a crash of all processes cost {lost} of {before} presses"
    return Finding(Outcome.PASS, what, (), (measure,), {"presses before": before})


SUITE = Suite(
    scenarios=(
        Scenario("contact", "contact", contact, budget_s=30, estimate_s=0.2),
        Scenario("race", "race", race, budget_s=30, estimate_s=2),
        Scenario("crash", "fault", crash, budget_s=60, estimate_s=2),
    ),
    checks=(
        Check(
            "X-1", "counts-in-a-race",
            "However many presses come at once, every one is counted.",
            "Between reading the number and writing the next one, what can another request do?",
            True, ("race",), judge_race,
        ),
        Check(
            "X-2", "remembers",
            "What was counted is remembered when the processes are started again.",
            "Where is the number while no process runs?",
            False, ("crash",), judge_crash, ("lost_units",),
        ),
    ),
)  # fmt: skip
