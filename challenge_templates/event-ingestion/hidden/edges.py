"""EV-3: events are counted in their minute, on the millisecond, by the time that they bear."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from random import Random

from crucible.authoring.asking import few_at_once, in_turn, until_told
from crucible.authoring.facts import note, noted
from crucible.authoring.outcomes import failed, inconclusive, passed
from crucible.check import Call, Finding, History, JsonValue, Lab
from crucible.evidence import Op, Result

from .books import READ, accepted, settled
from .events import KIND, MINUTE_S
from .reading import EVENTS, metrics_path, tallies
from .sending import AFTER_S, freshness_s

EDGES, FUTURE = "edges", "future"
BACK_MINUTES = 90
"""Before now; one form of each moment stands in a minute of its own."""
AHEAD_S = 300


@dataclass(frozen=True, slots=True)
class Edge:
    """A moment in one form, and the minute in which it lies; noted by its label."""

    words: str
    ts: str
    minute: int
    source: str
    value: int


def forms(minute: int) -> list[tuple[str, str, int]]:
    """(in words, as it is written, its minute), each about a minute of its own from `minute` on."""

    def at(number: int, ms: int = 0) -> datetime:
        return datetime.fromtimestamp((minute + number) * MINUTE_S, UTC) + timedelta(milliseconds=ms)

    def zulu(moment: datetime, digits: str = "") -> str:
        return f"{moment:%Y-%m-%dT%H:%M:%S}{digits}Z"

    def offset(moment: datetime, hours: int, minutes: int = 0) -> str:
        return moment.astimezone(timezone(timedelta(hours=hours, minutes=minutes))).isoformat(timespec="milliseconds")

    return [
        ("on the minute", zulu(at(0)), minute),
        ("1 ms before the minute", zulu(at(2, -1), ".999"), minute + 1),
        ("1 ms after the minute", zulu(at(4), ".001"), minute + 4),
        ("in the last second", zulu(at(6, 59_000)), minute + 6),
        ("with the offset +05:30", offset(at(8, 1), 5, 30), minute + 8),
        ("with the offset -08:00", offset(at(10, 59_999), -8), minute + 10),
        ("with the offset +14:00", offset(at(12), 14), minute + 12),
        ("with the offset +00:00", offset(at(14, 500), 0), minute + 14),
        ("with `t` and `z`", zulu(at(16, 30_000), ".5").lower(), minute + 16),
        ("with six digits", zulu(at(18, 59_000), ".999123"), minute + 18),
        ("with nine digits", zulu(at(20, 59_000), ".123456789"), minute + 20),
    ]


async def edges(lab: Lab, rng: Random) -> None:
    now_minute = lab.wall_ns() // 10**9 // MINUTE_S
    source, first = f"edges-{rng.getrandbits(48):012x}", now_minute - BACK_MINUTES
    calls = []
    for index, (words, ts, minute) in enumerate(forms(first)):
        value = rng.getrandbits(40)
        note(lab, Edge(words, ts, minute, source, value), f"{EDGES}/{index}")
        calls.append(_post(in_turn(lab, index), source, f"{EDGES}/{index}", ts, value))
    posted = await _until_said(lab, calls)
    ahead = await _ahead(lab, rng, now_minute)
    wanted = {metrics_path(source, range(first - 1, first + 30)): sum(map(accepted, posted))}
    wanted |= {metrics_path(name, range(now_minute - 1, now_minute + 15)): int(taken) for name, taken in ahead.items()}
    end_ns = lab.now_ns() + int(1e9 * (freshness_s(lab.declares) + AFTER_S))
    while True:
        over = lab.now_ns() > end_ns
        reads = [Call(it, "GET", path, name=f"{EDGES}-{READ}/{it}") for path in wanted for it in lab.replicas]
        ops = await few_at_once(lab, reads)
        counts = [(sum(tally.count for tally in (tallies(op) or {}).values()), wanted[op.request.path]) for op in ops]
        if over or all(count >= due for count, due in counts):
            break
        await lab.sleep(0.25)


def _post(target: str, source: str, name: str, ts: str, value: int) -> Call:
    body: JsonValue = {"event_id": f"{source}-{name}", "source": source, "type": KIND, "ts": ts, "value": value}
    return Call(target, "POST", EVENTS, body, name)


async def _until_said(lab: Lab, calls: list[Call]) -> list[Op]:
    return [await until_told(lab, call, settled) for call in calls]


async def _ahead(lab: Lab, rng: Random, now_minute: int) -> dict[str, bool]:
    """Events of a moment in five minutes, on each replica, alone and in a batch: whether each was taken, by source."""
    found = {}
    for index in range(4):
        source = f"ahead-{rng.getrandbits(48):012x}"
        moment = datetime.fromtimestamp(now_minute * MINUTE_S + AHEAD_S + 30 + index, UTC)
        ts, value, name = f"{moment:%Y-%m-%dT%H:%M:%S}.250Z", rng.getrandbits(40), f"{FUTURE}/{index}"
        call = _post(in_turn(lab, index), source, name, ts, value)
        body: JsonValue = [call.body] if index > 1 else call.body
        note(lab, Edge("five minutes in the future", ts, int(moment.timestamp()) // MINUTE_S, source, value), name)
        (op,) = await _until_said(lab, [Call(call.target, "POST", EVENTS, body, name)])
        found[source] = accepted(op)
    return found


def judge_edges(history: History) -> Finding:
    table = noted(history, Edge)
    said = {name: history.named(name)[-1] for name in table if history.named(name)}
    reads = history.named(f"{EDGES}-{READ}")
    counted = {"forms of a moment": float(len(said)), "readings": float(len(reads))}
    for name, op in said.items():
        if name.startswith(EDGES) and op.result is Result.REFUSED:
            return failed(
                f"an event {table[name].words} ({table[name].ts}) was refused ({op.status})", op, counted=counted
            )
    future = [op for name, op in said.items() if name.startswith(FUTURE) and op.result is not Result.UNKNOWN]
    if len({accepted(op) for op in future}) > 1:
        return failed("events of a moment in five minutes were now taken and now refused", *future, counted=counted)
    last: dict[tuple[str, str], Op] = {(op.target, op.request.path): op for op in reads if tallies(op) is not None}
    for name, op in said.items():
        if not accepted(op):
            continue
        edge = table[name]
        for (_, path), read in last.items():
            if f"source={edge.source}&" not in path:
                continue
            seen = tallies(read) or {}
            tally = seen.get(edge.minute)
            if tally is None or (tally.count, tally.sum) != (1, edge.value):
                there = next((minute for minute, it in seen.items() if it.sum == edge.value), None)
                what = f"an event {edge.words} ({edge.ts}) was not counted in its minute"
                if there is not None:
                    what += f", but {there - edge.minute:+d} min from it"
                return failed(what, op, read, counted=counted)
    silent = [table[name].words for name, op in said.items() if op.result is Result.UNKNOWN]
    if len(said) < len(table) or silent or len(last) < 2 * history.replicas:
        what = f"an event {silent[0]} had no answer" if silent else "not everything was sent and read back"
        return inconclusive(what, counted=counted)
    ahead = "counted at their time" if any(map(accepted, future)) else "refused"
    what = f"moments in {len(said) - len(future)} forms were counted in their minute; those in the future were {ahead}"
    return passed(what, counted=counted)
