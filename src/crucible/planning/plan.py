"""Manifest, suite and solution -> `Plan`: what will run, in which order, decided without touching anything."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crucible.check import Check, Mode, Scenario, Suite
from crucible.planning.challenges import Challenge
from crucible.planning.defaults import ROUNDS, Deadlines
from crucible.planning.manifest import Profile
from crucible.planning.names import UnknownNameError
from crucible.planning.solution import ProcessType, Solution

PHASES = ("contact", "race", "steady", "fault")
"""The order of phases. Hostile input comes last: it may leave a solution in any state."""


@dataclass(frozen=True)
class Instance:
    """One process to run."""

    type: str
    index: int
    command: str

    @property
    def name(self) -> str:
        return f"{self.type}.{self.index}"

    @property
    def answers_http(self) -> bool:
        return self.type == "web"


@dataclass(frozen=True, slots=True)
class LoadLimit:
    """What a profile asks of an axis at its rate; of those that load does not measure nothing comes of it."""

    rate: float
    axis: str
    at_most: float


@dataclass(frozen=True)
class LoadPlan:
    """Blocks of open-model load, one after the other."""

    rates: tuple[float, ...]
    """Requests per second, over all replicas; so many blocks at each."""
    blocks: int
    seconds: float
    """How long a block takes."""
    ramp: bool
    """Whether the rate is raised afterwards until the design no longer holds it."""
    limits: tuple[LoadLimit, ...] = ()
    """Where the blocks at a rate lie on both sides of one of these, more are sent."""

    @property
    def estimate_s(self) -> float:
        return len(self.rates) * (self.blocks * (self.seconds + 0.3) + 2.0) + (25.0 if self.ramp else 0.0)


VISIT = LoadPlan((), blocks=3, seconds=1.2, ramp=False)
"""What load does to a design in each round of a comparison; the first block warms it up, and does not count."""
WORTH_S = 6.0
"""A second lab that saves less is not started."""
BOOT_S, JOB_S = 4.0, 75.0
"""What a lab takes until it runs, and a job to install Crucible, to build the solution, and to upload the results."""


@dataclass(frozen=True)
class Plan:
    solution: Solution
    seed: int
    mode: Mode
    profile: Profile
    profile_chosen: bool
    instances: tuple[Instance, ...]
    checks: tuple[Check, ...]
    scenarios: tuple[Scenario, ...]
    """In the order of running; neighbours of the phase `steady` run side by side."""
    network_ms: int
    """Delay between the solution and its services, each way."""
    deadlines: Deadlines
    load: LoadPlan | None = None
    beside: tuple[str, ...] = ()
    """The scenarios that a second lab can see meanwhile, where there is room for one."""
    on_top: bool = False
    """Whether the solution is built on top of what was built of its folder before."""
    others: tuple["Plan", ...] = ()
    """What a full grade also runs: the same with the number of replicas that other profiles have."""

    @property
    def replicas(self) -> int:
        return sum(instance.answers_http for instance in self.instances)

    @property
    def in_one_lab(self) -> "Plan":
        return replace(self, beside=(), others=tuple(other.in_one_lab for other in self.others))

    @property
    def estimate_s(self) -> float:
        """How long the scenarios and the load usually take."""
        there = [scenario for scenario in self.scenarios if scenario.id in self.beside]
        here = [scenario for scenario in self.scenarios if scenario.id not in self.beside]
        load = self.load.estimate_s if self.load is not None else 0.0
        return max(_seconds(here), _seconds(there)) + load + sum(other.estimate_s for other in self.others)


def make_plan(
    solution: Solution,
    suite: Suite,
    *,
    seed: int,
    mode: Mode = "quick",
    checks: Sequence[str] = (),
    profile: str | None = None,
    network_ms: int = 1,
    deadlines: Deadlines | None = None,
    loaded: bool = False,
    on_top: bool = False,
) -> Plan:
    """Plan a grade. `checks` (ids or slugs) and `profile` narrow it. Raises UnknownNameError.

    `loaded`: whether the challenge has a load. Where checks are named, they alone are run.
    """
    named = {check.id: check for check in (_find_check(suite, name) for name in checks)}  # each once
    chosen = tuple(named.values()) or suite.checks
    name = profile or solution.profile
    judged = solution.manifest.profile(name) if name else solution.manifest.profiles[0]
    if judged is None:
        raise UnknownNameError("profile", str(name), [p.id for p in solution.manifest.profiles])
    plan = Plan(
        solution=solution,
        seed=seed,
        mode=mode,
        profile=judged,
        profile_chosen=name is not None,
        instances=_instances(solution, judged.replicas),
        checks=chosen,
        scenarios=(scenarios := _scenarios(suite, chosen, mode)),
        beside=_beside(scenarios),
        network_ms=network_ms,
        deadlines=deadlines or Deadlines(),
        on_top=on_top,
    )
    if checks:
        return plan
    if mode == "quick":
        quick = LoadPlan((judged.rate,), 3, 3.0, ramp=False, limits=tuple(_load_limits([judged])))
        return replace(plan, load=quick if loaded else None)
    return replace(plan, load=_full_load(plan, loaded, ramp=True), others=tuple(_others(plan, suite, loaded)))


def _full_load(plan: Plan, loaded: bool, *, ramp: bool) -> LoadPlan | None:
    """Load at the rate of every profile with as many replicas; the ramp goes on from the judged one's."""
    profiles = [it for it in plan.solution.manifest.profiles if it.replicas == plan.replicas]
    rates = {plan.profile.rate, *(it.rate for it in profiles)}
    return LoadPlan(tuple(sorted(rates)), 5, 5.0, ramp, tuple(_load_limits(profiles))) if loaded else None


