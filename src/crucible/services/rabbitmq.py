"""RabbitMQ: a private node of the `rabbitmq-server` from the PATH, or attached.

The grader speaks to its management API, and reads its counts as Prometheus does; a solution gets a user and a virtual
host of its own, which hold nothing else.
"""

import secrets
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from crucible.check import Stored
from crucible.errors import CrucibleError, Fault
from crucible.processes.child import Child, wait_until
from crucible.processes.ports import free_port
from crucible.services import container
from crucible.services.base import USUAL, Server, Service, Source, Terms, Upstream, attached, clients_of, on_path, own
from crucible.services.rabbitmq_api import Api

START_S = 60.0
"""A broker is an Erlang system, which takes some seconds of CPU to come up; restarted, it reads its messages first."""
PORT = 5672
MANAGEMENT_PORT, METRICS_PORT = 15672, 15692
DEBIAN = "/usr/lib/rabbitmq/bin"
"""Where Debian keeps the program itself; what it puts on the PATH is for the system's own node."""
ADMIN = "crucible"
STATISTICS_MS = 1000
"""How often a queue says how much it holds; what passes through is counted at once."""
ERLANG = "+sbwt none +sbwtdcpu none +sbwtdio none"
"""Its schedulers are not to wait for work at the cost of CPU time."""
FILES = {
    "RABBITMQ_CONFIG_FILE": "rabbitmq.conf",
    "RABBITMQ_ENABLED_PLUGINS_FILE": "enabled_plugins",
    "RABBITMQ_MNESIA_BASE": "data",
    "RABBITMQ_LOG_BASE": "log",
    "RABBITMQ_PID_FILE": "pid",
    "RABBITMQ_CONF_ENV_FILE": "none",  # the system's own node's is not ours
    "RABBITMQ_ADVANCED_CONFIG_FILE": "none",
    "RABBITMQ_SCHEMA_DIR": "schema",
    "RABBITMQ_GENERATED_CONFIG_DIR": "generated",
}


def _locate(environ: Mapping[str, str]) -> Source | None:
    if named := attached(environ, "rabbitmq", PORT):
        return named
    places = ":".join([DEBIAN, environ.get("PATH", "")])
    found = on_path(("rabbitmq-server",), {"PATH": places})
    epmd = on_path(("epmd",), environ)
    return Source("path", found, found) if found and epmd else None


def _start(source: Source, folder: Path, terms: Terms = USUAL) -> Server:
    waits_s = terms.consumer_timeout_s
    return _Attached(source, waits_s) if source.has_url else _Started(source, folder, waits_s)


class _RabbitMQ:
    """What an attached and a started broker have in common."""

    name = "rabbitmq"
    source: Source
    upstream: Upstream
    pid: int | None = None
    ports: tuple[int, ...]
    _api: Api
    _waits_s: int | None
    """For how long a delivery may be unacknowledged, whatever a queue's own argument says."""

    @property
    def version(self) -> str:
        return f"RabbitMQ {self._api.ask('GET', '/overview')['rabbitmq_version']}"

    def environment(self, host: str, port: int) -> dict[str, str]:
        return {"AMQP_URL": f"amqp://{self._user}:{quote(self._password, safe='')}@{host}:{port}/{self._vhost}"}

    def pinger(self, host: str, port: int) -> Callable[[], object]:
        import pika

        address = (host, port) if host else (self.upstream.host, self.upstream.port)
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                *address, self._vhost, pika.PlainCredentials(self._user, self._password),
                heartbeat=0, socket_timeout=5.0, blocked_connection_timeout=5.0,
            )
        )  # fmt: skip
        channel = connection.channel()

        def ping() -> object:
            return channel.basic_qos(prefetch_count=0)

        weakref.finalize(ping, connection.close)
        return ping

    def operations(self) -> dict[str, int]:
        return self._api.operations()

    def clients(self) -> list[int]:
        return clients_of(self.upstream.port)

    def footprint(self) -> int:
        return self._api.counts()["rabbitmq_queue_messages_bytes"]

    def stored(self) -> Stored:
        return Stored(self.footprint(), 0)

    def _make_user(self) -> None:
        """A user and a virtual host for the solution; names and password are new for every grade."""
        self._user = self._vhost = f"solution_{secrets.token_hex(4)}"
        self._password = secrets.token_urlsafe(18)
        self._api.ask("PUT", f"/users/{self._user}", {"password": self._password, "tags": ""})
        self._make_virtual_host()

    def wipe(self) -> None:
        self._api.ask("DELETE", f"/vhosts/{self._vhost}")
        self._make_virtual_host()

    def _make_virtual_host(self) -> None:
        self._api.ask("PUT", f"/vhosts/{self._vhost}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._api.ask("PUT", f"/permissions/{self._vhost}/{self._user}", everything)
        if self._waits_s is not None:
            waits = {"pattern": ".*", "apply-to": "queues", "definition": {"consumer-timeout": self._waits_s * 1000}}
            with suppress(CrucibleError):  # before 3.12 there is no such policy, and the node's own setting holds alone
                self._api.ask("PUT", f"/policies/{self._vhost}/waits", waits)

    def _answers(self) -> bool:
        """Whether its management API does, and each of its virtual hosts runs."""
        import requests

        try:
            self._api.ask("GET", "/health/checks/virtual-hosts")
            self._api.ask("GET", f"/health/checks/port-listener/{self._listens_on}")
        except (requests.RequestException, CrucibleError):
            return False
        return True

    _listens_on: int
    """The port that it knows to be its own."""

    def _connects(self) -> bool:
        """Whether it also lets a client of the solution's in."""
        import pika.exceptions

        try:
            self.pinger("", 0)()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True


class _Started(_RabbitMQ):
    """A node, and the port mapper (epmd) that it registers with: neither is the system's own."""

    def __init__(self, source: Source, folder: Path, waits_s: int | None) -> None:
        own(folder)
        self.source = source
        self._waits_s = waits_s
        listener, management, metrics, dist, mapper = self.ports = tuple(free_port() for _ in range(5))
        self._listens_on = listener
        self.upstream = Upstream(host="127.0.0.1", port=listener)
        admin = (ADMIN, secrets.token_urlsafe(18))
        self._api = Api(f"http://127.0.0.1:{management}", f"http://127.0.0.1:{metrics}/metrics", admin)
        self._folder = folder
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{listener}",
            "management.tcp.ip": "127.0.0.1",
            "management.tcp.port": str(management),
            "management_agent.disable_metrics_collector": "true",
            "prometheus.tcp.ip": "127.0.0.1",
            "prometheus.tcp.port": str(metrics),
            "collect_statistics_interval": str(STATISTICS_MS),
            "default_user": admin[0],
            "default_pass": admin[1],
        }
        if waits_s is not None:
            settings["consumer_timeout"] = str(waits_s * 1000)
        for name, text in {
            "rabbitmq.conf": "".join(f"{name} = {value}\n" for name, value in settings.items()),
            "enabled_plugins": "[rabbitmq_management,rabbitmq_prometheus].\n",
        }.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o444)  # the folder itself is the server user's alone
        self._env = {
            "HOME": str(folder),
            "PATH": source.search_path,
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(mapper),
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": "crucible@localhost",
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{ERLANG} -kernel inet_dist_use_interface {{127,0,0,1}}",
            **{variable: str(folder / name) for variable, name in FILES.items()},
        }
        self._mapper: Child | None = None
        self._node: Child | None = None
        try:
            self._mapper = self._run("epmd", "-address", "127.0.0.1", "-port", str(mapper))
            self._boot()
            self._make_user()
            wait_until(self._connects, START_S, self._node, "rabbitmq-server")
        except BaseException:
            self.stop()
            raise

    def _run(self, *command: str) -> Child:
        return Child.start(
            command, cwd=self._folder, log=self._folder / "server.log", env=self._env, as_server=True
        )  # fmt: skip

    def _boot(self) -> None:
        self._node = self._run(self.source.location)
        self.pid = self._node.pid
        wait_until(self._answers, START_S, self._node, "rabbitmq-server")

    def crash(self) -> None:
        assert self._node is not None
        self._node.kill()
        self.pid = None

    def restart(self) -> None:
        self._boot()
        wait_until(self._connects, START_S, self._node, "rabbitmq-server")

    def stop(self) -> None:
        for child in (self._node, self._mapper):
            if child is not None:
                child.kill()


