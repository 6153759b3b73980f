"""Says what is happening while it happens: a moving line on a terminal, a line per step elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as RichProgress
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from crucible.judging.verdict import Verdict
from crucible.planning.plan import Plan
from crucible.planning.trials import Trial
from crucible.report.text import plain


class Steps:
    """Implements `run.Progress` on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def plan(self, plan: Plan, cleared: str | None) -> None:
        """Say what will be done, for whom it is judged, and how long it will take."""
        if cleared:
            self._console.print(f"[yellow]{escape(cleared)}[/]")
        chosen = "" if plan.profile_chosen else ", the first: choose one in crucible.yaml"
        self._console.print(
            f"[bold]{escape(plan.solution.manifest.title)}[/]: a {plan.mode} grade, about {plan.estimate_s:.0f} s once"
            f" built and started; profile {plan.profile.id} ({plan.replicas} replicas{chosen}); seed {plan.seed}",
            highlight=False,
        )

    @contextmanager
    def step(self, what: str, estimate_s: float | None = None) -> Iterator[None]:
        about = f" (about {estimate_s:.0f} s)" if estimate_s else ""
        begun = time.perf_counter()
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            with RichProgress(*columns, console=self._console, transient=True) as moving:
                moving.add_task(f"{what}{about}", total=None)
                yield
        else:
            self._console.print(f"… {what}{about}", markup=False, highlight=False)
            yield
        self._console.print(f"✓ {what}: {time.perf_counter() - begun:.1f} s", markup=False, highlight=False)


class Trials:
    """Implements `verify.Telling` on a console: a line for each grade."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def plan(self, plan: Plan, cleared: str | None) -> None:
        """Nothing: the trial has been named."""

    @contextmanager
    def step(self, what: str, estimate_s: float | None = None) -> Iterator[None]:
        yield

    def trial(self, trial: Trial, number: int, of: int) -> None:
        self._say(f"… {trial.kind} {trial.name}, {number} of {of}")

    def graded(self, trial: Trial, verdict: Verdict, seconds: float) -> None:
        found = next((it.finding for it in verdict.checks if it.id == trial.check), None)
        said = f"{found.outcome}: {found.what}" if found is not None else verdict.headline
        self._say(f"✓ {trial.kind} {trial.name}: {plain(said, 200)} ({seconds:.0f} s)")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
