"""Events in PostgreSQL: a row each, whose key says whether it came before, and a row for each minute, which is what
queries read. One statement writes both, so that neither is ever there without the other.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import asyncpg
from body import Asked, Event, Page
from connections import Connections

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
READ_S = 1.5
OPEN_S = 5.0

WRITE = """
    WITH new AS (
        INSERT INTO events (event_id, source, type, ts, value)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
        ON CONFLICT (event_id) DO NOTHING RETURNING event_id, source, type, ts, value
    ), counted AS (
        INSERT INTO minutes AS m (source, type, minute, events, total)
        SELECT source, type, date_trunc('minute', ts AT TIME ZONE 'UTC'), count(*), sum(value) FROM new
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (source, type, minute) DO UPDATE SET events = m.events + excluded.events,
            total = m.total + excluded.total
    )
    SELECT event_id FROM new
"""
METRICS = """
    SELECT minute, events, total FROM minutes
    WHERE source = $1 AND type = $2 AND minute >= $3 AND minute < $4 ORDER BY minute
"""
PAGE = """
    SELECT xid, id, event_id, type, ts, value FROM events
    WHERE source = $1 AND (xid, id) > ($2::xid8, $3::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id LIMIT $4
"""
"""Only what is older than every transaction that still runs: whatever is committed later comes after it."""


class Store:
    def __init__(self, connections: int) -> None:
        self.connections = Connections(connections, _make_ready)

    async def opened(self) -> None:
        await self.connections.opened(OPEN_S)

    async def write(self, events: Collection[Event], within_s: float) -> set[str]:
        """The ids of those that are new, when all of them are on the disk. Of each id one may be given.

        They go in order of their ids, and minutes in order, too, after all events: two groups that have several in
        common would otherwise wait for each other. It is one statement, so no lock is held while the network is slow.
        """
        if not events:
            return set()
        columns = [list(column) for column in zip(*sorted(events), strict=True)]
        rows = await self.connections.fetch(WRITE, *columns, within_s=within_s)
        return {event_id for (event_id,) in rows}

    async def metrics(self, asked: Asked) -> list[dict[str, Any]]:
        start, end = asked.start.replace(tzinfo=None), asked.end.replace(tzinfo=None)
        rows = await self.connections.fetch(METRICS, asked.source, asked.type, start, end, within_s=READ_S)
        return [
            {"bucket": f"{minute.isoformat()}Z", "count": count, "sum": int(total)} for minute, count, total in rows
        ]

    async def page(self, page: Page) -> tuple[list[dict[str, Any]], str | None]:
        """The events, and the cursor of the last one."""
        rows = await self.connections.fetch(PAGE, page.source, *page.after, page.limit, within_s=READ_S)
        events = [
            {
                "event_id": row["event_id"], "source": page.source, "type": row["type"],
                "ts": row["ts"].isoformat().replace("+00:00", "Z"), "value": row["value"],
            }
            for row in rows
        ]  # fmt: skip
        return events, f"{rows[-1]['xid']}-{rows[-1]['id']}" if rows else None

    async def close(self) -> None:
        await self.connections.close()


async def _make_ready(connection: asyncpg.Connection) -> None:
    """The tables are there, and the statement that is waited for is prepared."""
    try:
        await connection.fetch(WRITE, [], [], [], [], [])
    except asyncpg.UndefinedTableError:
        await connection.execute(SCHEMA)
        await connection.fetch(WRITE, [], [], [], [], [])
