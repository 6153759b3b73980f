"""The notification service's contract, profiles and references, as far as they can be judged without running them."""

import pytest
import yaml

from crucible.planning import challenges
from crucible.planning.manifest import read_manifest
from crucible.planning.solution import read_solution

CHALLENGE = challenges.data_folder("challenge_templates") / "notification-service"
SERVICES = {
    "sync-send": ("postgres",),
    "postgres-outbox": ("postgres",),
    "redis-streams": ("redis",),
    "rabbitmq-workers": ("postgres", "rabbitmq"),
}
GATES = {"NT-1", "NT-2", "NT-3", "NT-4", "NT-5", "NT-6", "NT-11", "NT-12", "NT-13"}


def test_the_profiles_are_those_of_the_specification() -> None:
    profiles = read_manifest(CHALLENGE).profiles
    assert [(profile.id, profile.intended, profile.rate) for profile in profiles] == [
        ("internal-tool", "sync-send", 2),
        ("password-resets", "postgres-outbox", 10),
        ("marketing-burst", "redis-streams", 50),
        ("bank-alerts", "rabbitmq-workers", 50),
    ]


def test_the_checks_are_those_of_the_specification() -> None:
    checks = challenges.at(CHALLENGE).suite.checks
    assert [check.id for check in checks] == [f"NT-{number}" for number in range(1, 14)]
    assert {check.id for check in checks if check.gate} == GATES


def test_the_contract_has_every_route_and_status() -> None:
    contract = yaml.safe_load((CHALLENGE / "template" / "openapi.yaml").read_text())
    assert contract["openapi"].startswith("3.1.")
    statuses = {
        f"{method.upper()} {path}": set(operation["responses"])
        for path, item in contract["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    assert statuses == {
        "GET /healthz": {"200", "503"},
        "POST /v1/notifications": {"202", "400", "409", "422", "503"},
        "GET /v1/notifications/{id}": {"200", "404", "503"},
        "DELETE /v1/notifications/{id}": {"200", "404", "409", "503"},
        "PUT /v1/users/{user}/preferences": {"200", "400", "503"},
    }


@pytest.mark.parametrize(("name", "services"), SERVICES.items())
def test_the_references_are_opposed(name: str, services: tuple[str, ...]) -> None:
    solution = read_solution(CHALLENGE / "references" / name, {})
    assert set(solution.services) == set(services)
    assert solution.declares == {"delivery": "exactly-once-effect"}
    assert ("worker" in solution.processes) == (name != "sync-send")
