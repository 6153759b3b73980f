"""Whether a result is proven: a stand-in for `gh` says what the real one would."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import evidence_builder as build

from crucible.cli.main import main
from crucible.judging import verdict
from crucible.judging.judge import judge
from crucible.planning import challenges

pytestmark = pytest.mark.machine

COMMIT = "c" * 40
SLUG = "rate-limiter"


def entry(**certificate: str) -> dict[str, Any]:
    about = {
        "sourceRepositoryDigest": COMMIT,
        "sourceRepositoryURI": "https://github.com/learner/limiter",
    } | certificate
    statement = {"predicate": {"buildDefinition": {"resolvedDependencies": [{"digest": {"gitCommit": "f" * 40}}]}}}
    return {"verificationResult": {"signature": {"certificate": about}, "statement": statement}}


class Desk:
    """A result, and a `gh` that answers as it is told and writes down what it was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        evidence = build.evidence(suite=challenges.find(SLUG, {}, where="tests").digest, challenge=SLUG)
        judged = judge(evidence, build.MANIFEST, build.SUITE, build.PRICES)
        self.result = folder / "result.json"
        self.result.write_bytes(verdict.to_json(judged))
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin:/bin")

    def gh(self, printed: str, code: int = 0) -> None:
        (self.folder / "said").write_text(printed)
        out = 1 if code == 0 else 2
        script = f'#!/bin/sh\nprintf "%s\\n" "$@" > {self.folder}/asked\ncat {self.folder}/said >&{out}\nexit {code}\n'
        (self.folder / "gh").write_text(script)
        (self.folder / "gh").chmod(0o755)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["verify-result", str(self.result), "--repo", "learner/limiter", *arguments])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_a_signed_result_of_this_commit_challenge_and_suite_holds(desk: Desk) -> None:
    desk.gh(json.dumps([entry()]))
    done = desk.run("--commit", COMMIT, "--challenge", SLUG)
    assert done.exit_code == 0, done.output
    assert [line[0] for line in done.output.splitlines()] == ["✓"] * 4
    assert (desk.folder / "asked").read_text().splitlines() == [
        *("attestation", "verify", str(desk.result), "--repo", "learner/limiter", "--signer-workflow"),
        *("crucible-labs/crucible/.github/workflows/grade.yml", "--deny-self-hosted-runners", "--format", "json"),
    ]


def test_without_a_signature_nothing_is_proven(desk: Desk) -> None:
    desk.gh("Error: no attestations found", code=1)
    done = desk.run("--commit", COMMIT)
    assert done.exit_code == 1
    assert "✗ signature: Error: no attestations found" in done.output
    assert "commit" not in done.output


def test_the_commit_is_the_certificates_and_not_the_statements(desk: Desk) -> None:
    desk.gh(json.dumps([entry()]))
    done = desk.run("--commit", "f" * 40)
    assert done.exit_code == 1
    assert f"✗ commit: {COMMIT}" in done.output
    assert f"✓ commit: {COMMIT}" in desk.run().output
    desk.gh(json.dumps([entry(), entry(sourceRepositoryDigest="d" * 40)]))
    assert "✗ commit" in desk.run("--commit", COMMIT).output, "signed for two commits, it proves neither"


def test_another_challenge_or_suite_is_told(desk: Desk) -> None:
    desk.gh(json.dumps([entry()]))
    assert "✗ challenge: rate-limiter" in desk.run("--challenge", "upload-store").output
    said = json.loads(desk.result.read_bytes())
    desk.result.write_text(json.dumps(said | {"suite": "0" * 64}))
    done = desk.run()
    assert done.exit_code == 1
    assert "✗ suite: 000000000000, and the one here is " in done.output


@pytest.mark.parametrize(
    "printed", ["", "[]", "{}", "null", "[{}]", json.dumps([entry(sourceRepositoryDigest="main")])]
)
def test_what_gh_does_not_say_is_not_assumed(desk: Desk, printed: str) -> None:
    desk.gh(printed)
    done = desk.run("--commit", COMMIT)
    assert done.exit_code == 3
    assert "printed no certificate with a commit" in done.output


def test_without_gh_or_a_result_it_is_said_what_to_do(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "install it from https://cli.github.com" in desk.run().output
    desk.result.write_text("{}")
    done = desk.run()
    assert done.exit_code == 1
    assert "it is not a result of this version of Crucible" in done.output
