"""For organisers: the results of a cohort, and whether one result is what it says it is."""

import os
import sys
from functools import partial
from pathlib import Path

import click

from crucible.cli.leaving import explained
from crucible.planning.defaults import SIGNER


@click.command("collect", short_help="Collect the results of a course or a cohort.")
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
    sys.exit(explained(partial(_collect, owner, prefix, csv_file, html_file)))


def _collect(owner: str, prefix: str, csv_file: Path, html_file: Path) -> int:
    from crucible import report
    from crucible.github import api, collect, publish

    secret = publish.token(os.environ)
    client = api.client(secret, os.environ.get("GITHUB_API_URL", api.API))
    lines = [collect.line(row) for row in collect.collect(client, secret, owner, prefix)]
    csv_file.write_text(report.to_csv(lines), encoding="utf-8", newline="")
    html_file.write_text(report.cohort_html(f"{owner}/{prefix}", lines), encoding="utf-8")
    failed = sum(bool(line.error) for line in lines)
    click.echo(f"{len(lines)} repositories, {failed} without a result: {csv_file}, {html_file}")
    return 0


@click.command("verify-result", short_help="Say whether a result was signed.")
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
        from crucible.github import proof
        from crucible.report.text import plain

        facts = proof.prove(proof.Claim(result, repository, commit, challenge, signer), os.environ)
        for fact in facts:
            click.echo(f"{'✓' if fact.holds else '✗'} {fact.what}: {plain(fact.said, 600)}")
        return 0 if all(fact.holds for fact in facts) else 1

    sys.exit(explained(check))
