"""`crucible-new`: lists the challenges, or writes a repository that answers one."""

import shlex
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from crucible import __version__, challenges, scaffold
from crucible.cli import explain
from crucible.errors import CrucibleError

INTERRUPTED = 130
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="crucible-new")
@click.argument("challenge", required=False)
@click.argument("directory", required=False, metavar="[DIR]")
@click.option("--lang", default="python", show_default=True, help="The language of the starter.")
@click.option(
    "--action",
    default=scaffold.DEFAULT_ACTION,
    show_default=True,
    metavar="OWNER/REPO@REF",
    help="The GitHub Action that the repository is graded with.",
)
def main(challenge: str | None, directory: str | None, lang: str, action: str) -> None:
    """Write a repository for CHALLENGE into DIR, or list the challenges if neither is given.

    DIR must not exist yet, or be empty.
    """
    for number in ENDINGS:
        signal.signal(number, _interrupt)
    try:
        if challenge is None:
            click.echo(_listing())
        elif not directory:
            raise click.UsageError(f"Name the directory to write: crucible-new {challenge} DIR")
        else:
            folder = scaffold.create(challenge, Path(directory), lang=lang, action=action)
            click.echo(_next_steps(challenge, folder, directory))
    except CrucibleError as error:
        click.echo(explain(error), err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame: object) -> NoReturn:
    """Take away what is half written, and let no second signal stop that."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _listing() -> str:
    manifests = challenges.all_manifests()
    width = max((len(manifest.slug) for manifest in manifests), default=0)
    lines = [f"  {manifest.slug:{width}}  {manifest.line}" for manifest in manifests]
    return "\n".join(["Challenges:", "", *lines, "", "Start one with: crucible-new CHALLENGE DIR"])


def _next_steps(challenge: str, folder: Path, directory: str) -> str:
    minutes = scaffold.minutes_of(challenge)["quick"]
    steps = [
        ("README.md", "the brief; DECISION.md is the place for your choice"),
        ("crucible grade", "judges it here"),
        ("git push", f"to a repository of yours on GitHub: every push is graded, in about {minutes} minutes"),
    ]
    if folder != Path.cwd():
        steps.insert(0, (f"cd {shlex.quote(directory)}", ""))
    lines = [f"  {step:14}  {note}".rstrip() for step, note in steps]
    return "\n".join([f"{challenge} is ready in {click.format_filename(folder)}", "", "Next:", *lines])


if __name__ == "__main__":
    main()
