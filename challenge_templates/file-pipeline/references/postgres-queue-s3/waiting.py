"""Jobs that wait, in the table that they are kept in: whoever has time takes the oldest that nobody has."""

import uuid

from connections import Connections
from jobs import LEASE_S, MOST_ATTEMPTS, STATEMENT_S, Claimed

CLAIM = "SELECT id, sha256, parts, attempts FROM claim_job($1, $2, $3)"


class Waiting:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def claim(self) -> Claimed | None:
        claim = uuid.uuid4()
        rows = await self._connections.fetch(CLAIM, claim, LEASE_S, MOST_ATTEMPTS, within_s=STATEMENT_S)
        return Claimed(rows[0]["id"], rows[0]["sha256"], rows[0]["parts"], rows[0]["attempts"], claim) if rows else None
