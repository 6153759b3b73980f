"""The container images that learners' workflows and compose files start, each service's facts in one place."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

USUAL_CONSUMER_TIMEOUT_S = 1800
"""RabbitMQ's own."""


@dataclass(frozen=True)
class Image:
    """A service as a container, started so that it keeps what its service card promises."""

    name: str
    """Crucible's name of the service, as in `services:` of a crucible.yaml."""
    title: str
    given: dict[str, str]
    """What a solution that is run by hand on this machine gets in its environment; first of all its URL."""
    image: str
    """Pinned by digest; the tag says which version that is."""
    port: int
    host_port: int
    """Fixed, so that a container that was killed and started again has its old address; below the ephemeral ports."""
    admin_url: str
    """How Crucible reaches it from the host. The credentials are throwaway ones, of a server that lives for one job."""
    health_cmd: str
    env: dict[str, str] = field(default_factory=dict)
    durable_env: dict[str, str] = field(default_factory=dict)
    """What differs of `env` where its service card says that it keeps what it holds, and not that it is a cache."""
    more_ports: dict[int, int] = field(default_factory=dict)
    """Further ports that Crucible asks for counts or changes through, by their fixed number on the host."""

    @property
    def variable(self) -> str:
        """The environment variable in which a solution gets its URL."""
        return next(iter(self.given))

    @property
    def published(self) -> dict[int, int]:
        """All of its ports, by their number on the host."""
        return {self.host_port: self.port, **self.more_ports}

    def given_beside(self) -> dict[str, str]:
        """What a solution gets that runs in a container beside this one, where its name is its address."""
        outside, inside = f"127.0.0.1:{self.host_port}", f"{self.name}:{self.port}"
        return {variable: value.replace(outside, inside) for variable, value in self.given.items()}


def images_for(
    services: Iterable[str], durable: Iterable[str], consumer_timeout_s: int | None = None
) -> dict[str, Image]:
    """The images of a challenge that offers `services`, of which some are `durable`, and whose broker waits so long for
    a consumer."""
    offered = {name: IMAGES[name] for name in services}
    offered |= {name: replace(it, env=it.env | it.durable_env) for name, it in offered.items() if name in set(durable)}
    if consumer_timeout_s is not None and "rabbitmq" in offered:
        broker = offered["rabbitmq"]
        offered["rabbitmq"] = replace(broker, env=broker.env | _waits(consumer_timeout_s))
    return offered


def _waits(consumer_timeout_s: int) -> dict[str, str]:
    """The environment of a broker's image that waits so long for a consumer."""
    return {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-rabbit consumer_timeout {consumer_timeout_s * 1000}"}


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image(
            name="postgres",
            title="PostgreSQL 18",
            given={"DATABASE_URL": "postgresql://crucible:crucible@127.0.0.1:15432/crucible"},
            image="postgres:18.6-alpine@sha256:77f585114c32fbca283dc835b0596f4e52b51b4c6662d7810b2f4084f60a1873",
            port=5432,
            host_port=15432,
            admin_url="postgresql://crucible:crucible@127.0.0.1:15432/crucible",
            # With -h, because the image's first, temporary server listens on its socket only.
            health_cmd="pg_isready -h 127.0.0.1 -U crucible -d crucible",
            env={"POSTGRES_USER": "crucible", "POSTGRES_PASSWORD": "crucible", "POSTGRES_DB": "crucible"},
        ),
        Image(
            name="redis",
            title="Valkey 9, which speaks Redis",
            given={"REDIS_URL": "redis://127.0.0.1:16379/0"},
            image="valkey/valkey:9.1.2-alpine@sha256:48332870af354a799964c0012ae1194a0bf2bf894eb508f945810596dc2d8d11",
            port=6379,
            host_port=16379,
            admin_url="redis://127.0.0.1:16379/0",
            health_cmd="valkey-cli ping",
            # A cache, by its service card. Flags of the command line, unlike CONFIG SET, outlive a restart.
            env={"VALKEY_EXTRA_FLAGS": '--save "" --appendonly no --maxmemory-policy noeviction'},
            durable_env={
                "VALKEY_EXTRA_FLAGS": '--save "" --appendonly yes --appendfsync everysec --maxmemory-policy noeviction'
            },
        ),
        Image(
            name="rabbitmq",
            title="RabbitMQ 4",
            given={"AMQP_URL": "amqp://crucible:crucible@127.0.0.1:16672/%2f"},
            image="rabbitmq:4.3.6-management@sha256:cdf40d8cb363d145e377ed88d59696a42386ffe54b30125f10eb128b862eea95",
            port=5672,
            host_port=16672,
            admin_url="amqp://crucible:crucible@127.0.0.1:16672?management_port=16673&metrics_port=16692",
            health_cmd="rabbitmq-diagnostics -q check_port_connectivity",
            env={
                "RABBITMQ_DEFAULT_USER": "crucible",
                "RABBITMQ_DEFAULT_PASS": "crucible",
                **_waits(USUAL_CONSUMER_TIMEOUT_S),
            },
            more_ports={16673: 15672, 16692: 15692},
        ),
        Image(
            name="s3",
            title="S3-compatible storage (versitygw 1)",
            given={
                "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:17070",
                "AWS_ACCESS_KEY_ID": "crucible",
                "AWS_SECRET_ACCESS_KEY": "crucible-secret",
                "AWS_REGION": "us-east-1",
                "S3_BUCKET": "crucible",
            },
            image="ghcr.io/versity/versitygw:v1.8.0"
            "@sha256:30292fc2eeacc67a36993b01f7a7a5e3361a19cced0e80c1d71cfa2a4b0a2499",
            port=7070,
            host_port=17070,
            admin_url="http://crucible:crucible-secret@127.0.0.1:17070",
            health_cmd="wget -q -O /dev/null http://127.0.0.1:7070/health",
            env={
                "VGW_BACKEND": "posix",
                "VGW_BACKEND_ARG": "/tmp/vgw",  # noqa: S108 - in a container of its own
                "VGW_HEALTH": "/health",
                "VGW_KEEP_ALIVE": "true",
                "VGW_QUIET": "true",
                "VGW_ACCESS_LOG": "stdout",  # from which Crucible counts the requests
                "ROOT_ACCESS_KEY": "crucible",
                "ROOT_SECRET_KEY": "crucible-secret",
            },
        ),
    )
}
