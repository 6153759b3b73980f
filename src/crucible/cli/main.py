"""`crucible`: grade a solution, judge recorded evidence again, compare designs, and work by hand.

Each command imports what it needs when it is run, so that `--help` is told at once.
"""

import os
import secrets
import sys
from pathlib import Path

import click

from crucible import __version__
from crucible.cli.authors import author_group, verify_command
from crucible.cli.learners import load_command, show_command, watch_command
from crucible.cli.leaving import FOLDER, explained, leave
from crucible.cli.organisers import collect_command, verify_result_command
from crucible.cli.servers import services_group
from crucible.planning.defaults import PRICES, ROUNDS, Deadlines


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="crucible")
def main() -> None:
    """Judge a backend design under load and faults, and say what it gives and what it costs."""


@main.command("grade", short_help="Grade a solution.")
@click.argument("folder", metavar="[DIR]", type=FOLDER, default=".")
@click.option("--quick", "mode", flag_value="quick", default="quick", help="The short suite, the default.")
@click.option("--full", "mode", flag_value="full", help="Everything, at length.")
@click.option("--challenge", metavar="SLUG", help="Refuse a solution that answers another challenge.")
@click.option("--check", "checks", multiple=True, metavar="ID", help="Only this check (RL-3 or its name); repeatable.")
@click.option("--failed", is_flag=True, help="Only what failed in the last grade, with its seed.")
@click.option("--on-top", is_flag=True, help="Build on top of the last build of DIR, as `watch` does: faster, and what "
              "an earlier one left may hide a mistake.")  # fmt: skip
@click.option("--profile", metavar="P", help="Judge for this business instead of the one in crucible.yaml.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Choose keys and orders as an earlier grade did.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Default: DIR/.crucible")
@click.option("--since", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="An earlier result, kept by the Action, to tell the changes since.")  # fmt: skip
@click.option("--private", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
              help="A folder that the solution must not see; repeatable.")  # fmt: skip
@click.option("--prices", type=click.Path(path_type=Path, dir_okay=False, exists=True), default=PRICES,
              help="A price list of your own, in place of Crucible's.")  # fmt: skip
@click.option("--network", type=click.IntRange(0, 100), default=1, show_default=True, metavar="MS",
              help="Delay between the solution and its services, each way, in ms.")  # fmt: skip
@click.option("--build-timeout", type=click.FloatRange(1), default=Deadlines.build, show_default=True, metavar="S")
@click.option("--boot-timeout", type=click.FloatRange(1), default=Deadlines.boot, show_default=True, metavar="S")
def grade_command(
    folder: Path, mode: str, challenge: str | None, checks: tuple[str, ...], failed: bool, on_top: bool,
    profile: str | None, seed: int | None, output: Path | None, since: Path | None,
    private: tuple[Path, ...], prices: Path, network: int, build_timeout: float, boot_timeout: float,
) -> None:  # fmt: skip
    """Grade the solution in DIR on servers of its own, and write what was seen and what follows to DIR/.crucible.

    Exits with 0 if every gate holds and the chosen profile fits, 1 if not, 2 for a wrong command line, 3 if Crucible or
    the challenge is at fault, 4 if it cannot be said, 130 if interrupted.
    """

    def work() -> int:
        from rich.console import Console

        from crucible import report
        from crucible.cli.progress import Steps
        from crucible.commands import grade, results
        from crucible.planning import overlays

        console = Console(highlight=False)
        with overlays.laid_out(folder) as whole:
            overlay = whole != folder
            if overlay:
                console.print(
                    f"{folder} is an overlay: graded as it is over its reference", markup=False, soft_wrap=True
                )
            wanted = grade.Wanted(
                folder=whole,
                output=output or (Path() if overlay else folder) / results.FOLDER,
                seed=secrets.randbits(32) if seed is None else seed,
                mode="full" if mode == "full" else "quick",
                checks=checks,
                profile=profile,
                network_ms=network,
                deadlines=Deadlines(build_timeout, boot_timeout),
                private=private,
                prices=prices,
                since=since,
                challenge=challenge,
                on_top=on_top,
            )
            if failed:
                wanted = grade.failed(wanted)
            steps = Steps(console)
            graded = grade.grade(wanted, dict(os.environ), steps)
        report.render_terminal(graded, console, steps.told)
        console.print(f"the rest: {wanted.output / results.REPORT}", markup=False, soft_wrap=True)
        return graded.verdict.exit_code

    leave(work)


