"""What comes from a solution, as far as evidence can hold it: JSON, and the headers that can be judged."""

import json
import re
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

DEEPEST = 64
"""Levels of a JSON value that evidence keeps; those who read it again stop at about 200."""
JUDGED = (
    "accept-ranges", "allow", "cache-control", "content-disposition", "content-length", "content-range",
    "content-type", "etag", "last-modified", "location", "retry-after", "x-content-type-options",
)  # fmt: skip
"""The headers of a reply that evidence keeps: those that a contract can promise."""
ABOUT_THE_BODY = ("content-length", "content-type")
MOST_HEADERS, HEADER_BYTES = 64, 8 << 10
"""How many lines of those it keeps of one reply, and how many bytes of them, names included."""


_HALF = re.compile("[\ud800-\udfff]")


def may_be_judged(name: bytes) -> bool:
    return name.decode("latin-1").lower() in JUDGED


def headers(received: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Those of a reply that can be judged, by name in lower case; several lines of one name are joined by a comma (RFC
    9110, 5.2). A line for which there is no room any more is dropped."""
    found: dict[str, str] = {}
    room = HEADER_BYTES
    for raw_name, raw_value in [line for line in received if may_be_judged(line[0])][:MOST_HEADERS]:
        size = len(raw_name) + len(raw_value)
        if size <= room:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            found[name] = f"{found[name]}, {value}" if name in found else value
            room -= size
    return found


def telling(found: Mapping[str, str], *, is_json: bool) -> dict[str, str]:
    """Those that say more than the reply itself, which evidence holds where it is JSON."""
    return {name: value for name, value in found.items() if not (is_json and name in ABOUT_THE_BODY)}


def parse(body: bytes) -> JsonValue:
    """The JSON in `body`, in a form that can be written again; None where it is not JSON (RFC 8259, so no NaN). Half of
    a surrogate pair, which JSON may say and UTF-8 may not, becomes U+FFFD."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        parsed: JsonValue = json.loads(body, parse_constant=refuse)
        if b"\\u" in body:
            parsed = json.loads(_HALF.sub("\ufffd", json.dumps(parsed, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None
    return parsed if can_be_kept(parsed) else None


def text(said: str) -> str:
    """What evidence keeps of a text: its first 2,000 characters, with U+FFFD for half of a surrogate pair."""
    return _HALF.sub("\ufffd", said[:2000])


def can_be_kept(value: JsonValue) -> bool:
    """Whether evidence.json can hold `value`: no half of a surrogate pair, no number past a double, nothing deep."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    level = [value]
    for _ in range(DEEPEST):
        inner = (it.values() if isinstance(it, dict) else it for it in level if isinstance(it, dict | list))
        level = [one for them in inner for one in them]
        if not level:
            return True
    return False
