"""What is read back: counts and sums by the minute, and pages."""

from collections.abc import Iterable
from urllib.parse import quote

from crucible.check import Call, Lab
from crucible.evidence import Op, Result
from crucible.oracles.tallies import Tally

from .events import KIND, MINUTE_S, Cohort, minute_of, rfc3339

EVENTS, METRICS = "/v1/events", "/v1/metrics"
READ_S = 5.0
EXACT = 2**53
"""Up to here a number with a fraction of nothing is a whole number all the same."""
MOST_PAGES = 400


def metrics_path(source: str, minutes: range) -> str:
    begin, end = (quote(rfc3339(at * MINUTE_S * 1000), safe="") for at in (minutes.start, minutes.stop))
    named = f"source={quote(source, safe='')}&type={KIND}"
    return f"{METRICS}?{named}&from={begin}&to={end}&bucket=minute"


def metrics_call(target: str, cohort: Cohort, name: str) -> Call:
    return Call(target, "GET", metrics_path(cohort.source, cohort.span), name=name, timeout_s=READ_S)


def tallies(op: Op) -> dict[int, Tally] | None:
    """What an answer says, by minute since 1970, without empty ones; None where it says nothing."""
    if op.result is not Result.OK or not isinstance(op.reply, list):
        return None
    found: dict[int, Tally] = {}
    for row in op.reply:
        if not isinstance(row, dict):
            return None
        minute, count, total = minute_of(row.get("bucket")), _whole(row.get("count")), _whole(row.get("sum"))
        if count is None or minute is None or minute in found or (total is None and count):
            return None
        if count:
            found[minute] = Tally(count, total or 0)
    return found


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    return value if isinstance(value, int) else None


def page_call(target: str, source: str, cursor: str | int | None, limit: int, name: str) -> Call:
    on = "" if cursor is None else f"&cursor={quote(str(cursor), safe='')}"
    return Call(
        target, "GET", f"{EVENTS}?source={quote(source, safe='')}{on}&limit={limit}", name=name, timeout_s=READ_S
    )


def ids(op: Op) -> list[str] | None:
    """The ids on a page; None where it is none."""
    events = op.reply.get("events") if op.result is Result.OK and isinstance(op.reply, dict) else None
    if not isinstance(events, list):
        return None
    found = [event.get("event_id") for event in events if isinstance(event, dict)]
    texts = [name for name in found if isinstance(name, str)]
    return texts if len(texts) == len(events) else None


def goes_on(op: Op) -> str | int | None:
    """The cursor of a page; None where there is none."""
    text = op.field("next", str)
    return op.field("next", int) if text is None else text


async def walk(
    lab: Lab, target: str, source: str, name: str, *, limit: int = 1_000, most: int = MOST_PAGES
) -> None:  # fmt: skip
    """Read pages from the beginning on until one is empty, or has no answer."""
    cursor = None
    for _ in range(most):
        op = await lab.call(page_call(target, source, cursor, limit, name))
        cursor = goes_on(op)
        if not ids(op) or cursor is None:
            return


def pages(ops: Iterable[Op]) -> list[str]:
    """All ids on these pages, in the order of reading."""
    return [name for op in ops for name in ids(op) or []]
