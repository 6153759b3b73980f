"""Request bodies: read with a bound, and taken only if they are exactly what the contract says."""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.requests import Request

MAX_BYTES = 16 * 1024
MAX_INTEGER = 2**53 - 1  # the largest that every JSON implementation, and Lua, holds exactly
MAX_WINDOW_MS = 10 * 366 * 24 * 3600 * 1000
KEY = re.compile(r"[A-Za-z0-9:_-]{1,128}")


class BadInputError(Exception):
    """A request that is not what the contract says; `status` is what it is answered with."""

    def __init__(self, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.status = status


@dataclass(frozen=True)
class Limit:
    limit: int
    window_ms: int


@dataclass(frozen=True)
class Check:
    key: str
    cost: int


def key_of(value: object) -> str:
    if not isinstance(value, str) or not KEY.fullmatch(value):
        raise BadInputError("a key is 1 to 128 of A-Z a-z 0-9 : _ -")
    return value


async def limit_in(request: Request) -> Limit:
    fields = await _fields(request, {"limit", "window_ms"})
    return Limit(
        limit=_integer(fields, "limit", 1, MAX_INTEGER),
        window_ms=_integer(fields, "window_ms", 100, MAX_WINDOW_MS),
    )


async def check_in(request: Request) -> Check:
    fields = await _fields(request, {"key", "cost"})
    return Check(key=key_of(fields.get("key")), cost=_integer({"cost": 1, **fields}, "cost", 1, MAX_INTEGER))


async def _fields(request: Request, known: set[str]) -> dict[str, Any]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    content = await _content(request)
    if content_type != "application/json":
        raise BadInputError("send application/json")
    fields = _parsed(content)
    if not isinstance(fields, dict):
        raise BadInputError("the body must be an object")
    if unknown := fields.keys() - known:
        raise BadInputError(f"unknown field {min(unknown)!r}")
    return fields


async def _content(request: Request) -> bytes:
    """The body. One that is too large is read to its end but not kept, so that the client gets to read the answer."""
    content = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BYTES:
            content += chunk
    if size > MAX_BYTES:
        raise BadInputError(f"more than {MAX_BYTES} bytes", 413)
    return bytes(content)


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadInputError("the body is not JSON") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # Python would take NaN and Infinity


def _integer(fields: dict[str, Any], name: str, least: int, most: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not least <= value <= most:  # type(), because a bool is an int to isinstance()
        raise BadInputError(f"{name} must be a whole number from {least} to {most}")
    return value
