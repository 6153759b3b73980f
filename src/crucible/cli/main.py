"""`crucible`: grade a solution, judge recorded evidence again, work by hand, and see which servers would be used."""

import asyncio
import os
import secrets
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from crucible import __version__, report, services
from crucible.cli import explain
from crucible.cli.progress import Steps, Trials
from crucible.commands import author, compare, grade, verify
from crucible.commands.up import up as bring_up
from crucible.commands.verify import Wanted
from crucible.errors import CrucibleError
from crucible.github import proof
from crucible.github.proof import SIGNER
from crucible.lab import leftovers
from crucible.planning import challenges
from crucible.planning.plan import ROUNDS, Deadlines, UnknownNameError
from crucible.planning.prices import OURS
from crucible.processes import warden
from crucible.report.text import plain
from crucible.services import install

INTERRUPTED = 130
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="crucible")
def main() -> None:
    """Judge a backend design under load and faults, and say what it gives and what it costs."""


@main.command("grade")
@click.argument("folder", metavar="[DIR]", type=FOLDER, default=".")
@click.option("--quick", "mode", flag_value="quick", default="quick", help="The short suite, the default.")
@click.option("--full", "mode", flag_value="full", help="Everything, at length.")
@click.option("--challenge", metavar="SLUG", help="Refuse a solution that answers another challenge.")
@click.option("--check", "checks", multiple=True, metavar="ID", help="Only this check (RL-3 or its name); repeatable.")
@click.option("--profile", metavar="P", help="Judge for this business instead of the one in crucible.yaml.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Choose keys and orders as an earlier grade did.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Default: DIR/.crucible")
@click.option("--since", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="An earlier result, kept by the Action, to tell the changes since.")  # fmt: skip
@click.option("--private", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
              help="A folder that the solution must not see; repeatable.")  # fmt: skip
@click.option("--prices", type=click.Path(path_type=Path, dir_okay=False, exists=True), default=OURS,
              help="A price list of your own, in place of Crucible's.")  # fmt: skip
@click.option("--network", type=click.IntRange(0, 100), default=1, show_default=True, metavar="MS",
              help="Delay between the solution and its services, each way, in ms.")  # fmt: skip
@click.option("--build-timeout", type=click.FloatRange(1), default=Deadlines.build, show_default=True, metavar="S")
@click.option("--boot-timeout", type=click.FloatRange(1), default=Deadlines.boot, show_default=True, metavar="S")
def grade_command(
    folder: Path, mode: str, challenge: str | None, checks: tuple[str, ...], profile: str | None, seed: int | None,
    output: Path | None, since: Path | None,
    private: tuple[Path, ...], prices: Path, network: int, build_timeout: float, boot_timeout: float,
) -> None:  # fmt: skip
    """Grade the solution in DIR on servers of its own, and write what was seen and what follows to DIR/.crucible.

    Exits with 0 if every gate holds and the chosen profile fits, 1 if not, 2 for a wrong command line, 3 if Crucible or
    the challenge is at fault, 4 if it cannot be said, 130 if interrupted.
    """
    request = grade.Request(
        folder=folder,
        output=output or folder / ".crucible",
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
    )
    _leave(partial(_grade, request))


def _grade(request: grade.Request) -> int:
    console = Console(highlight=False)
    graded = grade.grade(request, dict(os.environ), Steps(console))
    report.render_terminal(graded.verdict, graded.evidence, graded.manifest, graded.references, console)
    console.print(f"\nresults: {request.output}", markup=False, soft_wrap=True)
    return graded.verdict.exit_code


