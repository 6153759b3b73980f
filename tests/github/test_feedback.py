"""The comment on a pull request, against an API that remembers."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support import evidence_builder as build
from support import hostile
from support.github_api import Answer, Api, Asked, github

from crucible.github import api as api_module
from crucible.github import feedback
from crucible.judging import comparison, verdict
from crucible.judging.comparison import Against, Change, Comparison, Contrast, Design, Suitability
from crucible.judging.judge import judge
from crucible.judging.shift import Ratio
from crucible.judging.tradeoffs import Judgement
from crucible.judging.verdict import GradeOutcome
from crucible.report import comment

pytestmark = pytest.mark.machine

REPOSITORY, COMMIT = "learner/limiter", "c" * 40
VERDICT = judge(build.evidence(), build.MANIFEST, build.SUITE, build.PRICES)


def compared(change: Change, other: float = 2.0) -> Comparison:
    row = Contrast("latency_p99_ms", 1.0, other, Ratio(other, 1.9, 2.1), Ratio(1.0, 0.9, 1.1), change)
    one = Design("head", GradeOutcome.PASSED, "all hold", (), {"paid-quota": Suitability(Judgement.FITS, "it holds")})
    return Comparison(
        1, "1", "toy", "abc", "paid-quota", 1, "CPU", 6, replace(one, name="base"), (Against(one, (row,)),)
    )


@dataclass
class Place:
    """A workspace with results, a repository with a pull request, and the comments on it."""

    folder: Path
    api: Api
    comments: list[dict[str, Any]]
    capture: pytest.CaptureFixture[bytes]

    def results(self, found: Comparison | None, judged: verdict.Verdict = VERDICT) -> None:
        (self.folder / "result" / "comparison").mkdir(parents=True, exist_ok=True)
        (self.folder / "result" / "result.json").write_bytes(verdict.to_json(judged))
        if found is not None:
            (self.folder / "result" / "comparison" / "comparison.json").write_bytes(comparison.to_json(found))

    def comment(self, login: str, body: str) -> None:
        number = len(self.comments) + 1
        self.comments.append({
            "id": number, "body": body, "user": {"login": login, "type": "Bot"},
            "url": f"{self.api.url}/repos/{REPOSITORY}/issues/comments/{number}", "html_url": f"https://x/{number}",
        })  # fmt: skip

    def step(self, event: Mapping[str, Any] | None = None) -> str:
        """What one run of the step prints; it never fails."""
        (self.folder / "event.json").write_text(json.dumps(event or PULL_REQUEST))
        environ = {
            "GITHUB_EVENT_PATH": str(self.folder / "event.json"), "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_RUN_ID": "77", "GITHUB_WORKSPACE": str(self.folder), "GITHUB_TOKEN": "t0k3n",
            "GITHUB_API_URL": self.api.url, "INPUT_COMMENT": "result",
        }  # fmt: skip
        assert feedback.main(environ) == 0
        return self.capture.readouterr().out.decode()


PULL_REQUEST = {"pull_request": {"number": 7, "head": {"sha": COMMIT}}}


def run_of(branch: str, commit: str = COMMIT) -> dict[str, Any]:
    about = {"id": 78, "head_sha": commit, "head_branch": branch, "head_repository": {"owner": {"login": "fork"}}}
    return {"workflow_run": about}


@pytest.fixture
def place(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    for name, seconds in (("LONGEST_WAIT_S", 3.0), ("BETWEEN_REQUESTS_S", 0.0), ("BETWEEN_WRITES_S", 0.0)):
        monkeypatch.setattr(api_module, name, seconds)
    with github() as api:
        there = Place(tmp_path, api, [], capfdbinary)
        pull = {
            "number": 7, "url": f"{api.url}/repos/{REPOSITORY}/pulls/7", "head": {"sha": COMMIT},
            "issue_url": f"{api.url}/repos/{REPOSITORY}/issues/7",
        }  # fmt: skip

        def wrote(asked: Asked, _: "re.Match[str]") -> Answer:
            there.comment(feedback.BOT, asked.body["body"])
            return 201, there.comments[-1]

        def edited(asked: Asked, match: "re.Match[str]") -> Answer:
            there.comments[int(match[1]) - 1]["body"] = asked.body["body"]
            return 200, there.comments[int(match[1]) - 1]

        def listed(asked: Asked, _: "re.Match[str]") -> Answer:
            page = int(asked.query.get("page", ["1"])[0])
            more = {"Link": f'<{api.url}{asked.path}?page={page + 1}>; rel="next"'}
            return 200, there.comments[(page - 1) * 2 : page * 2], more if len(there.comments) > page * 2 else {}

        def pulls(asked: Asked, _: "re.Match[str]") -> Answer:
            return 200, [pull] if asked.query["head"] == ["fork:feature/a,b;c&d=$(id)"] else []

        api.answers("GET", f"/repos/{REPOSITORY}/pulls/7", 200, pull)
        api.on("GET", f"/repos/{REPOSITORY}/pulls", pulls)
        api.on("GET", f"/repos/{REPOSITORY}/issues/7/comments", listed)
        api.on("POST", f"/repos/{REPOSITORY}/issues/7/comments", wrote)
        api.on("PATCH", f"/repos/{REPOSITORY}/issues/comments/(\\d+)", edited)
        yield there


def test_a_difference_is_told_once_and_then_edited_in_place(place: Place) -> None:
    place.results(compared(Change.WORSE))
    assert "A comment has been written" in place.step()
    place.results(compared(Change.WORSE, other=2.2))
    assert "says what there is to say" in place.step(), "other numbers are no news"
    place.results(compared(Change.BETTER, other=0.5))
    assert "brought up to date" in place.step()
    assert len(place.comments) == 1
    assert "🟢 better" in place.comments[0]["body"]
    assert [it.method for it in place.api.asked if it.method != "GET"] == ["POST", "PATCH"]
    assert all(it.headers["Authorization"].endswith("t0k3n") for it in place.api.asked)


def test_nothing_new_is_no_comment_but_brings_an_old_one_up_to_date(place: Place) -> None:
    place.results(compared(Change.NOISE))
    assert "there is no comment" in place.step()
    assert place.comments == []
    place.results(compared(Change.WORSE))
    place.step()
    place.results(compared(Change.NOISE))
    assert "brought up to date" in place.step()
    assert "Nothing that was measured differs beyond the noise" in place.comments[0]["body"]


def test_a_comment_of_somebody_else_with_our_mark_is_left_alone(place: Place) -> None:
    mark = f"{comment.MARK} {comment.digest(VERDICT, compared(Change.WORSE))} -->"
    for login in ("mallory", "github-actions", "crucible[bot]"):
        place.comment(login, f"{mark}\nmine")
    place.comment(feedback.BOT, f"of another action\n{mark}")
    place.results(compared(Change.WORSE))
    assert "A comment has been written" in place.step()
    assert [it["body"].endswith("mine") for it in place.comments] == [True, True, True, False, False]
    assert len(place.comments) == 5
    assert "says what there is to say" in place.step(), "it is found on the third page"


def test_a_fork_is_told_of_through_the_run_that_ended(place: Place) -> None:
    place.results(compared(Change.WORSE))
    assert "A comment has been written" in place.step(run_of("feature/a,b;c&d=$(id)"))
    assert "actions/runs/78)" in place.comments[0]["body"]
    assert "no open pull request" in place.step(run_of("other"))
    assert "no open pull request" in place.step(run_of("feature/a,b;c&d=$(id)", "d" * 40)), "it has moved on"


def test_without_a_comparison_the_verdict_is_told(place: Place) -> None:
    place.results(None)
    place.step()
    assert "could not be graded beside it" in place.comments[0]["body"]


def test_a_token_that_may_only_read_is_a_warning_that_says_so(place: Place) -> None:
    place.results(compared(Change.WORSE))
    refusal = {"message": "Resource not accessible by integration"}
    place.api.answers("POST", f"/repos/{REPOSITORY}/issues/7/comments", 403, refusal)
    printed = place.step()
    assert printed.startswith("::warning title=Crucible::No comment was written. ")
    assert "the token may not do that (403: Resource not accessible by integration)" in printed


def test_a_limit_is_waited_for_and_one_that_does_not_end_is_told(place: Place) -> None:
    place.results(compared(Change.WORSE))
    limited = {"message": "You have exceeded a secondary rate limit", "documentation_url": "x/secondary-rate-limits"}
    tries = []

    def wrote(asked: Asked, _: "re.Match[str]") -> Answer:
        tries.append(asked)
        if len(tries) < 3:
            return 403, limited, {"Retry-After": "1"}
        place.comment(feedback.BOT, asked.body["body"])
        return 201, place.comments[-1]

    place.api.on("POST", f"/repos/{REPOSITORY}/issues/7/comments", wrote)
    assert "A comment has been written" in place.step()
    assert len(tries) == 3
    place.comments.clear()
    place.api.answers("POST", f"/repos/{REPOSITORY}/issues/7/comments", 403, limited, Retry_After="3600")
    printed = place.step()
    assert "::warning title=Crucible::No comment was written." in printed
    assert "GitHub asks to wait for 3600 s" in printed


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[" * 200_000, b'{"schema": 1}', b"x" * (feedback.MOST_BYTES + 1), None]
)
@pytest.mark.parametrize("name", ["result.json", "comparison/comparison.json"])
def test_results_that_are_none_are_a_warning_and_reach_nobody(place: Place, name: str, damage: bytes | None) -> None:
    place.results(compared(Change.WORSE))
    path = place.folder / "result" / name
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    elif name != "result.json":
        return  # without a comparison there is still a verdict
    assert place.step().startswith("::warning title=Crucible::No comment was written.")
    assert place.comments == []


@pytest.mark.parametrize("text", hostile.TEXTS, ids=hostile.NAMES)
def test_hostile_results_print_one_command_and_no_other(place: Place, text: str) -> None:
    text = text.encode(errors="replace").decode()  # no JSON can hold half a character
    found = compared(Change.WORSE)
    this = replace(found.others[0], design=replace(found.others[0].design, name=text[:5_000], headline=text[:5_000]))
    place.results(replace(found, others=(this,)), replace(VERDICT, headline=text[:5_000]))
    printed = place.step()
    assert printed.count("\n") == 1
    assert re.match("::(notice|warning) title=Crucible::", printed)
    assert not hostile.leaks("".join(it["body"] for it in place.comments))