class _Attached(_RabbitMQ):
    def __init__(self, source: Source, waits_s: int | None) -> None:
        import requests

        self._waits_s = waits_s
        parts = urlsplit(source.location)
        self.source = source
        self.pid = container.pid(source)
        if parts.scheme != "amqp" or not parts.hostname:
            raise _unusable(source, f"`{parts.scheme}://…` is not an amqp:// URL")
        self.upstream = Upstream(host=parts.hostname, port=parts.port or PORT)
        asked = dict(parse_qsl(parts.query))
        try:
            management = int(asked.get("management_port", MANAGEMENT_PORT))
            metrics = int(asked.get("metrics_port", METRICS_PORT))
        except ValueError as error:
            raise _unusable(source, f"in its URL, {error}") from error
        self.ports = (self.upstream.port, PORT, management, MANAGEMENT_PORT, metrics, METRICS_PORT)
        self._listens_on = PORT
        admin = (unquote(parts.username or "guest"), unquote(parts.password or "guest"))
        self._api = Api(f"http://{parts.hostname}:{management}", f"http://{parts.hostname}:{metrics}/metrics", admin)
        try:
            self._make_user()
        except (requests.RequestException, CrucibleError) as error:
            self.stop()
            raise _unusable(source, str(error)) from error

    def clients(self) -> list[int]:
        return [0] * self._api.counts()["rabbitmq_connections"]

    def crash(self) -> None:
        container.kill(self.source)
        self.pid = None

    def restart(self) -> None:
        self.pid = container.start(self.source)
        wait_until(lambda: self._answers() and self._connects(), START_S, None, "rabbitmq-server")

    def stop(self) -> None:
        import requests

        for path in (f"/vhosts/{self._vhost}", f"/users/{self._user}"):
            with suppress(requests.RequestException, CrucibleError):  # a server that is gone keeps nothing
                self._api.ask("DELETE", path)


def _unusable(source: Source, what: str) -> CrucibleError:
    return CrucibleError(
        f"the RabbitMQ server at {source.detail} cannot be used: {what}",
        where="CRUCIBLE_RABBITMQ_URL",
        fix="name a server with the plugins for management and Prometheus, and an administrator of it: "
        "amqp://USER:PASSWORD@HOST:PORT?management_port=15672&metrics_port=15692; or unset the variable",
        fault=Fault.CRUCIBLE,
    )


SERVICE = Service(
    name="rabbitmq",
    title="RabbitMQ",
    port=PORT,
    locate=_locate,
    start=_start,
    how_to_get="install rabbitmq-server (`crucible services install` does), or set CRUCIBLE_RABBITMQ_URL=amqp://…",
    packages={"apt": "rabbitmq-server", "brew": "rabbitmq"},
)
