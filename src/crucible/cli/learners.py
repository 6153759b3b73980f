"""What a learner does around a grade: grade again at every save, and read the references."""

import os
import sys
from pathlib import Path

import click

from crucible.cli.leaving import FOLDER, explained


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
