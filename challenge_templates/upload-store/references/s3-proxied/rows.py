"""The statements that Store asks, and what they bring."""

import uuid
from dataclasses import dataclass

LOOK = "SELECT name, size, sha256, version, object FROM files WHERE id = $1 AND owner = $2 AND version > 0"
LIST = """
    SELECT id, name, size, sha256, version FROM files
    WHERE owner = $1 AND version > 0 AND id > $2 ORDER BY id LIMIT $3
"""
QUOTA = """
    INSERT INTO users (name, quota) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET quota = excluded.quota
"""
EXTEND = """
    UPDATE objects SET
        delete_at = greatest(delete_at, least(now() + $2 * interval '1 s', dropped + $3 * interval '1 s'))
    WHERE id = ANY($1) AND delete_at IS NOT NULL AND deleted = 0
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
