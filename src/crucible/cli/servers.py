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


@click.group("services", invoke_without_command=True)
@click.pass_context
def services_group(context: click.Context) -> None:
    """Say which servers would be used here, from where, and how to get a missing one."""
    if context.invoked_subcommand is None:
        sys.exit(explained(_show_services))


@services_group.command("install")
@click.argument("names", metavar="[SERVICE]…", nargs=-1, callback=_known, shell_complete=_completed)
@click.option("--yes", is_flag=True, help="Do not ask.")
def services_install_command(names: tuple[str, ...], yes: bool) -> None:
    """Install what is missing of these services (of all of them, if none is named) with pip, apt, Homebrew or Go.

    Says first what it will run, and asks.
    """
    sys.exit(explained(partial(_install, names, yes)))


def _install(names: Sequence[str], yes: bool) -> int:
    from crucible import services
    from crucible.services import install

    wanted = [services.SERVICES[name] for name in names or services.SERVICES]
    steps = install.steps(wanted, os.environ, root=os.geteuid() == 0)
    for step in steps:
        click.echo(f"{step.service.title}: {step.words}" + (f"\n  {step.remark}" if step.remark else ""))
    if steps and not yes:
        click.confirm("Run this?", abort=True)
    for step in steps:
        install.run(step, os.environ)
    return _show_services()


def _show_services() -> int:
    from rich.console import Console
    from rich.table import Table

    from crucible import services

    table = Table(box=None, pad_edge=False)
    for heading in ("service", "would be used", "to have another"):
        table.add_column(heading, overflow="fold")
    missing = False
    for service in services.SERVICES.values():
        source = services.find(service.name, os.environ)
        missing = missing or source is None
        table.add_row(service.title, source.words if source else "none: see right", service.how_to_get)
    Console(highlight=False).print(table)
    return 3 if missing else 0
