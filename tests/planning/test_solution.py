"""`crucible.yaml` against its challenge, where the line alone does not say it (see also test_bad_solutions)."""

from pathlib import Path

import pytest
from support.solutions import write_solution

from crucible.errors import CrucibleError
from crucible.planning.solution import ProcessType, read_solution


def test_a_solution_is_read_with_its_challenge(tmp_path: Path) -> None:
    folder = write_solution(
        tmp_path / "s",
        processes="{web: {command: serve}, sweeper: {command: sweep, replicas: 2}}",
        services="[redis, postgres]",
        profile="login-guard",
        predictions="{latency_p99_ms: 20}",
    )
    solution = read_solution(folder, {})
    assert solution.manifest.slug == "rate-limiter"
    assert solution.processes == {"web": ProcessType("serve"), "sweeper": ProcessType("sweep", 2)}
    assert (solution.services, solution.profile) == (("redis", "postgres"), "login-guard")
    assert solution.predictions == {"latency_p99_ms": 20.0}


def test_how_many_answer_http_is_the_profiles_business_and_what_is_said_of_it_is_not_heeded(tmp_path: Path) -> None:
    folder = write_solution(tmp_path / "s", processes="{web: {command: x, replicas: 3}}")
    (warning,) = read_solution(folder, {}).warnings
    assert warning == "crucible.yaml:2: `processes.web.replicas` is not heeded: the profile says how many there are"


@pytest.mark.parametrize(
    ("changes", "line", "says"),
    [
        ({"predictions": "{latency_p99_ms: .nan}"}, 4, "`predictions.latency_p99_ms`"),
        ({"predictions": "{latency_p99_ms: .inf}"}, 4, "`predictions.latency_p99_ms`"),
        ({"predictions": "{latency_p99_ms: fast}"}, 4, "must be a number"),
        ({"build": '"a\\0b"'}, 4, "a character that no text has"),
        ({"processes": '{web: {command: "\\udc80"}}'}, 2, "a character that no text has"),
        ({"processes": '{web: {command: " "}}'}, 2, "`processes.web.command` is empty"),
        ({"processes": "{web: {command: x}, Web: {command: x}}"}, 2, "`Web` cannot name a process type"),
        ({"processes": "{web: {command: x}, w: {command: x, replicas: 0}}"}, 2, "`processes.w.replicas` is 0"),
        ({"processes": "{web: {command: x}, w: {command: x, replicas: 9}}"}, 2, "`processes.w.replicas` is 9"),
        ({"services": "[redis, redis]"}, 3, "`services` names one twice"),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_line(
    tmp_path: Path, changes: dict[str, str], line: int, says: str
) -> None:
    folder = write_solution(tmp_path / "s", **changes)
    with pytest.raises(CrucibleError) as told:
        read_solution(folder, {})
    assert told.value.where == f"{folder / 'crucible.yaml'}:{line}"
    assert says in told.value.what
