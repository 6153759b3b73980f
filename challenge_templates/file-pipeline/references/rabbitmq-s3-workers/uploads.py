"""Takes files in, part by part, so that no process holds one, and makes a job of each that is whole, not sooner."""

import asyncio
import hashlib
import logging
import random
import uuid
from collections.abc import AsyncIterable
from contextlib import suppress

from bucket import Bucket, key_of
from connections import StoreUnavailableError
from files import Files, Known

LOG = logging.getLogger(__name__)
PART = 4 << 20
LEAST_PART = 256 << 10
ROOM = 64 << 20
"""Bytes of parts that a process holds: the more files are coming, the smaller are their parts."""
AT_ONCE = ROOM // LEAST_PART
ALIVE_S, EVERY_S = 10.0, 2.0
"""A file whose taker has not said for so long that he lives has none any more."""


class Uploads:
    def __init__(self, files: Files, bucket: Bucket) -> None:
        self._files = files
        self._bucket = bucket
        self._coming: set[uuid.UUID] = set()
        self._abandoning: set[asyncio.Task[None]] = set()

    async def take(self, key: str, callback: str, pieces: AsyncIterable[bytes]) -> Known:
        """The job of a key, once all of its file is in the bucket, and PostgreSQL knows. If it has come before, it is
        only compared."""
        if len(self._coming) >= AT_ONCE:
            raise StoreUnavailableError("too many files are coming")
        file, digest = uuid.uuid4(), hashlib.sha256()
        self._coming.add(file)
        try:
            known = await self._files.begin(file, key, ALIVE_S)
            if known is not None:
                async for piece in pieces:
                    digest.update(piece)
                return known.check(callback, digest.hexdigest())
            parts = await self._store(file, digest, pieces)
            sha256 = digest.hexdigest()
            return (await self._files.add_job(file, key, callback, sha256, parts)).check(callback, sha256)
        except BaseException:
            self._abandon_later(file)
            raise
        finally:
            self._coming.discard(file)

    async def _store(self, file: uuid.UUID, digest: "hashlib._Hash", pieces: AsyncIterable[bytes]) -> list[int]:
        """The sizes of its parts. While one is being written nothing is read, so a slow store makes a slow client."""
        parts: list[int] = []
        part, of_part = bytearray(), hashlib.sha256()
        async for piece in pieces:
            digest.update(piece)
            of_part.update(piece)
            part += piece
            if len(part) >= min(PART, ROOM // len(self._coming)):
                await self._put(file, len(parts), part, of_part.hexdigest())
                parts.append(len(part))
                part, of_part = bytearray(), hashlib.sha256()
        if part:
            await self._put(file, len(parts), part, of_part.hexdigest())
            parts.append(len(part))
        return parts

    async def _put(self, file: uuid.UUID, number: int, part: bytearray, sha256: str) -> None:
        if number:  # the first is begun with the file
            await self._files.begin_part(file, number)
        await self._bucket.put(key_of(file, number), part, sha256)

    def _abandon_later(self, file: uuid.UUID) -> None:
        """Nobody waits for it, not even who is being cancelled; if it fails, it is swept."""
        task = asyncio.create_task(self._abandon(file))
        self._abandoning.add(task)
        task.add_done_callback(self._abandoning.discard)

    async def _abandon(self, file: uuid.UUID) -> None:
        with suppress(StoreUnavailableError):
            await self._files.abandon(file)

    async def keep(self) -> None:
        """For ever: say which files are still coming. A slow client may take an hour for one."""
        while True:
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.0))
            if self._coming:
                try:
                    await self._files.extend(list(self._coming), ALIVE_S)
                except Exception as error:  # whatever it is: nobody else would say so
                    LOG.warning("files that are coming may be swept: %s", error)
