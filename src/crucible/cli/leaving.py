"""How a command ends: with its exit code, and with a word about what went wrong. What is heavy is imported late."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from crucible.cli import explain
from crucible.errors import CrucibleError
from crucible.planning.names import UnknownNameError
from crucible.processes.interrupt import InterruptedGradeError

INTERRUPTED = 130
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
"""A folder that is there."""


def leave(work: Callable[[], int]) -> None:
    """Exit with what `work` returns, under the warden: nothing that it started stays."""
    from crucible.lab import leftovers
    from crucible.processes import warden

    sys.exit(warden.guard(partial(explained, work), leftovers.clear))


def explained(work: Callable[[], int]) -> int:
    """Run `work`; every failure that a user can mend is told, once, here."""
    try:
        return work()
    except CrucibleError as error:
        click.echo(explain(error), err=True)
        return error.exit_code
    except UnknownNameError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except (InterruptedGradeError, KeyboardInterrupt):
        click.echo("interrupted: nothing was graded, and everything that was started has been ended", err=True)
        return INTERRUPTED
