"""A scaffolded repository onto GitHub: the API is a stand-in, and git pushes into a bare repository on this disk."""

import base64
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.github_api import Answer, Api, Asked, github

from crucible.cli.new import main
from crucible.commands import scaffold
from crucible.errors import CrucibleError
from crucible.github import api as api_module
from crucible.github import publish
from crucible.planning import challenges

pytestmark = pytest.mark.machine

SLUG = "rate-limiter"
CHALLENGE = challenges.find(SLUG, {}, where="tests")


@dataclass
class Hub:
    """What is on GitHub: repositories with their topics, and where git finds them."""

    api: Api
    folder: Path
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    me: str = "alice"

    def make(self, name: str, *topics: str, size: int = 0) -> dict[str, Any]:
        bare = self.folder / f"{name}.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True)
        about = {
            "name": name.split("/")[1], "full_name": name, "url": f"{self.api.url}/repos/{name}",
            "topics": list(topics), "size": size, "default_branch": "main", "clone_url": f"https://github.com/{name}.git",
            "html_url": f"https://github.com/{name}", "is_template": False, "description": None,
        }  # fmt: skip
        self.repositories[name] = about
        return about

    def git(self, name: str, *arguments: str) -> str:
        command = ["git", "--git-dir", str(self.folder / f"{name}.git"), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def files(self, name: str) -> dict[PurePosixPath, bytes]:
        paths = self.git(name, "ls-tree", "-r", "--name-only", "main").splitlines()
        return {PurePosixPath(path): self.git(name, "show", f"main:{path}").encode() for path in paths}

    def new(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with github() as api:
        there = Hub(api, tmp_path / "hub")

        def found(asked: Asked, match: "re.Match[str]") -> Answer:
            about = there.repositories.get(match[1])
            return (200, about) if about else (404, {"message": "Not Found"})

        def made(asked: Asked, match: "re.Match[str]") -> Answer:
            owner = match[1] if match.re.groups else there.me
            return 201, there.make(f"{owner}/{asked.body['name']}")

        def edited(asked: Asked, match: "re.Match[str]") -> Answer:
            there.repositories[match[1]].update(asked.body)
            return 200, there.repositories[match[1]]

        def topics(asked: Asked, match: "re.Match[str]") -> Answer:
            if asked.method == "PUT":
                there.repositories[match[1]]["topics"] = asked.body["names"]
            return 200, {"names": there.repositories[match[1]]["topics"]}

        api.on("GET", "/repos/([^/]+/[^/]+)", found)
        api.on("PATCH", "/repos/([^/]+/[^/]+)", edited)
        api.on("GET", "/repos/([^/]+/[^/]+)/topics", topics)
        api.on("PUT", "/repos/([^/]+/[^/]+)/topics", topics)
        api.on("POST", "/user/repos", made)
        api.on("POST", "/orgs/([^/]+)/repos", made)
        api.answers("GET", "/user", 200, {"login": there.me, "url": f"{api.url}/user"})
        api.on(
            "GET", "/orgs/([^/]+)", lambda asked, match: (200, {"login": match[1], "url": f"{api.url}/orgs/{match[1]}"})
        )
        settings = {
            "GH_TOKEN": "t0k3n", "GITHUB_API_URL": api.url, "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{there.folder}/.insteadOf", "GIT_CONFIG_VALUE_0": "https://github.com/",
        }  # fmt: skip
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        for name in ("BETWEEN_REQUESTS_S", "BETWEEN_WRITES_S"):
            monkeypatch.setattr(api_module, name, 0.0)
        yield there


def test_a_challenge_becomes_a_template_repository(hub: Hub) -> None:
    done = hub.new(SLUG, "--publish", "alice/limiter")
    assert done.exit_code == 0, done.output
    assert "alice/limiter: published: https://github.com/alice/limiter" in done.output
    about = hub.repositories["alice/limiter"]
    assert about["is_template"] is True
    assert about["topics"] == [publish.OURS, "backend", "system-design", SLUG]
    assert about["description"].startswith("Rate limiter: ")
    assert hub.files("alice/limiter") == scaffold.render(CHALLENGE)
    marked = next(i for i, it in enumerate(hub.api.asked) if it.method == "PATCH")
    assert hub.api.asked[marked].body["is_template"] is True, (
        "before anything is pushed, so that its workflow is silent"
    )


def test_publishing_again_changes_nothing_and_a_change_is_one_commit_on_top(hub: Hub) -> None:
    hub.new(SLUG, "--publish", "school/limiter")
    assert [it.path for it in hub.api.called("POST")] == ["/orgs/school/repos"]
    assert "school/limiter: is up to date" in hub.new(SLUG, "--publish", "school/limiter").output
    first = hub.git("school/limiter", "rev-parse", "main")
    assert "published" in hub.new(SLUG, "--publish", "school/limiter", "--lang", "go").output
    assert hub.files("school/limiter") == scaffold.render(CHALLENGE, lang="go"), "what is not in it any more is gone"
    assert hub.git("school/limiter", "rev-parse", "main~1") == first


def test_a_repository_of_somebody_else_is_not_written_over(hub: Hub) -> None:
    hub.make("alice/thesis", "important", size=12)
    done = hub.new(SLUG, "--publish", "alice/thesis")
    assert done.exit_code == 1
    assert "there is a repository of that name that Crucible did not publish" in done.output
    assert not hub.api.called("PATCH")
    assert hub.git("alice/thesis", "branch", "--list") == ""


def test_all_challenges_are_written_and_published(hub: Hub, tmp_path: Path) -> None:
    done = hub.new("--all", str(tmp_path / "all"), "--publish", "alice")
    assert done.exit_code == 0, done.output
    assert sorted(hub.repositories) == [f"alice/{slug}" for slug in sorted(challenges.folders({}))]
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(challenges.folders({}))


def test_the_token_is_in_no_argument_no_file_and_no_output(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    login = base64.b64encode(b"x-access-token:t0k3n").decode()
    seen: list[str] = []
    run = subprocess.run

    def watched(command: list[str], **options: Any) -> Any:
        seen.extend(command)
        if "commit" in command:
            folder = Path(command[command.index("-C") + 1])
            seen.extend(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    done = hub.new(SLUG, "--publish", "alice/limiter")
    assert done.exit_code == 0, done.output
    assert "commit" in seen
    assert not [it for it in (*seen, done.output) if "t0k3n" in it or login in it]


def test_without_a_token_it_is_said_how_to_get_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GH_TOKEN")
    monkeypatch.setenv("PATH", "/nonexistent")
    done = hub.new(SLUG, "--publish", "alice/limiter")
    assert done.exit_code == 1
    assert "set GH_TOKEN, or log in with `gh auth login`" in done.output


def test_a_token_comes_from_gh_where_none_is_given(tmp_path: Path) -> None:
    (tmp_path / "gh").write_text('#!/bin/sh\ntest "$*" = "auth token" && echo from-gh\n')
    (tmp_path / "gh").chmod(0o755)
    assert publish.token({"PATH": f"{tmp_path}{os.pathsep}/usr/bin:/bin"}) == "from-gh"
    assert publish.token({"PATH": str(tmp_path), "GITHUB_TOKEN": "given"}) == "given"


@pytest.mark.parametrize(
    "name", ["", "alice", "alice/", "/x", "a/b/c", "alice/..", "alice/x y", "alice/${x}", "-a/x", "a/x\n"]
)
def test_what_names_no_repository_is_refused(name: str) -> None:
    with pytest.raises(CrucibleError, match="does not name a repository"):
        publish.split(name)


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "the token is not valid"), (403, "the token may not do that"), (422, "does not accept it")],
)
def test_what_github_refuses_is_said_with_what_to_do(hub: Hub, status: int, said: str) -> None:
    hub.api.answers("POST", "/user/repos", status, {"message": "no"})
    done = hub.new(SLUG, "--publish", "alice/limiter")
    assert done.exit_code == 1
    assert said in done.output
    assert "fix:" in done.output


def test_a_push_that_fails_says_what_git_said(hub: Hub) -> None:
    hub.make("alice/limiter", publish.OURS)
    hook = hub.folder / "alice/limiter.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho the branch is protected >&2; exit 1\n")
    hook.chmod(0o755)
    done = hub.new(SLUG, "--publish", "alice/limiter")
    assert done.exit_code == 1
    assert "`git push` failed" in done.output
    assert "the branch is protected" in done.output
