"""The results of a cohort, from the artifacts of its repositories: one row each, before and after."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import requests
from github import Github
from github.Artifact import Artifact
from github.Repository import Repository

from crucible.errors import CrucibleError, Fault
from crucible.github import api
from crucible.judging import verdict
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import Verdict
from crucible.report.cohort import Line

ARTIFACT, FILE = "crucible-result", "result.json"
MOST_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class KeptResult:
    """One result of a repository."""

    commit: str
    at: str
    """When it was kept, UTC, ISO 8601."""
    verdict: Verdict

    @property
    def fits(self) -> tuple[str, ...]:
        return tuple(fit.profile for fit in self.verdict.fits if fit.result is Judgement.FITS)


@dataclass(frozen=True, slots=True)
class Collected:
    """One repository: its first and its latest result on its default branch, as far as they are still kept."""

    repository: str
    before: KeptResult | None = None
    after: KeptResult | None = None
    error: str = ""
    """Why there is no result."""


def collect(client: Github, token: str, owner: str, prefix: str) -> Iterator[Collected]:
    """A row for each repository of the owner whose name begins with `prefix`. Raises a CrucibleError."""
    with api.explained(owner):
        theirs = [it for it in client.get_user(owner).get_repos() if it.name.startswith(prefix)]
    for repository in sorted(theirs, key=lambda it: it.full_name):
        try:
            with api.explained(repository.full_name):
                yield _row(repository, token)
        except CrucibleError as error:
            yield Collected(repository.full_name, error=error.what)


def _row(repository: Repository, token: str) -> Collected:
    kept = [
        artifact
        for artifact in repository.get_artifacts(name=ARTIFACT)
        if not artifact.expired and artifact.workflow_run.head_branch == repository.default_branch
    ]
    if not kept:
        return Collected(repository.full_name, error="no result is kept")
    kept.sort(key=lambda it: it.created_at)
    first, last = _graded(kept[0], token), _graded(kept[-1], token)
    return Collected(repository.full_name, first if len(kept) > 1 else None, last)


def _graded(artifact: Artifact, token: str) -> KeptResult:
    at: datetime = artifact.created_at
    judged = read_archive(_download(artifact.archive_download_url, token))
    return KeptResult(str(artifact.workflow_run.head_sha), at.isoformat(), judged)


def _download(url: str, token: str) -> bytes:
    """An artifact's archive. The token goes to GitHub's API, and not to the storage that it sends us on to."""
    with requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=60, stream=True) as reply:
        if reply.status_code != requests.codes.ok:
            raise _unusable(f"the artifact could not be downloaded ({reply.status_code})")
        content = reply.raw.read(MOST_BYTES + 1, decode_content=True)
    if len(content) > MOST_BYTES:
        raise _unusable("the artifact is too large")
    return bytes(content)


def read_archive(content: bytes) -> Verdict:
    """The result in an artifact's archive. Raises a CrucibleError where there is none that can be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            about = archive.getinfo(FILE)
            if about.file_size > MOST_BYTES:
                raise _unusable("the result is too large")
            with archive.open(about) as source:
                return verdict.from_json(source.read(MOST_BYTES))
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise _unusable("the artifact holds no result of this version of Crucible") from error


def _unusable(what: str) -> CrucibleError:
    return CrucibleError(what, where=ARTIFACT, fix="grade it again", fault=Fault.LEARNER)


def line(row: Collected) -> Line:
    before, after = row.before, row.after
    if after is None:
        return Line(row.repository, error=row.error)
    judged = after.verdict
    return Line(
        row.repository, judged.challenge, judged.mode, judged.profile, after.commit, after.at,
        judged.outcome, " ".join(after.fits), judged.headline, *_earlier(before), row.error,
    )  # fmt: skip


def _earlier(before: KeptResult | None) -> tuple[str, str, str, str]:
    if before is None:
        return "", "", "", ""
    return before.commit, before.at, before.verdict.outcome, " ".join(before.fits)
