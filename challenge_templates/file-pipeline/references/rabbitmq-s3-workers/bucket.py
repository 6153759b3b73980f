"""Parts of files in the bucket: objects of some megabytes, written once, whole or not at all, and never changed."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from connections import StoreUnavailableError
from signature import Signer
from yarl import URL

PIECE = 64 << 10
CONNECT_S = 1.0
ANSWER_S = 3.0
"""How long the store may take to answer, or to take or give some more of a part."""
AGAIN_S, GIVE_UP_S = 0.2, 2.0
"""A part that could not be written is tried again for so long; somebody waits for it."""
PATIENCE_S = 20.0
"""And one that cannot be read, for so long; nobody waits, and all of the file would have to be read again."""
TROUBLE = (aiohttp.ClientError, TimeoutError, OSError)


class MissingError(Exception):
    """There is no such object."""


class Bucket:
    def __init__(self) -> None:
        self._signer = Signer()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S),
            auto_decompress=False, skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )  # fmt: skip

    async def put(self, key: str, part: bytearray, sha256: str) -> None:
        """The store has all of it. It digests it, too, and keeps nothing that was cut short."""
        clock = asyncio.get_running_loop().time
        ends = clock() + GIVE_UP_S
        while True:
            try:
                return await self._put(key, part, sha256)
            except StoreUnavailableError:
                if clock() > ends:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def _put(self, key: str, part: bytearray, sha256: str) -> None:
        headers = self._signer.headers("PUT", key, {}, payload=sha256) | {"Content-Length": str(len(part))}
        try:
            async with asyncio.timeout(CONNECT_S + ANSWER_S) as limit:
                async with self._asked("PUT", key, headers, _slices(part, limit)) as answer:
                    if answer.status != 200:
                        answer.close()  # it may not want the rest
                        raise StoreUnavailableError(f"PUT was answered with {answer.status}")
        except TimeoutError as error:
            raise StoreUnavailableError("S3: no answer in time") from error

    async def read(self, key: str, size: int) -> AsyncGenerator[bytes, None]:
        """All of a part, piece by piece. If the store goes away meanwhile, it goes on where it ended."""
        clock = asyncio.get_running_loop().time
        at, gives_up = 0, 0.0
        while at < size:
            try:
                async with self._from(key, at) as answer:
                    async for piece in answer.content.iter_chunked(PIECE):
                        gives_up = 0.0
                        at += len(piece)
                        yield piece
                    if at != size:
                        raise StoreUnavailableError("the part was too short")
            except (StoreUnavailableError, *TROUBLE) as error:
                gives_up = gives_up or clock() + PATIENCE_S
                if clock() > gives_up or at > size:
                    raise StoreUnavailableError(f"S3: {error}") from error
                await asyncio.sleep(AGAIN_S)

    @asynccontextmanager
    async def _from(self, key: str, at: int) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = self._signer.headers("GET", key, {})
        if at:
            headers["Range"] = f"bytes={at}-"
        async with self._asked("GET", key, headers) as answer:
            try:
                if answer.status == 404:
                    raise MissingError(f"there is no object {key}")
                if answer.status != (206 if at else 200):
                    raise StoreUnavailableError(f"GET was answered with {answer.status}")
                yield answer
            finally:
                if not answer.content.at_eof():
                    answer.close()

    async def delete(self, key: str) -> None:
        """It is not there; whether it was is all the same."""
        async with self._asked("DELETE", key, self._signer.headers("DELETE", key, {})) as answer:
            if answer.status not in (200, 204, 404):
                raise StoreUnavailableError(f"DELETE was answered with {answer.status}")

    @asynccontextmanager
    async def _asked(
        self, method: str, key: str, headers: dict[str, str], body: AsyncGenerator[bytes, None] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self._signer.url_of(key), encoded=True)
        try:
            answer = await self._session.request(method, url, headers=headers, data=body, allow_redirects=False)
        except TROUBLE as error:
            raise StoreUnavailableError(f"S3: {type(error).__name__}: {error}") from error
        async with answer:
            yield answer

    async def close(self) -> None:
        await self._session.close()


def key_of(file: uuid.UUID, number: int) -> str:
    return f"{file.hex}.{number:05}"


async def _slices(part: bytearray, limit: asyncio.Timeout) -> AsyncGenerator[bytes, None]:
    """Whoever takes one has some time for the next."""
    clock = asyncio.get_running_loop().time
    for start in range(0, len(part), PIECE):
        limit.reschedule(clock() + ANSWER_S)
        yield bytes(memoryview(part)[start : start + PIECE])
    limit.reschedule(clock() + ANSWER_S)
