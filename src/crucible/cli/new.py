"""`crucible-new`: lists the challenges, or writes a repository that answers one.

What takes long to import is imported where it is used, so that `--help` is told at once.
"""

import os
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

from crucible import __version__
from crucible.cli import explain
from crucible.errors import CrucibleError
from crucible.planning.defaults import ACTION

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
            if directory:
                from crucible.commands import scaffold

                folder = scaffold.create(challenge, Path(directory), lang=lang, action=action)
                click.echo(_next_steps(challenge, folder, directory))
            if repository:
                _publish({repository: challenge}, lang, action)
    except CrucibleError as error:
        click.echo(explain(error), err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)


def _every(place: Path, lang: str, action: str, owner: str | None) -> None:
    from crucible.commands import scaffold
    from crucible.planning import challenges

    slugs = challenges.slugs()
    for slug in slugs:
        folder = scaffold.create(slug, place / slug, lang=lang, action=action)
        click.echo(f"{slug} is ready in {click.format_filename(folder)}")
    if owner is not None:
        _publish({f"{owner}/{slug}": slug for slug in slugs}, lang, action)


def _publish(repositories: Mapping[str, str], lang: str, action: str) -> None:
    """Publish challenges, each as the repository that it is named for."""
    from crucible.commands import scaffold
    from crucible.github import api, publish
    from crucible.planning import challenges
    from crucible.planning.manifest import read_manifest

    for name in repositories:
        publish.split(name)
    secret = publish.token(os.environ)
    client = api.client(secret, os.environ.get("GITHUB_API_URL", api.API))
    for name, slug in repositories.items():
        manifest = read_manifest(challenges.folder_of(slug, where="the command line"))
        files = scaffold.render(slug, lang=lang, action=action)
        address, pushed = publish.publish(client, name, manifest, files, secret)
        click.echo(f"{name}: {'published' if pushed else 'is up to date'}: {address}")


def _interrupt(number: int, frame: object) -> NoReturn:
    """Take away what is half written, and let no second signal stop that."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _listing() -> str:
    from crucible.planning import challenges

    manifests = challenges.all_manifests()
    width = max((len(manifest.slug) for manifest in manifests), default=0)
    lines = [f"  {manifest.slug:{width}}  {manifest.line}" for manifest in manifests]
    return "\n".join(["Challenges:", "", *lines, "", "Start one with: crucible-new CHALLENGE DIR"])


def _next_steps(challenge: str, folder: Path, directory: str) -> str:
    from crucible.commands import scaffold

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
