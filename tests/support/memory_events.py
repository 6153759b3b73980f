"""Event stores made up in memory: an honest one, and some that are wrong in one way each."""

import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from crucible.authoring.memory_lab import MS, LateAnswer, MadeUp, MemoryLab

FIELDS = ("event_id", "source", "type", "ts", "value")


class BadInputError(Exception):
    """The body is not what the contract says."""


@lru_cache(maxsize=100_000)
def minute_of(ts: str) -> int:
    return int(datetime.fromisoformat(ts.upper()).timestamp() // 60)


class Honest(MadeUp):
    """Durable, shared by all replicas, exact."""

    def __init__(self, lab: MemoryLab) -> None:
        self.lab = lab
        self.events: dict[str, dict[str, Any]] = {}
        self.pages: list[dict[str, Any]] = []

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, Any]:
        url = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if method == "POST":
            try:
                return 202, self.take(at_ns, target, self.checked(text))
            except (BadInputError, ValueError, RecursionError, OverflowError) as error:
                return 400, {"error": str(error)[:80]}
        if url.path == "/v1/metrics":
            return 200, self.metrics(at_ns, target, asked)
        if url.path == "/v1/events":
            return 200, self.page(asked)
        return 200, {}

    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        return LateAnswer(503, {}, 5)

    def checked(self, text: str) -> list[dict[str, Any]]:
        items = json.loads(text)
        items = [items] if isinstance(items, dict) else items
        if not isinstance(items, list) or len(items) > 1000:
            raise BadInputError("neither an event nor up to 1,000")
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise BadInputError(f"item {index}")
            for name in FIELDS:
                value = item.get(name)
                right = isinstance(value, int) if name == "value" else isinstance(value, str) and 0 < len(value) <= 128
                if (
                    not right
                    or "\0" in str(value)
                    or any("\ud800" <= it <= "\udfff" or it == "\ufffd" for it in str(value))
                ):
                    raise BadInputError(f"item {index}: {name}")
            minute_of(item["ts"])
        return items

    def take(self, at_ns: int, target: str, items: list[dict[str, Any]]) -> dict[str, int]:
        fresh = 0
        for item in items:
            fresh += self.keep(item)
        return {"accepted": fresh, "duplicate": len(items) - fresh}

    def keep(self, item: dict[str, Any]) -> bool:
        if item["event_id"] in self.events:
            return False
        self.events[item["event_id"]] = item
        self.pages.append(item)
        return True

    def counted(self, at_ns: int, target: str) -> list[dict[str, Any]]:
        return list(self.pages)

    def metrics(self, at_ns: int, target: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        begin, end = minute_of(asked["from"]), minute_of(asked["to"])
        values: dict[int, list[int]] = defaultdict(list)
        for item in self.counted(at_ns, target):
            minute = self.bucket(item, at_ns)
            if (item["source"], item["type"]) == (asked["source"], asked["type"]) and begin <= minute < end:
                values[minute].append(item["value"])
        return [
            {"bucket": f"{datetime.fromtimestamp(60 * minute, UTC):%Y-%m-%dT%H:%M:%SZ}", "count": len(found),
             "sum": self.total(found)}
            for minute, found in sorted(values.items())
        ]  # fmt: skip

    def bucket(self, item: dict[str, Any], at_ns: int) -> int:
        return minute_of(item["ts"])

    def total(self, values: list[int]) -> int:
        return sum(values)

    def page(self, asked: dict[str, str]) -> dict[str, Any]:
        own = [(place, it) for place, it in enumerate(self.pages) if it["source"] == asked["source"]]
        after, limit = int(asked.get("cursor", -1)), int(asked.get("limit", 100))
        found = [(place, it) for place, it in own if place > after][:limit]
        return {"events": [it for _, it in found], "next": str(found[-1][0]) if found else None}


class KeepsDuplicates(Honest):
    def keep(self, item: dict[str, Any]) -> bool:
        self.pages.append(item)
        return True


class LosesEveryThousandth(Honest):
    """Answers as if it had kept it."""

    taken = 0

    def keep(self, item: dict[str, Any]) -> bool:
        self.taken += item["event_id"] not in self.events
        if self.taken % 1000 == 999 and item["event_id"] not in self.events:
            self.events[item["event_id"]] = item
            return True
        return super().keep(item)


class InMemory(Honest):
    """What was taken in the last second is lost with the process that took it."""

    def __init__(self, lab: MemoryLab) -> None:
        super().__init__(lab)
        self.buffer: list[tuple[int, str, dict[str, Any]]] = []

    def take(self, at_ns: int, target: str, items: list[dict[str, Any]]) -> dict[str, int]:
        self.flush(at_ns)
        self.buffer += [(at_ns, target, item) for item in items]
        return {"accepted": len(items), "duplicate": 0}

    def processes_asked_to_end(self, targets: Any) -> None:
        self.flush(self.lab.now_ns() + 1000 * MS)

    def flush(self, at_ns: int) -> None:
        ripe = [it for it in self.buffer if it[0] + 1000 * MS <= at_ns]
        self.buffer = self.buffer[len(ripe) :]
        for _, _, item in ripe:
            self.keep(item)

    def counted(self, at_ns: int, target: str) -> list[dict[str, Any]]:
        self.flush(at_ns)
        return super().counted(at_ns, target)

    def page(self, asked: dict[str, str]) -> dict[str, Any]:
        self.flush(self.lab.now_ns())
        return super().page(asked)

    def processes_crashed(self, targets: Any) -> None:
        self.flush(self.lab.now_ns())
        self.buffer = [it for it in self.buffer if it[1] not in targets]


class CountsByArrival(Honest):
    def keep(self, item: dict[str, Any]) -> bool:
        return super().keep({**item, "arrived": self.lab.wall_ns()})

    def bucket(self, item: dict[str, Any], at_ns: int) -> int:
        return int(item["arrived"] // 10**9 // 60)


class AddsUpInFloats(Honest):
    def total(self, values: list[int]) -> int:
        total = 0.0
        for value in values:
            total += value
        return int(total)


class TakesWhatIsGoodOfABatch(Honest):
    def checked(self, text: str) -> list[dict[str, Any]]:
        items = json.loads(text)
        for item in items if isinstance(items, list) and len(items) <= 1000 else []:
            for one in super().checked(json.dumps(item)):
                self.keep(one)
        return super().checked(text)


class EachReplicaCachesForFiveSeconds(Honest):
    def __init__(self, lab: MemoryLab) -> None:
        super().__init__(lab)
        self.cache: dict[str, tuple[int, Any]] = {}

    def metrics(self, at_ns: int, target: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        key = f"{target} {asked}"
        if key not in self.cache or self.cache[key][0] + 5000 * MS < at_ns:
            self.cache[key] = at_ns, super().metrics(at_ns, target, asked)
        found: list[dict[str, Any]] = self.cache[key][1]
        return found


class StoresNothing(Honest):
    def keep(self, item: dict[str, Any]) -> bool:
        return True


class TakesIntoMemoryWithoutAnEnd(Honest):
    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        return LateAnswer(*self.answer(at_ns, target, method, path, text), 1)


class SaysFiveHundred(Honest):
    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        return LateAnswer(500, {}, 5)


class WaitsForTheStore(Honest):
    def without_store(self, at_ns: int, target: str, method: str, path: str, text: str, *, fault: str) -> LateAnswer:
        return LateAnswer(503, {}, 4_000)


class PagesByMoment(Honest):
    """A cursor over event time: who is late comes before where the reader is."""

    def page(self, asked: dict[str, str]) -> dict[str, Any]:
        own = sorted((it["ts"], it["event_id"]) for it in self.pages if it["source"] == asked["source"])
        found = [it for it in own if f"{it[0]} {it[1]}" > asked.get("cursor", "")][: int(asked.get("limit", 100))]
        events = [self.events[name] for _, name in found]
        return {"events": events, "next": f"{found[-1][0]} {found[-1][1]}" if found else None}


class CountsPoisonAsNothing(Honest):
    """What it cannot hold it drops, with a yes."""

    def answer(self, at_ns: int, target: str, method: str, path: str, text: str) -> tuple[int, Any]:
        status, reply = super().answer(at_ns, target, method, path, text)
        return (202, {"accepted": 1, "duplicate": 0}) if status == 400 and "u0000" in text else (status, reply)


class RoundsFractions(Honest):
    def checked(self, text: str) -> list[dict[str, Any]]:
        return super().checked(text.replace("1.5", "1"))


class SaysSumsInDoubles(Honest):
    """Adds up right, and hands over a double."""

    def total(self, values: list[int]) -> int:
        return int(float(sum(values)))


class StoresPoison(Honest):
    """U+0000 and halves of surrogate pairs are characters to it like any other."""

    def checked(self, text: str) -> list[dict[str, Any]]:
        super().checked(re.sub(r"\\u(0000|d[89a-f]..)", "x", text))
        items = json.loads(text)
        return items if isinstance(items, list) else [items]
