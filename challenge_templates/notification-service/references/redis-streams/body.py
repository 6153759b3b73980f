"""What callers may ask for, taken apart; anything else is a BadInputError."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

CHANNELS = ("email", "sms", "push")
LARGEST = 64 << 10
LONGEST_KEY = 200


class BadInputError(Exception):
    def __init__(self, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.status = status


@dataclass(frozen=True)
class Wanted:
    """A notification as it was asked for."""

    key: str
    user: str
    channel: str
    template: str
    data: dict[str, Any]
    high: bool
    send_after: float
    """Unix time in seconds; 0 for now."""

    @property
    def fingerprint(self) -> str:
        """The same for the same body: a key may not be used again with another one."""
        parts = [self.user, self.channel, self.template, self.data, self.high, self.send_after]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def text(self) -> str:
        return f"{self.template} {json.dumps(self.data, sort_keys=True)}"


async def notification_in(request: Request) -> Wanted:
    key = request.headers.get("idempotency-key", "")
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        raise BadInputError("the header Idempotency-Key is missing, or too long")
    body = await _object_in(request)
    channel, priority = body.get("channel"), body.get("priority", "low")
    if channel not in CHANNELS:
        raise BadInputError("`channel` must be one of " + ", ".join(CHANNELS))
    if priority not in ("high", "low"):
        raise BadInputError("`priority` must be high or low")
    data = body.get("data", {})
    if not isinstance(data, dict):
        raise BadInputError("`data` must be an object")
    return Wanted(
        key, name_in(body.get("user"), "user"), channel, name_in(body.get("template"), "template"), data,
        priority == "high", _moment_in(body.get("send_after")),
    )  # fmt: skip


async def preferences_in(request: Request) -> dict[str, bool]:
    body = await _object_in(request)
    given = {channel: body[channel] for channel in CHANNELS if channel in body}
    if not given or not all(isinstance(value, bool) for value in given.values()):
        raise BadInputError("email, sms and push must be true or false")
    return given


def name_in(value: object, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200 or "\x00" in value:
        raise BadInputError(f"`{what}` must be a text of 1 to 200 characters")
    return value


async def _object_in(request: Request) -> dict[str, Any]:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LARGEST:
            raise BadInputError("the body is too large", 413)
    try:
        body = json.loads(raw, parse_constant=_refuse)
        json.dumps(body, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise BadInputError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadInputError("the body is not a JSON object")
    return body


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _moment_in(value: object) -> float:
    """A moment: RFC 3339, or Unix seconds."""
    if value is None:
        return 0.0
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11:
        return float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except ValueError:
            pass
    raise BadInputError("`send_after` must be a moment, such as 2026-01-31T12:00:00Z")
