"""Files whose parts lie in the bucket, and what is known of them in PostgreSQL. What must happen together is one
function of the database (schema.sql), so one statement, and one round trip; each may be asked twice."""

import uuid
from dataclasses import dataclass
from typing import Any

from connections import Connections, StoreUnavailableError

STATEMENT_S = 1.7
BEGIN = "SELECT id, callback, sha256, state FROM begin_file($1, $2, $3)"
PART = """
    UPDATE files SET begun = greatest(begun, $2), begun_at = now() WHERE id = $1 AND alive_until IS NOT NULL RETURNING 1
"""
ADD = "SELECT id, callback, sha256, state FROM add_job($1, $2, $3, $4, $5)"
EXTEND = """
    UPDATE files SET alive_until = now() + $2 * interval '1 s' WHERE id = ANY($1) AND alive_until IS NOT NULL
"""
ABANDON = "SELECT drop_file(id) FROM files WHERE id = $1 AND alive_until IS NOT NULL FOR UPDATE"
SWEEP = "SELECT drop_file(id) FROM files WHERE alive_until < now() LIMIT 100 FOR UPDATE SKIP LOCKED"


class RefusedError(Exception):
    """What is asked cannot be done as things are, and nothing of it was done."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


@dataclass(frozen=True)
class Known:
    """The job that a key stands for."""

    id: uuid.UUID
    callback: str
    sha256: str
    state: str

    def check(self, callback: str, sha256: str) -> "Known":
        """The same, if it is asked for once more; a key is good for one file and one callback."""
        if (callback, sha256) != (self.callback, self.sha256):
            raise RefusedError(422, "this Idempotency-Key came with another file or callback before")
        return self


class Files:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def begin(self, file: uuid.UUID, key: str, alive_s: float) -> Known | None:
        """The job of this key; or none, and the file is coming, and its first part may be sent."""
        rows = await self._fetch(BEGIN, file, key, alive_s)
        return Known(*rows[0]) if rows else None

    async def begin_part(self, file: uuid.UUID, number: int) -> None:
        """One more may be sent."""
        if not await self._fetch(PART, file, number + 1):
            raise StoreUnavailableError("nobody waits for this file any more")

    async def add_job(self, file: uuid.UUID, key: str, callback: str, sha256: str, parts: list[int]) -> Known:
        """All of it is there. The job of this key, which may be somebody else's who was faster."""
        rows = await self._fetch(ADD, file, key, callback, sha256, parts)
        if not rows:
            raise StoreUnavailableError("nobody waits for this file any more")
        return Known(*rows[0])

    async def extend(self, files: list[uuid.UUID], seconds: float) -> None:
        """These are still coming."""
        await self._fetch(EXTEND, files, seconds)

    async def abandon(self, file: uuid.UUID) -> None:
        """It does not come any more, unless it has become a job, and only the answer was lost."""
        await self._fetch(ABANDON, file)

    async def sweep(self) -> None:
        """Those that nobody takes in any more are nobody's."""
        await self._fetch(SWEEP)

    async def to_delete(self, most: int) -> list[tuple[uuid.UUID, int]]:
        """Those that are nobody's, and how many parts of them may be there."""
        return [(row["id"], row["begun"]) for row in await self._fetch("SELECT * FROM claim_deletions($1)", most)]

    async def forget(self, files: list[uuid.UUID]) -> None:
        await self._fetch("SELECT forget_files($1)", files)

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        return await self._connections.fetch(statement, *values, within_s=STATEMENT_S)
