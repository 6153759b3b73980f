"""JSON that comes from a solution, as far as evidence can hold it."""

import json

from pydantic import JsonValue

DEEPEST = 64
"""Levels of a JSON value that evidence keeps; those who read it again stop at about 200."""


def parse(body: bytes) -> JsonValue:
    """The JSON in `body`, in a form that can be written again; None where it is not JSON (RFC 8259, so no NaN)."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        parsed: JsonValue = json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    return parsed if can_be_kept(parsed) else None


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
