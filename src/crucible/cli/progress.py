"""Says what is happening while it happens: a moving line on a terminal, a line per step elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from crucible.judging.verdict import CheckResult, Verdict
from crucible.planning.plan import Plan
from crucible.planning.trials import Trial
from crucible.report.terminal import tell
from crucible.report.text import plain

LONG_S = 10
"""A step that takes less is told on a terminal only, where its line goes again."""


class Steps:
    """Implements `grade.Telling` and `compare.Telling` on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.told: dict[str, CheckResult] = {}
        """The verdicts that have been told, by the check's id."""

    def plan(self, plan: Plan, cleared: str | None) -> None:
        """Say what will be done, for whom it is judged, and how long it will take."""
        if cleared:
            self._console.print(Text(plain(cleared), style="yellow"))
        for warning in plan.solution.warnings:
            self._console.print(Text(plain(warning), style="yellow"))
        line = Text.assemble((plain(plan.solution.manifest.title, 60), "bold"), f": {plan.mode} grade for ")
        line.append(plan.profile.id, "bold")
        line.append(f" ({plan.replicas} replicas), seed {plan.seed}, {plan.estimate_s:.0f} s")
        self._console.print(line)

    @contextmanager
    def step(self, what: str, estimate_s: float | None = None) -> Iterator[None]:
        about = f" (about {estimate_s:.0f} s)" if estimate_s else ""
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            with RichProgress(*columns, console=self._console, transient=True) as moving:
                moving.add_task(f"{what}{about}", total=None)
                yield
        else:
            if estimate_s is None or estimate_s >= LONG_S:
                self._console.print(Text(f"… {what}{about}", style="dim"), no_wrap=True, overflow="ellipsis")
            yield

    def fell(self, check: CheckResult) -> None:
        self.told[check.id] = check
        tell(check, self._console)


class Trials:
    """Implements `verify.Telling` on a console: a line for each grade."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def plan(self, plan: Plan, cleared: str | None) -> None:
        """Nothing: the trial has been named."""

    @contextmanager
    def step(self, what: str, estimate_s: float | None = None) -> Iterator[None]:
        yield

    def fell(self, check: CheckResult) -> None:
        """Nothing: of a trial its verdict is told."""

    def trial(self, trial: Trial, number: int, of: int) -> None:
        self._say(f"… {trial.kind} {trial.name}, {number} of {of}")

    def graded(self, trial: Trial, verdict: Verdict, seconds: float) -> None:
        found = next((it.finding for it in verdict.checks if it.id == trial.check), None)
        said = f"{found.outcome}: {found.what}" if found is not None else verdict.headline
        self._say(f"✓ {trial.kind} {trial.name}: {plain(said, 200)} ({seconds:.0f} s)")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
