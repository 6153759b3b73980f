"""An attached server is crashed by its container, through a stand-in for docker that ends and starts a real Valkey."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.peers import eventually, gone, unused_port
from support.solutions import temporary_folder

from crucible.check import NotCausedError
from crucible.errors import CrucibleError, Fault
from crucible.lab.accounting import Accounts, Root
from crucible.services import SERVICES, Server, locate
from crucible.services.base import Terms

pytestmark = pytest.mark.machine

NEVER = Retry(NoBackoff(), 0)
DOCKER = """#!/bin/sh
echo "$*" >> {folder}/asked
case "$*" in
    "kill --signal KILL box")
        pid=$(cat {folder}/pid)
        kill -KILL "$pid"
        while [ -e "/proc/$pid/fd/0" ]; do sleep 0.01; done ;;
    "start box")
        rm -f {folder}/pid
        {valkey} --port {port} --dir {folder} --save "" --daemonize yes --pidfile {folder}/pid {options}
        while ! [ -s {folder}/pid ]; do sleep 0.01; done ;;
    "inspect --format {{{{.State.Pid}}}} {{{{.Id}}}} box")
        echo "$(cat {folder}/pid) $(cat {folder}/id)" ;;
    *)
        echo "Error response from daemon: No such container: $2" >&2
        exit 1 ;;
esac
"""


@dataclass(frozen=True)
class Box:
    """A Valkey in the only container that the stand-in knows."""

    folder: Path
    port: int

    @property
    def pid(self) -> int:
        return int((self.folder / "pid").read_text())

    @property
    def asked(self) -> list[str]:
        """Of docker, since the server was first started; but for what it only looked at."""
        told = (self.folder / "asked").read_text().splitlines()[1:]
        return [line for line in told if not line.startswith("inspect")]

    def attach(self, **environ: str) -> Server:
        named = {"CRUCIBLE_REDIS_URL": f"redis://127.0.0.1:{self.port}", "CRUCIBLE_REDIS_CONTAINER": "box"}
        return SERVICES["redis"].start(locate("redis", named | environ), self.folder)

    def is_up(self) -> bool:
        try:
            with redis.Redis(port=self.port, retry=NEVER) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture(params=[""])
def box(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """The server runs with the options that the parameter is."""
    with temporary_folder() as folder:
        box = Box(folder, unused_port())
        docker = folder / "bin" / "docker"
        docker.parent.mkdir()
        docker.write_text(
            DOCKER.format(folder=folder, valkey=locate("redis", {}).location, port=box.port, options=request.param)
        )
        docker.chmod(0o755)
        (folder / "id").write_text("f00d")
        monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
        assert os.spawnlp(os.P_WAIT, "docker", "docker", "start", "box") == 0
        eventually(box.is_up, what="a Valkey in its container")
        yield box
        with suppress(ProcessLookupError):
            os.kill(box.pid, signal.SIGKILL)
        eventually(lambda: gone(box.pid), what="the end of the Valkey")


def as_solution(server: Server, box: Box) -> "redis.Redis":
    return redis.Redis.from_url(server.environment("127.0.0.1", box.port)["REDIS_URL"], retry=NEVER)


def test_a_crash_kills_the_container_and_a_restart_starts_it_again(box: Box) -> None:
    server, before = box.attach(), box.pid
    with as_solution(server, box) as client:
        client.set("a", "b")
        server.crash()
        assert gone(before)
        assert not box.is_up()
        with pytest.raises(redis.ConnectionError):
            client.get("a")
    server.restart()
    assert box.pid != before
    assert server.operations().get("get", 0) == 0
    assert box.asked == ["kill --signal KILL box", "start box"]
    server.stop()


def test_what_it_takes_is_seen_from_outside_its_container(box: Box) -> None:
    (box.folder / "id").write_text(":/")  # which every process on Linux has in its control groups
    server = box.attach()
    accounts = Accounts(lambda: [Root("redis", "service", server.pid)] if server.pid is not None else [])
    accounts.open()
    with as_solution(server, box) as client:
        for number in range(500):
            client.set("a", number)
    accounts.sample()
    total = accounts.totals()["redis"]
    assert (total.kind, total.instances) == ("service", 1)
    assert total.cpu_s > 0
    assert total.peak_memory_bytes > 1_000_000
    before = server.pid
    server.crash()
    assert (before is None, server.pid) == (False, None)
    server.restart()
    assert server.pid == box.pid != before
    server.stop()


def test_the_same_number_on_another_kernel_is_another_process(box: Box) -> None:
    server = box.attach()
    assert server.pid is None
    server.crash()
    server.restart()
    assert server.pid is None
    server.stop()


def test_a_restarted_server_knows_the_solution_as_before(box: Box) -> None:
    server = box.attach()
    url = server.environment("127.0.0.1", box.port)["REDIS_URL"]
    server.crash()
    server.restart()
    assert server.environment("127.0.0.1", box.port)["REDIS_URL"] == url
    with as_solution(server, box) as client:
        assert client.set("a", "b")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.config_set("maxmemory", 1)
    server.stop()
    with redis.Redis(port=box.port) as client:
        assert client.acl_users() == ["default"]


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("box", ["--appendonly yes --appendfsync always"], indirect=True)
def test_a_cache_forgets_over_a_crash_wherever_it_runs(box: Box, durable: bool) -> None:
    source = locate("redis", {"CRUCIBLE_REDIS_URL": f"redis://127.0.0.1:{box.port}", "CRUCIBLE_REDIS_CONTAINER": "box"})
    server = SERVICES["redis"].start(source, box.folder, Terms(durable=durable))
    with as_solution(server, box) as client:
        client.set("a", "b")
        server.crash()
        server.restart()
        assert client.exists("a") == durable
    server.stop()


@pytest.mark.parametrize("box", ["--rename-command ACL ''"], indirect=True)
def test_a_server_that_keeps_no_users_is_restarted_without(box: Box) -> None:
    server = box.attach()
    server.crash()
    server.restart()
    with as_solution(server, box) as client:
        assert client.set("a", "b")
    server.stop()


def test_a_server_whose_container_is_not_known_is_not_crashed(box: Box) -> None:
    server = box.attach(CRUCIBLE_REDIS_CONTAINER="")
    with pytest.raises(NotCausedError, match=rf"127\.0\.0\.1:{box.port} can only be crashed by its container's id"):
        server.crash()
    assert box.is_up()
    assert box.asked == []
    server.stop()


def test_what_docker_says_is_why_a_crash_was_not_caused(box: Box) -> None:
    server = box.attach(CRUCIBLE_REDIS_CONTAINER="other")
    with pytest.raises(NotCausedError, match=r"`docker kill` said: Error response from daemon: No such container"):
        server.crash()
    assert box.is_up()
    server.stop()


def test_where_there_is_no_docker_a_crash_is_not_caused(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = box.attach()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotCausedError, match="`docker kill` could not be run"):
        server.crash()
    assert box.is_up()
    server.stop()


def test_a_container_that_does_not_start_again_is_crucibles_fault(box: Box) -> None:
    server = box.attach()
    server.crash()
    (box.folder / "bin" / "docker").write_text("#!/bin/sh\necho no space left on device >&2; exit 125\n")
    with pytest.raises(CrucibleError, match="no space left on device") as told:
        server.restart()
    assert told.value.fault is Fault.CRUCIBLE
    server.stop()
