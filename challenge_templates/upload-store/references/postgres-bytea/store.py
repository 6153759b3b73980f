"""Files in PostgreSQL: who has which, and their bytes in chunks. What must happen together is one function of the
database (schema.sql), so one statement, and one round trip."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
from body import BadInputError, Declared
from connections import Connections, StoreUnavailableError
from readers import KEEP_S, LONGEST_S
from rows import DROP, EXTEND, LIST, LOOK, QUOTA, Found, RefusedError
from serving import BrokenOffError, Span

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
TTL_S = float(os.environ.get("UPLOAD_TTL_S", "40"))
SPARE_S = 5.0  # nobody's upload ends sooner than he can have counted, and an outage at its end need not be its end
STATEMENT_S = 1.7
OPEN_S = 5.0
CHUNK = 512 << 10  # what one upload or download holds in memory, and what small files have one of
PAGE = 200


class Store:
    def __init__(self, connections: int) -> None:
        self._connections = Connections(connections, _make_ready)
        self._abandoning: set[asyncio.Task[None]] = set()

    async def opened(self) -> None:
        await self._connections.opened(OPEN_S)

    async def begin_file(self, owner: str, name: str, declared: Declared) -> tuple[uuid.UUID, uuid.UUID]:
        """The file and the upload, for which there is room from now on."""
        file, upload = uuid.uuid4(), uuid.uuid4()
        said = await self._one(
            "SELECT begin_file($1, $2, $3, $4, $5, $6, $7)",
            upload, file, owner, name, declared.size, declared.sha256, TTL_S + SPARE_S,
        )  # fmt: skip
        if said == "full":
            raise RefusedError(413, "over quota")
        return file, upload

    async def begin_version(self, file: uuid.UUID, owner: str, declared: Declared) -> uuid.UUID:
        upload = uuid.uuid4()
        said = await self._one(
            "SELECT begin_version($1, $2, $3, $4, $5, $6)",
            upload, file, owner, declared.size, declared.sha256, TTL_S + SPARE_S,
        )  # fmt: skip
        if said == "full":
            raise RefusedError(413, "over quota")
        if said == "none":
            raise RefusedError(404, "there is no such file")
        return upload

    async def receive(self, upload: uuid.UUID, owner: str, length: int | None, pieces: AsyncIterable[bytes]) -> None:
        """The bytes of an upload, chunk by chunk. No connection is held while the client takes its time. They count
        when all have come and are the right ones; until then nobody has them, and in the end they are swept."""
        blob = uuid.uuid4()
        rows = await self._fetch("SELECT size, sha256, left_s FROM open_blob($1, $2, $3)", upload, owner, blob)
        if not rows:
            raise RefusedError(404, "nobody waits for this upload")
        size, sha256, left_s = rows[0]
        try:
            async with asyncio.timeout(max(0.1, left_s)):
                await self._take_in(upload, blob, Declared(size, sha256), length, pieces)
        except BaseException as error:
            self._abandon_later(upload, blob)
            if isinstance(error, TimeoutError):
                raise RefusedError(408, "the upload has ended") from error
            raise

    async def _take_in(
        self, upload: uuid.UUID, blob: uuid.UUID, declared: Declared, length: int | None, pieces: AsyncIterable[bytes]
    ) -> None:
        if length not in (None, declared.size):
            raise BadInputError(f"{declared.size} bytes were announced", 422)
        digest, count, number, chunk = hashlib.sha256(), 0, 0, bytearray()
        async for piece in pieces:
            count += len(piece)
            if count > declared.size:
                raise BadInputError(f"{declared.size} bytes were announced", 422)
            digest.update(piece)
            chunk += piece
            while len(chunk) > CHUNK:  # the last one is kept back, whole or not
                full, chunk = bytes(memoryview(chunk)[:CHUNK]), chunk[CHUNK:]
                _go_on(await self._one("SELECT add_chunk($1, $2, $3, $4)", upload, blob, number, full))
                number += 1
        if count != declared.size or digest.hexdigest() != declared.sha256:
            raise BadInputError("these are not the bytes that were announced", 422)
        _go_on(await self._one("SELECT seal($1, $2, $3, $4)", upload, blob, number, bytes(chunk)))

    def _abandon_later(self, upload: uuid.UUID, blob: uuid.UUID) -> None:
        """Nobody waits for it, not even who is being cancelled; if it fails, the end of the upload is soon enough."""
        task = asyncio.create_task(self._abandon(upload, blob))
        self._abandoning.add(task)
        task.add_done_callback(self._abandoning.discard)

    async def _abandon(self, upload: uuid.UUID, blob: uuid.UUID) -> None:
        with suppress(StoreUnavailableError):
            await self._fetch("SELECT abandon($1, $2)", upload, blob)

    async def complete(self, file: uuid.UUID, owner: str) -> dict[str, Any]:
        row = (await self._fetch("SELECT * FROM complete($1, $2, $3)", file, owner, KEEP_S))[0]
        if row["outcome"] == "ok":
            return {"file": str(file), "sha256": row["sha256"], "size": row["size"], "version": row["version"]}
        raise RefusedError(
            *{
                "none": (404, "there is no such file"), "lapsed": (410, "the upload has ended"),
                "missing": (422, "the bytes that were announced have not come"), "full": (413, "over quota"),
            }[row["outcome"]]
        )  # fmt: skip

    async def look(self, file: uuid.UUID, owner: str, with_first: bool = False) -> Found:
        rows = await self._fetch(LOOK, file, owner, with_first)
        if not rows:
            raise RefusedError(404, "there is no such file")
        return Found(*rows[0])

    async def read(self, found: Found, span: Span) -> AsyncGenerator[bytes, None]:
        """A version never changes, so its chunks can be fetched one after the other, without a transaction."""
        at = span.start
        while at < span.end:
            number, skip = divmod(at, CHUNK)
            wanted = min(CHUNK - skip, span.end - at)
            if number == 0 and found.first is not None:
                data = found.first[skip : skip + wanted]
            else:
                data = await self._chunk(found.blob, number, skip, wanted)
            at += wanted
            for start in range(0, wanted, 64 << 10):
                yield data[start : start + (64 << 10)]

    async def _chunk(self, blob: uuid.UUID, number: int, skip: int, wanted: int) -> bytes:
        try:
            rows = await self._fetch(
                "SELECT substr(data, $3, $4) FROM chunks WHERE blob = $1 AND n = $2", blob, number, skip + 1, wanted
            )
        except StoreUnavailableError as error:
            raise BrokenOffError(str(error)) from error
        if not rows or len(rows[0][0]) != wanted:
            raise BrokenOffError("the version was dropped")
        return bytes(rows[0][0])

    async def page(self, owner: str, after: uuid.UUID) -> tuple[list[dict[str, Any]], str | None]:
        """A page, and the cursor of the next. In order of the ids, which never change, so that whoever walks along sees
        each file that was there all the time."""
        rows = await self._fetch(LIST, owner, after, PAGE)
        files = [
            {
                "file": str(row["id"]), "name": row["name"], "size": row["size"], "sha256": row["sha256"],
                "version": row["version"],
            }
            for row in rows
        ]  # fmt: skip
        return files, files[-1]["file"] if len(files) == PAGE else None

    async def set_quota(self, owner: str, quota: int) -> None:
        await self._fetch(QUOTA, owner, quota)

    async def remove(self, file: uuid.UUID, owner: str) -> None:
        if not await self._one("SELECT remove($1, $2, $3)", file, owner, KEEP_S):
            raise RefusedError(404, "there is no such file")

    async def extend(self, blobs: list[uuid.UUID], seconds: float) -> None:
        """Somebody still reads these: those that are to be dropped are kept so much longer, within reason."""
        await self._fetch(EXTEND, blobs, seconds, LONGEST_S)

    async def sweep_uploads(self) -> None:
        await self._fetch("SELECT sweep_uploads()", within_s=4.0)

    async def drop(self, most: int) -> int:
        """How many blobs were deleted, of those whose time has come."""
        return len(await self._fetch(DROP, most, within_s=4.0))

    async def _one(self, statement: str, *values: object) -> Any:
        return (await self._fetch(statement, *values))[0][0]

    async def _fetch(self, statement: str, *values: object, within_s: float = STATEMENT_S) -> list[Any]:
        return await self._connections.fetch(statement, *values, within_s=within_s)

    async def close(self) -> None:
        await self._connections.close()


def _go_on(said: str) -> None:
    if said == "gone":
        raise RefusedError(404, "nobody waits for this upload any more")
    if said == "lost":  # PostgreSQL crashed, and had not written all of it yet
        raise StoreUnavailableError("a part of the bytes was lost")


async def _make_ready(connection: asyncpg.Connection) -> None:
    if not await connection.fetchval("SELECT to_regproc('sweep_uploads') IS NOT NULL"):
        await connection.execute(SCHEMA)
