"""The bucket, into which clients write and from which they read by themselves. What is written here are addresses."""

import base64
import hashlib
import uuid

import aiohttp
from connections import StoreUnavailableError
from serving import disposition
from signature import Signer
from yarl import URL

CONNECT_S = 0.8
ANSWER_S = 1.5
GET_S = 15
"""How long an address to read from is good for. Whoever is sent there goes at once."""
TROUBLE = (aiohttp.ClientError, TimeoutError, OSError)


class Bucket:
    def __init__(self) -> None:
        self._signer = Signer()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S),
            auto_decompress=False, skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )  # fmt: skip

    def put_address(self, key: uuid.UUID, size: int, sha256: str, lasts_s: int) -> dict[str, object]:
        """How to write these bytes, and no others: the length and the digest are signed, and the store holds the body
        against them, so that whatever is written there twice is the same both times."""
        given = {"x-amz-checksum-sha256": _as_base64(sha256)}
        signed = {**given, "content-length": str(size)}
        return {"method": "PUT", "url": self._signer.url("PUT", key.hex, lasts_s, signed, {}), "headers": given}

    def get_address(self, key: uuid.UUID, name: str) -> str:
        """Where to read it. It comes as something to be saved, whatever it is, and never as a page of ours."""
        query = {
            "response-content-disposition": disposition(name),
            "response-content-type": "application/octet-stream",
        }
        return self._signer.url("GET", key.hex, GET_S, {}, query)

    async def holds(self, key: uuid.UUID, size: int, sha256: str) -> bool:
        """Whether these bytes are there: the store says what it has counted and digested itself, not what it was told.
        A store that has kept no digest is read."""
        asked = {"x-amz-checksum-mode": "ENABLED"}
        async with await self._ask("HEAD", key, self._signer.headers("HEAD", key.hex, asked)) as answer:
            if answer.status == 404:
                return False
            if answer.status != 200:
                raise StoreUnavailableError(f"HEAD was answered with {answer.status}")
            if answer.headers.get("Content-Length") != str(size):
                return False
            digest = answer.headers.get("x-amz-checksum-sha256")
        return digest == _as_base64(sha256) if digest else await self._digest(key) == sha256

    async def _digest(self, key: uuid.UUID) -> str:
        digest = hashlib.sha256()
        try:
            async with await self._ask("GET", key, self._signer.headers("GET", key.hex, {})) as answer:
                if answer.status != 200:
                    raise StoreUnavailableError(f"GET was answered with {answer.status}")
                async for piece in answer.content.iter_chunked(64 << 10):
                    digest.update(piece)
        except TROUBLE as error:
            raise StoreUnavailableError(f"S3: {error}") from error
        return digest.hexdigest()

    async def delete(self, key: uuid.UUID) -> None:
        """It is not there; whether it was is all the same."""
        async with await self._ask("DELETE", key, self._signer.headers("DELETE", key.hex, {})) as answer:
            if answer.status not in (200, 204, 404):
                raise StoreUnavailableError(f"DELETE was answered with {answer.status}")

    async def _ask(self, method: str, key: uuid.UUID, headers: dict[str, str]) -> aiohttp.ClientResponse:
        url = URL(self._signer.url_of(key.hex), encoded=True)
        try:
            return await self._session.request(method, url, headers=headers, allow_redirects=False)
        except TROUBLE as error:
            raise StoreUnavailableError(f"S3: {type(error).__name__}: {error}") from error

    async def close(self) -> None:
        await self._session.close()


def _as_base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()