@main.command("judge", short_help="Repeat a verdict from its evidence alone.")
@click.argument("evidence", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Also write result and summary here.")
@click.option("--prices", type=click.Path(path_type=Path, dir_okay=False, exists=True), default=PRICES,
              help="A price list of your own, in place of Crucible's.")  # fmt: skip
def judge_command(evidence: Path, output: Path | None, prices: Path) -> None:
    """Repeat the verdict from an evidence.json alone: no services, no solution."""

    def judge() -> int:
        from rich.console import Console

        from crucible import report
        from crucible.commands import grade, results

        graded = grade.repeat(evidence, os.environ, prices)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            results.write_grade(graded, output)
        report.render_terminal(graded, Console(highlight=False))
        return graded.verdict.exit_code

    sys.exit(explained(judge))


@main.command("compare", short_help="Say what differs between designs beyond the noise.")
@click.argument("folders", metavar="DIR DIR…", nargs=-1, required=True, type=FOLDER)
@click.option("--with-references", is_flag=True, help="Also compare with the challenge's reference designs.")
@click.option("--profile", metavar="P", help="Compare for this business. Default: the first design's.")
@click.option("--rounds", type=click.IntRange(ROUNDS, 30), default=ROUNDS, show_default=True,
              help="How often load visits each design. More see smaller differences.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Choose keys and orders as an earlier one did.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False),
              help="Default: .crucible/comparison in the first DIR")  # fmt: skip
@click.option("--private", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
              help="A folder that the solutions must not see; repeatable.")  # fmt: skip
def compare_command(
    folders: tuple[Path, ...], with_references: bool, profile: str | None, rounds: int, seed: int | None,
    output: Path | None, private: tuple[Path, ...],
) -> None:  # fmt: skip
    """Grade the designs in these folders by turns, and say what differs from the first beyond the noise.

    Writes comparison.json, and each design's results, to .crucible/comparison. Exits with 0 whatever differs.
    """

    def work() -> int:
        from rich.console import Console

        from crucible import report
        from crucible.cli.progress import Steps
        from crucible.commands import compare

        wanted = compare.Wanted(
            folders, output or folders[0] / ".crucible" / "comparison", secrets.randbits(31) if seed is None else seed,
            profile, rounds, with_references, private,
        )  # fmt: skip
        console = Console(highlight=False)
        found = compare.compare(wanted, dict(os.environ), Steps(console))
        report.render_comparison(found, console)
        console.print(f"\nresults: {wanted.output}", markup=False, soft_wrap=True)
        return 0

    leave(work)


@main.command("up", short_help="Start services and solution for work by hand.")
@click.argument("folder", metavar="[DIR]", type=FOLDER, default=".")
@click.option("--port", type=click.IntRange(0, 65_000), default=0, metavar="PORT",
              help="Where the first replica answers, and the others next to it. Default: free ports.")  # fmt: skip
@click.option("--logs", is_flag=True, help="Show what the processes print.")
def up_command(folder: Path, port: int, logs: bool) -> None:
    """Start the services and the solution in DIR for work by hand, print their URLs and a request for each route, build
    and start again at every save, and wait for Ctrl-C.
    """

    def work() -> int:
        from rich.console import Console

        from crucible.commands import up

        return up.up(up.Wanted(folder, port, logs), dict(os.environ), Console(highlight=False))

    leave(work)


for command in (
    watch_command, show_command, load_command, verify_command, author_group, collect_command, verify_result_command,
    services_group,
):  # fmt: skip
    main.add_command(command)

if __name__ == "__main__":
    main()