@main.command("judge")
@click.argument("evidence", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Also write result and summary here.")
@click.option("--prices", type=click.Path(path_type=Path, dir_okay=False, exists=True), default=OURS,
              help="A price list of your own, in place of Crucible's.")  # fmt: skip
def judge_command(evidence: Path, output: Path | None, prices: Path) -> None:
    """Repeat the verdict from an evidence.json alone: no services, no solution."""

    def judge() -> int:
        graded = grade.judge(evidence, prices)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            grade.write_results(graded, output)
        report.render_terminal(
            graded.verdict, graded.evidence, graded.manifest, graded.references, Console(highlight=False)
        )
        return graded.verdict.exit_code

    sys.exit(_explained(judge))


@main.command("verify")
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
    _leave(partial(_verify, Wanted(slug, "quick" if quick else "full", repeat, only, seed, keep), publish))


def _verify(wanted: Wanted, publish: bool) -> int:
    console = Console(highlight=False)
    found = verify.verify(wanted, dict(os.environ), Trials(console))
    report.render_matrices(found.verified, console)
    if publish:
        for path in verify.publish(found, wanted):
            console.print(f"written: {path}", markup=False, soft_wrap=True)
    return found.exit_code


@main.command("compare")
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
    wanted = compare.Wanted(
        folders, output or folders[0] / ".crucible" / "comparison", secrets.randbits(31) if seed is None else seed,
        profile, rounds, with_references, private,
    )  # fmt: skip
    _leave(partial(_compare, wanted))


def _compare(wanted: compare.Wanted) -> int:
    console = Console(highlight=False)
    found = compare.compare(wanted, dict(os.environ), Steps(console))
    report.render_comparison(found, console)
    console.print(f"\nresults: {wanted.output}", markup=False, soft_wrap=True)
    return 0


@main.command("collect")
@click.argument("owner")
@click.option("--prefix", default="", help="Only repositories whose name begins so.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), default="cohort.csv",
              show_default=True)  # fmt: skip
@click.option("--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), default="cohort.html",
              show_default=True)  # fmt: skip
def collect_command(owner: str, prefix: str, csv_file: Path, html_file: Path) -> None:
    """Collect the latest results of a cohort, and its first ones, from the repositories of OWNER on GitHub.

    Takes GH_TOKEN, or `gh auth login`. These are the repositories' own words; `verify-result` says what is proven.
    """
    sys.exit(_explained(partial(_collect, owner, prefix, csv_file, html_file)))


def _collect(owner: str, prefix: str, csv_file: Path, html_file: Path) -> int:
    from crucible.github import api, collect, publish  # PyGithub takes long to import

    secret = publish.token(os.environ)
    client = api.client(secret, os.environ.get("GITHUB_API_URL", api.API))
    lines = [collect.line(row) for row in collect.collect(client, secret, owner, prefix)]
    csv_file.write_text(report.to_csv(lines), encoding="utf-8", newline="")
    html_file.write_text(report.cohort_html(f"{owner}/{prefix}", lines), encoding="utf-8")
    failed = sum(bool(line.error) for line in lines)
    click.echo(f"{len(lines)} repositories, {failed} without a result: {csv_file}, {html_file}")
    return 0


@main.command("verify-result")
@click.argument("result", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--repo", "repository", required=True, metavar="OWNER/REPO", help="The repository that was graded.")
@click.option("--commit", default="", help="The commit that was graded, 40 hex digits. Default: it is told which.")
@click.option("--challenge", default="", metavar="SLUG", help="The challenge that it must be of.")
@click.option("--signer", default=SIGNER, show_default=True, metavar="OWNER/REPO",
              help="Whose callable workflow signed it.")  # fmt: skip
def verify_result_command(result: Path, repository: str, commit: str, challenge: str, signer: str) -> None:
    """Say whether a result.json was signed by the callable workflow, and of which commit, challenge and suite it is.

    Exits with 0 if everything holds, and 1 if anything does not. Needs `gh`.
    """

    def check() -> int:
        facts = proof.prove(proof.Claim(result, repository, commit, challenge, signer), os.environ)
        for fact in facts:
            click.echo(f"{'✓' if fact.holds else '✗'} {fact.what}: {plain(fact.said, 600)}")
        return 0 if all(fact.holds for fact in facts) else 1

    sys.exit(_explained(check))


@main.group("author")
def author_group() -> None:
    """For authors of challenges."""


@author_group.command("new")
@click.argument("slug")
@click.option("--in", "into", type=FOLDER, default=".", show_default=True, help="The folder that it is written into.")
def author_new_command(slug: str, into: Path) -> None:
    """Write the smallest challenge that verifies, named SLUG, to begin with."""

    def write() -> int:
        folder = author.new(slug, into)
        click.echo(f"{slug} is ready in {click.format_filename(folder)}\n\nNext:")
        if folder.parent != challenges.data_folder("challenge_templates"):
            click.echo(f"  export {challenges.VARIABLE}={shlex.quote(str(folder.parent))}")
        click.echo(f"  crucible verify {slug}  grades its references and flaws, and says what does not hold")
        return 0

    sys.exit(_explained(write))


@main.command("up")
@click.argument("folder", metavar="[DIR]", type=FOLDER, default=".")
def up_command(folder: Path) -> None:
    """Start the services and the solution in DIR for work by hand, print their URLs, and wait for Ctrl-C."""
    _leave(partial(bring_up, folder, dict(os.environ), Console(highlight=False)))


@main.group("services", invoke_without_command=True)
@click.pass_context
def services_group(context: click.Context) -> None:
    """Say which servers would be used here, from where, and how to get a missing one."""
    if context.invoked_subcommand is None:
        sys.exit(_explained(_show_services))


@services_group.command("install")
@click.argument("names", metavar="[SERVICE]…", nargs=-1, type=click.Choice(sorted(services.SERVICES)))
@click.option("--yes", is_flag=True, help="Do not ask.")
def services_install_command(names: tuple[str, ...], yes: bool) -> None:
    """Install what is missing of these services (of all of them, if none is named) with pip, apt, Homebrew or Go.

    Says first what it will run, and asks.
    """
    sys.exit(_explained(partial(_install, names or tuple(services.SERVICES), yes)))


def _install(names: tuple[str, ...], yes: bool) -> int:
    steps = install.steps((services.SERVICES[name] for name in names), os.environ, root=os.geteuid() == 0)
    for step in steps:
        click.echo(f"{step.service.title}: {step.words}" + (f"\n  {step.remark}" if step.remark else ""))
    if steps and not yes:
        click.confirm("Run this?", abort=True)
    for step in steps:
        install.run(step, os.environ)
    return _show_services()


def _show_services() -> int:
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


def _leave(work: Callable[[], int]) -> None:
    """Exit with what `work` returns, under the warden: nothing that it started stays."""
    sys.exit(warden.guard(partial(_explained, work), leftovers.clear))


def _explained(work: Callable[[], int]) -> int:
    """Run `work`; every failure that a user can mend is told, once, here."""
    try:
        return work()
    except CrucibleError as error:
        click.echo(explain(error), err=True)
        return error.exit_code
    except UnknownNameError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except (grade.InterruptedGradeError, KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted: nothing was graded, and everything that was started has been ended", err=True)
        return INTERRUPTED


if __name__ == "__main__":
    main()
