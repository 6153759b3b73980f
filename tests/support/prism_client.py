"""prism_client.py URL: what Crucible asks of GitHub, asked of Prism, which knows GitHub's OpenAPI description.

It refuses what does not follow that, answers with the description's examples, and keeps nothing; what is to be
remembered is tested in tests/github, against an API that does.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests
from github import GithubException
from support import evidence_builder as build

from crucible.errors import CrucibleError
from crucible.github import api, collect, feedback, publish
from crucible.github.feedback import Results, Settings
from crucible.judging.judge import judge
from crucible.planning import challenges

REPOSITORY = "octocat/Hello-World"
VERDICT = judge(build.evidence(), build.MANIFEST, build.SUITE, build.PRICES)
PULL_REQUEST = {"pull_request": {"number": 1347, "head": {"sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e"}}}
RUN = {
    "workflow_run": {
        "id": 1, "head_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e", "head_branch": "feature/a,b;c&d=$(id)",
        "head_repository": {"owner": {"login": "octocat"}},
    }
}  # fmt: skip


class AnyMediaType(requests.Session):
    """GitHub takes all of its media types, Prism only those that the description has."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        request.headers["Accept"] = "application/json"
        return super().send(request, **options)


def main(url: str) -> int:
    requests.Session = AnyMediaType  # type: ignore[misc]
    eager, lazy = (api.client("a" * 40, url, lazy=lazy) for lazy in (False, True))
    manifest = challenges.find("rate-limiter", {}, where="tests").manifest

    def comment(event: Mapping[str, object]) -> object:
        settings = Settings(Path(), "", url, REPOSITORY, "https://github.com/octocat/Hello-World/actions/runs/1", event)
        return feedback.tell(lazy, settings, Results(VERDICT, None))

    def edit() -> object:
        there = next(iter(lazy.get_repo(REPOSITORY).get_pull(1347).get_issue_comments()))
        there.edit("brought up to date")
        return there.html_url

    asked: dict[str, Callable[[], object]] = {
        "a comment on a pull request": lambda: comment(PULL_REQUEST),
        "the pull request of a fork's run": lambda: feedback.find_pull(lazy.get_repo(REPOSITORY), RUN),
        "an edited comment": edit,
        "a repository that becomes a template": lambda: publish.mark(eager.get_repo(REPOSITORY), manifest),
        "a new repository of one's own": lambda: publish._made(eager, eager.get_user().login, "limiter").html_url,
        "a new repository of an organisation": lambda: publish._made(eager, "github", "limiter").html_url,
        "a cohort": lambda: [row.error for row in collect.collect(eager, "a" * 40, "octocat", "")],
    }
    failed = 0
    for what, ask in asked.items():
        try:
            print(f"✓ {what}: {ask()}")
        except (GithubException, CrucibleError) as error:
            failed += 1
            print(f"✗ {what}: {error}")
    try:  # and it does refuse
        eager.get_repo(REPOSITORY)._requester.requestJsonAndCheck(
            "PATCH", f"{url}/repos/{REPOSITORY}", input={"is_template": "yes"}
        )
        print("✗ a wrong request was not refused")
        failed += 1
    except GithubException as error:
        print(f"✓ a wrong request is refused: {error.status} {json.dumps(error.data)[:200]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
