"""The backing services, one module each, and this one dict of them."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from crucible.errors import CrucibleError, Fault
from crucible.planning.images import IMAGES, images_for
from crucible.processes.ports import give_back
from crucible.services import container, postgres, rabbitmq, redis, s3
from crucible.services.base import USUAL, Server, Service, Source, Terms

SERVICES: dict[str, Service] = {
    service.name: service for service in (postgres.SERVICE, redis.SERVICE, rabbitmq.SERVICE, s3.SERVICE)
}
CONTAINER_S, LOOK_S = 60.0, 0.2

__all__ = ["SERVICES", "Server", "Service", "Source", "find", "locate", "start", "stop"]


def find(name: str, environ: Mapping[str, str]) -> Source | None:
    """Where the server for `name` would come from: a URL, a program, a container of a Docker engine, a stand-in."""
    service = SERVICES[name]
    source = service.locate(environ) or container.engine(IMAGES[name], environ) or service.locate_last(environ)
    return replace(source, search_path=environ.get("PATH", os.defpath)) if source is not None else None


def locate(name: str, environ: Mapping[str, str]) -> Source:
    """Likewise. Raises a CrucibleError that says how to get one."""
    source = find(name, environ)
    if source is None:
        service = SERVICES[name]
        raise CrucibleError(
            f"no server for {service.title} can be had here", where=name, fix=service.how_to_get, fault=Fault.CRUCIBLE
        )
    return source


def start(name: str, source: Source, folder: Path, terms: Terms = USUAL) -> Server:
    """Start a server in the empty folder RUN/services/NAME, ready to answer. Raises a CrucibleError where it cannot."""
    if source.kind != "docker":
        return SERVICES[name].start(source, folder, terms)
    images = images_for([name], [name] if terms.durable else [], terms.consumer_timeout_s)
    box = container.run(images[name], folder.parents[1].name)
    end = time.monotonic() + CONTAINER_S
    try:
        while True:
            try:
                return SERVICES[name].start(box, folder, terms)
            except CrucibleError:  # it does not answer yet
                if time.monotonic() > end:
                    raise
            time.sleep(LOOK_S)
    except BaseException:
        container.remove(box)
        raise


def stop(server: Server) -> None:
    """End a server that was started, and the container that was run for it, and give its ports back; safe to call
    twice."""
    server.stop()
    container.remove(server.source)
    give_back(*server.ports)
