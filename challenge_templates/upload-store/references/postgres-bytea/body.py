"""What callers may send and ask for, taken apart; anything else is a BadInputError."""

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.requests import Request

LARGEST_JSON = 16 << 10
LARGEST_FILE = 25_000_000
LARGEST_QUOTA = 2**53
LONGEST = 255
"""Bytes of a name, or of a user."""
SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class BadInputError(Exception):
    def __init__(self, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.status = status


@dataclass(frozen=True)
class Declared:
    """What a client is going to send."""

    size: int
    sha256: str


async def upload_in(request: Request) -> tuple[str, Declared]:
    """The name of a new file, and what it is going to be."""
    body = await _object_in(request)
    return _text(body.get("name"), "name"), _declared(body)


async def version_in(request: Request) -> Declared:
    return _declared(await _object_in(request))


async def quota_in(request: Request) -> int:
    value = (await _object_in(request)).get("bytes")
    if type(value) is not int or not 0 <= value <= LARGEST_QUOTA:
        raise BadInputError("`bytes` must be a whole number from 0 to 2^53")
    return value


def user_in(request: Request) -> str:
    """Who asks. Headers are bytes; this one is taken as UTF-8, as a path is."""
    given = request.headers.getlist("x-user")
    if len(given) != 1:
        raise BadInputError("one header X-User is needed", 400 if given else 401)
    try:
        return _text(given[0].encode("latin-1").decode(), "X-User")
    except UnicodeDecodeError:
        raise BadInputError("X-User must be UTF-8") from None


def user_in_path(request: Request) -> str:
    return _text(request.path_params["user"], "user")


def id_in(text: str) -> uuid.UUID | None:
    """None for what no id looks like, so that nothing has it."""
    try:
        found = uuid.UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def cursor_in(request: Request) -> uuid.UUID:
    """After which file the page begins."""
    given = request.query_params.get("cursor")
    found = id_in(given) if given else uuid.UUID(int=0)
    if found is None:
        raise BadInputError("`cursor` must be one that was given by a page")
    return found


def length_in(request: Request) -> int | None:
    """Content-Length, if the client says one."""
    given = request.headers.get("content-length")
    if given is None:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise BadInputError("Content-Length must be a number")
    return int(given)


def _declared(body: dict[str, Any]) -> Declared:
    size, sha256 = body.get("size"), body.get("sha256")
    if type(size) is not int or size < 1:  # a bool is an int to isinstance()
        raise BadInputError("`size` must be a whole number of at least 1")
    if size > LARGEST_FILE:
        raise BadInputError(f"a file has at most {LARGEST_FILE} bytes", 413)
    if type(sha256) is not str or SHA256.fullmatch(sha256) is None:
        raise BadInputError("`sha256` must be 64 hexadecimal digits")
    return Declared(size, sha256.lower())


def _text(value: object, what: str) -> str:
    """A text that PostgreSQL can hold, too: JSON can say U+0000, and half a pair of surrogates."""
    if type(value) is not str or not value or "\x00" in value:
        raise BadInputError(f"`{what}` must be a text without U+0000")
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise BadInputError(f"`{what}` has half a pair of surrogates") from None
    if length > LONGEST:
        raise BadInputError(f"`{what}` has at most {LONGEST} bytes")
    return value


async def _object_in(request: Request) -> dict[str, Any]:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > LARGEST_JSON:
            raise BadInputError("the body is too large", 413)
    try:
        body = _JSON.decode(raw.decode())
    except (ValueError, RecursionError):
        raise BadInputError("the body is not JSON") from None
    if type(body) is not dict:
        raise BadInputError("the body is not a JSON object")
    return body


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)  # Python would take NaN and Infinity


_JSON = json.JSONDecoder(parse_constant=_refuse)