def _load_limits(profiles: Iterable[Profile]) -> Iterator[LoadLimit]:
    for profile in profiles:
        for axis, limit in profile.limits.items():
            if limit.at_most is not None:
                yield LoadLimit(profile.rate, axis, limit.at_most)


def _others(plan: Plan, suite: Suite, loaded: bool) -> Iterator[Plan]:
    """For every number of replicas that only other profiles have, what their limits rest on."""
    profiles = plan.solution.manifest.profiles
    for replicas in sorted({profile.replicas for profile in profiles} - {plan.replicas}):
        these = [profile for profile in profiles if profile.replicas == replicas]
        checks = checks_of(these, suite)
        other = replace(
            plan, profile=these[0], instances=_instances(plan.solution, replicas), checks=checks,
            scenarios=(scenarios := _scenarios(suite, checks, plan.mode)), beside=_beside(scenarios),
        )  # fmt: skip
        yield replace(other, load=_full_load(other, loaded, ramp=False))


def minutes(challenge: Challenge) -> dict[str, int]:
    """How many minutes a job takes: `quick`, `full`, and `compare`, a quick grade and a comparison with a base. Its
    services stand ready once, so it has one lab."""
    services, loaded = tuple(challenge.manifest.services), challenge.load_file is not None
    nominal = Solution(Path(), challenge, {"web": ProcessType("")}, None, services, {}, None, {})
    quick, full = (
        make_plan(nominal, challenge.suite, seed=0, mode=mode, loaded=loaded).in_one_lab for mode in ("quick", "full")
    )
    load = quick.load.estimate_s if quick.load is not None else 0.0
    visits = ROUNDS * 3 * (BOOT_S + VISIT.blocks * (VISIT.seconds + 0.3)) if loaded else 0.0
    seconds = {
        "quick": quick.estimate_s + BOOT_S,
        "full": full.estimate_s + BOOT_S * (1 + len(full.others)),
        "compare": 5 * (quick.estimate_s + BOOT_S) - 2 * load + visits,
    }
    return {name: math.ceil((it + JOB_S) / 60) for name, it in seconds.items()}


def checks_of(profiles: Iterable[Profile], suite: Suite) -> tuple[Check, ...]:
    """The checks that the limits of these profiles rest on."""
    limited = {axis for profile in profiles for axis in profile.limits}
    return tuple(check for check in suite.checks if limited & set(check.axes))


def rests_on(profile: Profile, suite: Suite) -> tuple[str, ...]:
    """Ids of the checks that alone measure what a profile limits; none where that takes more, such as the load."""
    found = checks_of([profile], suite)
    measured = {axis for check in found for axis in check.axes}
    return tuple(check.id for check in found) if set(profile.limits) <= measured else ()


def _scenarios(suite: Suite, checks: Iterable[Check], mode: Mode) -> tuple[Scenario, ...]:
    """Those that the checks rest on, in the order of running."""
    wanted = {scenario for check in checks for scenario in check.scenarios}
    scenarios = [s for s in suite.scenarios if mode in s.modes and (s.id in wanted or s.phase == "contact")]
    return tuple(sorted(scenarios, key=lambda s: PHASES.index(s.phase)))


def _beside(scenarios: Sequence[Scenario]) -> tuple[str, ...]:
    """The last of those that may leave a solution in any state, as many as make both labs end soonest; none, where a
    second one saves too little."""
    faults = [scenario for scenario in scenarios if scenario.phase == "fault" and not scenario.after]
    shares = [faults[first:] for first in range(len(faults) + 1)]
    ends = [max(_seconds([it for it in scenarios if it not in share]), _seconds(share)) for share in shares]
    best = min(range(len(shares)), key=lambda first: ends[first])
    return tuple(it.id for it in shares[best]) if ends[-1] - ends[best] >= WORTH_S else ()


def _seconds(scenarios: Sequence[Scenario]) -> float:
    """How long one lab usually takes for these."""
    side_by_side = max((scenario.estimate_s for scenario in scenarios if scenario.phase == "steady"), default=0.0)
    return side_by_side + sum(scenario.estimate_s for scenario in scenarios if scenario.phase != "steady")


def _find_check(suite: Suite, name: str) -> Check:
    for check in suite.checks:
        if name.lower() in (check.id.lower(), check.slug):
            return check
    raise UnknownNameError("check", name, [f"{check.id} ({check.slug})" for check in suite.checks])


def _instances(solution: Solution, replicas: int) -> tuple[Instance, ...]:
    def number(name: str, process: ProcessType) -> int:
        return replicas if name == "web" else process.replicas or 1

    return tuple(
        Instance(name, index, process.command)
        for name, process in solution.processes.items()
        for index in range(number(name, process))
    )
