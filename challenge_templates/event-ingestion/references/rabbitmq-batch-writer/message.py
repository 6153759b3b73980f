"""A batch as it waits between yes and written, and how several of them are written at once."""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from body import Event

LOG = logging.getLogger(__name__)


class Message(Protocol):
    events: list[Event]


M = TypeVar("M", bound=Message)


def packed(events: list[Event]) -> bytes:
    rows = [(event_id, source, type_, ts.isoformat(), value) for event_id, source, type_, ts, value in events]
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()


def unpacked(body: bytes) -> list[Event]:
    """Nobody but us puts anything there; what is not ours is said in the log, and is no event."""
    try:
        events = [
            (event_id, source, type_, datetime.fromisoformat(ts), value)
            for event_id, source, type_, ts, value in json.loads(body)
        ]
        if not all(type(event[0]) is str for event in events):
            raise TypeError("an id is a text")
        return events
    except (ValueError, TypeError) as error:
        LOG.error("not a batch: %s (%s)", ascii(body[:500]), error)
        return []


def portions(messages: Sequence[M], most: int) -> Iterator[list[M]]:
    """All of them, in lists of so many events at the most, or of one message."""
    portion: list[M] = []
    number = 0
    for message in messages:
        if portion and number + len(message.events) > most:
            yield portion
            portion, number = [], 0
        portion.append(message)
        number += len(message.events)
    if portion:
        yield portion


def merged(messages: Sequence[Message]) -> list[Event]:
    """Each id once: of several events with the same one, the first."""
    first: dict[str, Event] = {}
    for message in messages:
        for event in message.events:
            first.setdefault(event[0], event)
    return list(first.values())
