"""For authors of challenges: try a suite on all that there is to try it on, or begin a new one."""

import os
import shlex
import sys
from pathlib import Path

import click

from crucible.cli.leaving import FOLDER, explained, leave


@click.command("verify", short_help="Say whether a challenge's suite tells good from bad.")
@click.argument("slug")
@click.option("--quick", is_flag=True, help="Quick grades of the references, each for the profile it is meant for.")
@click.option("--repeat", type=click.IntRange(1, 100), default=1, show_default=True, metavar="N")
@click.option("--only", multiple=True, metavar="NAME",
              help="Only this reference, flaw or fair design, or all of a kind (flaw); repeatable.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 101), default=1, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Keep here the results of each grade that did not come out as it is meant to.")  # fmt: skip
@click.option("--publish", is_flag=True, help="Write the matrices and positions.json into the challenge's folder.")
def verify_command(
    slug: str, quick: bool, repeat: int, only: tuple[str, ...], seed: int, keep: Path | None, publish: bool
) -> None:
    """Grade the references, flaws and fair designs of the challenge SLUG, and say whether its suite tells them apart.

    Exits with 1 where something does not hold, and says what.
    """

    def work() -> int:
        from rich.console import Console

        from crucible import report
        from crucible.cli.progress import Trials
        from crucible.commands import verify

        wanted = verify.Wanted(slug, "quick" if quick else "full", repeat, only, seed, keep)
        console = Console(highlight=False)
        found = verify.verify(wanted, dict(os.environ), Trials(console))
        report.render_matrices(found.verified, console)
        if publish:
            for path in verify.publish(found, wanted):
                console.print(f"written: {path}", markup=False, soft_wrap=True)
        return found.exit_code

    leave(work)


@click.group("author")
def author_group() -> None:
    """For authors of challenges."""


@author_group.command("new", short_help="Write the smallest challenge that verifies.")
@click.argument("slug")
@click.option("--in", "into", type=FOLDER, default=".", show_default=True, help="The folder that it is written into.")
def author_new_command(slug: str, into: Path) -> None:
    """Write the smallest challenge that verifies, named SLUG, to begin with."""

    def write() -> int:
        from crucible.commands import author
        from crucible.planning import challenges

        folder = author.new(slug, into)
        click.echo(f"{slug} is ready in {click.format_filename(folder)}\n\nNext:")
        if folder.parent != challenges.data_folder("challenge_templates"):
            click.echo(f"  export {challenges.VARIABLE}={shlex.quote(str(folder.parent))}")
        click.echo(f"  crucible verify {slug}  grades its references and flaws, and says what does not hold")
        return 0

    sys.exit(explained(write))
