"""What a learner does around a grade: grade again at every save, and read the references."""

import os
import sys
from pathlib import Path

import click

from crucible.cli.leaving import FOLDER, explained, leave


@click.command("watch", short_help="Grade again at every save.")
@click.argument("folder", metavar="[DIR]", type=FOLDER, default=".")
@click.option("--check", "checks", multiple=True, metavar="ID", help="First this check (RL-3 or its name); repeatable.")
@click.option("--profile", metavar="P", help="Judge for this business instead of the one in crucible.yaml.")
def watch_command(folder: Path, checks: tuple[str, ...], profile: str | None) -> None:
    """Grade the solution in DIR again whenever a file of it is saved: first what failed last, then everything.

    A save while it grades begins again. Keys: a grades all, o opens the report, l shows the end of a log, q quits.
    """

    def work() -> int:
        from rich.console import Console

        from crucible.commands.watch import Wanted, Watch

        options = ("--profile", profile) if profile else ()
        return Watch(Wanted(folder, checks, options), os.environ, Console(highlight=False)).run()

    sys.exit(explained(work))


@click.command("load", short_help="Aim a challenge's load at any deployment.")
@click.argument("folder", metavar="[DIR]", type=FOLDER, default=".")
@click.option("--url", "urls", multiple=True, required=True, metavar="URL",
              help="http://HOST:PORT of a replica, or of what stands before them; repeatable.")  # fmt: skip
@click.option("--rate", type=click.FloatRange(0.1, 100_000), required=True, metavar="R", help="Requests per second.")
@click.option("--seconds", type=click.FloatRange(1, 3_600), default=10, show_default=True, metavar="S")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
              help="Processes that send; their histograms are merged.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True)
def load_command(
    folder: Path, urls: tuple[str, ...], rate: float, seconds: float, workers: int, seed: int
) -> None:  # fmt: skip
    """Send the load of the challenge that the solution in DIR answers to any deployment, in an open model: when a
    request is due it is sent, whatever has become of the others. Says what was answered, and how soon.
    """

    def work() -> int:
        from crucible.commands import load
        from crucible.judging.blocks import MOST_LAG_MS
        from crucible.judging.words import number

        told = load.load(load.Wanted(folder, urls, rate, seconds, workers, seed), os.environ)
        named = ", ".join(f"{count:,} {name}" for name, count in sorted(told.outcomes.items()))
        click.echo(f"{told.sent:,} requests: {named}; {told.unanswered:,} had no answer")
        for share, ms in told.answered_ms.items():
            click.echo(f"  {share:g} % were answered within {number(ms)} ms")
        late = f"sent {number(told.late_ms)} ms late (99th percentile)"
        click.echo(late + (": more workers, or another machine, would say more" if told.late_ms > MOST_LAG_MS else ""))
        return 0

    leave(work)


@click.command("show", short_help="Read the reference designs, once you have passed.")
@click.argument("reference", required=False)
@click.option("--in", "folder", type=FOLDER, default=".", metavar="DIR", help="The folder of your solution.")
@click.option("--to", "target", type=click.Path(path_type=Path), metavar="DIR",
              help="Copy it there, whole, to be graded or compared with yours.")  # fmt: skip
def show_command(reference: str | None, folder: Path, target: Path | None) -> None:
    """Say which reference designs the challenge has, or what was decided in one of them, and why.

    Only for who has passed: once every gate holds in the last grade of your own design.
    """

    def work() -> int:
        from crucible.commands import show

        one = show.shelf(folder, os.environ)
        if reference is None:
            for name in one.folders:
                click.echo(f"{name}: fits {', '.join(show.fits(one, name)) or 'no profile'}")
            click.echo("\nRead one: crucible show REFERENCE; all of its code: crucible show REFERENCE --to DIR")
            return 0
        if target is not None:
            click.echo(f"{reference} is in {show.copy(one, reference, target)}")
            return 0
        click.echo(show.decision(one, reference))
        click.echo(f"It is made of {', '.join(map(str, show.files(one, reference)))}.")
        click.echo(f"All of it: crucible show {reference} --to DIR")
        return 0

    sys.exit(explained(work))
