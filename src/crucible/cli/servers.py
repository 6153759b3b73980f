"""Which servers there are here, and how a missing one is got."""

import os
import sys
from collections.abc import Sequence
from functools import partial

import click
from click.shell_completion import CompletionItem

from crucible.cli.leaving import explained


def _choice() -> "click.Choice[str]":
    """Of all services: a module that takes long to import knows them."""
    from crucible import services

    return click.Choice(sorted(services.SERVICES))


def _known(context: click.Context, argument: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if they are services."""
    return tuple(_choice().convert(name, argument, context) for name in names) if names else ()


def _completed(context: click.Context, argument: click.Parameter, begun: str) -> list[CompletionItem]:
    return _choice().shell_complete(context, argument, begun)


@click.group("services", invoke_without_command=True, short_help="Say which servers would be used here.")
@click.pass_context
def services_group(context: click.Context) -> None:
    """Say which servers would be used here for the services that the challenges offer, and how to get a missing one."""
    if context.invoked_subcommand is None:
        sys.exit(explained(_show_services))


@services_group.command("install", short_help="Install the servers that are missing.")
@click.argument("names", metavar="[SERVICE]…", nargs=-1, callback=_known, shell_complete=_completed)
@click.option("--all", "every", is_flag=True, help="Of all services, whether a challenge here offers them or not.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def services_install_command(names: tuple[str, ...], every: bool, yes: bool) -> None:
    """Install what is missing of these services with pip, apt, Homebrew or Go; if none is named, of those that the
    challenges here offer.

    Says first what it will run, and asks.
    """
    sys.exit(explained(partial(_install, names, every, yes)))


def _install(names: Sequence[str], every: bool, yes: bool) -> int:
    from crucible import services
    from crucible.services import install

    shown = list(services.SERVICES) if every else names or _offered()
    wanted = [services.SERVICES[name] for name in shown]
    steps = install.steps(wanted, os.environ, root=os.geteuid() == 0)
    for step in steps:
        click.echo(f"{step.service.title}: {step.words}" + (f"\n  {step.remark}" if step.remark else ""))
    if steps and not yes:
        click.confirm("Run this?", abort=True)
    for step in steps:
        if failed := install.run(step, os.environ):
            click.echo(failed, err=True)
    return _show(shown)


def _offered() -> list[str]:
    """The services that a challenge here offers."""
    from crucible import services
    from crucible.planning import challenges

    offered = {name for challenge in challenges.every(os.environ) for name in challenge.manifest.services}
    return [name for name in services.SERVICES if name in offered]


def _show_services() -> int:
    return _show(_offered())


def _show(names: Sequence[str]) -> int:
    """Never in columns: what is to be copied would be broken."""
    from crucible import services

    found = {name: services.find(name, os.environ) for name in names}
    for name, source in found.items():
        service = services.SERVICES[name]
        click.echo(f"{service.title}: {source.words if source is not None else 'none is here'}")
        click.echo(f"  {'to have another' if source is not None else 'to have one'}: {service.how_to_get}")
    return 3 if None in found.values() else 0
