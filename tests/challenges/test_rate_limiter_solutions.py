"""The rate limiter's contract, starter, references and flaws, as far as they can be judged without running them."""

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest
import yaml

from crucible.planning import challenges
from crucible.planning.manifest import Manifest, read_manifest
from crucible.planning.solution import read_solution

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


def test_every_profile_bounds_wrong_refusals(manifest: Manifest) -> None:
    assert len(manifest.axes) == 21
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


def test_the_two_references_are_opposed() -> None:
    services = {folder.name: read_solution(folder, {}).services for folder in REFERENCES}
    assert services["redis-sliding-log"] == ("redis",)
    assert services["in-process"] == ()


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
