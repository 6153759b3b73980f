"""Events in PostgreSQL: a row each. Its key says whether it came before; metrics are added up when asked for."""

from pathlib import Path
from typing import Any

import asyncpg
from body import Asked, Event, Page
from connections import Connections, StoreUnavailableError

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
WRITE_S = 0.85
READ_S = 1.5
OPEN_S = 5.0
MOST_WAITING = 120
"""Requests that wait for their commit; one more would wait too long."""

WRITE = """
    WITH new AS (
        INSERT INTO events (event_id, source, type, ts, value)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
        ON CONFLICT (event_id) DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM new
"""
METRICS = """
    SELECT date_trunc('minute', ts AT TIME ZONE 'UTC') AS minute, count(*), sum(value) FROM events
    WHERE source = $1 AND type = $2 AND ts >= $3 AND ts < $4 GROUP BY 1 ORDER BY 1
"""
PAGE = """
    SELECT xid, id, event_id, type, ts, value FROM events
    WHERE source = $1 AND (xid, id) > ($2::xid8, $3::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id LIMIT $4
"""
"""Only what is older than every transaction that still runs: whatever is committed later comes after it."""


class Store:
    def __init__(self, connections: int) -> None:
        self._connections = Connections(connections, _make_ready)
        self._waiting = 0

    async def opened(self) -> None:
        await self._connections.opened(OPEN_S)

    async def write(self, events: list[Event]) -> int:
        """How many of them are new, when all of them are on the disk. They go in order of their ids: two batches that
        have several in common would otherwise wait for each other."""
        if not events:
            return 0
        if self._waiting >= MOST_WAITING:
            raise StoreUnavailableError("too many requests wait")
        columns = [list(column) for column in zip(*sorted(events), strict=True)]
        self._waiting += 1
        try:
            rows = await self._connections.fetch(WRITE, *columns, within_s=WRITE_S)
        finally:
            self._waiting -= 1
        return rows[0][0]

    async def metrics(self, asked: Asked) -> list[dict[str, Any]]:
        rows = await self._connections.fetch(
            METRICS, asked.source, asked.type, asked.start, asked.end, within_s=READ_S
        )  # fmt: skip
        return [
            {"bucket": f"{minute.isoformat()}Z", "count": count, "sum": int(total)} for minute, count, total in rows
        ]

    async def page(self, page: Page) -> tuple[list[dict[str, Any]], str | None]:
        """The events, and the cursor of the last one."""
        rows = await self._connections.fetch(PAGE, page.source, *page.after, page.limit, within_s=READ_S)
        events = [
            {
                "event_id": row["event_id"], "source": page.source, "type": row["type"],
                "ts": row["ts"].isoformat().replace("+00:00", "Z"), "value": row["value"],
            }
            for row in rows
        ]  # fmt: skip
        return events, f"{rows[-1]['xid']}-{rows[-1]['id']}" if rows else None

    async def close(self) -> None:
        await self._connections.close()


async def _make_ready(connection: asyncpg.Connection) -> None:
    """The tables are there, and the statement that is waited for is prepared."""
    try:
        await connection.fetch(WRITE, [], [], [], [], [])
    except asyncpg.UndefinedTableError:
        await connection.execute(SCHEMA)
        await connection.fetch(WRITE, [], [], [], [], [])
