"""Ports and names that graders at work at the same time do not give twice."""

import subprocess
import sys

import pytest

from crucible.errors import CrucibleError
from crucible.processes import names, ports

pytestmark = pytest.mark.machine

ELSEWHERE = """
from crucible.processes import ports
ports.PORTS = range({first}, {last})
ports.random.sample = lambda them, _: them
print(ports.free_port(), flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="names are held on Linux only")
def test_a_port_that_another_grader_was_given_is_given_to_nobody_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    first = 19_000
    monkeypatch.setattr(ports, "PORTS", range(first, first + 300))
    monkeypatch.setattr(ports, "_given", {})
    program = ELSEWHERE.format(first=first, last=first + 1)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert int(other.stdout.readline()) == first
        monkeypatch.setattr(ports.random, "sample", lambda them, _: them)  # type: ignore[attr-defined]
        assert ports.free_port() == first + 1
        other.stdin.close()
    assert ports.free_port() == first
    ports.give_back(*ports._given)


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PORTS", range(19_300, 19_700))
    monkeypatch.setattr(ports, "_given", {})
    given = [ports.free_port() for _ in range(150)]
    assert len(set(given)) == len(given)
    ports.give_back(*ports._given)


def test_where_no_port_is_free_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PORTS", range(0))
    monkeypatch.setattr(ports.random, "sample", lambda them, _: them)  # type: ignore[attr-defined]
    with pytest.raises(CrucibleError, match="no free port"):
        ports.free_port()


@pytest.mark.skipif(sys.platform != "linux", reason="names are held on Linux only")
def test_a_name_is_one_processes_until_it_lets_go() -> None:
    held = names.take("a-test")
    assert held is not None
    assert names.take("a-test") is None
    names.let_go(held)
    again = names.take("a-test")
    assert again is not None
    names.let_go(again)


@pytest.mark.skipif(sys.platform != "linux", reason="names are held on Linux only")
def test_a_port_that_is_given_back_holds_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verification starts thousands of processes in one grader, and a process may open some hundreds of files."""
    monkeypatch.setattr(ports, "PORTS", range(19_700, 20_000))
    monkeypatch.setattr(ports, "_given", {})
    given = [ports.free_port() for _ in range(40)]
    assert names.take(f"port-{given[0]}") is None
    ports.give_back(*given, 1)
    assert ports._given == {}
    held = names.take(f"port-{given[0]}")
    assert held is not None
    names.let_go(held)
