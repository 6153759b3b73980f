"""Who has which file, in PostgreSQL; their bytes, in the bucket. What must happen together is one function of the
database (schema.sql), so one statement, and one round trip. The bucket is asked when an upload is completed, and never
for a list."""

import asyncio
import math
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from body import Declared
from bucket import GET_S, Bucket
from connections import Connections, StoreUnavailableError

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
TTL_S = float(os.environ.get("UPLOAD_TTL_S", "40"))
SPARE_S = 5.0
"""Nobody's upload ends sooner than he can have counted, and an outage at its end need not be its end."""
PUT_S = math.ceil(TTL_S) + 1
"""How long an address to write to is good for: until the upload ends, and not longer."""
KEEP_S = max(GET_S + 5.0, min(60.0, TTL_S + 5.0))
"""How long bytes stay that are nobody's any more: longer than the addresses that lead there, and for reads that run."""
STATEMENT_S = 1.7
OPEN_S = 5.0
PAGE = 200

LOOK = "SELECT name, size, sha256, version, object FROM files WHERE id = $1 AND owner = $2 AND version > 0"
LIST = """
    SELECT id, name, size, sha256, version FROM files
    WHERE owner = $1 AND version > 0 AND id > $2 ORDER BY id LIMIT $3
"""
QUOTA = """
    INSERT INTO users (name, quota) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET quota = excluded.quota
"""
PENDING = """
    SELECT f.version, f.size, f.sha256, f.lapsed, u.id AS upload, u.size AS new_size, u.sha256 AS new_sha256
    FROM files f LEFT JOIN uploads u ON u.file = f.id WHERE f.id = $1 AND f.owner = $2
"""


class RefusedError(Exception):
    """What is asked cannot be done as things are, and nothing of it was done."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


@dataclass(frozen=True)
class Found:
    """A version that was current when it was looked for."""

    name: str
    size: int
    sha256: str
    version: int
    object: uuid.UUID


class Store:
    def __init__(self, connections: int, bucket: Bucket) -> None:
        self._connections = Connections(connections, _make_ready)
        self._bucket = bucket

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

    async def complete(self, file: uuid.UUID, owner: str) -> dict[str, Any]:
        for _ in range(3):
            rows = await self._fetch(PENDING, file, owner)
            if not rows:
                raise RefusedError(404, "there is no such file")
            row = rows[0]
            if row["upload"] is None:  # it is complete already, unless the newest upload has lapsed
                if row["lapsed"]:
                    raise RefusedError(410, "the upload has ended")
                return _completed(file, row)
            if not await self._bucket.holds(row["upload"], row["new_size"], row["new_sha256"]):
                raise RefusedError(422, "the bytes that were announced have not come")
            done = (await self._fetch("SELECT * FROM complete($1, $2, $3, $4)", file, owner, row["upload"], KEEP_S))[0]
            if done["outcome"] == "ok":
                return _completed(file, done)
            if done["outcome"] == "full":
                raise RefusedError(413, "over quota")
            # deleted, or there is a newer upload
        raise StoreUnavailableError("the uploads follow each other too fast")

    async def look(self, file: uuid.UUID, owner: str) -> Found:
        rows = await self._fetch(LOOK, file, owner)
        if not rows:
            raise RefusedError(404, "there is no such file")
        return Found(*rows[0])

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


def _completed(file: uuid.UUID, row: Any) -> dict[str, Any]:
    return {"file": str(file), "sha256": row["sha256"], "size": row["size"], "version": row["version"]}


async def _make_ready(connection: asyncpg.Connection) -> None:
    if not await connection.fetchval("SELECT to_regproc('sweep_uploads') IS NOT NULL"):
        await connection.execute(SCHEMA)
