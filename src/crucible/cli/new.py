"""`crucible-new`: lists the challenges, or writes a repository that answers one.

What takes long to import is imported where it is used, so that `--help` is told at once.
"""

import os
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from crucible import __version__
from crucible.cli import explain
from crucible.errors import CrucibleError
from crucible.planning.defaults import ACTION

if TYPE_CHECKING:
    from crucible.planning.challenges import Challenge

INTERRUPTED = 130
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="crucible-new")
@click.argument("challenge", required=False)
@click.argument("directory", required=False, metavar="[DIR]")
@click.option("--lang", default="python", show_default=True, help="The language of the starter.")
@click.option(
    "--action",
    default=ACTION,
    show_default=True,
    metavar="OWNER/REPO@REF",
    help="The GitHub Action that the repository is graded with.",
)
@click.option("--publish", "repository", metavar="OWNER/NAME", help="Also make it a template repository on GitHub.")
@click.option("--all", "every", metavar="DIR", help="Every challenge, each into a folder of DIR; publish as OWNER.")
def main(
    challenge: str | None, directory: str | None, lang: str, action: str, repository: str | None, every: str | None
) -> None:
    """Write a repository for CHALLENGE into DIR, or list the challenges if neither is given.

    DIR must not exist yet, or be empty. To publish takes GH_TOKEN, or `gh auth login`; DIR may then be left out.
    """
    for number in ENDINGS:
        signal.signal(number, _interrupt)
    try:
        if every is not None:
            if challenge is not None:
                raise click.UsageError("With --all no challenge is named.")
            _every(Path(every), lang, action, repository)
        elif challenge is None:
            click.echo(_listing())
        elif not directory and not repository:
            raise click.UsageError(f"Name the directory to write: crucible-new {challenge} DIR")
        else:
            _one(challenge, directory, lang, action, repository)
    except CrucibleError as error:
        click.echo(explain(error), err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)


def _one(slug: str, directory: str | None, lang: str, action: str, repository: str | None) -> None:
    from crucible.commands import scaffold
    from crucible.planning import challenges

    challenge = challenges.find(slug, os.environ, where="the command line")
    if directory:
        folder = scaffold.create(challenge, Path(directory), lang=lang, action=action)
        click.echo(_next_steps(challenge, folder, directory))
    if repository:
        _publish({repository: challenge}, lang, action)


def _every(place: Path, lang: str, action: str, owner: str | None) -> None:
    from crucible.commands import scaffold
    from crucible.planning import challenges

    every = {challenge.manifest.slug: challenge for challenge in challenges.every(os.environ)}
    for slug, challenge in every.items():
        folder = scaffold.create(challenge, place / slug, lang=lang, action=action)
        click.echo(f"{slug} is ready in {click.format_filename(folder)}")
    if owner is not None:
        _publish({f"{owner}/{slug}": challenge for slug, challenge in every.items()}, lang, action)


def _publish(repositories: "Mapping[str, Challenge]", lang: str, action: str) -> None:
    """Publish challenges, each as the repository that it is named for."""
    from crucible.commands import scaffold
    from crucible.github import api, publish

    for name in repositories:
        publish.split(name)
    secret = publish.token(os.environ)
    client = api.client(secret, os.environ.get("GITHUB_API_URL", api.API))
    for name, challenge in repositories.items():
        files = scaffold.render(challenge, lang=lang, action=action)
        pushing = publish.logged_in(secret, os.environ)
        address, pushed = publish.publish(client, name, challenge.manifest, files, pushing)
        click.echo(f"{name}: {'published' if pushed else 'is up to date'}: {address}")


def _interrupt(number: int, frame: object) -> NoReturn:
    """Take away what is half written, and let no second signal stop that."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _listing() -> str:
    from crucible.planning import challenges

    manifests = [challenge.manifest for challenge in challenges.every(os.environ)]
    width = max((len(manifest.slug) for manifest in manifests), default=0)
    lines = [f"  {manifest.slug:{width}}  {manifest.line}" for manifest in manifests]
    return "\n".join(["Challenges:", "", *lines, "", "Start one with: crucible-new CHALLENGE DIR"])


def _next_steps(challenge: "Challenge", folder: Path, directory: str) -> str:
    from crucible.planning.plan import minutes

    enter = "" if folder == Path.cwd() else f"cd {shlex.quote(directory)} && "
    return f"""{challenge.manifest.slug} is ready in {click.format_filename(folder)}

  README.md is the brief, and DECISION.md the place for your choice. Push it to a
  repository of yours on GitHub: what reaches its default branch is graded, and
  every tag and pull request, each in about {minutes(challenge)["quick"]} minutes.

To have it judged here:

  {enter}crucible grade"""


if __name__ == "__main__":
    main()
