"""The rate limiter's contract, starter, references and flaws, as far as they can be judged without running them."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from crucible import challenges
from crucible.manifest import Manifest, read_manifest
from crucible.solution import read_solution
from crucible.suite import load_suite
from crucible.trials import trials

CHALLENGE = challenges.data_folder("challenge_templates") / "rate-limiter"
REFERENCES = sorted(path.parent for path in CHALLENGE.glob("references/*/crucible.yaml"))


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(CHALLENGE)


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    document = yaml.safe_load((CHALLENGE / "template" / "openapi.yaml").read_text())
    assert isinstance(document, dict)
    return document


def test_the_axes_are_named_once_and_every_profile_bounds_wrong_refusals(manifest: Manifest) -> None:
    ids = [axis.id for axis in manifest.axes]
    assert len(ids) == len(set(ids)) == 21
    for axis in ids:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", axis)
    for profile in manifest.profiles:
        for axis in ("wrong_refusals_ratio", "wrong_refusals_one_replica_ratio"):
            at_most = profile.limits[axis].at_most
            assert at_most is not None
            assert at_most <= 0.2


def test_the_profiles_are_those_of_the_specification(manifest: Manifest) -> None:
    assert [(profile.id, profile.replicas, profile.rate) for profile in manifest.profiles] == [
        ("side-project", 2, 50),
        ("paid-quota", 2, 200),
        ("login-guard", 2, 50),
        ("public-api", 2, 200),
        ("edge-shield", 4, 600),
    ]


def test_the_contract_has_every_route_and_status(contract: dict[str, Any]) -> None:
    assert contract["openapi"].startswith("3.1.")
    statuses = {
        f"{method.upper()} {path}": set(operation["responses"])
        for path, item in contract["paths"].items()
        for method, operation in item.items()
    }
    assert statuses == {
        "GET /healthz": {"200", "503"},
        "PUT /v1/limits/{key}": {"200", "400", "503"},
        "POST /v1/check": {"200", "400", "404", "429", "503"},
        "GET /v1/usage/{key}": {"200", "404", "503"},
    }


def test_every_reference_in_the_contract_leads_somewhere(contract: dict[str, Any]) -> None:
    found = list(references_in(contract))
    assert found
    for reference in found:
        place = contract
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def references_in(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from references_in(value)


def test_the_starter_answers_the_routes_of_the_contract(contract: dict[str, Any]) -> None:
    text = (CHALLENGE / "starters" / "python" / "app.py").read_text()
    assert set(re.findall(r'Route\("([^"]+)"', text)) == set(contract["paths"])


def test_the_starter_prescribes_no_store() -> None:
    lines = (CHALLENGE / "starters" / "python" / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in lines if line and not line.startswith("#")] == ["starlette", "uvicorn"]


@pytest.mark.parametrize("path", sorted(CHALLENGE.glob("*/*/requirements.txt")), ids=lambda path: path.parent.name)
def test_every_dependency_is_pinned(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert re.fullmatch(r"(# )?[A-Za-z0-9._-]+(\[[a-z,]+\])?==[0-9.]+|# .*|", line), line


@pytest.mark.parametrize("folder", REFERENCES, ids=lambda path: path.name)
def test_a_reference_is_a_whole_solution_with_its_price(folder: Path) -> None:
    assert read_solution(folder).build is not None
    for word in ("**Gives.**", "**Costs.**", "**For whom.**"):
        assert word in (folder / "DECISION.md").read_text()
    for path in folder.glob("*.py"):
        assert len(path.read_text().splitlines()) < 200


def test_the_two_references_are_opposed() -> None:
    services = {folder.name: read_solution(folder).services for folder in REFERENCES}
    assert services["redis-sliding-log"] == ("redis",)
    assert services["in-process"] == ()


def test_every_check_has_a_flaw_or_a_profile_that_one_misses(manifest: Manifest) -> None:
    there = trials(CHALLENGE, manifest, load_suite(CHALLENGE))
    unguarded = {check.id for check in load_suite(CHALLENGE).checks} - {trial.check for trial in there}
    assert unguarded <= {"RL-7", "RL-9"}, "measures, which a profile judges"
    assert {trial.profile for trial in there} > {""}
    assert {trial.sibling for trial in there} - {""} <= {folder.name for folder in REFERENCES}


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def monotonic_ns(self) -> int:
        return self.now_ms * 1_000_000


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Clock, ModuleType]:
    path = CHALLENGE / "references" / "in-process" / "limiter.py"
    spec = importlib.util.spec_from_file_location("in_process_limiter", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return module.Limiter(), clock, module


def test_in_process_allows_what_has_left_the_window_and_no_sooner(in_process: tuple[Any, Clock, ModuleType]) -> None:
    limiter, clock, _ = in_process
    limiter.set_limit("k", 3, 1_000)
    assert limiter.spend("k", 2).allowed
    clock.now_ms += 400
    assert limiter.spend("k", 1).allowed
    refused = limiter.spend("k", 1)
    assert (refused.allowed, refused.used, refused.retry_after_ms) == (False, 3, 600)
    assert limiter.spend("k", 3).retry_after_ms == 1_000
    clock.now_ms += 599
    assert not limiter.spend("k", 1).allowed
    clock.now_ms += 1
    assert limiter.spend("k", 2).allowed
    assert limiter.spend("k", 4).retry_after_ms == 1_000
    assert limiter.spend("k", 0).used == 3


def test_in_process_takes_up_a_changed_limit(in_process: tuple[Any, Clock, ModuleType]) -> None:
    limiter, clock, module = in_process
    with pytest.raises(module.UnknownKeyError):
        limiter.spend("k", 1)
    limiter.set_limit("k", 3, 1_000)
    assert limiter.spend("k", 3).allowed
    limiter.set_limit("k", 1, 1_000)
    assert limiter.spend("k", 0).used == 3
    assert limiter.spend("k", 1).retry_after_ms == 1_000
    limiter.set_limit("k", 4, 2_000)
    clock.now_ms += 1_500
    assert limiter.spend("k", 1).allowed
    assert not limiter.spend("k", 1).allowed


def test_in_process_forgets_keys_that_nobody_asks_for(in_process: tuple[Any, Clock, ModuleType]) -> None:
    limiter, clock, _ = in_process
    for batch in range(3):
        for number in range(1_000):
            limiter.set_limit(f"{batch}.{number}", 5, 100)
            limiter.spend(f"{batch}.{number}", 1)
        assert len(limiter._logs) == len(limiter._round) <= 1_001
        clock.now_ms += 10_000
