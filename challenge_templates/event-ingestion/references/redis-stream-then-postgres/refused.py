"""What PostgreSQL refuses, and would refuse again, is set aside, one event at a time: nothing else waits for it."""

import hashlib
import json
import logging
from collections.abc import Sequence

from body import Event
from connections import UnstorableError
from store import Store

LOG = logging.getLogger(__name__)
SET_ASIDE = "INSERT INTO refused (digest, event, why) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"


async def keep_all(store: Store, events: Sequence[Event], within_s: float) -> None:
    """All of them are kept: counted, or, where that is impossible, in the table `refused`. It may be called again."""
    try:
        await store.write(events, within_s)
    except UnstorableError as error:
        if len(events) > 1:
            half = len(events) // 2
            await keep_all(store, events[:half], within_s)
            await keep_all(store, events[half:], within_s)
            return
        event_id, source, type_, moment, value = events[0]
        text = json.dumps([event_id, source, type_, moment.isoformat(), value])  # in ASCII, which any store takes
        LOG.error("set aside, because PostgreSQL refuses it: %s (%s)", text, error)
        digest = hashlib.sha256(text.encode()).hexdigest()
        await store.connections.fetch(SET_ASIDE, digest, text, ascii(str(error)), within_s=within_s)
