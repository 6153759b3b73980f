"""The statements that Store asks, and what they bring."""

import uuid
from dataclasses import dataclass

LOOK = """
    SELECT f.name, f.size, f.sha256, f.version, f.blob, c.data FROM files f
    LEFT JOIN chunks c ON $3 AND c.blob = f.blob AND c.n = 0
    WHERE f.id = $1 AND f.owner = $2 AND f.version > 0
"""
LIST = """
    SELECT id, name, size, sha256, version FROM files
    WHERE owner = $1 AND version > 0 AND id > $2 ORDER BY id LIMIT $3
"""
QUOTA = """
    INSERT INTO users (name, quota) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET quota = excluded.quota
"""
EXTEND = """
    UPDATE blobs SET drop_at = greatest(drop_at, least(now() + $2 * interval '1 s', dropped + $3 * interval '1 s'))
    WHERE id = ANY($1) AND drop_at IS NOT NULL
"""
DROP = """
    DELETE FROM blobs WHERE id IN (
        SELECT id FROM blobs WHERE drop_at <= now() ORDER BY drop_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ) RETURNING 1
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
    blob: uuid.UUID
    first: bytes | None
    """Its first chunk, if that was asked for."""
