"""A scaffolded repository onto GitHub, as a template: made, or brought up to date by one commit on top."""

import base64
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from github import Github, UnknownObjectException
from github.Repository import Repository

from crucible.errors import CrucibleError, Fault
from crucible.github import api
from crucible.planning.manifest import Manifest

OURS = "crucible-challenge"
"""The topic by which a repository is known to be one of ours, which may be written over."""
_NAME = re.compile(r"(?P<owner>[A-Za-z0-9][A-Za-z0-9-]{0,38})/(?P<name>[A-Za-z0-9._-]{1,100})")
AUTHOR = (
    "-c",
    "user.name=crucible",
    "-c",
    "user.email=crucible@users.noreply.github.com",
    "-c",
    "commit.gpgsign=false",
)


def token(environ: Mapping[str, str]) -> str:
    """From GH_TOKEN or GITHUB_TOKEN, or what `gh` is logged in with. Raises a CrucibleError where there is none."""
    if given := environ.get("GH_TOKEN") or environ.get("GITHUB_TOKEN"):
        return given
    if shutil.which("gh", path=environ.get("PATH")):
        asked = subprocess.run(["gh", "auth", "token"], capture_output=True, text=True, env=dict(environ), check=False)
        if asked.returncode == 0 and asked.stdout.strip():
            return asked.stdout.strip()
    raise CrucibleError(
        "there is no token for GitHub", where="GH_TOKEN",
        fix="set GH_TOKEN, or log in with `gh auth login`", fault=Fault.LEARNER,
    )  # fmt: skip


def split(name: str) -> tuple[str, str]:
    """OWNER/NAME, taken apart. Raises a CrucibleError where it is none."""
    match = _NAME.fullmatch(name)
    if match is None or match["name"] in (".", ".."):
        raise CrucibleError(
            f"`{name}` does not name a repository", where="--publish", fix="write OWNER/NAME", fault=Fault.LEARNER
        )
    return match["owner"], match["name"]


def publish(
    client: Github, name: str, manifest: Manifest, files: Mapping[PurePosixPath, bytes], environ: Mapping[str, str]
) -> tuple[str, bool]:
    """Make or update the repository; its address, and whether anything was pushed. git runs in `environ`, `logged_in`.

    Raises a CrucibleError, and pushes nothing, where there is a repository of that name that is not ours.
    """
    owner, short = split(name)
    with api.explained(name):
        repository = _found(client, owner, short) or _made(client, owner, short)
        mark(repository, manifest)  # before its first push, so that the workflow in it knows, and keeps silent
    return repository.html_url, _push(files, repository.clone_url, repository.default_branch, environ)


def mark(repository: Repository, manifest: Manifest) -> None:
    """Say what it is, and that it is a template."""
    repository.edit(description=f"{manifest.title}: {manifest.line}"[:350], is_template=True)
    repository.replace_topics([OURS, "backend", "system-design", manifest.slug])


def _found(client: Github, owner: str, short: str) -> Repository | None:
    """The repository, where it is there and ours, or empty."""
    try:
        repository = client.get_repo(f"{owner}/{short}")
    except UnknownObjectException:
        return None
    if OURS not in repository.get_topics() and repository.size > 0:
        raise CrucibleError(
            "there is a repository of that name that Crucible did not publish", where=f"{owner}/{short}",
            fix=f"choose another name, or give it the topic `{OURS}` if it may be written over", fault=Fault.LEARNER,
        )  # fmt: skip
    return repository


def _made(client: Github, owner: str, short: str) -> Repository:
    me = client.get_user()
    if me.login.lower() == owner.lower():
        return me.create_repo(short)
    return client.get_organization(owner).create_repo(short)


def _push(files: Mapping[PurePosixPath, bytes], url: str, branch: str, environ: Mapping[str, str]) -> bool:
    """One commit with exactly these files, on top of what is there; False where that changes nothing."""
    with tempfile.TemporaryDirectory(prefix="crucible-publish-") as folder:
        tree, git = Path(folder) / "tree", _Git(Path(folder) / "tree", environ)
        tree.mkdir()
        git("init", "--quiet", f"--initial-branch={branch}")
        git("remote", "add", "origin", url)
        there = git("ls-remote", "--heads", "origin", f"refs/heads/{branch}")
        if there.strip():
            git("fetch", "--quiet", "--depth=1", "origin", f"refs/heads/{branch}")
            git("reset", "--quiet", "--soft", "FETCH_HEAD")
        for path, content in files.items():
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        git("add", "--all", "--force")
        if not git("status", "--porcelain").strip():
            return False
        git(*AUTHOR, "commit", "--quiet", "--message", "Update from Crucible" if there.strip() else "First commit")
        git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    return True


def logged_in(secret: str, environ: Mapping[str, str]) -> dict[str, str]:
    """An environment in which git may push. The token is nowhere else: not in a file, nor where another user's `ps`
    shows it."""
    login = base64.b64encode(f"x-access-token:{secret}".encode()).decode()
    count = int(environ.get("GIT_CONFIG_COUNT") or 0)
    return {
        **environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": "http.https://github.com/.extraheader",
        f"GIT_CONFIG_VALUE_{count}": f"AUTHORIZATION: basic {login}",
    }


class _Git:
    """git in one folder."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder, self._environ = folder, environ

    def __call__(self, *arguments: str) -> str:
        command = ["git", "-C", str(self._folder), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=self._environ, timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CrucibleError(
                f"git could not be run: {type(error).__name__}", where="git", fix="install git", fault=Fault.LEARNER
            ) from error
        if done.returncode != 0:
            raise CrucibleError(
                f"`git {arguments[0]}` failed", where="git", fix="look at what it says below", fault=Fault.LEARNER,
                excerpt=done.stderr[-2000:],
            )  # fmt: skip
        return done.stdout
