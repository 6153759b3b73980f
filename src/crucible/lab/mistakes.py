"""Mistakes that everybody makes once, read off what a process has printed. What is said is advice, and no verdict."""

import re
from collections.abc import Mapping

from crucible.planning.images import IMAGES

_PORT_TAKEN = re.compile(r"EADDRINUSE|address already in use", re.IGNORECASE)
_LOCAL = r"(?:127\.0\.0\.1|localhost|\[?::1\]?|0\.0\.0\.0)"
_REFUSED = re.compile(r"refused|error 111|(?:failed|could not|unable) to connect|cannot connect", re.IGNORECASE)
_NO_HOST = re.compile(
    r"(?:ENOTFOUND|EAI_AGAIN|no such host|name or service not known|name resolution|could not translate host name|"
    r"nodename nor servname|UnknownHostException)",
    re.IGNORECASE,
)
_USUAL_HOSTS = {
    "postgres": ("postgres", "postgresql", "db", "database"),
    "redis": ("redis", "valkey", "cache"),
    "rabbitmq": ("rabbitmq", "rabbit", "broker", "mq"),
    "s3": ("minio", "s3", "versitygw"),
}


def advice(printed: str, env: Mapping[str, str]) -> str:
    """What most probably went wrong, in a sentence; empty where nothing is recognised. `env`: what the process had."""
    for line in reversed(printed.splitlines()[-400:]):
        if _PORT_TAKEN.search(line):
            return "listen on $PORT, another one for each process: the port that this one wants is taken"
        if _REFUSED.search(line):
            for name, image in IMAGES.items():
                if found := re.search(rf"{_LOCAL}\D{{0,16}}{image.port}\b", line):
                    return f"it tried {found[0]}, where nothing listens: {_connect(name, env)}"
        if _NO_HOST.search(line):
            for name, hosts in _USUAL_HOSTS.items():
                if found := re.search(rf"(?<![\w./-])(?:{'|'.join(hosts)})(?![\w/-])", line):
                    return f"there is no host called {found[0]}: {_connect(name, env)}"
    return ""


def _connect(name: str, env: Mapping[str, str]) -> str:
    variable = IMAGES[name].variable
    if variable in env:
        return f"connect to {variable}"
    return f"name {name} under `services` in crucible.yaml, and connect to {variable}"
