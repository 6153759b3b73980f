"""Objects in the bucket: written and read while they pass through, never whole in memory, and never rewritten."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from connections import StoreUnavailableError
from serving import BrokenOffError, Span
from signature import Signer
from yarl import URL

CONNECT_S = 0.8
ANSWER_S = 1.5
"""How long the store may take to answer, or to take or give some more of a body."""
STORED_S = 8.0
"""How long it may take to put down what it has been given: many large ones at once keep its disk busy."""
RESUME_S = 5.0
"""How long somebody who has a part of an object waits for the store to come back."""
TROUBLE = (aiohttp.ClientError, TimeoutError, OSError)


class Bucket:
    def __init__(self) -> None:
        self._signer = Signer()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # a slow reader keeps one
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S),
            auto_decompress=False, skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )  # fmt: skip

    async def put(self, key: uuid.UUID, size: int, sha256: str, pieces: AsyncGenerator[bytes, None]) -> None:
        """The pieces, as they come, as one object. The store counts and digests them, too, and keeps nothing of which
        either is wrong. What the pieces raise is raised."""
        headers = self._signer.headers("PUT", key.hex, {}, payload=sha256)
        passing = _Passing(pieces)
        try:
            async with asyncio.timeout(None) as passing.limit:
                async with self._asked("PUT", key, {**headers, "Content-Length": str(size)}, passing) as answer:
                    if answer.status != 200:
                        answer.close()  # it may not want the rest
                        raise StoreUnavailableError(f"PUT was answered with {answer.status}")
        except (StoreUnavailableError, TimeoutError) as error:
            if passing.error is not None:
                raise passing.error from None
            raise StoreUnavailableError(f"S3: {error or 'no answer in time'}") from error

    async def open(self, key: uuid.UUID, size: int, span: Span) -> AsyncGenerator[bytes, None]:
        """The bytes of an object, of which the first are there already. If the store goes away meanwhile, they go on
        where they ended, since an object never changes."""
        pieces = self._read(key, size, span)
        await anext(pieces)
        return pieces

    async def _read(self, key: uuid.UUID, size: int, span: Span) -> AsyncGenerator[bytes, None]:
        at, opened, gives_up = span.start, False, 0.0
        clock = asyncio.get_running_loop().time
        while at < span.end:
            try:
                async with self._ranged(key, size, Span(at, span.end, span.partial)) as answer:
                    if not opened:
                        opened = True
                        yield b""  # for `open`
                    async for piece in answer.content.iter_chunked(64 << 10):
                        gives_up = 0.0
                        at += len(piece)
                        yield piece
                    if at < span.end:
                        raise StoreUnavailableError("the body was too short")
            except (StoreUnavailableError, *TROUBLE) as error:
                if not opened:
                    raise
                gives_up = gives_up or clock() + RESUME_S
                if clock() > gives_up:
                    raise BrokenOffError(str(error)) from error
                await asyncio.sleep(0.2)

    @asynccontextmanager
    async def _ranged(self, key: uuid.UUID, size: int, span: Span) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = self._signer.headers("GET", key.hex, {})
        if span.length < size:
            headers["Range"] = f"bytes={span.start}-{span.end - 1}"
        async with self._asked("GET", key, headers) as answer:
            try:
                if answer.status != (206 if span.length < size else 200):
                    raise StoreUnavailableError(f"GET was answered with {answer.status}")
                yield answer
            finally:
                if not answer.content.at_eof():
                    answer.close()

    async def delete(self, key: uuid.UUID) -> None:
        """It is not there; whether it was is all the same."""
        async with self._asked("DELETE", key, self._signer.headers("DELETE", key.hex, {})) as answer:
            if answer.status not in (200, 204, 404):
                raise StoreUnavailableError(f"DELETE was answered with {answer.status}")

    @asynccontextmanager
    async def _asked(
        self, method: str, key: uuid.UUID, headers: dict[str, str], body: "_Passing | None" = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self._signer.url_of(key.hex), encoded=True)
        patience = aiohttp.ClientTimeout(None, sock_connect=CONNECT_S, sock_read=STORED_S if body else ANSWER_S)
        try:
            answer = await self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False, timeout=patience
            )  # fmt: skip
        except TROUBLE as error:
            raise StoreUnavailableError(f"S3: {type(error).__name__}: {error}") from error
        async with answer:
            yield answer

    async def close(self) -> None:
        await self._session.close()


class _Passing:
    """What passes from the client to the store. Whose turn it is decides how long it may take: the client's as long as
    its upload lasts, which the pieces themselves see to, the store's not long."""

    limit: asyncio.Timeout

    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        self._pieces = pieces
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        try:
            async for piece in self._pieces:
                self.limit.reschedule(clock() + ANSWER_S)
                yield piece
                self.limit.reschedule(None)
            self.limit.reschedule(clock() + STORED_S)
        except Exception as error:
            self.error = error
            raise
