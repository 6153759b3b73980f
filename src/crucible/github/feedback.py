"""The comment on a pull request: one, found again by its mark and its author, edited in place, silent without news.

Runs in a job that runs no code of the solution's. What that left is data: JSON of a known shape and size; every text in
it is escaped here. The pull request is found through the event, never through the results.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from github import Github
from github.PullRequest import PullRequest
from github.Repository import Repository

from crucible.errors import CrucibleError, Fault
from crucible.github import api, commands
from crucible.judging import comparison, references, verdict
from crucible.judging.comparison import Comparison
from crucible.judging.verdict import Verdict
from crucible.planning import challenges
from crucible.report import choices, comment

BOT = "github-actions[bot]"
"""Who writes with a workflow's own token. A comment of somebody else with our mark is somebody else's."""
MOST_BYTES = 4 << 20
USAGE = 2


@dataclass(frozen=True, slots=True)
class Results:
    verdict: Verdict
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class Settings:
    folder: Path
    token: str
    api_url: str
    repository: str
    run_url: str
    event: Mapping[str, Any]
    environ: Mapping[str, str] = field(default_factory=dict)


def main(environ: Mapping[str, str] | None = None) -> int:
    """Run the step. A comment that could not be written is a warning: the grade has its own job."""
    echo = sys.stdout.buffer
    try:
        settings = read_settings(os.environ if environ is None else environ)
        results = read_results(settings.folder)
        client = api.client(settings.token, settings.api_url, lazy=True)
        with api.explained("the comment on the pull request"):
            said = tell(client, settings, results)
        echo.write(commands.annotation("notice", "Crucible", said))
        return 0
    except CrucibleError as error:
        echo.write(commands.annotation("warning", "Crucible", f"No comment was written. {error}; {error.fix}"))
        return USAGE if error.fault is Fault.AUTHOR else 0
    finally:
        echo.flush()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Raises a CrucibleError for what is missing."""

    def of(name: str) -> str:
        if value := environ.get(name):
            return value
        raise CrucibleError(
            f"{name} is not set", where="the environment", fix="run this in a GitHub workflow", fault=Fault.AUTHOR
        )

    event = json.loads(Path(of("GITHUB_EVENT_PATH")).read_bytes())
    server, repository = environ.get("GITHUB_SERVER_URL", "https://github.com"), of("GITHUB_REPOSITORY")
    run = event.get("workflow_run") or {}
    return Settings(
        folder=Path(of("GITHUB_WORKSPACE")) / of("INPUT_COMMENT"),
        token=of("GITHUB_TOKEN"),
        api_url=environ.get("GITHUB_API_URL", api.API),
        repository=repository,
        run_url=f"{server}/{repository}/actions/runs/{int(run.get('id') or of('GITHUB_RUN_ID'))}",
        event=event,
        environ=environ,
    )


def read_results(folder: Path) -> Results:
    """The results of the grade, schema-checked. Raises a CrucibleError where they are none."""
    try:
        judged = verdict.from_json(_read(folder / "result.json"))
    except ValueError as error:
        raise CrucibleError(
            "result.json is not a result of this version of Crucible", where=str(folder),
            fix="let the same version grade and comment", fault=Fault.LEARNER,
        ) from error  # fmt: skip
    path = folder / "comparison" / "comparison.json"
    return Results(judged, comparison.from_json(_read(path), path.name) if path.is_file() else None)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CrucibleError(
                f"it has more than {MOST_BYTES >> 20} MB", where=path.name, fix="look at what wrote it",
                fault=Fault.LEARNER,
            )  # fmt: skip
        return path.read_bytes()
    except OSError as error:
        raise CrucibleError(
            f"it cannot be read: {error.strerror}", where=path.name,
            fix="download the artifact `crucible-result` first", fault=Fault.LEARNER,
        ) from error  # fmt: skip


def tell(client: Github, settings: Settings, results: Results) -> str:
    """Write, edit or leave the comment; in words which of them."""
    repository = client.get_repo(settings.repository)
    pull, commit = find_pull(repository, settings.event)
    if pull is None:
        return "There is no open pull request for this commit, so there is nothing to comment on."
    buys = bought(results.verdict, settings.environ)
    body = comment.comment_md(results.verdict, results.comparison, commit, settings.run_url, buys)
    mark = re.escape(comment.MARK) + r" ([0-9a-f]{16}) -->"
    for there in pull.get_issue_comments():
        match = re.match(mark, there.body or "")
        if match is None or there.user.login != BOT:
            continue
        if match[1] == comment.digest(results.verdict, results.comparison):
            return f"The comment says what there is to say: {there.html_url}"
        there.edit(body)
        return f"The comment has been brought up to date: {there.html_url}"
    if not comment.tells_anything(results.comparison):
        return "Nothing changes beyond the noise, so there is no comment."
    return f"A comment has been written: {pull.create_issue_comment(body).html_url}"


def bought(judged: Verdict, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What the design buys and what it costs against the references; nothing, where its challenge is not at hand."""
    try:
        challenge = challenges.find(judged.challenge, environ, where="result.json")
        return choices.against(judged, challenge.manifest, references.read(challenge.folder))
    except CrucibleError:
        return ()


def find_pull(repository: Repository, event: Mapping[str, Any]) -> tuple[PullRequest | None, str]:
    """The pull request that the event is about, and its commit: named by the event, or, where another workflow's end is
    the event, the open one from the same branch of the same repository with the same commit."""
    if isinstance(said := event.get("pull_request"), dict):
        return repository.get_pull(int(said["number"])), str(said["head"]["sha"])
    run = event.get("workflow_run")
    if not isinstance(run, dict):
        raise CrucibleError(
            "the event is neither a pull request nor the end of a workflow", where="GITHUB_EVENT_PATH",
            fix="run this on `pull_request` or `workflow_run`", fault=Fault.AUTHOR,
        )  # fmt: skip
    commit, owner = str(run["head_sha"]), str(run["head_repository"]["owner"]["login"])
    for pull in repository.get_pulls(state="open", head=f"{owner}:{run['head_branch']}"):
        if pull.head.sha == commit:
            return pull, commit
    return None, commit


if __name__ == "__main__":
    sys.exit(main())
