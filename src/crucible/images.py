"""The container images that learners' workflows and compose files start, each service's facts in one place."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Image:
    """A service as a container, started so that it keeps what its service card promises."""

    name: str
    """Crucible's name of the service, as in `services:` of a crucible.yaml."""
    title: str
    variable: str
    """The environment variable in which a solution gets its URL."""
    image: str
    """Pinned by digest; the tag says which version that is."""
    port: int
    host_port: int
    """Fixed, so that a container that was killed and started again has its old address; below the ephemeral ports."""
    admin_url: str
    """How Crucible reaches it from the host. The credentials are throwaway ones, of a server that lives for one job."""
    health_cmd: str
    env: dict[str, str] = field(default_factory=dict)


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image(
            name="postgres",
            title="PostgreSQL 18",
            variable="DATABASE_URL",
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
            variable="REDIS_URL",
            image="valkey/valkey:9.1.2-alpine@sha256:48332870af354a799964c0012ae1194a0bf2bf894eb508f945810596dc2d8d11",
            port=6379,
            host_port=16379,
            admin_url="redis://127.0.0.1:16379/0",
            health_cmd="valkey-cli ping",
            # A cache, by its service card. Flags of the command line, unlike CONFIG SET, outlive a restart.
            env={"VALKEY_EXTRA_FLAGS": '--save "" --appendonly no --maxmemory-policy noeviction'},
        ),
    )
}
