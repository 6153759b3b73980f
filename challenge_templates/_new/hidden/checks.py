"""What is observed of a solution, and what is said of that. A scenario records and never judges; a judge sees a history
and touches nothing. What suites share is in crucible.authoring."""

from random import Random

from crucible.authoring.outcomes import exactly, failed, inconclusive, passed, settled
from crucible.check import Call, Check, Finding, History, Lab, Scenario, Suite
from crucible.evidence import Op, Result

AT_ONCE = 60


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
        await lab.burst([press(target, "race")] * AT_ONCE)
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


def value(op: Op) -> int | None:
    """What a 2xx said; None where it said nothing."""
    return op.field("value", int) if op.result is Result.OK else None


def value_said(history: History, name: str) -> int | None:
    """What the last request of this name was told."""
    ops = history.named(name)
    return value(ops[-1]) if ops else None


def judge_race(history: History) -> Finding:
    """Every press that was answered with a value counts. One without an answer may count or not, and may hide one that
    was lost: then nothing is shown, or losing answers would acquit."""
    presses = settled(history.named("race"), done=lambda op: value(op) is not None)
    before, after = value_said(history, "before"), value_said(history, "after")
    sure, maybe = len(presses.done), len(presses.maybe)
    counted = {"presses at once": len(history.named("race")), "answered": sure, "without an answer": maybe}
    if before is None or after is None or sure < AT_ONCE // 2:
        return inconclusive("too few presses were answered, or the value was not said", counted=counted)
    grew = after - before
    if not sure <= grew <= sure + maybe:
        shown = (*presses.done[-2:], *history.named("after"))
        return failed(f"of {sure} presses that were answered, {grew} were counted", *shown, counted=counted)
    if maybe:
        return inconclusive(f"{maybe} presses without an answer may hide one that was not counted", counted=counted)
    return passed(f"{grew} of {sure} presses at once were counted", counted=counted)


def judge_crash(history: History) -> Finding:
    """A measure: what a press is worth after a crash is the business's to say."""
    before, after = value_said(history, "kept/before"), value_said(history, "kept/after")
    if before is None or after is None:
        return inconclusive("the value was not said before and after a crash")
    lost = max(0, before - after)
    what = f"a crash of all processes cost {lost} of {before} presses"
    return passed(what, counted={"presses before": before}, measures=[exactly("lost_units", lost, before)])


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
