"""How content is answered: which bytes of it, under which headers, and piece by piece."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

LOG = logging.getLogger(__name__)
STALL_S = 60.0
"""A reader that takes nothing for so long has gone."""
RANGE = re.compile(r"\s*bytes\s*=\s*(?:(\d{1,18})\s*-\s*(\d{1,18})?|-\s*(\d{1,18}))\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Span:
    """The bytes that are asked for: from `start`, up to but without `end`."""

    start: int
    end: int
    partial: bool

    @property
    def length(self) -> int:
        return self.end - self.start


class BrokenOffError(Exception):
    """The rest of a content cannot be had. The connection ends early, so that nobody takes it for a whole one."""


def span_in(request: Request, size: int, sha256: str) -> Span | None:
    """None where the range begins behind the end. What is no single range of bytes is passed over, as RFC 9110 has it,
    and so is a range of another version than the one that is there (If-Range)."""
    whole = Span(0, size, partial=False)
    given = request.headers.get("range")
    if given is None or request.method != "GET":
        return whole
    condition = request.headers.get("if-range")
    found = RANGE.fullmatch(given)
    if found is None or condition not in (None, etag(sha256)):
        return whole
    first, last, suffix = found.groups()
    if suffix is not None:
        return Span(max(0, size - int(suffix)), size, partial=True) if int(suffix) else None
    if last is not None and int(last) < int(first):
        return whole
    if int(first) >= size:
        return None
    return Span(int(first), min(size, int(last) + 1 if last is not None else size), partial=True)


def etag(sha256: str) -> str:
    return f'"{sha256}"'


def disposition(name: str) -> str:
    """Always to be saved, never shown: what a user has uploaded is no page of ours. Old clients take the first name, in
    which nothing is left that a header or a folder could stumble over; others the second, the real one (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def headers_of(name: str, size: int, sha256: str, span: Span) -> dict[str, str]:
    headers = {
        "Content-Type": "application/octet-stream", "Content-Disposition": disposition(name),
        "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-cache", "Accept-Ranges": "bytes", "ETag": etag(sha256),
        "Content-Length": str(span.length),
    }  # fmt: skip
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
    return headers


class Content(StreamingResponse):
    """Takes the next piece when the one before is on its way, and lets go of the rest as soon as the reader goes."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], span: Span, headers: dict[str, str]) -> None:
        super().__init__(pieces, 206 if span.partial else 200, headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(STALL_S):
                await send(message)

        async with aclosing(self._pieces):
            try:
                await super().__call__(scope, receive, send_in_time)
            except (BrokenOffError, TimeoutError) as error:
                LOG.warning("broken off: %s", error or "the reader takes nothing")
