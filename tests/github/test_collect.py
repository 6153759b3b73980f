"""The results of a cohort, from an API that remembers."""

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import evidence_builder as build
from support import hostile
from support.github_api import Api, github

from crucible.cli.main import main
from crucible.errors import CrucibleError
from crucible.github import api as api_module
from crucible.github import collect
from crucible.judging import verdict
from crucible.judging.judge import judge
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import GradeOutcome, Verdict
from crucible.report import cohort_html, to_csv
from crucible.report.cohort import Line

VERDICT = judge(build.evidence(), build.MANIFEST, build.SUITE, build.PRICES)
FITS = replace(VERDICT, fits=(replace(VERDICT.fits[0], result=Judgement.FITS),))
FAILED = replace(
    VERDICT, outcome=GradeOutcome.FAILED, headline="failed: RL-3",
    fits=(replace(VERDICT.fits[0], result=Judgement.DOES_NOT),),
)  # fmt: skip


def archive(judged: Verdict | bytes, name: str = collect.FILE) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as there:
        there.writestr(name, judged if isinstance(judged, bytes) else verdict.to_json(judged))
    return target.getvalue()


def repository(api: Api, name: str, *results: tuple[str, str, bytes]) -> dict[str, Any]:
    """A repository with artifacts: (day, branch, archive), the newest first as GitHub lists them."""
    address = f"/repos/school/{name}"
    artifacts = []
    for number, (day, branch, content) in enumerate(results):
        artifacts.append({
            "id": number, "name": collect.ARTIFACT, "expired": False, "created_at": f"2026-11-{day}T10:00:00Z",
            "url": f"{api.url}{address}/actions/artifacts/{number}",
            "archive_download_url": f"{api.url}{address}/actions/artifacts/{number}/zip",
            "workflow_run": {"id": number, "head_branch": branch, "head_sha": f"{number}" * 40},
        })  # fmt: skip
        api.answers("GET", f"{address}/actions/artifacts/{number}/zip", 302, None, Location=f"/blob/{name}/{number}")
        api.answers("GET", f"/blob/{name}/{number}", 200, content)
    api.answers("GET", f"{address}/actions/artifacts", 200, {"total_count": len(artifacts), "artifacts": artifacts})
    return {"name": name, "full_name": f"school/{name}", "default_branch": "main", "url": f"{api.url}{address}"}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with github() as there:
        them = [
            repository(
                there, "limiter-ann", ("03", "feature", archive(FAILED)), ("02", "main", archive(FITS)),
                ("01", "main", archive(FAILED)),
            ),
            repository(there, "limiter-bob", ("02", "main", archive(FITS))),
            repository(there, "limiter-eve", ("02", "main", archive(b"{}"))),
            repository(there, "limiter-new"),
            repository(there, "thesis", ("02", "main", archive(FITS))),
        ]  # fmt: skip
        there.answers("GET", "/users/school", 200, {"login": "school", "url": f"{there.url}/users/school"})
        there.answers("GET", "/users/school/repos", 200, them)
        monkeypatch.setenv("GH_TOKEN", "t0k3n")
        monkeypatch.setenv("GITHUB_API_URL", there.url)
        for name in ("BETWEEN_REQUESTS_S", "BETWEEN_WRITES_S"):
            monkeypatch.setattr(api_module, name, 0.0)
        yield there


@pytest.mark.machine
def test_a_cohort_is_collected_with_its_first_and_its_latest_results(api: Api, tmp_path: Path) -> None:
    places = ["--csv", str(tmp_path / "c.csv"), "--html", str(tmp_path / "c.html")]
    done = CliRunner().invoke(main, ["collect", "school", "--prefix", "limiter-", *places])
    assert done.exit_code == 0, done.output
    assert "4 repositories, 2 without a result" in done.output
    rows = {it["repository"]: it for it in csv.DictReader((tmp_path / "c.csv").read_text().splitlines())}
    ann = rows["school/limiter-ann"]
    assert (ann["outcome"], ann["fits"], ann["commit"]) == (FITS.outcome, "paid-quota", "1" * 40)
    assert (ann["before_outcome"], ann["before_fits"], ann["before_commit"]) == ("failed", "", "2" * 40)
    assert (rows["school/limiter-bob"]["before_outcome"], rows["school/limiter-bob"]["fits"]) == ("", "paid-quota")
    assert rows["school/limiter-eve"]["error"] == "the artifact holds no result of this version of Crucible"
    assert rows["school/limiter-new"]["error"] == "no result is kept"
    page = (tmp_path / "c.html").read_text()
    assert page.count("fits, new") == 1
    assert "failed: RL-3" not in page


def test_no_artifact_makes_it_stop_or_fill_the_memory(tmp_path: Path) -> None:
    bomb = archive(b" " * (collect.MOST_BYTES + 1))
    assert len(bomb) < 100_000
    broken = archive(FITS)[:-30]
    for content in (b"", b"PK", bomb, broken, archive(FITS, "other.json"), archive(b"\xff\xfe")):
        with pytest.raises(CrucibleError):
            collect.read_archive(content)


@pytest.mark.machine
def test_the_token_goes_to_the_api_alone(api: Api) -> None:
    with github() as storage:
        storage.answers("GET", "/x", 200, archive(FITS))
        elsewhere = storage.url.replace("127.0.0.1", "localhost")
        api.answers("GET", "/zip", 302, None, Location=f"{elsewhere}/x")
        assert collect.read_archive(collect._download(f"{api.url}/zip", "t0k3n")) == FITS
        assert "Authorization" not in storage.asked[0].headers


@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
def test_hostile_words_are_no_formula_and_no_markup(text: str) -> None:
    text = text.encode(errors="replace").decode()
    line = Line(*[text] * 14)
    (header, cells) = csv.reader(io.StringIO(to_csv([line]), newline=""))
    assert header[0] == "repository"
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    page = cohort_html(text, [line])
    assert not hostile.leaks(page + "".join(cells))
    for tag in ("<script", "<img", "<details", "<a ", "onerror=alert(1)>"):
        assert tag not in page
