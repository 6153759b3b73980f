"""Where no program and no URL brings a server, a Docker engine does. A stand-in for it, which runs a real Valkey."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.peers import eventually, gone
from support.solutions import temporary_folder

from crucible import services
from crucible.errors import CrucibleError
from crucible.services import SERVICES, container, find, start
from crucible.services.base import Source, Terms

pytestmark = pytest.mark.machine

DOCKER = """#!/bin/sh
echo "$*" >> {folder}/asked
case "$1" in
    version) exit {version} ;;
    run)
        port=$(echo "$*" | sed -n 's/.*127.0.0.1:\\([0-9]*\\):6379.*/\\1/p')
        flags=$(echo "$*" | sed -n 's/.*VALKEY_EXTRA_FLAGS=\\(.*\\) valkey.*/\\1/p')
        [ -n "$port" ] || {{ echo "no port" >&2; exit 1; }}
        (sleep 0.3; eval exec {valkey} --port "$port" --dir {folder} --daemonize yes --pidfile {folder}/pid $flags \
            > /dev/null 2>&1) &
        echo "Digest: sha256:1"
        echo box ;;
    rm) kill -KILL "$(cat {folder}/pid)" ;;
    ps) cat {folder}/left 2>/dev/null || true ;;
    *) exit 1 ;;
esac
"""
NEVER = Retry(NoBackoff(), 0)


@dataclass(frozen=True)
class Engine:
    folder: Path

    @property
    def asked(self) -> list[str]:
        return [
            line
            for line in (self.folder / "asked").read_text().splitlines()
            if not line.startswith(("version", "inspect"))
        ]

    @property
    def pid(self) -> int:
        return int((self.folder / "pid").read_text())


@pytest.fixture(params=["0"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A machine that has nothing but a docker, whose `version` ends with the status that the parameter is."""
    with temporary_folder() as folder:
        valkey = services.locate("redis", {}).location
        docker = folder / "bin" / "docker"
        docker.parent.mkdir()
        docker.write_text(DOCKER.format(folder=folder, valkey=valkey, version=request.param))
        docker.chmod(0o755)
        monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
        monkeypatch.setitem(SERVICES, "redis", replace(SERVICES["redis"], locate=lambda _: None))
        yield Engine(folder)


def test_a_container_is_run_for_one_grade_and_taken_away(engine: Engine) -> None:
    source = find("redis", os.environ)
    assert source is not None
    assert source.words.startswith("docker (valkey/valkey:")
    server = start("redis", source, engine.folder / "crucible-run-x" / "services" / "redis")
    try:
        with redis.Redis(port=server.upstream.port, retry=NEVER) as client:
            assert client.config_get("appendonly") == {"appendonly": "no"}
        assert server.ports[0] == server.upstream.port
    finally:
        pid = engine.pid
        services.stop(server)
    eventually(lambda: gone(pid), what="the end of the container")
    run, remove = engine.asked
    assert "--label crucible.run=crucible-run-x" in run
    assert f"--publish 127.0.0.1:{server.upstream.port}:6379" in run
    assert "@sha256:" in run
    assert remove == "rm --force --volumes box"


def test_it_is_durable_where_its_card_says_so(engine: Engine) -> None:
    source = find("redis", os.environ)
    assert source is not None
    server = start("redis", source, engine.folder / "run" / "services" / "redis", Terms(durable=True))
    try:
        with redis.Redis(port=server.upstream.port, retry=NEVER) as client:
            assert client.config_get("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "everysec"}
    finally:
        services.stop(server)


@pytest.mark.parametrize("engine", ["1"], indirect=True)
def test_a_docker_without_an_engine_is_none(engine: Engine) -> None:
    assert find("redis", os.environ) is None


def test_what_docker_says_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    (engine.folder / "bin" / "docker").write_text(
        "#!/bin/sh\n[ $1 = version ] || { echo 'pull denied' >&2; exit 1; }\n"
    )
    source = find("redis", os.environ)
    assert source is not None
    with pytest.raises(CrucibleError, match="could not be run: `docker run` said: pull denied"):
        start("redis", source, engine.folder / "run" / "services" / "redis")


def test_one_that_never_answers_is_taken_away(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CONTAINER_S", 0.0)
    source = find("redis", os.environ)
    assert source is not None
    with pytest.raises(CrucibleError, match="does not answer"):
        start("redis", source, engine.folder / "run" / "services" / "redis")
    eventually(lambda: (engine.folder / "pid").exists(), what="the late Valkey")
    assert engine.asked[-1] == "rm --force --volumes box"
    container.remove(Source("docker", "", "", "box"))  # it was not there yet; here it is


def test_what_a_killed_grader_left_is_cleared(engine: Engine) -> None:
    (engine.folder / "left").write_text("abc\ndef\n")
    container.clear("crucible-run-y")
    assert engine.asked[0] == "ps --all --quiet --filter label=crucible.run=crucible-run-y"
    assert engine.asked[1:] == ["rm --force --volumes abc", "rm --force --volumes def"]


def test_an_attached_server_is_left_where_it_is(engine: Engine) -> None:
    container.remove(Source("attached", "", "", "box"))
    assert not (engine.folder / "asked").exists()
