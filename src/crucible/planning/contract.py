"""`template/openapi.yaml` -> the routes that a starter answers."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import Any

from crucible.errors import CrucibleError, Fault
from crucible.planning import yamlfile

FILE = "openapi.yaml"
HEALTH = "/healthz"
"""Every starter answers it, so it is no route to be written."""

_METHODS = ("get", "head", "post", "put", "patch", "delete")
_PARAMETER = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_TAKEN = {"app", "healthz", "not_yet"}
"""What a starter defines itself."""


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the contract, as starters name it."""

    method: str
    path: str
    """As the contract writes it, such as `/v1/limits/{key}`."""
    name: str
    """A function's: `put_limit`, from the operation's id, or from the method and the path where it has none."""
    body: str
    """What a request holds, in a few words: `{"limit": …}`, or `text/csv`; empty where it holds nothing."""
    example: str = ""
    """A body as the contract shows one; empty where it shows none."""
    headers: tuple[str, ...] = ()
    """That a request must have, besides those of its body."""

    @property
    def line(self) -> str:
        """Such as `PUT /v1/limits/{key}`."""
        return f"{self.method} {self.path}"

    def curl(self, url: str) -> str:
        """A command that sends such a request to a server at `url`."""
        words = ["curl", "-i", "-X", self.method, url + _PARAMETER.sub("1", self.path)]
        words += [word for name in self.headers for word in ("-H", f"{name}: 1")]
        if body := self.example or self.body:
            words += ["-H", "Content-Type: application/json", "-d", body]
        return shlex.join(words)

    @property
    def template(self) -> str:
        """The path with parameters that are identifiers, as routers want them."""
        return _PARAMETER.sub(lambda found: "{" + re.sub(r"\W", "_", found[1]) + "}", self.path)

    @property
    def pattern(self) -> str:
        """A regular expression, to stand between slashes, that the whole path matches."""
        fixed = _PARAMETER.split(self.path)[::2]
        return "^" + "[^/]+".join(re.escape(part).replace("/", r"\/") for part in fixed) + "$"


@dataclass(frozen=True)
class _Contract:
    """What is read of it; the rest is the learner's to read."""

    paths: dict[str, dict[str, Any]]
    components: dict[str, Any] = field(default_factory=dict)


def read_routes(challenge: Path) -> tuple[Route, ...]:
    """Every operation of the challenge's contract but the health's, in its order; what is wrong is the author's."""
    path = challenge / "template" / FILE
    contract = yamlfile.read(path, _Contract, fault=Fault.AUTHOR)
    return tuple(
        Route(
            method.upper(), place, _name(operation or {}, method, place), _body(operation or {}, contract, path),
            _example(operation or {}, contract, path), _headers(operation or {}, contract, path),
        )
        for place, operations in contract.paths.items() if place != HEALTH
        for method, operation in operations.items() if method in _METHODS
    )  # fmt: skip


def _name(operation: Mapping[str, Any], method: str, path: str) -> str:
    said = operation.get("operationId") or f"{method} {re.sub(r'/v[0-9]+/', '/', path)}"
    name = "_".join(_WORD.findall(said)).lower()
    return name if name.isidentifier() and not iskeyword(name) and name not in _TAKEN else f"{method}_{name}"


def _body(operation: Mapping[str, Any], contract: _Contract, path: Path) -> str:
    content = _resolved(operation.get("requestBody", {}), contract, path).get("content", {})
    return " or ".join(
        _shown(described.get("schema", {}), contract, path) if media == "application/json" else media
        for media, described in content.items()
    )


def _example(operation: Mapping[str, Any], contract: _Contract, path: Path) -> str:
    content = _resolved(operation.get("requestBody", {}), contract, path).get("content", {})
    shown = content.get("application/json", {}).get("example")
    return json.dumps(shown, default=str) if shown is not None else ""


def _headers(operation: Mapping[str, Any], contract: _Contract, path: Path) -> tuple[str, ...]:
    found = [_resolved(it, contract, path) for it in operation.get("parameters", [])]
    return tuple(str(it.get("name")) for it in found if it.get("in") == "header" and it.get("required"))


def _shown(schema: Mapping[str, Any], contract: _Contract, path: Path) -> str:
    """JSON that has the schema's fields, and what is in them left out."""
    schema = _resolved(schema, contract, path)
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_shown(one, contract, path) for one in schema[several]))
    if "items" in schema:
        return f"[{_shown(schema['items'], contract, path)}, …]"
    fields = schema.get("properties", {})
    return "{" + ", ".join(f'"{name}": …' for name in fields) + "}" if fields else "…"


def _resolved(node: Mapping[str, Any], contract: _Contract, path: Path) -> Mapping[str, Any]:
    """What a `$ref` leads to, or the node itself."""
    if "$ref" not in node:
        return node
    kind, _, name = node["$ref"].removeprefix("#/components/").partition("/")
    found = contract.components.get(kind, {}).get(name)
    if not isinstance(found, dict):
        raise CrucibleError(
            f"`{node['$ref']}` leads nowhere", where=str(path), fix="name something below `components`",
            fault=Fault.AUTHOR,
        )  # fmt: skip
    return _resolved(found, contract, path)
