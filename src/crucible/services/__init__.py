"""The backing services, one module each, and this one dict of them."""

from collections.abc import Mapping

from crucible.errors import CrucibleError, Fault
from crucible.services import postgres, rabbitmq, redis, s3
from crucible.services.base import Server, Service, Source

SERVICES: dict[str, Service] = {
    service.name: service for service in (postgres.SERVICE, redis.SERVICE, rabbitmq.SERVICE, s3.SERVICE)
}

__all__ = ["SERVICES", "Server", "Service", "Source", "locate"]


def locate(name: str, environ: Mapping[str, str]) -> Source:
    """Where the server for `name` would come from. Raises a CrucibleError that says how to get one."""
    service = SERVICES[name]
    source = service.locate(environ)
    if source is None:
        raise CrucibleError(
            f"no server for {service.title} can be had here", where=name, fix=service.how_to_get, fault=Fault.CRUCIBLE
        )
    return source
