"""What callers may send and ask for, taken apart; anything else is a BadInputError."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request

LARGEST_FILE = 200 << 20
LONGEST_KEY = 200
LONGEST_URL = 2000
STALL_S = 60.0
"""Somebody who sends nothing for so long has gone."""
DRAIN, DRAIN_S = 256 << 20, 4.0
"""A body that is refused is read on for so long, so that the client hears why; from here on it is cut off."""


class BadInputError(Exception):
    def __init__(self, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.status = status


def key_in(request: Request) -> str:
    given = request.headers.getlist("idempotency-key")
    if len(given) != 1 or not 0 < len(given[0]) <= LONGEST_KEY or not given[0].isprintable():
        raise BadInputError(f"one header Idempotency-Key of 1 to {LONGEST_KEY} characters is needed")
    return given[0]


def callback_in(request: Request) -> str:
    """Where the event of a job is to be posted. Whom it may lead to is for the network to say."""
    given = request.query_params.getlist("callback")
    if len(given) != 1 or not 0 < len(given[0]) <= LONGEST_URL:
        raise BadInputError("one `callback` is needed in the query")
    try:
        parts = urlsplit(given[0])
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or not given[0].isascii() or not given[0].isprintable() or " " in given[0]:
        raise BadInputError("`callback` must be a URL with http or https")
    return given[0]


def id_in(request: Request) -> uuid.UUID | None:
    """None for what no id looks like, so that nothing has it."""
    text = request.path_params["id"]
    try:
        found = uuid.UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def file_in(request: Request) -> AsyncGenerator[bytes, None]:
    """The body, piece by piece. It is whole when they end; a client that goes away is a ClientDisconnect."""
    given = request.headers.get("content-length")
    if given is not None and (not given.isascii() or not given.isdigit() or len(given) > 18):
        raise BadInputError("Content-Length must be a number")
    if given is not None and int(given) > LARGEST_FILE:
        raise BadInputError(f"a file has at most {LARGEST_FILE} bytes", 413)
    return _pieces(request)


async def _pieces(request: Request) -> AsyncGenerator[bytes, None]:
    count = 0
    async with aclosing(request.stream()) as pieces:
        while True:
            try:
                async with asyncio.timeout(STALL_S):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise BadInputError("nothing came for too long", 408) from None
            count += len(piece)
            if count > LARGEST_FILE:
                raise BadInputError(f"a file has at most {LARGEST_FILE} bytes", 413)
            if piece:
                yield piece


async def drain(request: Request) -> bool:
    """Read what is left of a body. Whether it has an end."""
    count = 0
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(DRAIN_S):
            try:
                async for piece in request.stream():
                    count += len(piece)
                    if count > DRAIN:
                        return False
            except RuntimeError:  # it has been read to its end already
                pass
            return True
    return False
