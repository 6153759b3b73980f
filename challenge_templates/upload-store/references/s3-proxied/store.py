"""Who has which file, in PostgreSQL; their bytes, in the bucket. What must happen together is one function of the
database (schema.sql), so one statement, and one round trip. The bucket is never asked what is there."""

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
from bucket import Bucket
from connections import Connections, StoreUnavailableError
from readers import KEEP_S, LONGEST_S
from rows import EXTEND, LIST, LOOK, QUOTA, Found, RefusedError
from serving import Span

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
TTL_S = float(os.environ.get("UPLOAD_TTL_S", "40"))
SPARE_S = 5.0
"""Nobody's upload ends sooner than he can have counted, and an outage at its end need not be its end."""
STATEMENT_S = 1.7
OPEN_S = 5.0
PAGE = 200


class Store:
    def __init__(self, connections: int) -> None:
        self._connections = Connections(connections, _make_ready)
        self._bucket = Bucket()
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
        """The bytes of an upload, straight on to the bucket. They count when the store has all of them and they are the
        right ones; until then nobody has them, and in the end they are swept."""
        object_id = uuid.uuid4()
        rows = await self._fetch("SELECT size, sha256, left_s FROM open_object($1, $2, $3)", upload, owner, object_id)
        if not rows:
            raise RefusedError(404, "nobody waits for this upload")
        size, sha256, left_s = rows[0]
        try:
            if length not in (None, size):
                raise BadInputError(f"{size} bytes were announced", 422)
            async with asyncio.timeout(max(0.1, left_s)):
                await self._bucket.put(object_id, size, sha256, _checked(pieces, Declared(size, sha256)))
                if not await self._one("SELECT seal($1, $2)", upload, object_id):
                    raise RefusedError(404, "nobody waits for this upload any more")
        except BaseException as error:
            self._abandon_later(upload, object_id)
            if isinstance(error, TimeoutError):
                raise RefusedError(408, "the upload has ended") from error
            raise

    def _abandon_later(self, upload: uuid.UUID, object_id: uuid.UUID) -> None:
        """Nobody waits for it, not even who is being cancelled; if it fails, the end of the upload is soon enough."""
        task = asyncio.create_task(self._abandon(upload, object_id))
        self._abandoning.add(task)
        task.add_done_callback(self._abandoning.discard)

    async def _abandon(self, upload: uuid.UUID, object_id: uuid.UUID) -> None:
        with suppress(StoreUnavailableError):
            await self._fetch("SELECT abandon($1, $2)", upload, object_id)

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

    async def look(self, file: uuid.UUID, owner: str) -> Found:
        rows = await self._fetch(LOOK, file, owner)
        if not rows:
            raise RefusedError(404, "there is no such file")
        return Found(*rows[0])

    async def read(self, found: Found, span: Span) -> AsyncGenerator[bytes, None]:
        """What is asked for of a version. The store has answered already when this returns."""
        return await self._bucket.open(found.object, found.size, span)

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

    async def extend(self, objects: list[uuid.UUID], seconds: float) -> None:
        """Somebody still reads these: those that are to be dropped are kept so much longer, within reason."""
        await self._fetch(EXTEND, objects, seconds, LONGEST_S)

    async def sweep_uploads(self) -> None:
        await self._fetch("SELECT sweep_uploads()", within_s=4.0)

    async def delete(self, most: int) -> int:
        """How many objects were to be deleted, of those that have been nobody's for long enough. The transaction that
        dropped them is committed, so that nobody can come back to one of them."""
        claimed = await self._fetch("SELECT object, last FROM claim_deletions($1)", most)
        said = await asyncio.gather(*(self._bucket.delete(row["object"]) for row in claimed), return_exceptions=True)
        for error in said:
            if isinstance(error, BaseException):
                raise error  # the others are claimed again, too, and deleted again
        if forgotten := [row["object"] for row in claimed if row["last"]]:
            await self._fetch("DELETE FROM objects WHERE id = ANY($1)", forgotten)
        return len(claimed)

    async def _one(self, statement: str, *values: object) -> Any:
        return (await self._fetch(statement, *values))[0][0]

    async def _fetch(self, statement: str, *values: object, within_s: float = STATEMENT_S) -> list[Any]:
        return await self._connections.fetch(statement, *values, within_s=within_s)

    async def close(self) -> None:
        await self._connections.close()
        await self._bucket.close()


async def _checked(pieces: AsyncIterable[bytes], declared: Declared) -> AsyncGenerator[bytes, None]:
    """The same pieces. The last is kept back until all of them are known to be the right ones, so that the store never
    has the whole of anything else."""
    digest, count, kept = hashlib.sha256(), 0, b""
    async for piece in pieces:
        count += len(piece)
        if count > declared.size:
            raise BadInputError(f"{declared.size} bytes were announced", 422)
        digest.update(piece)
        if piece:
            if kept:
                yield kept
            kept = piece
    if count != declared.size or digest.hexdigest() != declared.sha256:
        raise BadInputError("these are not the bytes that were announced", 422)
    yield kept


async def _make_ready(connection: asyncpg.Connection) -> None:
    if not await connection.fetchval("SELECT to_regproc('sweep_uploads') IS NOT NULL"):
        await connection.execute(SCHEMA)
