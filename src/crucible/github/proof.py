"""Whether a result is what the callable workflow says it is: signed by it, of this commit, challenge and suite.

The signature is `gh attestation verify`'s to check. Of what it prints only the certificate counts, which GitHub fills
in; the statement beside it is the signing workflow's own word.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crucible.errors import CrucibleError, Fault
from crucible.judging import verdict
from crucible.planning import challenges
from crucible.planning.defaults import SIGNER

WORKFLOW = ".github/workflows/grade.yml"
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a result is said to be."""

    result: Path
    repository: str
    """OWNER/REPO that was graded."""
    commit: str
    """40 hex digits; empty: any, and then it is only told which."""
    challenge: str
    """Slug; empty: any."""
    signer: str = SIGNER
    """OWNER/REPO whose callable workflow signed it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was compared."""

    what: str
    holds: bool
    said: str


def prove(claim: Claim, environ: Mapping[str, str]) -> tuple[Fact, ...]:
    """Everything that was compared, in the order of importance. Raises a CrucibleError where nothing can be."""
    try:
        judged = verdict.from_json(claim.result.read_bytes())
    except (OSError, ValueError) as error:
        raise CrucibleError(
            "it is not a result of this version of Crucible", where=str(claim.result),
            fix="give the result.json of the artifact `crucible-result`", fault=Fault.LEARNER,
        ) from error  # fmt: skip
    signed, said = _verified(claim, environ)
    facts = [
        Fact("signature", signed, said if not signed else f"signed by {claim.signer}/{WORKFLOW} on GitHub's runner")
    ]
    if signed:
        commits = sorted({str(it.get("sourceRepositoryDigest", "")) for it in _certificates(said)})
        holds = commits == [claim.commit] if claim.commit else len(commits) == 1
        facts.append(Fact("commit", holds, ", ".join(commits)))
    facts.append(Fact("challenge", claim.challenge in ("", judged.challenge), judged.challenge))
    ours = challenges.find(judged.challenge, environ, where=str(claim.result)).digest
    same = judged.suite == ours
    words = f"{judged.suite[:12]}, as here" if same else f"{judged.suite[:12]}, and the one here is {ours[:12]}"
    facts.append(Fact("suite", same, words))
    return tuple(facts)


def command(claim: Claim) -> list[str]:
    """What asks for the signature."""
    return [
        "gh", "attestation", "verify", str(claim.result), "--repo", claim.repository,
        "--signer-workflow", f"{claim.signer}/{WORKFLOW}", "--deny-self-hosted-runners", "--format", "json",
    ]  # fmt: skip


def _verified(claim: Claim, environ: Mapping[str, str]) -> tuple[bool, str]:
    """Whether `gh` vouches for it, and what it said: JSON if it does."""
    if shutil.which("gh", path=environ.get("PATH")) is None:
        raise CrucibleError(
            "`gh` is not installed, which checks the signature", where="the PATH",
            fix="install it from https://cli.github.com", fault=Fault.LEARNER,
        )  # fmt: skip
    try:
        done = subprocess.run(
            command(claim), capture_output=True, text=True, env=dict(environ), timeout=120, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CrucibleError("`gh` gave no answer in 120 s", where="gh", fix="try again", fault=Fault.LEARNER) from error
    return done.returncode == 0, done.stdout if done.returncode == 0 else done.stderr.strip()[-500:]


def _certificates(printed: str) -> Sequence[Mapping[str, Any]]:
    """Raises a CrucibleError where `gh` prints something else than it did."""
    try:
        found = [it["verificationResult"]["signature"]["certificate"] for it in json.loads(printed)]
        if not found or not all(COMMIT.fullmatch(str(it["sourceRepositoryDigest"])) for it in found):
            raise ValueError("no commit")
    except (ValueError, TypeError, KeyError) as error:
        raise CrucibleError(
            "`gh attestation verify` printed no certificate with a commit", where="gh",
            fix="use a newer version of gh", fault=Fault.CRUCIBLE,
        ) from error  # fmt: skip
    return found
