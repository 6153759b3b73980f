"""What callers may send and ask for, taken apart; anything else is a BadInputError, which says where a bad item is."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from starlette.requests import Request

LARGEST = 2 << 20
MOST_EVENTS = 1000
LONGEST_TEXT = 128
LARGEST_VALUE = 2**53
LARGEST_NUMBER = 2**63 - 1
"""Of the two in a cursor: both are 64 bits in PostgreSQL."""
MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
CURSOR = re.compile(r"(\d{1,19})-(\d{1,19})", re.ASCII)
LIMIT = re.compile(r"\d{1,4}", re.ASCII)

Event = tuple[str, str, str, datetime, int]
"""Id, source, type, moment in UTC, value. A plain tuple, since there are many."""


class BadInputError(Exception):
    def __init__(self, what: str, status: int = 400, index: int | None = None) -> None:
        super().__init__(what)
        self.status = status
        self.index = index
        """Which item of the batch it is, counted from 0; None where it is the request itself."""


@dataclass(frozen=True)
class Batch:
    events: list[Event]
    """Each id once: of several items with the same one, the first."""
    given: int
    """How many items there were."""


@dataclass(frozen=True)
class Asked:
    """The minutes that are asked for."""

    source: str
    type: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Page:
    """The page that is asked for: what comes after these two numbers."""

    source: str
    after: tuple[int, int]
    limit: int


async def batch_in(request: Request) -> Batch:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LARGEST:
            raise BadInputError("the body is too large", 413)
    try:
        body = _JSON.decode(raw.decode())
    except (ValueError, RecursionError):
        raise BadInputError("the body is not JSON") from None
    items = body if type(body) is list else [body]
    if len(items) > MOST_EVENTS:
        raise BadInputError(f"a batch has at most {MOST_EVENTS} events")
    events: dict[str, Event] = {}
    for index, item in enumerate(items):
        try:
            event = _event_in(item)
        except BadInputError as error:
            raise BadInputError(str(error), index=index) from None
        events.setdefault(event[0], event)
    return Batch(list(events.values()), len(items))


def asked_in(request: Request) -> Asked:
    given = request.query_params
    if given.get("bucket") != "minute":
        raise BadInputError("`bucket` must be minute")
    return Asked(
        _text_in(given.get("source"), "source"), _text_in(given.get("type"), "type"),
        _moment_in(given.get("from"), "from"), _moment_in(given.get("to"), "to"),
    )  # fmt: skip


def page_in(request: Request) -> Page:
    given = request.query_params
    limit, cursor = given.get("limit", "100"), given.get("cursor", "0-0")
    if LIMIT.fullmatch(limit) is None or not 1 <= int(limit) <= 1000:
        raise BadInputError("`limit` must be a number from 1 to 1000")
    found = CURSOR.fullmatch(cursor)
    if found is None or max(int(found[1]), int(found[2])) > LARGEST_NUMBER:
        raise BadInputError("`cursor` must be one that was given by a page")
    return Page(_text_in(given.get("source"), "source"), (int(found[1]), int(found[2])), int(limit))


def _event_in(item: object) -> Event:
    if type(item) is not dict:
        raise BadInputError("an event is an object")
    value = item.get("value")
    if type(value) is not int or not -LARGEST_VALUE <= value <= LARGEST_VALUE:  # a bool is an int to isinstance()
        raise BadInputError("`value` must be a whole number from -2^53 to 2^53")
    return (
        _text_in(item.get("event_id"), "event_id"), _text_in(item.get("source"), "source"),
        _text_in(item.get("type"), "type"), _moment_in(item.get("ts"), "ts"), value,
    )  # fmt: skip


def _text_in(value: object, what: str) -> str:
    """A text that PostgreSQL can hold, too: JSON can say U+0000, and half a pair of surrogates."""
    if type(value) is not str or not 0 < len(value) <= LONGEST_TEXT or "\x00" in value:
        raise BadInputError(f"`{what}` must be a text of 1 to {LONGEST_TEXT} characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadInputError(f"`{what}` has half a pair of surrogates") from None
    return value


def _moment_in(value: object, what: str) -> datetime:
    """RFC 3339, in UTC; what is less than a microsecond is cut off, so that it stays in its minute."""
    found = MOMENT.fullmatch(value) if type(value) is str else None
    if found is None:
        raise BadInputError(f"`{what}` must be a moment, such as 2026-03-01T12:00:00.250Z")
    day, time, fraction, sign, hours, minutes = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}.{(fraction or '')[:6]:0<6}+00:00")
        if sign is not None:
            ahead = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment - ahead if sign == "+" else moment + ahead
    except (ValueError, OverflowError):
        raise BadInputError(f"`{what}` is no moment that there is") from None
    return moment


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)  # Python would take NaN and Infinity


_JSON = json.JSONDecoder(parse_constant=_refuse)
