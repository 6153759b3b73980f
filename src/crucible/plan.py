"""Manifest, suite and solution -> `Plan`: what will run, in which order, decided without touching anything."""

from collections.abc import Sequence
from dataclasses import dataclass

from crucible.check import Check, Mode, Scenario, Suite
from crucible.manifest import Profile
from crucible.solution import ProcessType, Solution

PHASES = ("contact", "race", "steady", "fault")
"""The order of phases. Hostile input comes last: it may leave a solution in any state."""


class UnknownNameError(ValueError):
    """A check or profile that the user named and that is not there; `known` says which are."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no {kind} `{name}`; there are: {', '.join(known)}")


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


@dataclass(frozen=True)
class Deadlines:
    """In seconds."""

    build: float = 600.0
    boot: float = 60.0


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

    @property
    def replicas(self) -> int:
        return sum(instance.answers_http for instance in self.instances)

    @property
    def estimate_s(self) -> float:
        """How long the scenarios usually take."""
        side_by_side = max((s.estimate_s for s in self.scenarios if s.phase == "steady"), default=0.0)
        return side_by_side + sum(s.estimate_s for s in self.scenarios if s.phase != "steady")


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
) -> Plan:
    """Plan a grade. `checks` (ids or slugs) and `profile` narrow it. Raises UnknownNameError."""
    named = {check.id: check for check in (_find_check(suite, name) for name in checks)}  # each once
    chosen = tuple(named.values()) or suite.checks
    name = profile or solution.profile
    judged = solution.manifest.profile(name) if name else solution.manifest.profiles[0]
    if judged is None:
        raise UnknownNameError("profile", str(name), [p.id for p in solution.manifest.profiles])
    wanted = {scenario for check in chosen for scenario in check.scenarios}
    scenarios = [s for s in suite.scenarios if mode in s.modes and (s.id in wanted or s.phase == "contact")]
    return Plan(
        solution=solution,
        seed=seed,
        mode=mode,
        profile=judged,
        profile_chosen=name is not None,
        instances=_instances(solution, judged.replicas),
        checks=chosen,
        scenarios=tuple(sorted(scenarios, key=lambda s: PHASES.index(s.phase))),
        network_ms=network_ms,
        deadlines=deadlines or Deadlines(),
    )


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
